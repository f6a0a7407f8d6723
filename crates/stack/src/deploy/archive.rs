//! The archive in which Lambda takes a function's code.

use std::io::{Cursor, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, ZipWriter, result::ZipError, write::SimpleFileOptions};

/// A zip archive with one file, `bootstrap`, which may be executed. Nothing is compressed: it stays on this machine.
#[derive(Debug, Clone)]
pub struct Archive {
    bytes: Bytes,
    sha256: String,
}

/// The archive could not be made: the file is over 4 GB.
#[derive(Debug, thiserror::Error)]
#[error("the function cannot be put into a zip archive")]
pub struct ArchiveError(#[from] ZipError);

impl Archive {
    /// Packs the executable of a function.
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
