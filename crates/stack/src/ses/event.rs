//! SES events, in the form in which EventBridge delivers them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{address, random_uuid, recorded::Recorded};

const ACCOUNT: &str = "111122223333";

/// What happened to a message that SES took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was taken, and SES will try to deliver it.
    Send,
    /// The recipient's server took it.
    Delivery,
    /// The recipient's server refused it for good.
    PermanentBounce,
    /// The recipient's server went on refusing it for now.
    TransientBounce,
    /// The recipient is on the account's suppression list; SES did not try.
    SuppressedBounce,
    /// The recipient called it spam.
    Complaint,
    /// SES found a virus in it.
    Reject,
    /// Its template could not be filled in.
    RenderingFailure,
    /// It could not be delivered yet.
    DeliveryDelay,
}

/// The event of a message, for all its recipients.
#[must_use]
pub fn event(record: &Recorded, kind: EventKind) -> Value {
    let recipients: Vec<String> = record.message.addresses();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    event_for(record, kind, &recipients)
}

/// The event of a message, for some of its recipients: bare addresses.
#[must_use]
pub fn event_for(record: &Recorded, kind: EventKind, recipients: &[&str]) -> Value {
    let now = SystemTime::now();
    let (event_type, detail_type) = kind.names();
    let mut detail = json!({ "eventType": event_type, "mail": mail(record, kind) });
    let (key, value) = kind.detail(record, recipients, now);
    detail[key] = value;
    let resources: Vec<String> = record
        .configuration_set
        .iter()
        .map(|name| format!("arn:aws:ses:{}:{ACCOUNT}:configuration-set/{name}", record.region))
        .collect();
    json!({
        "version": "0",
        "id": random_uuid(),
        "detail-type": detail_type,
        "source": "aws.ses",
        "account": ACCOUNT,
        "time": format!("{}Z", &timestamp(now)[..19]),
        "region": record.region,
        "resources": resources,
        "detail": detail,
    })
}

impl EventKind {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Send => ("Send", "Email Sent"),
            Self::Delivery => ("Delivery", "Email Delivered"),
            Self::PermanentBounce | Self::TransientBounce | Self::SuppressedBounce => {
                ("Bounce", "Email Bounced")
            }
            Self::Complaint => ("Complaint", "Email Complaint Received"),
            Self::Reject => ("Reject", "Email Rejected"),
            Self::RenderingFailure => ("Rendering Failure", "Email Rendering Failed"),
            Self::DeliveryDelay => ("DeliveryDelay", "Email Delivery Delayed"),
        }
    }

    fn detail(self, record: &Recorded, recipients: &[&str], now: SystemTime) -> (&'static str, Value) {
        let at = timestamp(now);
        let reporter = "a3-7.smtp-out.eu-west-1.amazonses.com";
        let feedback_id = format!("{}-{}-000000", prefix(now), random_uuid());
        let bounce = |kind: &str, sub_kind: &str, status: &str, diagnostic: &str| {
            let bounced: Vec<Value> = recipients
                .iter()
                .map(|address| {
                    json!({
                        "emailAddress": address, "action": "failed", "status": status, "diagnosticCode": diagnostic,
                    })
                })
                .collect();
            json!({
                "feedbackId": feedback_id, "bounceType": kind, "bounceSubType": sub_kind,
                "bouncedRecipients": bounced, "timestamp": at, "reportingMTA": format!("dns; {reporter}"),
            })
        };
        let addresses =
            || recipients.iter().map(|address| json!({ "emailAddress": address })).collect::<Vec<_>>();
        match self {
            Self::Send => ("send", json!({})),
            Self::Delivery => {
                let taken = now.duration_since(record.arrived_at).unwrap_or_default().as_millis();
                let millis = u64::try_from(taken).unwrap_or(u64::MAX);
                let delivery = json!({
                    "timestamp": at, "processingTimeMillis": millis, "recipients": recipients,
                    "smtpResponse": "250 2.0.0 OK queued", "reportingMTA": reporter,
                });
                ("delivery", delivery)
            }
            Self::PermanentBounce => {
                ("bounce", bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 mailbox unknown"))
            }
            Self::TransientBounce => {
                ("bounce", bounce("Transient", "MailboxFull", "4.2.2", "smtp; 452 4.2.2 mailbox full"))
            }
            Self::SuppressedBounce => {
                let why = "Amazon SES did not send the message to this address because it is on the suppression \
                           list for your account.";
                ("bounce", bounce("Permanent", "OnAccountSuppressionList", "5.1.1", why))
            }
            Self::Complaint => {
                let complaint = json!({
                    "feedbackId": feedback_id, "complaintSubType": null, "complainedRecipients": addresses(),
                    "timestamp": at, "userAgent": "ExampleFeedbackLoop/1.0", "complaintFeedbackType": "abuse",
                    "arrivalDate": at,
                });
                ("complaint", complaint)
            }
            Self::Reject => ("reject", json!({ "reason": "Bad content" })),
            Self::RenderingFailure => {
                let message = "Attribute 'first_name' is not present in the rendering data.";
                ("failure", json!({ "errorMessage": message, "templateName": "receipt-v3" }))
            }
            Self::DeliveryDelay => {
                let delayed: Vec<Value> = recipients
                    .iter()
                    .map(|address| {
                        json!({
                            "emailAddress": address, "status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1 try later",
                        })
                    })
                    .collect();
                let delay = json!({
                    "timestamp": at, "delayType": "TransientCommunicationFailure",
                    "expirationTime": timestamp(now + Duration::from_hours(12)), "reportingMTA": reporter,
                    "delayedRecipients": delayed,
                });
                ("deliveryDelay", delay)
            }
        }
    }
}

/// The part that is the same in every event of a message.
fn mail(record: &Recorded, kind: EventKind) -> Value {
    let message = &record.message;
    let from = message.from.clone().unwrap_or_default();
    let domain =
        address::bare(&from).ok().and_then(|address| address.rsplit_once('@')).map_or("", |(_, it)| it);
    let mut tags = json!({
        "ses:source-tls-version": ["TLSv1.3"],
        "ses:operation": ["SendEmail"],
        "ses:source-ip": ["10.0.1.20"],
        "ses:from-domain": [domain],
        "ses:caller-identity": ["dispatcher-role"],
    });
    if let Some(name) = &record.configuration_set {
        tags["ses:configuration-set"] = json!([name]);
    }
    if kind == EventKind::Delivery {
        tags["ses:outgoing-ip"] = json!(["198.51.100.7"]);
    }
    for (name, value) in &record.tags {
        tags[name] = json!([value]);
    }
    let mut mail = json!({
        "timestamp": timestamp(record.arrived_at),
        "source": from,
        "sourceArn": format!("arn:aws:ses:{}:{ACCOUNT}:identity/{domain}", record.region),
        "sendingAccountId": ACCOUNT,
        "messageId": record.message_id,
        "destination": message.addresses(),
        "headersTruncated": false,
        "tags": tags,
    });
    if kind != EventKind::RenderingFailure {
        let mut headers = vec![("From", from.clone()), ("To", message.to.join(", "))];
        headers.extend(message.subject.clone().map(|subject| ("Subject", subject)));
        headers.push(("MIME-Version", "1.0".into()));
        headers.push(("Content-Type", "multipart/alternative; boundary=\"b0\"".into()));
        headers.extend(message.headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
        mail["headers"] =
            headers.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        mail["commonHeaders"] = json!({
            "from": [from], "to": message.to, "messageId": record.message_id, "subject": message.subject,
        });
    }
    mail
}

/// The first part of a message id: sixteen hexadecimal digits, of which the last twelve are the time.
pub(super) fn prefix(now: SystemTime) -> String {
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("0102{millis:012x}")
}

/// `2026-11-23T16:43:04.512Z`.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a day after 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::timestamp;

    #[test]
    fn writes_times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_795_452_184, "2026-11-23T16:43:04.007Z"),
            (1_798_761_599, "2026-12-31T23:59:59.007Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7)), text);
        }
    }
}
