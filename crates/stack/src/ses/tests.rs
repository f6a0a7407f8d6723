//! Over real sockets: requests as bytes where the form matters, and Amazon's own client where its reading does.

mod client;
mod faults;
mod limits;
mod sdk;

use serde_json::json;

use self::client::{Client, simple};
use super::{Answer, EventKind, Ses, event};

#[tokio::test]
async fn keeps_what_it_accepts() {
    let ses = Ses::start().await.unwrap();
    let mut client = Client::connect(&ses).await;
    let mut request = simple();
    request["Destination"]["BccAddresses"] = json!(["Bob <Bob@b.example>"]);
    request["ReplyToAddresses"] = json!(["help@shop.example"]);
    request["ConfigurationSetName"] = json!("mail-events");
    request["Content"]["Simple"]["Headers"] = json!([{ "Name": "X-Email-Id", "Value": "41" }]);
    request["Content"]["Simple"]["Attachments"] = json!([{
        "RawContent": "AAECAw==", "FileName": "logo.png", "ContentType": "image/png",
        "ContentId": "logo", "ContentDisposition": "INLINE",
    }]);
    let (status, body) = client.send(&request).await;
    assert_eq!(status, 200, "{body}");
    let id = body["MessageId"].as_str().unwrap();
    assert!(id.starts_with("0102") && id.ends_with("-000000") && id.len() == 60, "{id}");

    let [record] = &ses.accepted()[..] else { panic!() };
    assert_eq!((record.email_id, record.attempt_id.as_deref()), (Some(41), Some("01J")));
    assert_eq!((record.taken, record.message_id.as_deref()), (true, Some(id)));
    assert_eq!(record.region, "eu-west-1");
    let message = &record.message;
    assert_eq!(message.from.as_deref(), Some("Shop <orders@shop.example>"));
    assert_eq!(message.addresses(), ["ada@customer.example", "bob@b.example"]);
    assert_eq!(message.header("x-email-id"), Some("41"));
    assert_eq!(message.subject.as_deref(), Some("Grüße"));
    assert_eq!(message.attachments[0].bytes.as_ref(), [0, 1, 2, 3]);
    assert_eq!(message.attachments[0].content_id.as_deref(), Some("logo"));
    assert_eq!((ses.connection_count(), ses.request_count(), ses.times_taken(41)), (1, 1, 1));

    // The connection is kept.
    assert_eq!(client.send(&simple()).await.0, 200);
    assert_eq!((ses.connection_count(), ses.requests_for(41).len()), (1, 2));
    ses.forget();
    assert_eq!(ses.request_count(), 0);
}

#[tokio::test]
async fn reads_raw_content() {
    let ses = Ses::start().await.unwrap();
    let mut client = Client::connect(&ses).await;
    let mime = "From: =?utf-8?Q?J=C3=BCrgen?= <j@shop.example>\r\nTo: Ada <ada@customer.example>\r\nBcc: eve@b.example\r\n\
                Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\nList-Unsubscribe: <https://a.example/1>,\r\n <mailto:u@a.example>\r\n\
                MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; \
                charset=utf-8\r\n\r\nhello\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: \
                attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";
    assert_eq!(client.send(&client::raw(mime)).await.0, 200);
    let message = &ses.requests()[0].message;
    assert_eq!(message.raw.as_deref(), Some(mime.as_bytes()));
    assert_eq!(message.from.as_deref(), Some("j@shop.example"));
    assert_eq!(
        (message.to.as_slice(), message.bcc.as_slice()),
        (&["ada@customer.example".to_owned()][..], &["eve@b.example".to_owned()][..])
    );
    assert!(message.has_bcc_header);
    assert_eq!(message.subject.as_deref(), Some("Grüße"));
    assert_eq!((message.text.as_deref().map(str::trim_end), message.html.as_deref()), (Some("hello"), None));
    assert_eq!(message.header("list-unsubscribe"), Some("<https://a.example/1>, <mailto:u@a.example>"));
    let attachment = &message.attachments[0];
    assert_eq!(
        (attachment.name.as_str(), attachment.content_type.as_deref()),
        ("a.pdf", Some("application/pdf"))
    );
    assert_eq!(attachment.bytes.as_ref(), [0, 1, 2]);

    for (wrong, why) in [
        (mime.replace("\r\n", "\n"), "CRLF"),
        (mime.replacen("From:", "X-From:", 1), "'From'"),
        (mime.replacen("MIME-Version", "Subject", 1), "Duplicate"),
        (mime.replacen("hello", &"x".repeat(999), 1), "longer than 998"),
        (mime.replacen("hello", "a\rb", 1), "bare CR"),
        (mime.replacen("=?utf-8?Q?J=C3=BCrgen?=", "Jürgen", 1), "ASCII"),
        ("From: a@b.example\r\n".to_owned(), "no body"),
    ] {
        let (status, body) = client.send(&client::raw(&wrong)).await;
        assert!(status == 400 && body["message"].as_str().unwrap().contains(why), "{why}: {status} {body}");
    }
    assert_eq!(ses.taken().len(), 1);
    assert!(matches!(&ses.requests()[1].answer, Answer::Refused(refusal) if refusal.status == 400));
}

/// The same members, of the same kinds, as the events that are replayed elsewhere; values may differ.
fn assert_same_shape(ours: &serde_json::Value, theirs: &serde_json::Value, path: &str) {
    use serde_json::Value;
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            let (mut left, mut right) = (names(ours), names(theirs));
            left.sort();
            right.sort();
            assert_eq!(left, right, "{path}");
            for (name, value) in ours {
                assert_same_shape(value, &theirs[name], &format!("{path}.{name}"));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_same_shape(ours, theirs, &format!("{path}[]"));
            }
            assert_eq!(ours.is_empty(), theirs.is_empty(), "{path}");
        }
        _ => assert_eq!(std::mem::discriminant(ours), std::mem::discriminant(theirs), "{path}"),
    }
}

#[tokio::test]
async fn events_have_the_form_of_the_recorded_ones() {
    let ses = Ses::start().await.unwrap();
    let mut request = simple();
    request["ConfigurationSetName"] = json!("mail-events");
    request["Content"]["Simple"]["Headers"] = json!([{ "Name": "X-Email-Id", "Value": "41" }]);
    Client::connect(&ses).await.send(&request).await;
    let record = &ses.taken()[0];
    for (kind, recorded) in [
        (EventKind::Send, include_str!("../../../../events/ses_eventbridge_send.json")),
        (EventKind::Delivery, include_str!("../../../../events/ses_eventbridge_delivery.json")),
        (
            EventKind::PermanentBounce,
            include_str!("../../../../events/ses_eventbridge_bounce_permanent.json"),
        ),
        (EventKind::Complaint, include_str!("../../../../events/ses_eventbridge_complaint.json")),
        (EventKind::Reject, include_str!("../../../../events/ses_eventbridge_reject.json")),
        (
            EventKind::RenderingFailure,
            include_str!("../../../../events/ses_eventbridge_rendering_failure.json"),
        ),
    ] {
        let (ours, theirs) = (event(record, kind), serde_json::from_str(recorded).unwrap());
        assert_same_shape(&ours, &theirs, &format!("{kind:?}"));
        assert_eq!((&ours["detail-type"], &ours["source"]), (&theirs["detail-type"], &theirs["source"]));
        assert_eq!(ours["detail"]["eventType"], theirs["detail"]["eventType"]);
    }
    let delay = event(record, EventKind::DeliveryDelay);
    assert_eq!(
        delay["detail"]["deliveryDelay"]["delayedRecipients"][0]["emailAddress"],
        "ada@customer.example"
    );
    assert_eq!(delay["detail"]["mail"]["tags"]["attempt_id"], json!(["01J"]));
}

#[tokio::test]
async fn puts_events_on_a_bus() {
    use crate::{http1::Connection, listen::Doorway};
    let (sender, mut put) = tokio::sync::mpsc::unbounded_channel();
    let bus = Doorway::open(move |stream| {
        let sender = sender.clone();
        tokio::spawn(async move {
            let mut connection = Connection::new(stream);
            let request = connection.read_request().await.unwrap().unwrap();
            assert_eq!(request.header("x-amz-target"), Some("AWSEvents.PutEvents"));
            sender.send(serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()).unwrap();
            connection.respond(200, &[], br#"{"FailedEntryCount":0,"Entries":[]}"#).await.unwrap();
        });
    })
    .await
    .unwrap();
    let ses = Ses::start().await.unwrap();
    ses.emit_events_to(format!("http://{}", bus.address()), &[EventKind::Send]);
    let mut client = Client::connect(&ses).await;
    client.send(&simple()).await;
    let mut request = simple();
    request["ConfigurationSetName"] = json!("mail-events");
    client.send(&request).await;
    let entry = put.recv().await.unwrap()["Entries"][0].clone();
    assert_eq!((&entry["Source"], &entry["DetailType"]), (&json!("aws.ses"), &json!("Email Sent")));
    let detail: serde_json::Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    // Without a configuration set there is no event, so this is the second message's.
    assert_eq!(detail["mail"]["messageId"], json!(ses.taken()[1].message_id));
    ses.emit(&ses.taken()[1], EventKind::Delivery).await.unwrap();
    assert_eq!(put.recv().await.unwrap()["Entries"][0]["DetailType"], "Email Delivered");
    assert!(ses.emit_errors().is_empty());
}
