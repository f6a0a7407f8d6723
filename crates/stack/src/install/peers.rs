//! What sendonce is compared with. No test needs it: `cargo xtask conformance --against` does.

use std::path::PathBuf;

use super::{InstallError, brought, python};

/// The packages and their versions, the file that `pip` is given.
const POST_OFFICE: &str = include_str!("../../tools/post-office.txt");

/// django-post_office, with Django, a driver for MySQL and django-ses.
#[derive(Debug, Clone)]
pub struct PostOfficeTool {
    /// The environment's `python`; commands are run with `-m django`.
    pub python: PathBuf,
}

impl PostOfficeTool {
    /// The version of one of its packages, as it is pinned; `None`: there is no such package.
    #[must_use]
    pub fn version(package: &str) -> Option<&'static str> {
        let pinned = |line: &'static str| line.split_once("==").filter(|(name, _)| *name == package);
        POST_OFFICE.lines().find_map(pinned).map(|(_, version)| version)
    }
}

/// django-post_office, pinned by `tools/post-office.txt`.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed, for want of a network, say.
pub fn post_office() -> Result<PostOfficeTool, InstallError> {
    let bin = python::environment("post-office", POST_OFFICE)?;
    Ok(PostOfficeTool { python: brought(bin.join("python"), "django-post_office")? })
}
