//! The emails, and where each must end.

use super::rabbitmq::{DISPATCHED, RELAYED};

/// One email of the demonstration.
#[derive(Debug)]
pub(super) struct Sample {
    /// What is special about it.
    pub(super) what: &'static str,
    /// What its producer types. It leaves the email's id in `LAST_INSERT_ID()`, or in `@email` when more follows.
    pub(super) sql: &'static str,
    /// How often its producer rings. One that nobody rings for waits for the sweep.
    pub(super) rings: usize,
    /// Where its producer rings.
    pub(super) through: Through,
    /// Where it must end.
    pub(super) end: End,
    /// Whether it is written only when nothing else is under way.
    pub(super) later: bool,
}

/// A way for a doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// The SQS queue of the email's lane.
    Sqs,
    /// This queue of RabbitMQ.
    Rabbitmq(&'static str),
}

/// To whom SES takes an email and hangs up instead of answering.
pub(super) const UNANSWERED: &str = "bo@customer.example";

/// Where an email must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// `sent`, and in the inbox once, under this subject.
    Sent(&'static str),
    /// In this state, for this `error_kind`, and not in the inbox.
    Not(&'static str, Option<&'static str>),
}

impl End {
    /// The state's name.
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Sent(_) => "sent",
            Self::Not(state, _) => state,
        }
    }
}

macro_rules! sample {
    ($file:literal, $what:literal, $end:expr $(, $field:ident: $value:expr)?) => {
        Sample {
            $($field: $value,)?
            ..sample($what, include_str!(concat!("emails/", $file, ".sql")), $end)
        }
    };
}

const fn sample(what: &'static str, sql: &'static str, end: End) -> Sample {
    Sample { what, sql, rings: 1, through: Through::Sqs, end, later: false }
}

/// All of them, in the order in which they are written and rung.
pub(super) const SAMPLES: &[Sample] = &[
    sample!(
        "names",
        "names and subject in UTF-8, HTML and text",
        End::Sent("Schöne Grüße! Ваш заказ 2041 принят – ご注文ありがとうございます ☕")
    ),
    sample!("attachment", "a PDF attached, another reply address", End::Sent("Your invoice 2041")),
    sample!("inline_image", "a picture within the HTML", End::Sent("Your parcel is on its way")),
    sample!("copies", "cc and bcc", End::Sent("Your order for three households")),
    sample!("scheduled", "due in 4 s, rung once, now", End::Sent("A reminder, four seconds later")),
    sample!("rung_twice", "rung twice", End::Sent("Reset your password"), rings: 2),
    sample!("raw_mime", "a header in UTF-8: raw MIME", End::Sent("Your appointment at the café")),
    sample!("unanswered", "SES takes it and hangs up", End::Sent("Your ticket for Saturday")),
    sample!("never_rung", "never rung: its producer died", End::Sent("Your parcel has arrived"), rings: 0),
    sample!("newsletter", "the bulk lane", End::Sent("What is new in November")),
    sample!(
        "relayed",
        "RabbitMQ, handed on to SQS",
        End::Sent("Your order 2042"),
        through: Through::Rabbitmq(RELAYED)
    ),
    sample!(
        "relayed_bulk",
        "RabbitMQ, handed on, the bulk lane",
        End::Sent("What will be new in December"),
        through: Through::Rabbitmq(RELAYED)
    ),
    sample!(
        "rabbitmq",
        "RabbitMQ, sent by a function of its own",
        End::Sent("Your order 2043"),
        through: Through::Rabbitmq(DISPATCHED)
    ),
    sample!("suppressed", "to a suppressed address", End::Not("suppressed", None)),
    sample!("expired", "expired a second ago", End::Not("expired", Some("expired"))),
    sample!("no_recipient", "no recipient", End::Not("failed", Some("no_recipient"))),
    sample!("line_break", "a line break in a header", End::Not("failed", Some("invalid_header"))),
    sample!("rejected", "from a domain SES does not know", End::Not("failed", Some("ses_message_rejected"))),
    sample!(
        "warm",
        "once more, on its own, when all is warm",
        End::Sent("Your order has been packed"),
        later: true
    ),
];
