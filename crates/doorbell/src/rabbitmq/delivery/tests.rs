use serde_json::{Value, json};

use super::{BadDelivery, Delivery, Original, RabbitmqEvent, deliveries, is_id, is_time};
use crate::{Lane, body::UnreadableBody};

fn read(event: &Value) -> Vec<Delivery> {
    deliveries(serde_json::from_str(&event.to_string()).expect("an event"))
}

/// One message in the queue `mail::/`.
fn one(message: &Value) -> Delivery {
    let mut found = read(&json!({"rmqMessagesByQueue": {"mail::/": [message]}}));
    assert_eq!(found.len(), 1, "{message}");
    found.remove(0)
}

#[test]
fn any_property_may_be_null_missing_or_of_another_type() {
    let names = [
        "contentType",
        "contentEncoding",
        "headers",
        "deliveryMode",
        "priority",
        "correlationId",
        "replyTo",
        "expiration",
        "messageId",
        "timestamp",
        "type",
        "userId",
        "appId",
        "clusterId",
        "bodySize",
    ];
    for odd in [json!(null), json!(1), json!(-1.5), json!(true), json!("x y"), json!([[1]]), json!({"a": {}})]
    {
        let all: Value = names.iter().map(|name| ((*name).to_owned(), odd.clone())).collect();
        for properties in [all, odd.clone()] {
            let message = json!({"basicProperties": properties, "redelivered": odd, "data": "NDI="});
            let found = one(&message);
            assert_eq!((found.email_id, found.lane), (Ok(42), Lane::Urgent), "{message}");
            assert_eq!(found.origin.redelivered, odd == true);
        }
    }
    assert_eq!(one(&json!({"data": "NDI="})).email_id, Ok(42));
}

#[test]
fn a_message_that_cannot_be_read_is_one_delivery() {
    let bad = |message: &Value| one(message).email_id.expect_err("unreadable");
    for message in
        [json!(null), json!("NDI="), json!([]), json!({}), json!({"data": null}), json!({"data": [52]})]
    {
        assert_eq!(bad(&message).reason, BadDelivery::NoData, "{message}");
    }
    let not_base64 = bad(&json!({"data": "not base64!"}));
    assert_eq!(not_base64.reason, BadDelivery::NotBase64);
    assert_eq!(not_base64.original, Original::Data("not base64!".to_owned()));
    let not_utf8 = bad(&json!({"data": "//5ub3QganNvbg=="}));
    assert_eq!(not_utf8.reason, BadDelivery::Body(UnreadableBody::NotUtf8));
    assert_eq!(not_utf8.original, Original::Body(b"\xff\xfenot json".to_vec()));
    assert_eq!(bad(&json!({"data": ""})).reason, BadDelivery::Body(UnreadableBody::Empty));
    // Padding says nothing that the length does not.
    assert_eq!(one(&json!({"data": "NDI"})).email_id, Ok(42));
}

#[test]
fn what_is_no_event_is_an_error() {
    for event in [
        json!(null),
        json!([]),
        json!("Dear Ada"),
        json!({}),
        json!({"Records": []}),
        json!({"rmqMessagesByQueue": null}),
        json!({"rmqMessagesByQueue": []}),
        json!({"rmqMessagesByQueue": {"mail::/": "Dear Ada"}}),
    ] {
        let error = serde_json::from_str::<RabbitmqEvent>(&event.to_string()).expect_err("no event");
        assert!(error.to_string().starts_with("no event of RabbitMQ"), "{event}: {error}");
    }
    assert!(read(&json!({"rmqMessagesByQueue": {}})).is_empty());
    assert!(read(&json!({"rmqMessagesByQueue": {"mail::/": null, "other::/": []}})).is_empty());
}

#[test]
fn queues_keep_their_order_and_lend_their_names() {
    let message = |id: u64| json!({"data": base64::Engine::encode(&super::BASE64, id.to_string())});
    let text = format!(
        r#"{{"rmqMessagesByQueue": {{"z.bulk::/": [{}, {}], "a::b::shop": [{}], "bare": [{}]}}}}"#,
        message(1),
        message(2),
        message(3),
        message(4)
    );
    let found = deliveries(serde_json::from_str(&text).expect("an event"));
    let told: Vec<_> = found
        .iter()
        .map(|delivery| {
            let origin = &delivery.origin;
            (
                origin.queue.as_str(),
                origin.vhost.as_str(),
                origin.position,
                delivery.email_id.clone(),
                delivery.lane,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("z.bulk", "/", 0, Ok(1), Lane::Bulk),
            ("z.bulk", "/", 1, Ok(2), Lane::Bulk),
            ("a::b", "shop", 0, Ok(3), Lane::Urgent),
            ("bare", "", 0, Ok(4), Lane::Urgent),
        ]
    );
}

#[test]
fn the_header_wins_over_the_queue() {
    let bytes = |text: &str| json!({"bytes": text.as_bytes()});
    let cases = [
        ("mail", json!("bulk"), Lane::Bulk),
        ("mail", bytes("bulk"), Lane::Bulk),
        ("mail-bulk", bytes("urgent"), Lane::Urgent),
        ("mail-bulk", bytes("slow"), Lane::Bulk),
        ("mail-bulk", json!(null), Lane::Bulk),
        ("mail_bulk", json!(7), Lane::Bulk),
        ("bulk", json!({"bytes": [98, 117, 108, "k"]}), Lane::Bulk),
        ("bulk", json!({"bytes": null}), Lane::Bulk),
        ("bulky", json!({"bytes": [-1, 300]}), Lane::Urgent),
        ("bulk.old", json!([]), Lane::Urgent),
    ];
    for (queue, header, lane) in cases {
        let message = json!({"basicProperties": {"headers": {"lane": header}}, "data": "NDI="});
        let found = read(&json!({"rmqMessagesByQueue": {format!("{queue}::/"): [message]}}));
        assert_eq!(found[0].lane, lane, "{queue} {header}");
    }
}

/// Java counts bytes from −128, and so may what writes an event.
#[test]
fn a_byte_may_be_signed() {
    let signed: Vec<i8> = "bülk".bytes().map(u8::cast_signed).collect();
    let text = json!({"bytes": signed}).to_string();
    let read: super::Text = serde_json::from_str(&text).expect("any value");
    assert_eq!(read.0.as_deref(), Some("bülk"));
}

/// serde gives up on what is nested deeper than 128, and with it on the whole event.
#[test]
fn a_deep_table_in_a_header_does_no_harm() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(5000), close.repeat(5000));
    for table in
        [deep("[", "]"), deep(r#"{"x":"#, "}"), deep(r#"{"bytes":"#, "}"), deep(r#"{"bytes":["#, "]}")]
    {
        for name in ["other", "lane"] {
            let event = format!(
                r#"{{"rmqMessagesByQueue": {{"mail::/": [{{"basicProperties": {{"headers": {{"{name}": {table}}}}},
                    "redelivered": {table}, "data": "NDI=", "other": {table}}}]}}}}"#
            );
            let found = deliveries(serde_json::from_str(&event).expect("an event"));
            assert_eq!(found[0].email_id, Ok(42), "{name}");
        }
    }
}

#[test]
fn what_is_logged_of_a_message_is_an_id_and_a_time() {
    for id in ["email-71", "7f3c/01+a=", "2026:11_23.b", "a"] {
        assert!(is_id(id), "{id}");
    }
    for text in ["", "ada@customer.example", "Ada Lovelace", "id\n", "ünique", &"x".repeat(129)] {
        assert!(!is_id(text), "{text}");
    }
    for time in
        ["Nov 23, 2026, 4:43:04 PM", "Nov 23, 2026, 4:43:04\u{202f}PM", "2026-11-23T16:43:04Z", "1795452184"]
    {
        assert!(is_time(time), "{time}");
    }
    for text in ["", "soon", "ada@customer.example 1", &"1".repeat(49)] {
        assert!(!is_time(text), "{text}");
    }
}
