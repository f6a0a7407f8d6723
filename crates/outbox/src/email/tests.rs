//! Each refusal with its sentence, each decision with an example.

mod addresses;

use super::*;
use crate::mailer::Reason;

fn row() -> EmailRow {
    EmailRow {
        id: 7,
        sender: "Shop <orders@shop.example>".to_owned(),
        to_addresses: r#"["Ada <ada@customer.example>"]"#.to_owned(),
        subject: "Your receipt".to_owned(),
        text_body: Some("Hello".to_owned()),
        ..EmailRow::default()
    }
}

fn parse(row: EmailRow) -> Email {
    match Email::parse(row) {
        Ok(Parsed::Sendable(email)) => *email,
        Ok(Parsed::AllSuppressed) => panic!("every recipient suppressed"),
        Err(invalid) => panic!("{}: {invalid}", invalid.kind()),
    }
}

fn refused(row: EmailRow) -> (&'static str, String) {
    match Email::parse(row) {
        Err(invalid) => (invalid.kind(), invalid.to_string()),
        Ok(parsed) => panic!("{parsed:?}"),
    }
}

fn to(json: &str) -> EmailRow {
    EmailRow { to_addresses: json.to_owned(), ..row() }
}

fn headers(json: &str) -> EmailRow {
    EmailRow { headers: Some(json.to_owned()), ..row() }
}

fn tags(json: &str) -> EmailRow {
    EmailRow { tags: Some(json.to_owned()), ..row() }
}

fn file(name: &str, content_type: &str, content_id: Option<&str>) -> EmailRow {
    EmailRow {
        html_body: Some("<p>Hello".to_owned()),
        attachments: vec![AttachmentRow {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            content_id: content_id.map(str::to_owned),
            content: vec![1, 2, 3],
        }],
        ..row()
    }
}

/// Asserts kind and a part of the sentence.
#[track_caller]
fn assert_refused(row: EmailRow, kind: &str, says: &str) {
    let (got, detail) = refused(row);
    assert_eq!(got, kind, "{detail}");
    assert!(detail.contains(says), "{detail}");
    assert!(detail.ends_with('.') && !detail.contains(['\r', '\n', '\0']), "{detail}");
}

fn addresses(mailboxes: &[Mailbox]) -> Vec<&str> {
    mailboxes.iter().map(Mailbox::address).collect()
}

#[test]
fn a_plain_row_becomes_an_email() {
    let email = parse(row());
    assert_eq!(email.id(), 7);
    assert_eq!(email.sender().name(), Some("Shop"));
    assert_eq!(email.sender().encoded(), "Shop <orders@shop.example>");
    assert_eq!(addresses(email.to()), ["ada@customer.example"]);
    assert_eq!((email.text_body(), email.html_body()), (Some("Hello"), None));
    assert_eq!((email.form(), email.recipient_count()), (Form::Simple, 1));
}

#[test]
fn a_subject_is_one_line() {
    let subject = |subject: &str| EmailRow { subject: subject.to_owned(), ..row() };
    assert_refused(subject("a\r\nBcc: b@c.example"), "invalid_subject", "subject: contains a line break;");
    assert_refused(subject("a\tb"), "invalid_subject", "contains a tab");
    assert_refused(subject("a\u{1}b"), "invalid_subject", "contains the control character U+0001");
    assert_refused(subject(&"x".repeat(999)), "invalid_subject", "999 characters; at most 998");
    assert_eq!(parse(subject(" Grüße 📬 ")).subject(), "Grüße 📬");
    assert_eq!(parse(subject("")).subject(), "");
}

#[test]
fn at_least_one_body_that_is_not_empty() {
    let bodies = |text: Option<&str>, html: Option<&str>| EmailRow {
        text_body: text.map(str::to_owned),
        html_body: html.map(str::to_owned),
        ..row()
    };
    assert_refused(bodies(None, None), "no_body", "fill text_body, html_body or both");
    assert_refused(bodies(Some(""), Some("")), "no_body", "fill text_body");
    assert_refused(bodies(Some("a"), Some("b\0")), "invalid_body", "html_body: contains a NUL");
    let email = parse(bodies(Some(""), Some("<p>")));
    assert_eq!((email.text_body(), email.html_body()), (None, Some("<p>")));
}

#[test]
fn extra_headers_cannot_replace_ours() {
    for name in [
        "From",
        "to",
        "CC",
        "Bcc",
        "SUBJECT",
        "Reply-To",
        "Sender",
        "Date",
        "message-id",
        "Return-Path",
        "Received",
        "MIME-Version",
        "Content-Type",
        "content-anything",
        "DKIM-Signature",
        "ARC-Seal",
        "Authentication-Results",
        "X-SES-CONFIGURATION-SET",
        "x-ses-message-tags",
        "Resent-To",
    ] {
        let json = format!(r#"{{"{name}":"x"}}"#);
        assert_refused(
            headers(&json),
            "invalid_header",
            &format!("headers, “{name}”: this header cannot be set here"),
        );
    }
}

#[test]
fn extra_headers_are_names_and_single_lines() {
    for (json, says) in [
        (r#"["X-A: b"]"#, "headers must be a JSON object such as {\"name\": \"value\"}, but is an array."),
        ("X-A: b", "but is not valid JSON"),
        (r#"{"X-A":1}"#, "headers, “X-A”: the value must be a string, but is a number."),
        (r#"{"X-A":null}"#, "but is null."),
        (r#"{"X-A":""}"#, "the value is empty."),
        (r#"{"":"x"}"#, "a header's name has 1 to 76 characters."),
        (r#"{"X A":"x"}"#, "begins with a letter and has only ASCII"),
        (r#"{"X:A":"x"}"#, "only ASCII letters"),
        (r#"{"X-Ä":"x"}"#, "only ASCII letters"),
        (r#"{".":"x"}"#, "begins with a letter"),
        (r#"{"-":"x"}"#, "begins with a letter"),
        (r#"{"X\r\nBcc":"x"}"#, "headers, “X\\r\\nBcc”: a header's name begins with a letter"),
        (r#"{"X-A":"a\r\nBcc: b@c.example"}"#, "the value contains a line break;"),
        (r#"{"X-A":"a\u0000"}"#, "the control character U+0000"),
        (r#"{"X-A":"1","x-a":"2"}"#, "headers, “x-a”: the header stands twice;"),
        (r#"{"X-A":"1","X-A":"2"}"#, "stands twice"),
    ] {
        assert_refused(headers(json), "invalid_header", says);
    }
    let word = format!(r#"{{"X-A":"{}"}}"#, "w".repeat(871));
    assert_refused(headers(&word), "invalid_header", "more than 870 characters without a space");
    let long = format!(r#"{{"X-A":"{}"}}"#, "w ".repeat(2001));
    assert_refused(headers(&long), "invalid_header", "longer than 4000 characters");
    assert_eq!(parse(headers("null")).headers(), []);
    let email =
        parse(headers(r#"{"List-Unsubscribe":" <https://shop.example/u/1>,   <mailto:u@shop.example> "}"#));
    assert_eq!(email.headers()[0].value(), "<https://shop.example/u/1>, <mailto:u@shop.example>");
}

#[test]
fn tags_are_words_and_leave_ours_alone() {
    for (json, says) in [
        ("[]", "tags must be a JSON object"),
        (r#"{"email_id":"1"}"#, "tags, “email_id”: this tag is set on every email by sendonce itself"),
        (r#"{"Attempt_ID":"1"}"#, "by sendonce itself"),
        (r#"{"ses:from-domain":"x"}"#, "names that begin with ses: are Amazon SES's own."),
        (r#"{"a b":"1"}"#, "a tag's name has 1 to 256 letters"),
        (r#"{"":"1"}"#, "a tag's name"),
        (r#"{"a":"b c"}"#, "the value “b c” must have 1 to 256 letters"),
        (r#"{"a":""}"#, "the value “” must have"),
        (r#"{"a":"é"}"#, "all ASCII."),
        (r#"{"a":1.5}"#, "the value must be a string, but is a number."),
        (r#"{"a":"1","a":"2"}"#, "the tag stands twice."),
    ] {
        assert_refused(tags(json), "invalid_tag", says);
    }
    let many = |n: usize| {
        serde_json::to_string(
            &(0..n).map(|n| (format!("t{n}"), n)).collect::<std::collections::BTreeMap<_, _>>(),
        )
        .unwrap()
    };
    assert_eq!(parse(tags(&many(48))).tags().len(), 48);
    assert_refused(tags(&many(49)), "invalid_tag", "49 tags; at most 48");
    let email = parse(tags(r#"{"order":17,"kind":"receipt"}"#));
    assert_eq!((email.tags()[0].name(), email.tags()[0].value()), ("order", "17"));
}

#[test]
fn attachments_have_names_types_and_ids_that_a_message_can_carry() {
    for (name, content_type, content_id, says) in [
        ("", "image/png", None, "attachment 1, “”: the name is empty;"),
        ("a\r\nb.png", "image/png", None, "the name contains a line break."),
        ("../a.png", "image/png", None, "the name contains a path separator;"),
        ("a\\b.png", "image/png", None, "path separator"),
        ("=?utf-8?q?a?=.png", "image/png", None, "the name is already encoded"),
        ("a.png", "png", None, "content_type “png” is not a MIME type such as application/pdf"),
        ("a.png", "", None, "is not a MIME type"),
        ("a.png", "image/png\r\nX: y", None, "is not a MIME type"),
        ("a.png", "image /png", None, "is not a MIME type"),
        ("a.eml", "message/rfc822", None, "is for messages, not for files; use application/octet-stream."),
        ("a", "Multipart/mixed; boundary=x", None, "is for messages"),
        ("a.png", "image/png", Some("<logo>"), "content_id “<logo>” must have at most 78 ASCII letters"),
        ("a.png", "image/png", Some("lo go"), "without angle brackets and spaces"),
        ("a.png", "image/png", Some("a\r\nb"), "content_id “a\\r\\nb” must"),
    ] {
        assert_refused(file(name, content_type, content_id), "invalid_attachment", says);
    }
    assert_refused(
        file(&format!("{}.png", "n".repeat(252)), "image/png", None),
        "invalid_attachment",
        "longer than 255",
    );
    assert_refused(file("a.png", "image/png", Some(&"i".repeat(79))), "invalid_attachment", "at most 78");
    let mut twice = file("a.png", "image/png", Some("logo"));
    twice.attachments.push(twice.attachments[0].clone());
    assert_refused(twice, "invalid_attachment", "attachment 2, “a.png”: content_id “logo” stands twice");
    assert_eq!(parse(file("a.png", "image/png", Some(""))).attachments()[0].content_id(), None);
}

#[test]
fn simple_wherever_it_can_carry_the_email() {
    for (row, form) in [
        (headers(r#"{"X-A":"b"}"#), Form::Simple),
        (headers(r#"{"X-A":"é"}"#), Form::Raw),
        (headers(&format!(r#"{{"X-A":"{}"}}"#, "w".repeat(870))), Form::Simple),
        (headers(&format!(r#"{{"X-A":"{}"}}"#, "w ".repeat(436))), Form::Raw),
        (file("a.pdf", "application/pdf", None), Form::Simple),
        (file("a.png", "image/png", Some("logo")), Form::Simple),
        (file("ä.pdf", "application/pdf", None), Form::Raw),
        (file("README", "text/plain", None), Form::Raw),
        (file("a.ics", "text/calendar; method=REQUEST", None), Form::Raw),
    ] {
        assert_eq!(parse(row).form(), form);
    }
    let many = |n: usize| {
        serde_json::to_string(
            &(0..n).map(|n| (format!("X-{n}"), "v")).collect::<std::collections::BTreeMap<_, _>>(),
        )
        .unwrap()
    };
    assert_eq!(parse(headers(&many(15))).form(), Form::Simple);
    assert_eq!(parse(headers(&many(16))).form(), Form::Raw);
}

#[test]
fn size_counts_base64_and_its_line_breaks() {
    for (bytes, encoded) in [(0, 0), (1, 6), (3, 6), (57, 78), (58, 84), (114, 156), (u64::MAX, u64::MAX)] {
        assert_eq!(encoded_len(bytes), encoded);
    }
    let with = |bytes: usize| {
        let mut row = file("a.pdf", "application/pdf", None);
        row.attachments[0].content = vec![0; bytes];
        row
    };
    assert!(parse(with(30_000_000)).encoded_size_upper_bound() <= MAX_ENCODED_BYTES);
    assert_refused(
        with(30_700_000),
        "email_too_large",
        "The email is too large: bodies and attachments are 42",
    );
}

#[test]
fn an_invalid_row_becomes_a_reason_and_keeps_debug_output_clean() {
    let invalid = Email::parse(to(r#"["secret"]"#)).unwrap_err();
    assert_eq!(format!("{invalid:?}"), "InvalidEmail { kind: \"invalid_recipient\", .. }");
    assert_eq!(invalid.detail(), invalid.to_string());
    let reason = Reason::from(invalid);
    assert_eq!(reason.kind, "invalid_recipient");
    assert!(reason.detail.contains("secret"));
}
