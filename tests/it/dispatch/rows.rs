//! Rows that end without SES, and rows that reach it whole.

use outbox::dispatch::Answer;

use crate::stage::Stage;

/// One recipient too many.
const FIFTY_ONE: &str = "(WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 51) \
    SELECT JSON_ARRAYAGG(CONCAT('a', i, '@customer.example')) FROM n)";

#[tokio::test]
async fn a_bad_row_fails_with_a_reason_its_producer_understands() {
    let stage = Stage::new().await;
    for (column, value, mentions) in [
        ("to_addresses", "JSON_ARRAY()", "recipient"),
        ("to_addresses", "JSON_OBJECT('a', 1)", "to_addresses"),
        ("to_addresses", r#"'["ada@customer.example", 7]'"#, "to_addresses"),
        ("to_addresses", r#"'"ada@customer.example"'"#, "to_addresses"),
        ("to_addresses", "JSON_ARRAY('not an address')", "to_addresses"),
        ("to_addresses", FIFTY_ONE, "50"),
        ("sender", "'nobody'", "sender"),
        ("sender", "CONCAT('A <a@b.example>', CHAR(13, 10 USING utf8mb4), 'Bcc: x@y.example')", "sender"),
        ("subject", "CONCAT('Hello', CHAR(10 USING utf8mb4), 'Bcc: x@y.example')", "subject"),
        (
            "headers",
            "JSON_OBJECT('X-A', CONCAT('b', CHAR(13, 10 USING utf8mb4), 'Bcc: x@y.example'))",
            "header",
        ),
        ("headers", r#"'{"Bcc": "x@y.example"}'"#, "Bcc"),
        ("headers", "'[]'", "headers"),
        ("tags", r#"'{"email_id": "7"}'"#, "email_id"),
        ("tags", r#"'{"ses:operation": "x"}'"#, "ses:"),
        ("text_body", "NULL", "body"),
        ("lane", "'urgnt'", "lane"),
        ("on_unknown", "'maybe'", "on_unknown"),
        ("text_body", "REPEAT('x', 45000000)", "40"),
    ] {
        let id = stage.table.insert(&[(column, value)]).await;
        let (answer, rings) = stage.ring(id).await;
        assert_eq!((answer, rings), (Answer::Done, vec![]), "{column} = {value}");
        let detail = stage.table.column(id, "error_detail").await.unwrap_or_default();
        assert_eq!(stage.table.state(id).await, "failed", "{column} = {value}: {detail}");
        assert!(detail.contains(mentions), "{column} = {value}: {detail}");
        assert!(stage.table.column(id, "error_kind").await.is_some(), "{column}");
    }
    assert_eq!(stage.ses.request_count(), 0);
}

#[tokio::test]
async fn suppressed_recipients_are_left_out_and_nobody_left_is_suppressed() {
    let stage = Stage::new().await;
    stage
        .table
        .execute(
            "INSERT INTO suppression (address, list_name, reason) VALUES \
             ('ada@customer.example', '', 'bounce'), ('bob@customer.example', 'news', 'unsubscribed')",
        )
        .await;
    let none = stage.table.insert(&[]).await;
    let some = stage
        .table
        .insert(&[("to_addresses", "JSON_ARRAY('Ada <ADA@customer.example>', 'bob@customer.example')")])
        .await;
    let list = stage
        .table
        .insert(&[("to_addresses", "JSON_ARRAY('bob@customer.example')"), ("list_name", "'news'")])
        .await;
    for id in [none, some, list] {
        assert_eq!(stage.ring(id).await.0, Answer::Done);
    }
    assert_eq!(stage.table.state(none).await, "suppressed");
    assert_eq!(stage.table.state(some).await, "sent");
    assert_eq!(stage.table.state(list).await, "suppressed");
    assert_eq!(stage.ses.request_count(), 1);
    assert_eq!(stage.ses.accepted()[0].message.addresses(), ["bob@customer.example"]);
}

#[tokio::test]
async fn everything_of_a_rich_email_arrives() {
    let stage = Stage::new().await;
    let columns = [
        ("sender", "'Gärtnerei Grün <orders@shop.example>'"),
        ("to_addresses", "JSON_ARRAY('Zoë 🌱 <zoe@customer.example>')"),
        ("cc_addresses", "JSON_ARRAY('cc@customer.example')"),
        ("bcc_addresses", "JSON_ARRAY('bcc@customer.example')"),
        ("reply_to", "JSON_ARRAY('help@shop.example')"),
        ("subject", "'Ihre Bestellung: Grüße 🎉'"),
        ("html_body", "'<p>Grüße <img src=\"cid:logo\"></p>'"),
        ("headers", r#"'{"X-Order": "4711"}'"#),
    ];
    let simple = stage.table.insert(&columns).await;
    // A header that Simple content cannot carry makes the same email leave as Raw content.
    let raw = stage
        .table
        .insert(&[&columns[..7], &[("headers", r#"'{"X-Order": "4711", "X-Gruss": "Grüße"}'"#)]].concat())
        .await;
    for (id, name) in [(simple, "Rechnung.pdf"), (raw, "Rechnung Ü.pdf")] {
        stage
            .table
            .execute(&format!(
                "INSERT INTO attachment (email_id, name, content_type, content_id, content) VALUES \
                 ({id}, '{name}', 'application/pdf', NULL, x'255044462d00ff'), \
                 ({id}, 'logo.png', 'image/png', 'logo', x'89504e47')"
            ))
            .await;
        stage.ring(id).await;
        assert_eq!(stage.table.state(id).await, "sent", "{:?}", stage.table.column(id, "error_detail").await);
        let message = stage.ses.requests_for(id)[0].message.clone();
        assert_eq!(message.raw.is_some(), id == raw);
        assert_eq!(
            message.addresses(),
            ["zoe@customer.example", "cc@customer.example", "bcc@customer.example"],
            "{id}"
        );
        assert!(!message.has_bcc_header);
        assert_eq!(message.subject.as_deref(), Some("Ihre Bestellung: Grüße 🎉"));
        assert!(message.html.is_some_and(|html| html.contains("Grüße")));
        assert!(message.text.is_some_and(|text| text.trim_end() == "Thank you."));
        let bytes: Vec<_> = message.attachments.iter().map(|attachment| attachment.bytes.to_vec()).collect();
        assert!(
            bytes.contains(&b"%PDF-\0\xff".to_vec()) && bytes.contains(&b"\x89PNG".to_vec()),
            "{bytes:?}"
        );
        assert!(message.attachments.iter().any(|file| file.content_id.as_deref() == Some("logo")));
        assert!(message.attachments.iter().any(|file| file.name == name), "{:?}", message.attachments);
    }
}
