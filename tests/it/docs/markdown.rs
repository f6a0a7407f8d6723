//! As much Markdown as the project's pages use.

use std::collections::{BTreeMap, BTreeSet};

/// A page, taken apart.
pub(super) struct Page {
    text: String,
    /// Lines outside of fences.
    prose: Vec<String>,
    /// What stands in single backticks.
    spans: Vec<String>,
    /// Whole commands out of fences of a shell, continued lines joined.
    shell: Vec<String>,
}

impl Page {
    pub(super) fn new(text: String) -> Self {
        let (mut prose, mut shell) = (Vec::new(), Vec::new());
        let mut fence: Option<bool> = None;
        let mut joined = String::new();
        for line in text.lines() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                fence = if fence.is_some() { None } else { Some(matches!(language.trim(), "sh" | "")) };
            } else if let Some(is_shell) = fence {
                // A comment is no command.
                let line = line.split(" # ").next().unwrap_or_default().trim();
                let (part, is_continued) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
                joined.push_str(part);
                joined.push(' ');
                if !is_continued {
                    if is_shell {
                        shell.push(joined.trim().to_owned());
                    }
                    joined.clear();
                }
            } else {
                prose.push(line.to_owned());
            }
        }
        let whole = prose.join("\n");
        let spans = whole.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect();
        Self { text, prose, spans, shell }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What stands in single backticks outside of fences.
    pub(super) fn spans(&self) -> impl Iterator<Item = &str> {
        self.spans.iter().map(String::as_str)
    }

    /// What links lead to.
    pub(super) fn links(&self) -> impl Iterator<Item = &str> {
        // Joined lines are not needed: a target has no white space.
        let starts = self.prose.iter().flat_map(|line| line.split("](").skip(1));
        starts.filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains(' '))
    }

    /// Commands: each part of a line of a shell, and what stands in backticks.
    pub(super) fn commands(&self) -> impl Iterator<Item = String> {
        let parts =
            self.shell.iter().flat_map(|line| line.split([';', '|', '&', '('])).map(ToOwned::to_owned);
        parts.chain(self.spans.iter().cloned()).map(|command| command.trim().to_owned())
    }

    /// The places that a link may name: headings, as they are turned into anchors.
    pub(super) fn places(&self) -> BTreeSet<String> {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let headings = self.prose.iter().filter(|line| line.starts_with('#'));
        let anchors = headings.map(|line| {
            let anchor = anchor(line.trim_start_matches('#').trim());
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            if *times == 1 { anchor } else { format!("{anchor}-{}", *times - 1) }
        });
        anchors.collect()
    }
}

/// A heading as an anchor: small letters, hyphens for spaces, no other signs.
fn anchor(heading: &str) -> String {
    let signs = heading.chars().flat_map(char::to_lowercase);
    let kept = signs.filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
    kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

/// The words of a command, quotes taken off.
pub(super) fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for sign in command.chars() {
        match quote {
            Some(open) if sign == open => quote = None,
            None if matches!(sign, '\'' | '"') => quote = Some(sign),
            None if sign.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(sign),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}
