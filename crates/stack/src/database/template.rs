//! Data directories, copied from one that is made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use super::DatabaseError;
use super::options::Tool;
use crate::install::{self, InstallError};

/// Counted up when the way templates are made changes.
const LAYOUT: u32 = 1;

/// Copies the template into `target`. Blocks; a hundred megabytes at most, from the page cache.
pub(super) fn copy_to(tool: &Tool, target: &Path) -> Result<(), DatabaseError> {
    copy(&template(tool)?, target)
}

/// The data directory to copy, made if need be. Its name identifies the server's binary.
fn template(tool: &Tool) -> Result<PathBuf, DatabaseError> {
    let binary = tool.binary();
    let about = fs::metadata(binary)
        .and_then(|about| Ok((about.len(), about.modified()?)))
        .map_err(|source| DatabaseError::File { action: "look at", path: binary.into(), source })?;
    let built = about.1.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = format!("datadir{LAYOUT}-{}-{built:x}-{:x}", tool.flavor(), about.0).to_lowercase();
    let folder = install::tools_folder().join(&name);
    if folder.exists() {
        return Ok(folder);
    }
    let failed = |source| DatabaseError::Template { flavor: tool.flavor(), source };
    let _lock = install::lock(&name).map_err(failed)?;
    if folder.exists() {
        return Ok(folder);
    }
    install::say(&format!("making an empty data directory for {} (once, some seconds)", tool.flavor()));
    // Moved into place when it is whole, so that an interrupted attempt is never taken for a template.
    let partial = folder.with_extension("partial");
    install::remove_folder(&partial).map_err(failed)?;
    let (program, args) = tool.initialize(&partial);
    install::run(Command::new(program).args(args)).map_err(failed)?;
    fs::rename(&partial, &folder).map_err(|source| {
        failed(InstallError::File { action: "move into place", path: folder.clone(), source })
    })?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> Result<(), DatabaseError> {
    let failed = |path: &Path, source| DatabaseError::File { action: "copy", path: path.into(), source };
    fs::create_dir(to).map_err(|error| failed(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| failed(from, error))? {
        let entry = entry.map_err(|error| failed(from, error))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(|error| failed(&path, error))?.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(())
}
