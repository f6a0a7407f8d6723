//! Every type, every missing member, and what must not be told apart or together.

use serde_json::{Value, json};

use super::{EventKind, Reading, SesEvent, moment, read};

const ATTEMPT: &str = "01JDCB8Q6Y3V0K9M2T4W6X8Z1A";

/// An event with the particulars of its type.
fn event(name: &str, member: &str, particulars: &Value) -> Value {
    json!({
        "eventType": name,
        "mail": {
            "timestamp": "2026-11-23T16:43:04.512Z",
            "messageId": "0102-x",
            "tags": {
                "ses:configuration-set": ["mail-events"],
                "email_id": ["41"],
                "attempt_id": [ATTEMPT]
            }
        },
        member: particulars
    })
}

fn delivery(at: &str, recipients: &[&str]) -> Value {
    event("Delivery", "delivery", &json!({"timestamp": at, "recipients": recipients}))
}

fn ours(event: &Value) -> SesEvent {
    match read(event) {
        Reading::Ours(event) => *event,
        other => panic!("{other:?}: {event}"),
    }
}

#[test]
fn every_type_is_known_by_each_of_its_names() {
    for (name, member, kind) in [
        ("Send", "send", EventKind::Send),
        ("Delivery", "delivery", EventKind::Delivery),
        ("Bounce", "bounce", EventKind::Bounce),
        ("Complaint", "complaint", EventKind::Complaint),
        ("DeliveryDelay", "deliveryDelay", EventKind::DeliveryDelay),
        ("Reject", "reject", EventKind::Reject),
        ("Rendering Failure", "failure", EventKind::RenderingFailure),
        ("RenderingFailure", "failure", EventKind::RenderingFailure),
        ("Subscription", "subscription", EventKind::Subscription),
        ("Open", "open", EventKind::Open),
        ("Click", "click", EventKind::Click),
    ] {
        let event = event(name, member, &json!({"timestamp": "2026-11-23T16:43:07.25Z", "marker": 1}));
        let event = ours(&event);
        assert_eq!((event.kind, event.email_id, event.attempt.as_str()), (kind, 41, ATTEMPT), "{name}");
        assert_eq!(event.at.as_deref(), Some("2026-11-23 16:43:07.250000"), "{name}");
        assert_eq!(event.taken_at.as_deref(), Some("2026-11-23 16:43:04.512000"));
        assert_eq!(event.configuration_set.as_deref(), Some("mail-events"));
        let detail: Value = serde_json::from_str(&event.detail).expect("JSON");
        assert_eq!((&detail["ses_message_id"], &detail[member]["marker"]), (&json!("0102-x"), &json!(1)));
        let dropped = matches!(kind, EventKind::Reject | EventKind::RenderingFailure);
        assert_eq!(event.refusal.is_some(), dropped, "{name}");
    }
    let mut old = delivery("2026-11-23T16:43:07Z", &[]);
    old["notificationType"] = old["eventType"].take();
    assert_eq!(ours(&old).kind, EventKind::Delivery);
    assert_eq!(read(&json!({"eventType": "Dispatched"})), Reading::UnknownType("Dispatched".to_owned()));
}

/// What is kept says as SES does whether a member was null or not there. Nothing else may depend on that.
fn without_nulls(mut reading: Reading) -> Reading {
    if let Reading::Ours(event) = &mut reading {
        event.detail = event.detail.replace(",\"timestamp\":null", "").replace("\"feedbackId\":null,", "");
    }
    reading
}

#[test]
fn any_member_may_be_missing_or_null() {
    let whole = event("Bounce", "bounce", &json!({"feedbackId": "f", "timestamp": "2026-11-23T16:43:07Z"}));
    for (pointer, name) in [
        ("", "mail"),
        ("", "bounce"),
        ("/mail", "timestamp"),
        ("/mail", "messageId"),
        ("/mail", "tags"),
        ("/mail/tags", "ses:configuration-set"),
        ("/mail/tags", "email_id"),
        ("/bounce", "timestamp"),
        ("/bounce", "feedbackId"),
    ] {
        let mut changed = whole.clone();
        let parent = changed.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        parent.insert(name.to_owned(), Value::Null);
        let null = without_nulls(read(&changed));
        let parent = changed.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        parent.remove(name);
        assert_eq!(without_nulls(read(&changed)), null, "{pointer}/{name}");
        let needed = matches!(name, "mail" | "tags" | "email_id");
        assert_eq!(matches!(null, Reading::NotOurs(EventKind::Bounce)), needed, "{pointer}/{name}");
    }
    let mut bare = whole;
    bare["mail"]["timestamp"].take();
    bare["bounce"].take();
    assert_eq!(ours(&bare).at, None);
}

#[test]
fn tags_that_are_not_ours_are_left_alone() {
    for (name, value) in [
        ("email_id", json!(["0"])),
        ("email_id", json!(["-41"])),
        ("email_id", json!(["+41"])),
        ("email_id", json!(["order-41"])),
        ("email_id", json!(["18446744073709551616"])),
        ("email_id", json!([41])),
        ("email_id", json!([])),
        ("email_id", json!({"41": "41"})),
        ("attempt_id", json!([ATTEMPT.to_lowercase()])),
        ("attempt_id", json!([&ATTEMPT[1..]])),
        ("attempt_id", json!([format!("{ATTEMPT}0")])),
        ("attempt_id", json!(["01JDCB8Q6Y3V0K9M2T4W6X8ZUA"])),
        // Twenty-six characters, but more than 128 bits.
        ("attempt_id", json!(["8ZZZZZZZZZZZZZZZZZZZZZZZZZ"])),
    ] {
        let mut event = delivery("2026-11-23T16:43:07Z", &[]);
        event["mail"]["tags"][name] = value.clone();
        assert_eq!(read(&event), Reading::NotOurs(EventKind::Delivery), "{name}: {value}");
    }
    let mut event = delivery("2026-11-23T16:43:07Z", &[]);
    event["mail"]["tags"]["email_id"] = json!("18446744073709551615");
    assert_eq!(ours(&event).email_id, u64::MAX);
}

#[test]
fn one_event_has_one_identity_and_another_one_has_another() {
    let (noon, later) = ("2026-11-23T12:00:00.000Z", "2026-11-23T12:00:00.001Z");
    let one = ours(&delivery(noon, &["a@x.example", "b@x.example"])).identity;
    // Another route may write the same in another way.
    for same in [
        delivery("2026-11-23T12:00:00Z", &["b@x.example", "a@x.example"]),
        delivery("2026-11-23T13:00:00+01:00", &["a@x.example", "b@x.example"]),
    ] {
        assert_eq!(ours(&same).identity, one);
    }
    let mut another_attempt = delivery(noon, &["a@x.example", "b@x.example"]);
    another_attempt["mail"]["tags"]["attempt_id"] = json!(["01JDCB8Q6Y3V0K9M2T4W6X8Z1B"]);
    let mut another_message = delivery(noon, &["a@x.example", "b@x.example"]);
    another_message["mail"]["messageId"] = json!("0102-y");
    for another in [
        another_attempt,
        another_message,
        delivery(later, &["a@x.example", "b@x.example"]),
        delivery(noon, &["a@x.example"]),
        delivery(noon, &["a@x.example,b@x.example"]),
    ] {
        assert_ne!(ours(&another).identity, one, "{another}");
    }
    // A bounce is known by its own id, whatever else is said of it.
    let bounce = |id: &str, at: &str| {
        ours(&event("Bounce", "bounce", &json!({"feedbackId": id, "timestamp": at}))).identity
    };
    assert_eq!(bounce("f1", noon), bounce("f1", later));
    assert_ne!(bounce("f1", noon), bounce("f2", noon));
    // SES takes a message once.
    assert_eq!(
        ours(&event("Send", "send", &json!({}))).identity,
        ours(&event("Send", "send", &json!({"timestamp": later}))).identity
    );
}

#[test]
fn a_readers_habits_are_not_kept() {
    let particulars = json!({
        "timestamp": "2026-11-23T12:00:00Z",
        "ipAddress": "192.0.2.1",
        "userAgent": "Reader/1.0",
        "link": "https://shop.example/reset?token=secret",
        "linkTags": {"place": ["top"]}
    });
    for (name, member) in [("Open", "open"), ("Click", "click")] {
        let detail: Value =
            serde_json::from_str(&ours(&event(name, member, &particulars)).detail).expect("JSON");
        let kept = json!({"timestamp": "2026-11-23T12:00:00Z", "linkTags": {"place": ["top"]}});
        assert_eq!(detail[member], kept);
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let recipient = json!({"emailAddress": "ada@customer.example", "diagnosticCode": "smtp; 550 no"});
    let detail = |count: usize, sub_type: &str, extra: Value| -> Value {
        let particulars = json!({
            "feedbackId": "f", "bounceSubType": sub_type, "bouncedRecipients": vec![&recipient; count], "extra": extra,
        });
        let detail = ours(&event("Bounce", "bounce", &particulars)).detail;
        assert!(detail.len() <= 16 * 1024, "{}", detail.len());
        serde_json::from_str(&detail).expect("JSON")
    };
    let kept = detail(50, "General", Value::Null);
    assert_eq!(kept["bounce"]["bouncedRecipients"].as_array().map(Vec::len), Some(50));
    let kept = detail(500, "General", Value::Null);
    assert_eq!(kept["bounce"], json!({"feedbackId": "f", "bounceSubType": "General", "extra": null}));
    assert_eq!(detail(1, &"é".repeat(10_000), Value::Null), json!({"ses_message_id": "0102-x"}));
    let mut deep = json!(1);
    for _ in 0..110 {
        deep = json!([deep]);
    }
    let text = detail(1, "General", deep).to_string();
    assert!(text.matches('[').count() < 20, "MySQL takes a hundred levels: {text}");
}

#[test]
fn a_dropped_email_says_why() {
    let refusal = |name, member, particulars| {
        let reason = ours(&event(name, member, &particulars)).refusal.expect("a refusal");
        (reason.kind, reason.detail)
    };
    let (kind, detail) = refusal("Reject", "reject", json!({"reason": "Bad content"}));
    assert_eq!(kind, "ses_rejected");
    assert_eq!(detail, "Amazon SES took this email and then rejected it: Bad content");
    let failure = json!({"errorMessage": "Attribute 'x' is missing.", "templateName": "t"});
    let (kind, detail) = refusal("Rendering Failure", "failure", failure);
    assert_eq!(kind, "ses_rendering_failed");
    assert!(detail.ends_with("template: Attribute 'x' is missing."), "{detail}");
    let (_, detail) = refusal("Reject", "reject", Value::Null);
    assert!(detail.ends_with("It did not say why."), "{detail}");
}

#[test]
fn times_are_utc_in_the_databases_notation() {
    for (text, expected) in [
        ("2026-11-23T16:43:04.512Z", Some("2026-11-23 16:43:04.512000")),
        ("2026-11-23T16:43:04Z", Some("2026-11-23 16:43:04.000000")),
        ("2026-11-23T16:43:04.123456789Z", Some("2026-11-23 16:43:04.123456")),
        ("2027-01-01T00:30:00+01:00", Some("2026-12-31 23:30:00.000000")),
        ("2026-02-30T00:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("0000-01-01T00:00:00Z", None),
        ("yesterday", None),
    ] {
        assert_eq!(moment(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn a_message_id_fits_its_column() {
    let mut event = delivery("2026-11-23T16:43:07Z", &[]);
    for (id, kept) in [
        ("0102-é x".to_owned(), Some("0102-x".to_owned())),
        ("é".to_owned(), None),
        ("x".repeat(300), Some("x".repeat(255))),
    ] {
        event["mail"]["messageId"] = json!(id);
        assert_eq!(ours(&event).message_id, kept);
    }
}
