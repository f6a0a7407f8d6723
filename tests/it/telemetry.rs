//! What the real binaries tell of themselves: metrics in the embedded format, and the trace of a doorbell.

mod metrics;
mod sqs;
mod traces;

use std::collections::BTreeMap;

use outbox::measure::{Metric, Unit};
use serde_json::Value;
use stack::runtime_api::{Environment, Stream};

/// Every line of the standard output, once the process has ended: before that, one may still be under way.
async fn lines(environment: &Environment) -> Vec<Value> {
    environment.stop().await;
    let written = environment.logs().into_iter().filter(|line| line.stream == Stream::Out);
    written.map(|line| line.text.parse().unwrap_or_else(|error| panic!("{error}: {}", line.text))).collect()
}

/// The lines that are metrics: the values of each, by name.
async fn documents(environment: &Environment) -> Vec<BTreeMap<&'static str, Vec<f64>>> {
    let lines = lines(environment).await;
    lines.iter().filter(|line| line.get("_aws").is_some()).map(values).collect()
}

/// What a document holds; it must be as the specification of the format has it, and hold nothing else.
fn values(document: &Value) -> BTreeMap<&'static str, Vec<f64>> {
    let aws = &document["_aws"];
    // Milliseconds since 1970, as a whole number, and not seconds.
    assert!(aws["Timestamp"].as_u64().is_some_and(|time| time > 1_700_000_000_000), "{document}");
    let directives = aws["CloudWatchMetrics"].as_array().expect("a list");
    assert_eq!((names(aws), directives.len()), (vec!["CloudWatchMetrics", "Timestamp"], 1), "{document}");
    let directive = &directives[0];
    assert_eq!(names(directive), ["Dimensions", "Metrics", "Namespace"], "{document}");
    assert_eq!(directive["Namespace"], "sendonce");
    assert_eq!(directive["Dimensions"], serde_json::json!([["Stack"]]));
    assert_eq!(document["Stack"], "shop");
    let metrics = directive["Metrics"].as_array().expect("a list");
    assert!((1..=100).contains(&metrics.len()), "{document}");
    let values: BTreeMap<_, _> = metrics
        .iter()
        .map(|definition| {
            let metric = Metric::ALL.into_iter().find(|metric| definition["Name"] == metric.name());
            let metric = metric.unwrap_or_else(|| panic!("{definition} is no metric of ours"));
            let unit = match metric.unit() {
                Unit::Count => "Count",
                Unit::Milliseconds => "Milliseconds",
                Unit::Seconds => "Seconds",
            };
            assert_eq!(definition["Unit"], unit, "{definition}");
            assert_eq!(names(definition), ["Name", "Unit"], "{definition}");
            let values = match &document[metric.name()] {
                Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            };
            assert!((1..=100).contains(&values.len()), "{definition}: {document}");
            let values = values.iter().map(|value| value.as_f64().expect("a number")).collect();
            (metric.name(), values)
        })
        .collect();
    assert_eq!(values.len(), metrics.len(), "each metric once: {document}");
    // An id would be a member of its own, and an address, too.
    assert_eq!(names(document).len(), values.len() + 2, "{document}");
    values
}

fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
