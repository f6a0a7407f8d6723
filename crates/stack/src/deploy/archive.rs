//! The archive in which Lambda takes a function's code.

use std::{
    fs,
    io::{Cursor, Write as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, ZipWriter, result::ZipError, write::SimpleFileOptions};

/// A zip archive. Nothing is compressed: it stays on this machine.
#[derive(Debug, Clone)]
pub struct Archive {
    bytes: Bytes,
    sha256: String,
}

/// The archive could not be made: a file is over 4 GB, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be put into a zip archive")]
pub struct ArchiveError(#[from] ZipError);

impl Archive {
    /// Packs the executable of a function, as `bootstrap`.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub fn of_function(executable: &[u8]) -> Result<Self, ArchiveError> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(executable.len() + 1024)));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .unix_permissions(0o755);
        zip.start_file("bootstrap", options)?;
        zip.write_all(executable).map_err(ZipError::from)?;
        Self::finish(zip)
    }

    /// Packs what is in a folder, as the content of a layer.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub fn of_folder(folder: &Path) -> Result<Self, ArchiveError> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        add(&mut zip, folder, "")?;
        Self::finish(zip)
    }

    fn finish(zip: ZipWriter<Cursor<Vec<u8>>>) -> Result<Self, ArchiveError> {
        let bytes = zip.finish()?.into_inner();
        let sha256 = STANDARD.encode(Sha256::digest(&bytes));
        Ok(Self { bytes: bytes.into(), sha256 })
    }

    /// The archive.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Its hash, as Lambda tells it: SHA-256 in base64.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn add(zip: &mut ZipWriter<Cursor<Vec<u8>>>, folder: &Path, prefix: &str) -> Result<(), ArchiveError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    for entry in entries.map_err(ZipError::from)? {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            add(zip, &path, &format!("{name}/"))?;
        } else {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file(name, options)?;
            zip.write_all(&fs::read(path).map_err(ZipError::from)?).map_err(ZipError::from)?;
        }
    }
    Ok(())
}
