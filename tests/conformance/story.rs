//! What happened in a cell, in order, for whoever must find out why it went wrong.

use std::fmt;

/// Sentences.
#[derive(Debug, Clone, Default)]
pub struct Story(Vec<String>);

impl Story {
    pub(crate) fn tell(&mut self, sentence: impl Into<String>) {
        self.0.push(sentence.into());
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, sentence) in self.0.iter().enumerate() {
            writeln!(f, "  {:>2}. {}", number + 1, sentence.replace('\n', "\n      "))?;
        }
        Ok(())
    }
}
