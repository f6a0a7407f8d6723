//! What a message becomes when the bridge publishes it again: the same, with a count.
//!
//! The body and the properties stay as they are, but for three that RabbitMQ would act upon. `expiration` would end a
//! waiting message early, or a dead one altogether. `user-id` is refused when it is not the bridge's own. `CC` and `BCC`
//! in the headers would send copies to other queues. They travel in headers of sendonce's own, and the event shows them
//! where they were.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

/// How often the function failed with it.
pub const TRIES: &str = "x-sendonce-tries";
/// Why it is dead.
pub const REASON: &str = "x-sendonce-reason";
/// The queue that it came from.
pub const QUEUE: &str = "x-sendonce-queue";
/// Its `expiration`.
pub const EXPIRATION: &str = "x-sendonce-expiration";
/// Its `user-id`.
pub const USER_ID: &str = "x-sendonce-user-id";
const CC: &str = "x-sendonce-cc";
const BCC: &str = "x-sendonce-bcc";

/// How often the function failed with it: nothing but what the bridge itself wrote counts.
#[must_use]
pub fn tries(properties: &BasicProperties) -> u32 {
    let value = properties.headers().as_ref().and_then(|headers| headers.inner().get(TRIES));
    match value {
        Some(AMQPValue::LongLongInt(tries)) => u32::try_from(*tries).unwrap_or(0),
        Some(AMQPValue::LongInt(tries)) => u32::try_from(*tries).unwrap_or(0),
        _ => 0,
    }
}

/// For another try.
#[must_use]
pub fn again(properties: &BasicProperties, tries: u32) -> BasicProperties {
    rewritten(properties, tries, &[])
}

/// For the queue of the dead.
#[must_use]
pub fn dead(properties: &BasicProperties, tries: u32, queue: &str, reason: &str) -> BasicProperties {
    rewritten(properties, tries, &[(QUEUE, queue), (REASON, reason)])
}

/// A property that was set aside in a header.
#[must_use]
pub fn set_aside<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a str> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
}

/// What a header was called before; `None` for what was none.
#[must_use]
pub fn name_before(name: &str) -> Option<&str> {
    match name {
        EXPIRATION | USER_ID => None,
        CC => Some("CC"),
        BCC => Some("BCC"),
        _ => Some(name),
    }
}

fn rewritten(properties: &BasicProperties, tries: u32, notes: &[(&str, &str)]) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        let name = match name.as_str() {
            "CC" => CC.into(),
            "BCC" => BCC.into(),
            _ => name.clone(),
        };
        headers.insert(name, value.clone());
    }
    let text = |text: &str| AMQPValue::LongString(text.into());
    for (name, value) in [(EXPIRATION, properties.expiration()), (USER_ID, properties.user_id())] {
        if let Some(value) = value {
            headers.insert(name.into(), text(value.as_str()));
        }
    }
    for (name, note) in notes {
        headers.insert((*name).into(), text(note));
    }
    headers.insert(TRIES.into(), AMQPValue::LongLongInt(tries.into()));
    without_what_acts(properties).with_headers(headers)
}

type Set = fn(BasicProperties, ShortString) -> BasicProperties;

/// All properties but `headers`, `expiration` and `user-id`.
fn without_what_acts(old: &BasicProperties) -> BasicProperties {
    let texts: [(&Option<ShortString>, Set); 8] = [
        (old.content_type(), BasicProperties::with_content_type),
        (old.content_encoding(), BasicProperties::with_content_encoding),
        (old.correlation_id(), BasicProperties::with_correlation_id),
        (old.reply_to(), BasicProperties::with_reply_to),
        (old.message_id(), BasicProperties::with_message_id),
        (old.kind(), BasicProperties::with_type),
        (old.app_id(), BasicProperties::with_app_id),
        (old.cluster_id(), BasicProperties::with_cluster_id),
    ];
    let mut new = BasicProperties::default();
    for (value, set) in texts {
        if let Some(value) = value {
            new = set(new, value.clone());
        }
    }
    if let Some(mode) = *old.delivery_mode() {
        new = new.with_delivery_mode(mode);
    }
    if let Some(priority) = *old.priority() {
        new = new.with_priority(priority);
    }
    if let Some(timestamp) = *old.timestamp() {
        new = new.with_timestamp(timestamp);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_acts_is_set_aside_and_the_event_shows_it() {
        let mut headers = FieldTable::default();
        headers
            .insert("CC".into(), AMQPValue::FieldArray(vec![AMQPValue::LongString("other".into())].into()));
        headers.insert("lane".into(), AMQPValue::LongString("bulk".into()));
        let first = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("utf-8".into())
            .with_headers(headers)
            .with_delivery_mode(2)
            .with_priority(3)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("60000".into())
            .with_message_id("m".into())
            .with_timestamp(1_795_452_184)
            .with_type("t".into())
            .with_user_id("producer".into())
            .with_app_id("a".into())
            .with_cluster_id("k".into());
        let mut last = first.clone();
        for count in 1..4 {
            last = again(&last, count);
            assert_eq!(tries(&last), count);
        }
        let last = dead(&last, 4, "mail", "too_many_tries");
        assert!(last.expiration().is_none() && last.user_id().is_none());
        let headers = last.headers().as_ref().expect("headers").inner();
        assert!(!headers.contains_key("CC"), "RabbitMQ would send copies");
        assert_eq!(set_aside(&last, REASON), Some("too_many_tries"));
        let event = |properties| -> serde_json::Value {
            let mut event: serde_json::Value =
                serde_json::from_slice(&crate::event::message(properties, false, b"1")).expect("JSON");
            let headers = event["basicProperties"]["headers"].as_object_mut().expect("headers");
            headers.retain(|name, _| !name.starts_with("x-sendonce-"));
            event
        };
        assert_eq!(event(&first), event(&last));
    }

    #[test]
    fn a_count_that_somebody_else_wrote_is_none() {
        let with = |value| {
            let mut headers = FieldTable::default();
            headers.insert(TRIES.into(), value);
            tries(&BasicProperties::default().with_headers(headers))
        };
        assert_eq!(with(AMQPValue::LongString("7".into())), 0);
        assert_eq!(with(AMQPValue::LongLongInt(-1)), 0);
        assert_eq!(with(AMQPValue::LongLongInt(i64::MAX)), 0);
        assert_eq!(with(AMQPValue::LongLongInt(7)), 7);
        assert_eq!(tries(&BasicProperties::default()), 0);
    }
}
