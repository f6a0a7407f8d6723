//! The event `aws:rmq`, as Lambda writes it and as nobody else's types can read it.
//!
//! The published ones want a number where an ordinary client leaves `"priority": null`, and fail the whole event. Here
//! only what is needed is read, and any of that may be null, missing or of another type.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess},
};

use super::loose::{self, Loose};
use crate::trace::{TRACEPARENT, TRACESTATE};

/// An event of type `aws:rmq`: messages by queue, in the order in which they stand there.
///
/// Whatever lacks `rmqMessagesByQueue` is no such event, and cannot be deserialized.
#[derive(Debug, Clone)]
pub struct RabbitmqEvent {
    /// Each queue as `queue::vhost`, with its messages.
    pub(super) queues: Vec<(String, Vec<Message>)>,
}

#[derive(Default)]
struct Event(Queues);

/// `None` where it is no object of lists.
#[derive(Default)]
struct Queues(Option<Vec<(String, Vec<Message>)>>);

/// `None` where it is neither a list nor null.
#[derive(Default)]
struct Messages(Option<Vec<Message>>);

/// One message, as far as it is of interest.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) properties: Properties,
    pub(super) redelivered: Truth,
    /// The body in base64.
    pub(super) data: Text,
}

/// `basicProperties`.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties {
    pub(super) message_id: Text,
    pub(super) timestamp: Text,
    pub(super) headers: Headers,
}

/// The headers of a message that mean something here.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers {
    pub(super) lane: Text,
    pub(super) traceparent: Text,
    pub(super) tracestate: Text,
}

/// A text, or the `{"bytes": […]}` that stands for one in a header; a whole number is its digits.
#[derive(Debug, Clone, Default)]
pub(super) struct Text(pub(super) Option<String>);

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Truth(pub(super) bool);

/// Bytes from −128, as Java counts them, up to 255; `None` where it is not only that.
#[derive(Default)]
struct Bytes(Option<Vec<u8>>);

#[derive(Default)]
struct Byte(Option<u8>);

impl<'de> Deserialize<'de> for RabbitmqEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own complaint would quote what it found, and go into the log.
        let Event(Queues(Some(queues))) = loose::read(deserializer)? else {
            return Err(D::Error::custom("no event of RabbitMQ: rmqMessagesByQueue is no object of lists"));
        };
        Ok(Self { queues })
    }
}

impl Loose for Event {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        match name {
            "rmqMessagesByQueue" => self.0 = members.next_value()?,
            _ => loose::skip(members)?,
        }
        Ok(())
    }
}

impl Loose for Queues {
    fn object() -> Self {
        Self(Some(Vec::new()))
    }

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        let Messages(messages) = members.next_value()?;
        self.0 = self.0.take().zip(messages).map(|(mut queues, messages)| {
            queues.push((name.to_owned(), messages));
            queues
        });
        Ok(())
    }
}

impl Loose for Messages {
    fn null() -> Self {
        Self(Some(Vec::new()))
    }

    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut messages = Vec::new();
        while let Some(message) = items.next_element()? {
            messages.push(message);
        }
        Ok(Self(Some(messages)))
    }
}

impl Loose for Message {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        match name {
            "basicProperties" => self.properties = members.next_value()?,
            "redelivered" => self.redelivered = members.next_value()?,
            "data" => self.data = members.next_value()?,
            _ => loose::skip(members)?,
        }
        Ok(())
    }
}

impl Loose for Properties {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        match name {
            "messageId" => self.message_id = members.next_value()?,
            "timestamp" => self.timestamp = members.next_value()?,
            "headers" => self.headers = members.next_value()?,
            _ => loose::skip(members)?,
        }
        Ok(())
    }
}

impl Loose for Headers {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        match name {
            "lane" => self.lane = members.next_value()?,
            TRACEPARENT => self.traceparent = members.next_value()?,
            TRACESTATE => self.tracestate = members.next_value()?,
            _ => loose::skip(members)?,
        }
        Ok(())
    }
}

impl Loose for Text {
    fn text(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }

    fn number(number: i128) -> Self {
        Self(Some(number.to_string()))
    }

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        if name != "bytes" {
            return loose::skip(members);
        }
        let Bytes(bytes) = members.next_value()?;
        self.0 = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(())
    }
}

impl Loose for Truth {
    fn truth(truth: bool) -> Self {
        Self(truth)
    }
}

impl Loose for Bytes {
    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut bytes = Some(Vec::new());
        while let Some(Byte(byte)) = items.next_element()? {
            match (&mut bytes, byte) {
                (Some(bytes), Some(byte)) => bytes.push(byte),
                _ => bytes = None,
            }
        }
        Ok(Self(bytes))
    }
}

impl Loose for Byte {
    fn number(number: i128) -> Self {
        let signed = || i8::try_from(number).ok().map(i8::cast_unsigned);
        Self(u8::try_from(number).ok().or_else(signed))
    }
}

/// Each of these is read from whatever stands in its place.
macro_rules! deserialize_loosely {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                loose::read(deserializer)
            }
        }
    )*};
}

deserialize_loosely!(Queues, Messages, Message, Properties, Headers, Text, Truth, Bytes, Byte);
