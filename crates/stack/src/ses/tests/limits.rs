//! What SES refuses.

use serde_json::{Value, json};

use super::client::{Client, SIGNED, simple};
use crate::ses::{Answer, Ses};

/// Sends what `change` makes of a good request, and returns the status and the words of the answer.
async fn refused(ses: &Ses, change: impl FnOnce(&mut Value)) -> (u16, String) {
    let mut request = simple();
    change(&mut request);
    let (status, body) = Client::connect(ses).await.send(&request).await;
    (status, body["message"].as_str().unwrap_or_default().to_owned())
}

fn error_of(ses: &Ses) -> &'static str {
    match ses.requests().pop().unwrap().answer {
        Answer::Refused(refusal) => refusal.error,
        other => panic!("{other:?}"),
    }
}

type Change = fn(&mut Value);
type Switch = fn(&Ses, bool);

#[tokio::test]
async fn refuses_what_the_model_or_the_limits_forbid() {
    let ses = Ses::start().await.unwrap();
    let cases: [(&str, Change); 31] = [
        ("unknown field `Colour`", |it| it["Colour"] = json!("red")),
        ("unknown field `Nmae`", |it| it["EmailTags"][0]["Nmae"] = json!("x")),
        ("invalid type", |it| it["Destination"]["ToAddresses"] = json!("ada@customer.example")),
        ("Exactly one of Simple", |it| it["Content"]["Raw"] = json!({ "Data": "" })),
        ("Exactly one of Simple", |it| it["Content"] = json!({})),
        ("Content", |it| it["Content"] = Value::Null),
        ("not base64", |it| it["Content"] = json!({ "Raw": { "Data": "?" } })),
        ("FromEmailAddress", |it| it["FromEmailAddress"] = Value::Null),
        ("Subject", |it| it["Content"]["Simple"]["Subject"] = Value::Null),
        ("control", |it| it["Content"]["Simple"]["Subject"]["Data"] = json!("a\r\nBcc: eve@b.example")),
        ("Body", |it| it["Content"]["Simple"]["Body"] = json!({})),
        ("does not fit charset", |it| it["Content"]["Simple"]["Subject"]["Charset"] = Value::Null),
        ("Unsupported charset", |it| it["Content"]["Simple"]["Subject"]["Charset"] = json!("klingon")),
        ("at least one recipient", |it| it["Destination"] = json!({})),
        ("non-ASCII", |it| it["Destination"]["ToAddresses"] = json!(["Élodie <e@b.example>"])),
        ("control or whitespace", |it| it["ReplyToAddresses"] = json!(["a@b.example\n"])),
        ("Missing final", |it| it["FromEmailAddress"] = json!("Shop")),
        ("Invalid tag value", |it| it["EmailTags"][0]["Value"] = json!("4 1")),
        ("Invalid tag name", |it| it["EmailTags"][0]["Name"] = json!("ses:operation")),
        ("Invalid tag value", |it| it["EmailTags"][0]["Value"] = json!("x".repeat(257))),
        ("Duplicate message tag", |it| it["EmailTags"][1]["Name"] = json!("email_id")),
        ("configuration set", |it| it["ConfigurationSetName"] = json!("a b")),
        ("Header count", |it| {
            let headers: Vec<_> =
                (0..16).map(|n| json!({ "Name": format!("X-{n}"), "Value": "v" })).collect();
            it["Content"]["Simple"]["Headers"] = json!(headers);
        }),
        ("Invalid value", |it| headers(it, &[("X-A", "a\nb")])),
        ("Invalid value", |it| headers(it, &[("X-A", &"v".repeat(996))])),
        ("Invalid value", |it| headers(it, &[("X-A", "é")])),
        ("Invalid header name", |it| headers(it, &[("X A", "v")])),
        ("not allowed", |it| headers(it, &[("bCC", "eve@b.example")])),
        ("Duplicate header", |it| headers(it, &[("List-Unsubscribe", "<a>"), ("list-unsubscribe", "<b>")])),
        ("ContentDisposition", |it| attachment(it, "ContentDisposition", "inline")),
        ("FileName", |it| attachment(it, "FileName", &"x".repeat(256))),
    ];
    for (words, change) in cases {
        let (status, message) = refused(&ses, change).await;
        assert!(status == 400 && message.contains(words), "{words}: {status} {message}");
    }
    assert_eq!((ses.request_count(), ses.taken().len()), (31, 0));
    // The limits themselves are within them.
    let (status, message) = refused(&ses, |it| {
        headers(it, &[("A", &"v".repeat(995))]);
        attachment(it, "FileName", &"x".repeat(255));
        it["EmailTags"][0]["Value"] = json!("x".repeat(256));
    })
    .await;
    assert_eq!(status, 200, "{message}");
}

fn headers(request: &mut Value, headers: &[(&str, &str)]) {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    request["Content"]["Simple"]["Headers"] = json!(headers);
}

fn attachment(request: &mut Value, member: &str, value: &str) {
    let mut attachment = json!({ "RawContent": "AA==", "FileName": "a.pdf" });
    attachment[member] = json!(value);
    request["Content"]["Simple"]["Attachments"] = json!([attachment]);
}

#[tokio::test]
async fn takes_fifty_recipients_and_forty_megabytes() {
    let ses = Ses::start().await.unwrap();
    let addresses = |count: usize| (0..count).map(|n| format!("r{n}@b.example")).collect::<Vec<_>>();
    for (cc, expected) in [(49, 200), (50, 400)] {
        let (status, _) = refused(&ses, |it| it["Destination"]["CcAddresses"] = json!(addresses(cc))).await;
        assert_eq!(status, expected, "{cc} and one");
    }
    assert_eq!(error_of(&ses), "BadRequestException");
    // 30 MB make exactly 40 of base64; the five letters of the text are too much.
    let (status, message) = refused(&ses, |it| attachment(it, "RawContent", &"A".repeat(40 << 20))).await;
    assert!(status == 400 && message.contains("41943045"), "{status} {message}");
    let (status, _) = refused(&ses, |it| attachment(it, "RawContent", &"A".repeat((40 << 20) - 8))).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn asks_for_a_signature() {
    let ses = Ses::start().await.unwrap();
    let body = simple().to_string();
    for (headers, expected, error) in [
        (String::new(), 403, "MissingAuthenticationTokenException"),
        (SIGNED.replace("/ses/", "/email/"), 400, "IncompleteSignatureException"),
        (SIGNED.replace("/20261123/", "/20261122/"), 400, "IncompleteSignatureException"),
        (SIGNED.replace("abcdef\r\n", "abcde\r\n"), 400, "IncompleteSignatureException"),
        (SIGNED.replace("host;x-amz-date,", "host,"), 400, "IncompleteSignatureException"),
        (
            SIGNED.replace("content-type;host", "content-type;cookie;host"),
            400,
            "IncompleteSignatureException",
        ),
        (SIGNED.replace("x-amz-date: ", "x-date: "), 400, "IncompleteSignatureException"),
    ] {
        let (status, _) = Client::connect(&ses).await.send_with(&headers, &body).await.unwrap();
        assert_eq!((status, error_of(&ses)), (expected, error), "{headers}");
    }
}

#[tokio::test]
async fn keeps_the_account_within_its_state_rate_and_quota() {
    let ses = Ses::start().await.unwrap();
    let send = || refused(&ses, |_| {});
    let switches: [(&str, Switch); 3] = [
        ("SendingPausedException", Ses::pause),
        ("AccountSuspendedException", Ses::suspend),
        ("MailFromDomainNotVerifiedException", Ses::mail_from_unverified),
    ];
    for (error, switch) in switches {
        switch(&ses, true);
        assert_eq!(send().await.0, 400);
        assert_eq!(error_of(&ses), error);
        switch(&ses, false);
    }
    ses.sandbox(Some(&["bob@b.example"]));
    let (status, message) = send().await;
    assert_eq!((status, error_of(&ses)), (400, "MessageRejected"));
    assert!(message.ends_with("in region EU-WEST-1: ada@customer.example"), "{message}");
    ses.sandbox(Some(&["customer.example"]));
    assert_eq!(send().await.0, 200);
    ses.sandbox(None);

    ses.rate_limit(Some(2.0));
    let answers = [send().await.0, send().await.0, send().await.0];
    assert_eq!(answers, [200, 200, 429]);
    assert_eq!(error_of(&ses), "TooManyRequestsException");
    ses.rate_limit(None);

    ses.daily_quota(Some(1));
    assert_eq!([send().await.0, send().await.0], [200, 400]);
    assert_eq!(error_of(&ses), "LimitExceededException");
    ses.daily_quota(None);

    ses.configuration_sets(Some(&["mail-events"]));
    let (status, _) = refused(&ses, |it| it["ConfigurationSetName"] = json!("other")).await;
    assert_eq!((status, error_of(&ses)), (404, "NotFoundException"));
    ses.verified_senders(Some(&["elsewhere.example"]));
    assert_eq!(send().await.0, 400);
    assert_eq!(ses.taken().len(), 4);
}
