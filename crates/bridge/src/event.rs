//! The event `aws:rmq`, as Lambda's own mapping for Amazon MQ writes it.
//!
//! Texts in headers are `{"bytes": […]}` with signs, as Java counts them; a property that is not there is null; times are
//! in the words of Java's default. `doorbell::rabbitmq` reads it.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};
use time::OffsetDateTime;

use crate::letter;

/// Tables within tables are cut below this: most readers of JSON go no deeper than some hundred.
const DEPTH: usize = 48;

/// One message in the words of the event.
///
/// # Panics
///
/// Never: nothing in it can fail to be written.
#[must_use]
pub fn message(properties: &BasicProperties, redelivered: bool, body: &[u8]) -> Vec<u8> {
    let message = Message {
        basic_properties: Properties::of(properties, body.len()),
        redelivered,
        data: STANDARD.encode(body),
    };
    serde_json::to_vec(&message).expect("texts, numbers and maps with text keys only")
}

/// The event that holds these messages of one queue.
#[must_use]
pub fn envelope(broker: &str, queue: &str, vhost: &str, messages: &[&[u8]]) -> Vec<u8> {
    let bytes = messages.iter().map(|message| message.len() + 1).sum::<usize>();
    let mut event = Vec::with_capacity(bytes + 256);
    let text = |event: &mut Vec<u8>, text: &str| -> io::Result<()> {
        serde_json::to_writer(event, text).map_err(io::Error::from)
    };
    event.extend(br#"{"eventSource":"aws:rmq","eventSourceArn":"#);
    // No broker of Amazon's: the name says so, and says which one it is.
    let named = text(&mut event, &format!("arn:sendonce:rabbitmq:::{broker}"));
    event.extend(br#","rmqMessagesByQueue":{"#);
    let named = named.and_then(|()| text(&mut event, &format!("{queue}::{vhost}")));
    debug_assert!(named.is_ok(), "a Vec takes everything");
    event.extend(b":[");
    for (position, message) in messages.iter().enumerate() {
        event.extend(if position == 0 { &b""[..] } else { b"," });
        event.extend(*message);
    }
    event.extend(b"]}}");
    event
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    basic_properties: Properties<'a>,
    redelivered: bool,
    data: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    content_type: Option<&'a str>,
    content_encoding: Option<&'a str>,
    headers: Option<Table<'a>>,
    delivery_mode: Option<u8>,
    priority: Option<u8>,
    correlation_id: Option<&'a str>,
    reply_to: Option<&'a str>,
    expiration: Option<&'a str>,
    message_id: Option<&'a str>,
    timestamp: Option<String>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    user_id: Option<&'a str>,
    app_id: Option<&'a str>,
    cluster_id: Option<&'a str>,
    body_size: usize,
}

impl<'a> Properties<'a> {
    fn of(properties: &'a BasicProperties, body_size: usize) -> Self {
        let text = |value: &'a Option<ShortString>| value.as_ref().map(ShortString::as_str);
        Self {
            content_type: text(properties.content_type()),
            content_encoding: text(properties.content_encoding()),
            headers: properties.headers().as_ref().map(|table| Table { table, depth: 0 }),
            delivery_mode: letter::delivery_mode(properties),
            priority: *properties.priority(),
            correlation_id: text(properties.correlation_id()),
            reply_to: text(properties.reply_to()),
            expiration: text(properties.expiration())
                .or_else(|| letter::set_aside(properties, letter::EXPIRATION)),
            message_id: text(properties.message_id()),
            timestamp: properties.timestamp().and_then(time_of),
            kind: text(properties.kind()),
            user_id: text(properties.user_id()).or_else(|| letter::set_aside(properties, letter::USER_ID)),
            app_id: text(properties.app_id()),
            cluster_id: text(properties.cluster_id()),
            body_size,
        }
    }
}

struct Table<'a> {
    table: &'a FieldTable,
    depth: usize,
}

impl Serialize for Table<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.table {
            if let Some(name) = letter::name_before(name.as_str()) {
                map.serialize_entry(name, &Value { value, depth: self.depth + 1 })?;
            }
        }
        map.end()
    }
}

struct Value<'a> {
    value: &'a AMQPValue,
    depth: usize,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let depth = self.depth + 1;
        match self.value {
            _ if self.depth > DEPTH => serializer.serialize_unit(),
            AMQPValue::Boolean(value) => serializer.serialize_bool(*value),
            AMQPValue::ShortShortInt(value) => serializer.serialize_i8(*value),
            AMQPValue::ShortShortUInt(value) => serializer.serialize_u8(*value),
            AMQPValue::ShortInt(value) => serializer.serialize_i16(*value),
            AMQPValue::ShortUInt(value) => serializer.serialize_u16(*value),
            AMQPValue::LongInt(value) => serializer.serialize_i32(*value),
            AMQPValue::LongUInt(value) => serializer.serialize_u32(*value),
            AMQPValue::LongLongInt(value) => serializer.serialize_i64(*value),
            // What is no number in JSON, such as NaN, serde_json writes as null.
            AMQPValue::Float(value) => serializer.serialize_f32(*value),
            AMQPValue::Double(value) => serializer.serialize_f64(*value),
            AMQPValue::DecimalValue(value) => {
                serializer.serialize_f64(f64::from(value.value) / 10_f64.powi(i32::from(value.scale)))
            }
            AMQPValue::ShortString(text) => bytes(serializer, text.as_str().as_bytes()),
            AMQPValue::LongString(text) => bytes(serializer, text.as_bytes()),
            AMQPValue::ByteArray(array) => Signed(array.as_slice()).serialize(serializer),
            AMQPValue::Timestamp(seconds) => time_of(*seconds).serialize(serializer),
            AMQPValue::FieldTable(table) => Table { table, depth }.serialize(serializer),
            AMQPValue::FieldArray(array) => {
                let mut list = serializer.serialize_seq(None)?;
                for value in array.as_slice() {
                    list.serialize_element(&Value { value, depth })?;
                }
                list.end()
            }
            AMQPValue::Void => serializer.serialize_unit(),
        }
    }
}

fn bytes<S: Serializer>(serializer: S, text: &[u8]) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry("bytes", &Signed(text))?;
    map.end()
}

struct Signed<'a>(&'a [u8]);

impl Serialize for Signed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|byte| byte.cast_signed()))
    }
}

/// `Nov 23, 2026, 4:43:04 PM`; nothing for a number that is no time in seconds.
fn time_of(seconds: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    let month = &time.month().to_string()[..3];
    let (hour, half) = (time.hour() % 12, if time.hour() < 12 { "AM" } else { "PM" });
    let hour = if hour == 0 { 12 } else { hour };
    let (day, year, minute, second) = (time.day(), time.year(), time.minute(), time.second());
    Some(format!("{month} {day}, {year}, {hour}:{minute:02}:{second:02} {half}"))
}

#[cfg(test)]
mod tests;
