//! Whose metrics these are.

use super::{Reader, Variables};

/// The name of the deployment (`STACK_NAME`), by which its metrics are told from others'; `None`: nothing is measured.
#[must_use]
pub fn stack_name(variables: &(impl Variables + ?Sized)) -> Option<String> {
    Reader::of(variables).text("STACK_NAME")
}
