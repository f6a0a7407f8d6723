//! What an event says of itself: which function it is for, and of which emails it speaks.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorbell::body;
use serde_json::Value;

/// Which function an event is for, by the name of its file as `events/README.md` has it, or else by what is in it.
pub(super) fn function_of(stem: &str, event: &Value) -> Option<&'static str> {
    let by_name = [
        ("sqs_", "dispatch-sqs"),
        ("rabbitmq_", "dispatch-rabbitmq"),
        ("ses_", "feedback"),
        ("scheduler_", "sweep"),
        ("sweep_", "sweep"),
        ("migrate_", "migrate"),
    ];
    let by_name = by_name.into_iter().find(|(prefix, _)| stem.starts_with(prefix));
    by_name.map(|(_, function)| function).or_else(|| by_content(event))
}

fn by_content(event: &Value) -> Option<&'static str> {
    let record = event.pointer("/Records/0");
    let source = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let of_record =
        record.and_then(|record| source(record, "eventSource").or_else(|| source(record, "EventSource")));
    let own = source(event, "eventSource").or_else(|| source(event, "source"));
    match (of_record.as_deref(), own.as_deref()) {
        (Some("aws:sns"), _) | (_, Some("aws.ses")) => Some("feedback"),
        // The same queue service carries both.
        (Some("aws:sqs"), _) if !attempts(event).is_empty() => Some("feedback"),
        (Some("aws:sqs"), _) => Some("dispatch-sqs"),
        (_, Some("aws:rmq")) => Some("dispatch-rabbitmq"),
        (_, Some("aws.scheduler" | "aws.events")) => Some("sweep"),
        _ if event.get("eventType").is_some() && event.get("mail").is_some() => Some("feedback"),
        _ if event.get("dry_run").is_some() => Some("sweep"),
        _ if event.get("RequestType").is_some() => Some("migrate"),
        _ => None,
    }
}

/// The emails that an event speaks of, and the attempt if it is SES that speaks.
pub(super) fn emails(event: &Value) -> BTreeMap<u64, Option<String>> {
    let mut emails: BTreeMap<u64, Option<String>> = rung_for(event).map(|id| (id, None)).collect();
    emails.extend(attempts(event).into_iter().map(|(id, attempt)| (id, Some(attempt))));
    emails
}

/// The ids of the doorbells in it.
fn rung_for(event: &Value) -> impl Iterator<Item = u64> {
    let records = event["Records"].as_array().into_iter().flatten();
    let of_sqs = records.filter_map(|record| body::parse(record["body"].as_str()?.as_bytes()).ok());
    let queues = event["rmqMessagesByQueue"].as_object().into_iter().flat_map(serde_json::Map::values);
    let messages = queues.filter_map(Value::as_array).flatten();
    let of_rabbitmq = messages.filter_map(|message| {
        let data = STANDARD.decode(message["data"].as_str()?).ok()?;
        body::parse(&data).ok()
    });
    of_sqs.chain(of_rabbitmq)
}

/// The emails that events of SES speak of, however they are wrapped.
fn attempts(value: &Value) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    collect(value, &mut found);
    found
}

fn collect(value: &Value, found: &mut BTreeMap<u64, String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(members) => {
            let tag = |name: &str| members.get(name).and_then(|values| values.get(0)).and_then(Value::as_str);
            if let (Some(id), Some(attempt)) = (tag("email_id"), tag("attempt_id"))
                && let Ok(id) = id.parse()
            {
                found.insert(id, attempt.to_owned());
            }
            members.values().for_each(|value| collect(value, found));
        }
        // A queue or a topic wraps what it carries into a text.
        Value::String(text) if text.trim_start().starts_with('{') => {
            if let Ok(inner) = serde_json::from_str(text) {
                collect(&inner, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};
    use stack::install::workspace;

    use super::{emails, function_of};

    fn event(name: &str) -> Value {
        serde_json::from_slice(&fs::read(workspace().join("events").join(name)).unwrap()).unwrap()
    }

    #[test]
    fn the_name_decides_and_then_the_content() {
        for (name, function) in [
            ("sqs_standard_batch.json", "dispatch-sqs"),
            ("rabbitmq_full_properties.json", "dispatch-rabbitmq"),
            ("ses_bare_delivery.json", "feedback"),
            ("ses_sns_lambda_send.json", "feedback"),
            ("ses_sns_to_sqs_wrapped_send.json", "feedback"),
            ("ses_eventbridge_bounce_permanent.json", "feedback"),
            ("scheduler_default_payload.json", "sweep"),
            ("sweep_dry_run.json", "sweep"),
        ] {
            assert_eq!(function_of(name, &Value::Null), Some(function), "{name}");
            assert_eq!(function_of("mine", &event(name)), Some(function), "the content of {name}");
        }
        assert_eq!(function_of("mine", &json!({})), None);
    }

    #[test]
    fn the_emails_of_an_event_are_found_however_it_is_wrapped() {
        let ids = |name: &str| emails(&event(name)).into_keys().collect::<Vec<_>>();
        assert_eq!(ids("sqs_standard_batch.json"), [41, 42]);
        assert_eq!(ids("rabbitmq_full_properties.json"), [71]);
        assert!(ids("sqs_body_of_another_application.json").is_empty(), "an id further down is none");
        assert_eq!(ids("sqs_body_largest_id.json"), [u64::MAX]);
        for name in
            ["ses_sns_to_sqs_wrapped_send.json", "ses_eventbridge_send.json", "ses_bare_delivery.json"]
        {
            let found = emails(&event(name));
            assert_eq!(found.get(&41), Some(&Some("01JDCB8Q6Y3V0K9M2T4W6X8Z1A".to_owned())), "{name}");
        }
    }
}
