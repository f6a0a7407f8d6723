//! How a log line looks: one JSON object, its members all at the root.
//!
//! `tracing_subscriber`'s own JSON puts what a span knows one level down, and only the innermost span. Here the trace of a
//! doorbell and the ids of its invocation stand beside what the line itself says, where a query finds them by one name.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields as _, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

/// Writes such lines.
pub(super) struct Flat;

impl<S> FormatEvent<S, JsonFields> for Flat
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        // A target is the path of a module, which needs no escapes.
        write!(writer, "\",\"level\":\"{}\",\"target\":\"{}\"", about.level(), about.target())?;
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        members(&mut writer, &fields)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                members(&mut writer, fields)?;
            }
        }
        writer.write_str("}\n")
    }
}

/// The members of an object that is written already, each after a comma.
fn members(writer: &mut Writer<'_>, object: &str) -> fmt::Result {
    match object.strip_prefix('{').and_then(|members| members.strip_suffix('}')) {
        None | Some("") => Ok(()),
        Some(members) => write!(writer, ",{members}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_its_own_members_and_those_of_all_spans_around_it() {
        let paper = Paper::default();
        let ink = paper.clone();
        let layer =
            tracing_subscriber::fmt::layer().json().event_format(Flat).with_writer(move || ink.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let outer = tracing::error_span!("invocation", requestId = "r-1").entered();
            let inner = tracing::error_span!("doorbell", trace_id = "t\"1").entered();
            tracing::info!(email_id = 7, error.kind = "odd \n kind", absent = None::<u8>, "email.sent");
            drop(inner);
            tracing::warn!("email.ended");
            drop(outer);
            tracing::error!(email_id = 8);
        });
        let text = String::from_utf8(paper.0.lock().expect("not poisoned").clone()).expect("UTF-8");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| {
                let mut line: Value = line.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
                let time = line["timestamp"].take();
                assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
                line
            })
            .collect();
        let target = "doorbell::telemetry::line::tests";
        assert_eq!(
            lines,
            [
                json!({"timestamp": null, "level": "INFO", "target": target, "message": "email.sent", "email_id": 7,
                    "error.kind": "odd \n kind", "trace_id": "t\"1", "requestId": "r-1"}),
                json!({"timestamp": null, "level": "WARN", "target": target, "message": "email.ended",
                    "requestId": "r-1"}),
                json!({"timestamp": null, "level": "ERROR", "target": target, "email_id": 8}),
            ]
        );
    }
}
