//! The trace that a doorbell belongs to: whoever rang it may want to find what became of it.
//!
//! Two forms are known: the W3C's `traceparent` and `tracestate`, as a message attribute of SQS or a header of RabbitMQ,
//! and X-Ray's, as the system attribute `AWSTraceHeader` of SQS. They go into the log lines about the email, and along
//! with every doorbell that is rung again for it. They come from outside: what is not exactly of the form, or is longer
//! than its standard has it, counts as not there, and makes no doorbell unreadable.

use std::sync::Arc;

/// The message attribute, or header, that names the trace.
pub const TRACEPARENT: &str = "traceparent";
/// The one with what tracing systems add to it.
pub const TRACESTATE: &str = "tracestate";
/// The system attribute of SQS that names an X-Ray trace.
pub const AWS_TRACE_HEADER: &str = "AWSTraceHeader";

/// `00-` and an id of 32 digits, `-`, a parent of 16, `-`, two digits of flags.
const PARENT_LENGTH: usize = 55;
/// What everybody has to pass on of a `tracestate`; nobody has to take more.
const LONGEST_STATE: usize = 512;
/// The most members of a `tracestate`.
const MOST_MEMBERS: usize = 32;
/// Several times what X-Ray writes.
const LONGEST_HEADER: usize = 512;

/// A trace. Shared, since a doorbell is copied on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    id: String,
    parent: Option<String>,
    state: Option<String>,
    xray: Option<String>,
}

impl Trace {
    /// What came with a doorbell; `None` where nothing of it can be used.
    #[must_use]
    pub fn read(parent: Option<&str>, state: Option<&str>, xray: Option<&str>) -> Option<Arc<Self>> {
        let parent = parent.and_then(w3c);
        let xray = xray.and_then(XRay::read);
        let id = match (&parent, &xray) {
            (Some(parent), _) => parent[3..35].to_owned(),
            (None, Some(xray)) => xray.id.clone(),
            (None, None) => return None,
        };
        // By itself it says nothing.
        let state = state.filter(|state| parent.is_some() && is_state(state)).map(ToOwned::to_owned);
        Some(Arc::new(Self { id, parent, state, xray: xray.map(|xray| xray.header) }))
    }

    /// The id in 32 hexadecimal digits, whichever form it came in; the W3C's where there are both.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What to pass on as message attributes or headers.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let both = [(TRACEPARENT, &self.parent), (TRACESTATE, &self.state)];
        both.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// What to pass on as SQS's system attribute.
    #[must_use]
    pub fn xray(&self) -> Option<&str> {
        self.xray.as_deref()
    }

    /// A span that puts the id into every log line within. None without a trace.
    #[must_use]
    pub fn span(trace: Option<&Arc<Self>>) -> tracing::Span {
        // Of the highest level, so that it is there whichever lines are written.
        trace
            .map_or_else(tracing::Span::none, |trace| tracing::error_span!("doorbell", trace_id = trace.id()))
    }
}

/// A `traceparent` to pass on: as it is, or of a later version what this one knows of it.
fn w3c(text: &str) -> Option<String> {
    let (known, rest) = text.split_at_checked(PARENT_LENGTH)?;
    let mut parts = known.split('-');
    let mut part = |length: usize| parts.next().filter(|part| part.len() == length && is_hex(part));
    let (version, id, parent, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_null = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    if version == "ff" || is_null(id) || is_null(parent) {
        return None;
    }
    if version == "00" {
        return rest.is_empty().then(|| known.to_owned());
    }
    if !rest.is_empty() && !rest.starts_with('-') {
        return None;
    }
    // Of a later version's flags only the lowest has a meaning that is known here.
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    Some(format!("00-{id}-{parent}-{sampled:02x}"))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|sign| matches!(sign, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_state(text: &str) -> bool {
    let is_member = |member: &str| member.trim().is_empty() || member.contains('=');
    (1..=LONGEST_STATE).contains(&text.len())
        && text.bytes().all(|sign| matches!(sign, b' '..=b'~' | b'\t'))
        && text.split(',').count() <= MOST_MEMBERS
        && text.split(',').all(is_member)
}

/// X-Ray's header.
struct XRay {
    id: String,
    /// What to pass on: without `Lineage`, which counts what Lambda invokes in a circle. Each ringing again has a bound
    /// of its own and is no circle.
    header: String,
}

impl XRay {
    fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST_HEADER {
            return None;
        }
        let field = |name: &str| {
            let named = text.split(';').filter_map(|field| field.trim().split_once('='));
            named.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
        };
        let root = field("Root")?;
        let (time, unique) = root.strip_prefix("1-")?.split_once('-')?;
        if (time.len(), unique.len()) != (8, 24) || !is_hex(time) || !is_hex(unique) {
            return None;
        }
        let mut header = format!("Root={root}");
        let parent = field("Parent").filter(|parent| parent.len() == 16 && is_hex(parent));
        let sampled = field("Sampled").filter(|sampled| matches!(*sampled, "0" | "1" | "?"));
        for (name, value) in [("Parent", parent), ("Sampled", sampled)] {
            if let Some(value) = value {
                header.extend([";", name, "=", value]);
            }
        }
        Some(Self { id: format!("{time}{unique}"), header })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn passed_on(parent: Option<&str>, state: Option<&str>) -> Vec<(String, String)> {
        let trace = Trace::read(parent, state, None);
        let attributes = trace.iter().flat_map(|trace| trace.attributes());
        attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn both_forms_are_known_and_the_w3cs_names_it() {
        let both = Trace::read(Some(PARENT), Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"), Some(XRAY));
        let both = both.expect("a trace");
        assert_eq!((both.id(), both.xray()), ("0af7651916cd43dd8448eb211c80319c", Some(XRAY)));
        assert_eq!(both.attributes().count(), 2);
        let xray = Trace::read(None, Some("congo=t61rcWkgMzE"), Some(XRAY)).expect("a trace");
        assert_eq!((xray.id(), xray.attributes().count()), ("5759e988bd862e3fe1be46a994272793", 0));
        assert_eq!(Trace::read(None, Some("congo=t61rcWkgMzE"), None), None);
        assert_eq!(passed_on(Some(PARENT), None), [("traceparent".into(), PARENT.into())]);
    }

    #[test]
    fn what_is_not_of_the_form_is_not_there() {
        let long = format!("{PARENT}-more");
        for parent in [
            "",
            "Dear Ada",
            long.as_str(),
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333ä-01",
        ] {
            assert_eq!(Trace::read(Some(parent), None, None), None, "{parent}");
        }
        let padded = format!("{XRAY};Self={}", "x".repeat(LONGEST_HEADER));
        for xray in [
            "",
            "Root=",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a99427279ä;Sampled=1",
            "Parent=53995c3f42cd8ad8",
            padded.as_str(),
        ] {
            assert_eq!(Trace::read(None, None, Some(xray)), None, "{xray}");
        }
    }

    #[test]
    fn of_a_later_version_what_is_known_is_passed_on() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what-the-future-will-be-like";
        assert_eq!(passed_on(Some(later), None), [("traceparent".into(), PARENT.into())]);
    }

    #[test]
    fn of_a_state_nothing_is_passed_on_that_others_might_refuse() {
        let (longest, longer) = (format!("k={}", "v".repeat(510)), format!("k={}", "v".repeat(511)));
        let many = vec!["k=v"; 33].join(",");
        for (state, is_taken) in [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true),
            ("", false),
            ("rojo", false),
            ("rojo=\u{e4}", false),
            ("rojo=\n", false),
            (longest.as_str(), true),
            (longer.as_str(), false),
            (many.as_str(), false),
        ] {
            assert_eq!(passed_on(Some(PARENT), Some(state)).len() == 2, is_taken, "{state}");
        }
    }

    #[test]
    fn of_x_rays_header_its_own_three_fields_are_passed_on() {
        let header = format!("Self=1-67891234-12456789abcdef012345678;{XRAY};Lineage=1:a87bd80c:1;Name=Ada");
        let trace = Trace::read(None, None, Some(&header)).expect("a trace");
        assert_eq!(trace.xray(), Some(XRAY));
        let odd = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=Ada;Sampled=yes";
        let trace = Trace::read(None, None, Some(odd)).expect("a trace");
        assert_eq!(trace.xray(), Some("Root=1-5759e988-bd862e3fe1be46a994272793"));
    }
}
