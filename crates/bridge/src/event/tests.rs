use doorbell::rabbitmq::{RabbitmqEvent, deliveries};
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn read(event: &[u8]) -> Vec<doorbell::rabbitmq::Delivery> {
    let event: RabbitmqEvent = serde_json::from_slice(event).expect("an event");
    deliveries(event)
}

#[test]
fn every_property_stands_where_amazon_puts_it() {
    let mut headers = FieldTable::default();
    headers.insert("x-tenant".into(), AMQPValue::LongString("t-blue".into()));
    headers.insert("x-attempt".into(), AMQPValue::LongInt(2));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(5)
        .with_correlation_id("corr-71".into())
        .with_reply_to("mail.replies".into())
        .with_expiration("60000".into())
        .with_message_id("email-71".into())
        .with_timestamp(1_795_452_184)
        .with_type("email.requested".into())
        .with_user_id("producer".into())
        .with_app_id("shop".into());
    let event =
        envelope("broker", "mail.outbox", "prod", &[&message(&properties, false, br#"{"email_id":71}"#)]);
    let mut ours: Json = serde_json::from_slice(&event).expect("JSON");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/rabbitmq_full_properties.json");
    let theirs: Json = std::fs::read_to_string(file).expect("the file").parse().expect("JSON");
    ours["eventSourceArn"] = theirs["eventSourceArn"].clone();
    assert_eq!(ours, theirs);
}

#[test]
fn what_is_not_there_is_null() {
    let event = message(&BasicProperties::default().with_delivery_mode(2), true, br#"{"email_id":62}"#);
    let ours: Json = serde_json::from_slice(&event).expect("JSON");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/rabbitmq_minimal_nulls.json");
    let theirs: Json = std::fs::read_to_string(file).expect("the file").parse().expect("JSON");
    assert_eq!(ours, theirs["rmqMessagesByQueue"]["mail.outbox::/"][1]);
}

#[test]
fn values_of_every_sort() {
    let mut table = FieldTable::default();
    table.insert(
        "array".into(),
        AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Boolean(true), AMQPValue::Void])),
    );
    table.insert("bytes".into(), AMQPValue::ByteArray(vec![0, 127, 128, 255].into()));
    table.insert("decimal".into(), AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 150 }));
    table.insert("double".into(), AMQPValue::Double(1.5));
    table.insert("nan".into(), AMQPValue::Double(f64::NAN));
    table.insert("text".into(), AMQPValue::LongString("é".into()));
    table.insert("time".into(), AMQPValue::Timestamp(0));
    table.insert("no-time".into(), AMQPValue::Timestamp(u64::MAX));
    let written = serde_json::to_value(Table { table: &table, depth: 0 }).expect("JSON");
    let expected = json!({
        "array": [true, null], "bytes": [0, 127, -128, -1], "decimal": 1.5, "double": 1.5, "nan": null,
        "text": {"bytes": [-61, -87]}, "time": "Jan 1, 1970, 12:00:00 AM", "no-time": null,
    });
    assert_eq!(written, expected);
}

#[test]
fn a_table_as_deep_as_a_frame_allows_is_cut() {
    let mut table = FieldTable::default();
    for _ in 0..2_000 {
        let mut outer = FieldTable::default();
        outer.insert("t".into(), AMQPValue::FieldTable(table));
        table = outer;
    }
    let properties = BasicProperties::default().with_headers(table);
    let event = envelope("b", "mail", "/", &[&message(&properties, false, b"7")]);
    let _: Json = serde_json::from_slice(&event).expect("any reader takes it");
    assert_eq!(read(&event)[0].email_id, Ok(7));
}

fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        any::<f64>().prop_map(AMQPValue::Double),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        any::<Vec<u8>>().prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| AMQPValue::FieldArray(values.into())),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..4).prop_map(|map| {
                let mut table = FieldTable::default();
                for (name, value) in map {
                    table.insert(name.into(), value);
                }
                AMQPValue::FieldTable(table)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn the_functions_read_what_is_written(
        id in 1_u64..,
        headers in prop::collection::btree_map("x-[a-z]{1,8}", value(), 0..6),
        message_id in proptest::option::of("[a-z0-9-]{1,40}"),
        queue in "[a-zé.:\"\\\\ -]{1,30}",
        vhost in "[a-z/\"]{1,10}",
        redelivered: bool,
        junk in any::<Vec<u8>>(),
    ) {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name.into(), value);
        }
        table.insert("lane".into(), AMQPValue::LongString("bulk".into()));
        let mut properties = BasicProperties::default().with_headers(table).with_timestamp(1_795_452_184);
        if let Some(id) = &message_id {
            properties = properties.with_message_id(id.as_str().into());
        }
        let rings = message(&properties, redelivered, format!("{{\"email_id\":{id}}}").as_bytes());
        let event = envelope("broker", &queue, &vhost, &[&rings, &message(&properties, false, &junk)]);
        let read = read(&event);
        prop_assert_eq!(read.len(), 2);
        prop_assert_eq!(read[0].email_id.as_ref().ok(), Some(&id));
        prop_assert_eq!(read[0].lane, doorbell::Lane::Bulk);
        prop_assert_eq!(&read[0].origin.message_id, &message_id);
        prop_assert_eq!(read[0].origin.redelivered, redelivered);
        prop_assert_eq!(read[0].origin.timestamp.as_deref(), Some("Nov 23, 2026, 4:43:04 PM"));
        // With a colon at its end a queue's name cannot be told from what stands between it and the vhost.
        if !queue.ends_with(':') {
            prop_assert_eq!(&read[0].origin.queue, &queue);
            prop_assert_eq!(&read[0].origin.vhost, &vhost);
        }
    }
}
