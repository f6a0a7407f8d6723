//! What SES's events are wrapped in, by whatever route they arrive. Pure.
//!
//! EventBridge or SNS, straight to Lambda or through SQS, with SNS's own wrapping or without (raw delivery): what is
//! inside is the same event, and nothing of the wrapping may make two of one. A batch is taken apart first and its
//! bodies are read one by one, so that a bad one costs no other.

use serde_json::{Map, Value};

/// What one invocation brings.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrived {
    /// Whether SQS sent it, which wants to know what must come again.
    pub through_queue: bool,
    /// In the order of arrival.
    pub deliveries: Vec<Delivery>,
}

/// One thing that was delivered, unread.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// What SQS calls it. Empty when it came another way, or when SQS gave none, which it never does.
    pub message_id: String,
    body: Body,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    Text(String),
    Json(Value),
    Missing,
}

/// What was inside.
#[derive(Debug, Clone, PartialEq)]
pub enum Letter {
    /// An event of SES, as SES wrote it.
    Event(Value),
    /// A service speaks of its own affairs: nothing to do.
    Notice(Notice),
    /// An event of another source or sort, which a rule lets through: its type.
    Other(String),
}

/// What services say of themselves on the way that events take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// SNS asks an endpoint to confirm. SQS and Lambda need not: whoever subscribes them may.
    SubscriptionConfirmation,
    /// SNS says that a subscription ended.
    UnsubscribeConfirmation,
    /// SES tried the topic when it was named as a destination.
    TopicValidated,
}

impl Notice {
    /// For the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SubscriptionConfirmation => "subscription_confirmation",
            Self::UnsubscribeConfirmation => "unsubscribe_confirmation",
            Self::TopicValidated => "topic_validated",
        }
    }
}

/// Nobody can read it. Never quotes it: it holds addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableLetter {
    /// There is no body.
    #[error("there is no body")]
    Missing,
    /// The body is not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// It is JSON, but neither an event nor anything that could hold one.
    #[error("the body is not an event")]
    NotAnEvent,
}

impl UnreadableLetter {
    /// A short stable code for logs.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Missing => "body_missing",
            Self::NotJson => "body_not_json",
            Self::NotAnEvent => "body_not_an_event",
        }
    }
}

/// What SES publishes to a topic to see whether it may.
const TOPIC_VALIDATED: &str = "Successfully validated SNS topic for Amazon SES event publishing";

/// EventBridge in SNS in SQS, and one to spare.
const MOST_WRAPPINGS: u8 = 4;

/// Takes an invocation's payload apart, without reading any body.
#[must_use]
pub fn open(payload: Value) -> Arrived {
    let direct = |value| Arrived {
        through_queue: false,
        deliveries: vec![delivery(String::new(), Body::Json(value))],
    };
    let Value::Object(mut members) = payload else { return direct(payload) };
    let Some(Value::Array(records)) = members.get_mut("Records").map(Value::take) else {
        return direct(Value::Object(members));
    };
    let through_queue = records.first().is_none_or(|record| !is_of_sns(record));
    let deliveries = records
        .into_iter()
        .map(|mut record| {
            if is_of_sns(&record) {
                return delivery(String::new(), Body::Json(record["Sns"].take()));
            }
            let text = |value: Option<&mut Value>| match value.map(Value::take) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            };
            let body = text(record.get_mut("body")).map_or(Body::Missing, Body::Text);
            delivery(text(record.get_mut("messageId")).unwrap_or_default(), body)
        })
        .collect();
    Arrived { through_queue, deliveries }
}

fn delivery(message_id: String, body: Body) -> Delivery {
    Delivery { message_id, body }
}

fn is_of_sns(record: &Value) -> bool {
    record.get("Sns").is_some_and(Value::is_object)
}

impl Delivery {
    /// Reads what is inside.
    ///
    /// # Errors
    ///
    /// [`UnreadableLetter`] says why that is not possible.
    pub fn read(self) -> Result<Letter, UnreadableLetter> {
        match self.body {
            Body::Text(text) => read_text(&text, MOST_WRAPPINGS),
            Body::Json(value) => read_json(value, MOST_WRAPPINGS),
            Body::Missing => Err(UnreadableLetter::Missing),
        }
    }
}

fn read_text(text: &str, wrappings: u8) -> Result<Letter, UnreadableLetter> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnreadableLetter::Missing);
    }
    if text.starts_with(TOPIC_VALIDATED) {
        return Ok(Letter::Notice(Notice::TopicValidated));
    }
    read_json(serde_json::from_str(text).map_err(|_| UnreadableLetter::NotJson)?, wrappings)
}

fn read_json(value: Value, wrappings: u8) -> Result<Letter, UnreadableLetter> {
    let Value::Object(mut members) = value else { return Err(UnreadableLetter::NotAnEvent) };
    if is_of_ses(&members) {
        return Ok(Letter::Event(Value::Object(members)));
    }
    if let Some(Value::Object(detail)) = members.get_mut("detail").map(Value::take) {
        return match members.get("detail-type").and_then(Value::as_str) {
            _ if is_of_ses(&detail) => Ok(Letter::Event(Value::Object(detail))),
            Some(name) => Ok(Letter::Other(name.to_owned())),
            None => Err(UnreadableLetter::NotAnEvent),
        };
    }
    match (members.get("Type").and_then(Value::as_str), members.get("Message")) {
        (Some("SubscriptionConfirmation"), _) => Ok(Letter::Notice(Notice::SubscriptionConfirmation)),
        (Some("UnsubscribeConfirmation"), _) => Ok(Letter::Notice(Notice::UnsubscribeConfirmation)),
        (Some("Notification") | None, Some(Value::String(text))) if wrappings > 0 => {
            read_text(text, wrappings - 1)
        }
        (Some("Notification"), None | Some(Value::Null)) => Err(UnreadableLetter::Missing),
        _ => Err(UnreadableLetter::NotAnEvent),
    }
}

/// Event publishing names the type `eventType`; an identity's notifications, which are older, `notificationType`.
fn is_of_ses(members: &Map<String, Value>) -> bool {
    ["eventType", "notificationType"].iter().any(|name| members.get(*name).is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Letter, MOST_WRAPPINGS, Notice, UnreadableLetter, open};

    fn read(payload: Value) -> Result<Letter, UnreadableLetter> {
        let mut arrived = open(payload);
        assert_eq!(arrived.deliveries.len(), 1);
        arrived.deliveries.remove(0).read()
    }

    fn queued(body: &str) -> Value {
        json!({"Records": [{"messageId": "m", "eventSource": "aws:sqs", "body": body}]})
    }

    fn wrapped(message: &str) -> Value {
        json!({"Type": "Notification", "MessageId": "n", "Message": message})
    }

    #[test]
    fn one_event_comes_out_of_every_wrapping() {
        let event = json!({"eventType": "Send", "mail": {"messageId": "0102-x"}, "send": {}});
        let bridged = json!({"detail-type": "Email Sent", "source": "aws.ses", "detail": event});
        let text = event.to_string();
        for payload in [
            event.clone(),
            bridged.clone(),
            json!({"Records": [{"EventSource": "aws:sns", "Sns": wrapped(&text)}]}),
            json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}}]}),
            queued(&text),
            queued(&format!(" {text}\n")),
            queued(&bridged.to_string()),
            queued(&wrapped(&text).to_string()),
            queued(&wrapped(&bridged.to_string()).to_string()),
        ] {
            assert_eq!(read(payload.clone()), Ok(Letter::Event(event.clone())), "{payload}");
        }
    }

    #[test]
    fn services_speak_of_their_own_affairs() {
        let validated = "Successfully validated SNS topic for Amazon SES event publishing.";
        for (payload, notice) in [
            (queued(validated), Notice::TopicValidated),
            (queued(&wrapped(validated).to_string()), Notice::TopicValidated),
            (
                queued(r#"{"Type":"SubscriptionConfirmation","Message":"You have …","Token":"t"}"#),
                Notice::SubscriptionConfirmation,
            ),
            (queued(r#"{"Type":"UnsubscribeConfirmation"}"#), Notice::UnsubscribeConfirmation),
        ] {
            assert_eq!(read(payload), Ok(Letter::Notice(notice)));
        }
        let other =
            json!({"detail-type": "Advisor Recommendation Status Open", "detail": {"version": "1.0"}});
        assert_eq!(read(other), Ok(Letter::Other("Advisor Recommendation Status Open".to_owned())));
    }

    #[test]
    fn what_nobody_can_read_says_why() {
        let mut deep = "{}".to_owned();
        for _ in 0..=MOST_WRAPPINGS {
            deep = wrapped(&deep).to_string();
        }
        for (body, why) in [
            ("", UnreadableLetter::Missing),
            (" \r\n", UnreadableLetter::Missing),
            ("hello", UnreadableLetter::NotJson),
            (r#"{"eventType":"Send""#, UnreadableLetter::NotJson),
            ("41", UnreadableLetter::NotAnEvent),
            ("[]", UnreadableLetter::NotAnEvent),
            ("{}", UnreadableLetter::NotAnEvent),
            (r#"{"email_id":41}"#, UnreadableLetter::NotAnEvent),
            (r#"{"eventType":7}"#, UnreadableLetter::NotAnEvent),
            (r#"{"detail-type":"Email Sent","detail":null}"#, UnreadableLetter::NotAnEvent),
            (r#"{"Type":"Notification","Message":null}"#, UnreadableLetter::Missing),
            (r#"{"Type":"Else","Message":"{}"}"#, UnreadableLetter::NotAnEvent),
            (&deep, UnreadableLetter::NotAnEvent),
            (&"[".repeat(5000), UnreadableLetter::NotJson),
        ] {
            assert_eq!(read(queued(body)), Err(why), "{body:.60}");
        }
        for payload in [json!({}), json!(null), json!([{}]), json!({"Records": null})] {
            assert_eq!(read(payload), Err(UnreadableLetter::NotAnEvent));
        }
        for record in [json!({"messageId": "m", "body": null}), json!({"messageId": "m"}), json!(null)] {
            assert_eq!(read(json!({"Records": [record]})), Err(UnreadableLetter::Missing));
        }
    }

    #[test]
    fn a_queue_learns_of_its_items_by_their_names() {
        let arrived = open(json!({"Records": [{"messageId": "a", "body": "x"}, {"body": "y"}]}));
        assert!(arrived.through_queue);
        let names: Vec<_> = arrived.deliveries.iter().map(|delivery| delivery.message_id.as_str()).collect();
        assert_eq!(names, ["a", ""]);
        assert!(open(json!({"Records": []})).through_queue);
        assert!(!open(json!({"Records": [{"Sns": {}}]})).through_queue);
        assert!(!open(json!({"eventType": "Send"})).through_queue);
    }
}
