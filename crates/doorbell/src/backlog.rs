//! The messages of a queue as somebody takes them by hand, to look at each and to decide about it.
//!
//! Taking a message hides it for a while and removes nothing. So whoever dies half-way leaves every message that was
//! not removed where it was, and it shows again when its time is over.

use std::{error::Error, future::Future, sync::Arc};

use crate::trace::Trace;

/// A message, hidden from others for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What the queue calls it; the only thing of a message that is fit to be shown.
    pub id: String,
    /// What it is removed by, or given back.
    pub receipt: String,
    /// Its body.
    pub body: String,
    /// What its sender wrote beside the body.
    pub attributes: Vec<Attribute>,
    /// The group that shares a fair queue with others.
    pub group: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<Arc<Trace>>,
}

/// A message attribute, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// `String`, `Number` or `Binary`, perhaps with a label of the sender's behind it.
    pub kind: String,
    /// What it says.
    pub value: Value,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, or a number in digits.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Taken {
    /// What an attribute of this name says, if it is a text.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let attribute = self.attributes.iter().find(|attribute| attribute.name == name)?;
        match &attribute.value {
            Value::Text(text) => Some(text),
            Value::Bytes(_) => None,
        }
    }
}

/// The port to such a queue.
pub trait Backlog {
    /// Takes some, at most ten. None: nothing is there that is not hidden.
    ///
    /// # Errors
    ///
    /// [`BacklogError`].
    fn take(&self) -> impl Future<Output = Result<Vec<Taken>, BacklogError>> + Send;

    /// Removes one for good.
    ///
    /// # Errors
    ///
    /// [`BacklogError`]: it is there or it is not.
    fn remove(&self, taken: &Taken) -> impl Future<Output = Result<(), BacklogError>> + Send;

    /// Shows one to others again, at once.
    ///
    /// # Errors
    ///
    /// [`BacklogError`]: it shows when its time is over.
    fn give_back(&self, taken: &Taken) -> impl Future<Output = Result<(), BacklogError>> + Send;

    /// Puts the same message on another queue: body, attributes and group.
    ///
    /// # Errors
    ///
    /// [`BacklogError`]: it is there or it is not.
    fn copy_to(
        &self,
        queue_url: &str,
        taken: &Taken,
    ) -> impl Future<Output = Result<(), BacklogError>> + Send;
}

/// A queue did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("the queue did not {what}")]
pub struct BacklogError {
    /// What it was asked to do.
    pub what: &'static str,
    /// What it said.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}
