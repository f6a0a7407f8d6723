//! What a message becomes when the bridge publishes it again: the same, with a count.
//!
//! The body and the properties stay as they are, but for those that RabbitMQ would act upon. `expiration` would end a
//! waiting message early, or a dead one altogether. `user-id` is refused when it is not the bridge's own. `CC` and `BCC`
//! in the headers would send copies to other queues. A delivery mode that is not "persistent" would lose the message when
//! the broker restarts, even where its own queue, a quorum queue, had kept it. They travel in headers of sendonce's own,
//! and the event shows them where they were.
//!
//! Of `x-death`, RabbitMQ's history of a message, what tells of its own queue goes. Brokers up to 3.13 read it back, take the
//! way out of a retry queue into a queue that stands there for a circle, and drop the message without a word
//! (`is_cycle` in its `rabbit_dead_letter`).

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

/// How often the function failed with it.
pub const TRIES: &str = "x-sendonce-tries";
/// How often it had failed when it died. Not [`TRIES`]: who moves it back to its queue means it to be tried anew.
pub const FAILED: &str = "x-sendonce-failed";
/// Why it is dead.
pub const REASON: &str = "x-sendonce-reason";
/// The queue that it came from.
pub const QUEUE: &str = "x-sendonce-queue";
/// Its `expiration`.
pub const EXPIRATION: &str = "x-sendonce-expiration";
/// Its `user-id`.
pub const USER_ID: &str = "x-sendonce-user-id";
/// Its `delivery-mode`, as a number; empty for none.
const DELIVERY_MODE: &str = "x-sendonce-delivery-mode";
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

/// For another try, by way of a retry queue and back to `queue`.
#[must_use]
pub fn again(properties: &BasicProperties, tries: u32, queue: &str) -> BasicProperties {
    rewritten(properties, (TRIES, tries), queue, &[])
}

/// For the queue of the dead.
#[must_use]
pub fn dead(properties: &BasicProperties, tries: u32, queue: &str, reason: &str) -> BasicProperties {
    rewritten(properties, (FAILED, tries), queue, &[(QUEUE, queue), (REASON, reason)])
}

/// A property that was set aside in a header.
#[must_use]
pub fn set_aside<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a str> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
}

/// The delivery mode that its producer gave it.
#[must_use]
pub fn delivery_mode(properties: &BasicProperties) -> Option<u8> {
    match set_aside(properties, DELIVERY_MODE) {
        Some(before) => before.parse().ok(),
        None => *properties.delivery_mode(),
    }
}

/// What a header was called before; `None` for what was none.
#[must_use]
pub fn name_before(name: &str) -> Option<&str> {
    match name {
        EXPIRATION | USER_ID | DELIVERY_MODE => None,
        CC => Some("CC"),
        BCC => Some("BCC"),
        _ => Some(name),
    }
}

/// What survives a restart of the broker.
const PERSISTENT: u8 = 2;

fn rewritten(
    properties: &BasicProperties,
    count: (&str, u32),
    queue: &str,
    notes: &[(&str, &str)],
) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        let name = match name.as_str() {
            "x-death" => {
                if let Some(deaths) = elsewhere(value, queue) {
                    headers.insert(name.clone(), deaths);
                }
                continue;
            }
            "CC" => CC.into(),
            "BCC" => BCC.into(),
            TRIES | FAILED => continue,
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
    if delivery_mode(properties) != Some(PERSISTENT) {
        let before = delivery_mode(properties).map(|mode| mode.to_string()).unwrap_or_default();
        headers.insert(DELIVERY_MODE.into(), text(&before));
    }
    for (name, note) in notes {
        headers.insert((*name).into(), text(note));
    }
    let (name, times) = count;
    headers.insert(name.into(), AMQPValue::LongLongInt(times.into()));
    without_what_acts(properties).with_delivery_mode(PERSISTENT).with_headers(headers)
}

/// The deaths that happened in other queues; `None`: there are none. What has another form is left as it is.
fn elsewhere(deaths: &AMQPValue, queue: &str) -> Option<AMQPValue> {
    let AMQPValue::FieldArray(deaths) = deaths else { return Some(deaths.clone()) };
    let is_elsewhere = |death: &&AMQPValue| match death {
        AMQPValue::FieldTable(death) => !matches!(
            death.inner().get("queue"),
            Some(AMQPValue::LongString(name)) if name.as_bytes() == queue.as_bytes()
        ),
        _ => true,
    };
    let deaths: Vec<AMQPValue> = deaths.as_slice().iter().filter(is_elsewhere).cloned().collect();
    (!deaths.is_empty()).then(|| AMQPValue::FieldArray(deaths.into()))
}

type Set = fn(BasicProperties, ShortString) -> BasicProperties;

/// All properties but `headers`, `delivery-mode`, `expiration` and `user-id`.
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
            last = again(&last, count, "mail");
            assert_eq!(tries(&last), count);
        }
        let last = dead(&last, 4, "mail", "too_many_tries");
        assert_eq!(tries(&last), 0, "who is moved back is tried anew");
        assert!(last.expiration().is_none() && last.user_id().is_none());
        let headers = last.headers().as_ref().expect("headers").inner();
        assert!(!headers.contains_key("CC"), "RabbitMQ would send copies");
        assert_eq!(set_aside(&last, REASON), Some("too_many_tries"));
        let event = |properties: &BasicProperties| -> serde_json::Value {
            let mut event: serde_json::Value =
                serde_json::from_slice(&crate::event::message(properties, false, b"1")).expect("JSON");
            let headers = event["basicProperties"]["headers"].as_object_mut().expect("headers");
            headers.retain(|name, _| !name.starts_with("x-sendonce-"));
            event
        };
        assert_eq!(event(&first), event(&last));

        for mode in [None, Some(1), Some(2)] {
            let first = BasicProperties::default().with_headers(FieldTable::default());
            let first = mode.into_iter().fold(first, BasicProperties::with_delivery_mode);
            let last = dead(&again(&again(&first, 1, "mail"), 2, "mail"), 3, "mail", "too_many_tries");
            assert_eq!(*last.delivery_mode(), Some(2), "it must outlive the broker");
            assert_eq!(event(&first), event(&last));
        }
    }

    #[test]
    fn what_died_in_its_own_queue_is_no_circle() {
        let death = |queue: &str| {
            let mut death = FieldTable::default();
            death.insert("queue".into(), AMQPValue::LongString(queue.into()));
            AMQPValue::FieldTable(death)
        };
        let after = |deaths: Vec<AMQPValue>| {
            let mut headers = FieldTable::default();
            headers.insert("x-death".into(), AMQPValue::FieldArray(deaths.into()));
            let again = again(&BasicProperties::default().with_headers(headers), 1, "mail");
            again.headers().as_ref().expect("headers").inner().get("x-death").cloned()
        };
        assert_eq!(after(vec![death("mail")]), None);
        let other = death("mail.retry.1s");
        let kept = Some(AMQPValue::FieldArray(vec![other.clone()].into()));
        assert_eq!(after(vec![death("mail"), other]), kept);
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
