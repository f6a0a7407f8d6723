//! A doorbell's trace: into every log line about its email, and along with whatever is rung again for it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use stack::runtime_api::{Environment, Function, RuntimeApi};

use super::{lines, sqs::Queue};
use crate::{function::Site, world::function_binary};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const XRAY_ID: &str = "5759e988bd862e3fe1be46a994272793";

/// A record that rings for `id`, with these message attributes and perhaps X-Ray's header.
fn record(id: u64, attributes: &[(&str, &str)], xray: Option<&str>) -> Value {
    let attribute = |value| json!({"stringValue": value, "dataType": "String"});
    let named: Value =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), attribute(*value))).collect();
    let mut record = json!({
        "messageId": format!("message-{id}"),
        "body": id.to_string(),
        "attributes": {},
        "messageAttributes": named,
        "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:urgent"
    });
    if let Some(header) = xray {
        record["attributes"]["AWSTraceHeader"] = json!(header);
    }
    record
}

/// A message of RabbitMQ that rings for `id`, its headers as Lambda writes them.
fn message(id: u64, headers: &[(&str, &str)]) -> Value {
    let header = |value: &str| json!({"bytes": value.as_bytes()});
    let named: Value = headers.iter().map(|(name, value)| ((*name).to_owned(), header(value))).collect();
    json!({"basicProperties": {"headers": named}, "data": STANDARD.encode(id.to_string())})
}

fn with_queue(function: Function, queue: &Queue) -> Function {
    function
        .env("URGENT_QUEUE_URL", queue.url())
        .env("BULK_QUEUE_URL", queue.url())
        .env("AWS_ENDPOINT_URL_SQS", queue.endpoint())
}

/// What a message passes on: `traceparent`, `tracestate`, X-Ray's header.
fn passed_on(message: &Value) -> [Option<&str>; 3] {
    let attribute = |name: &str| message["MessageAttributes"][name]["StringValue"].as_str();
    let xray = message["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"].as_str();
    [attribute("traceparent"), attribute("tracestate"), xray]
}

/// The lines about an email.
async fn lines_about(environment: &Environment, ids: &[u64]) -> Vec<Vec<Value>> {
    let lines = lines(environment).await;
    let about = |id: &u64| lines.iter().filter(|line| line["email_id"] == *id).cloned().collect();
    ids.iter().map(about).collect()
}

#[tokio::test]
async fn every_line_about_an_email_names_its_trace() {
    let site = Site::new().await;
    let function = site.configured(Function::new(function_binary("dispatch-sqs")));
    let environment = site.start(function).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(site.insert("recipient-marker@customer.example").await);
    }
    site.ses.script(stack::ses::Match::EmailId(ids[4]), 1, stack::ses::Fault::status(500));
    let w3c = [("traceparent", PARENT), ("tracestate", STATE)];
    let malformed = [("traceparent", "Dear text-marker, how are you?"), ("tracestate", "sub-marker")];
    let records = [
        record(ids[0], &w3c, Some(XRAY)),
        record(ids[1], &[], Some(XRAY)),
        record(ids[2], &malformed, Some("Root=root-marker")),
        record(ids[3], &[], None),
        record(ids[4], &w3c, None),
        record(4711, &w3c, None),
    ];
    let _ = environment.invoke(&json!({"Records": records})).await.response();
    ids.push(4711);
    let about = lines_about(&environment, &ids).await;
    let log = environment.log_text();
    for personal in ["marker", "Dear"] {
        assert!(!log.contains(personal), "{personal} in {log}");
    }
    let expected = [Some(ID), Some(XRAY_ID), None, None, Some(ID), Some(ID)];
    for ((lines, expected), id) in about.iter().zip(expected).zip(&ids) {
        // All were sent at the same time, and each kept its own.
        assert!(!lines.is_empty() || *id == 4711, "nothing about {id}: {log}");
        for line in lines {
            assert_eq!(line["trace_id"].as_str(), expected, "{line}");
            // The invocation's own ids stand beside it.
            let own = line["xrayTraceId"].as_str().expect("a trace of the invocation");
            assert!(own.starts_with("Root=1-5bef4de7-") && line["requestId"].is_string(), "{line}");
        }
    }
    assert_eq!(about[4][0]["state"], "unknown", "{:?}", about[4]);
}

#[tokio::test]
async fn ringing_again_passes_the_trace_on() {
    let (site, queue) = (Site::new().await, Queue::start().await);
    let function = site.configured(Function::new(function_binary("dispatch-sqs")));
    let environment = site.start(with_queue(function, &queue)).await;
    let late = site.insert("recipient-marker@customer.example").await;
    let due = format!("UPDATE email SET due_at = UTC_TIMESTAMP(6) + INTERVAL 300 SECOND WHERE id = {late}");
    site.database.admin().execute(&due).await.expect("changed");
    let refused = site.insert("recipient-marker@customer.example").await;
    site.ses.script(stack::ses::Match::EmailId(refused), 1, stack::ses::Fault::status(409));
    let w3c = [("traceparent", PARENT), ("tracestate", STATE)];
    let lineage = format!("{XRAY};Lineage=1:a87bd80c:1");
    for record in [
        // Not there yet, not due yet, not sent this time; nothing to pass on.
        record(4711, &w3c, Some(&lineage)),
        record(late, &w3c, None),
        record(refused, &[], Some(XRAY)),
        record(4712, &[("traceparent", "00-0-0-00")], None),
    ] {
        let _ = environment.invoke(&json!({"Records": [record]})).await.response();
    }
    let messages = queue.messages();
    let told: Vec<_> = messages.iter().map(passed_on).collect();
    let (parent, state, xray) = (Some(PARENT), Some(STATE), Some(XRAY));
    assert_eq!(told, [[parent, state, xray], [parent, state, None], [None, None, xray], [None, None, None]]);
    assert_eq!(messages[0]["MessageAttributes"]["tries"]["StringValue"], "1");
}

#[tokio::test]
async fn relay_rabbitmq_hands_the_trace_on() {
    let queue = Queue::start().await;
    let function = Function::new(function_binary("relay-rabbitmq"));
    let environment = RuntimeApi::start().environment(with_queue(function, &queue)).await.expect("it starts");
    environment.ready().await.unwrap_or_else(|error| panic!("{error}: {}", environment.log_text()));
    let messages = [
        message(1, &[("traceparent", PARENT), ("tracestate", STATE)]),
        message(2, &[("traceparent", "text-marker")]),
        message(3, &[("traceparent", PARENT)]),
    ];
    let _ = environment.invoke(&json!({"rmqMessagesByQueue": {"mail::/": messages}})).await.response();
    let told = queue.messages();
    assert_eq!(
        told.iter().map(passed_on).collect::<Vec<_>>(),
        [[Some(PARENT), Some(STATE), None], [None, None, None], [Some(PARENT), None, None]]
    );
    lines(&environment).await;
    assert!(!environment.log_text().contains("marker"), "{}", environment.log_text());
}

#[tokio::test]
async fn dispatch_rabbitmq_logs_the_trace_and_hands_it_over() {
    let (site, queue) = (Site::new().await, Queue::start().await);
    let function = site.configured(Function::new(function_binary("dispatch-rabbitmq")));
    let environment = site.start(with_queue(function, &queue)).await;
    let id = site.insert("recipient-marker@customer.example").await;
    let batch = |id| json!({"rmqMessagesByQueue": {"mail::/": [message(id, &[("traceparent", PARENT)])]}});
    let _ = environment.invoke(&batch(id)).await.response();
    assert_eq!(site.state(id).await, "sent");
    site.server.stop().await.expect("it stops");
    let _ = environment.invoke(&batch(4711)).await.response();
    assert_eq!(queue.messages().iter().map(passed_on).collect::<Vec<_>>(), [[Some(PARENT), None, None]]);
    let about = lines_about(&environment, &[id, 4711]).await;
    assert!(about.iter().all(|lines| !lines.is_empty()), "{}", environment.log_text());
    for line in about.iter().flatten() {
        assert_eq!(line["trace_id"], ID, "{line}");
    }
}
