//! The files of `infra/migrations`, as they were when this was compiled, or of another folder.

use std::path::Path;

use sqlx::migrate::{Migration, MigrationType};

use super::{MigrateError, Sql};

/// A file of `infra/migrations`, which the binary brings along: a function has no repository beside it.
macro_rules! file {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../../../infra/migrations/", $name)))
    };
}

/// All of them; `tests/it/migrate.rs` compares the list with the folder.
const EMBEDDED: [(&str, &str); 2] = [file!("0001_schema.sql"), file!("0002_state_lane_due_at.sql")];

/// The migrations of a release, in order.
#[derive(Debug, Clone)]
pub struct Migrations(Vec<File>);

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) migration: Migration,
}

impl Migrations {
    /// Those that this was compiled with.
    #[must_use]
    pub fn embedded() -> Self {
        let file = |(name, text): (&str, &'static str)| {
            let (version, rest) = name.split_once('_')?;
            let description = rest.strip_suffix(".sql")?.replace('_', " ");
            let sql = Sql::new(text).into_text();
            let migration =
                Migration::new(version.parse().ok()?, description.into(), MigrationType::Simple, sql, false);
            Some(File { name: name.to_owned(), migration })
        };
        Self(EMBEDDED.into_iter().filter_map(file).collect())
    }

    /// Those of a folder.
    ///
    /// # Errors
    ///
    /// [`MigrateError::Files`].
    pub fn of_folder(folder: &Path) -> Result<Self, MigrateError> {
        let found =
            sqlx::migrate::resolve_blocking(folder).map_err(|error| MigrateError::Files(error.into()))?;
        let file = |(migration, path): (Migration, std::path::PathBuf)| File {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            migration,
        };
        Ok(Self(found.into_iter().map(file).collect()))
    }

    /// The number of the latest.
    #[must_use]
    pub fn latest(&self) -> i64 {
        self.0.iter().map(|file| file.migration.version).max().unwrap_or(0)
    }

    /// The files' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|file| file.name.as_str())
    }

    pub(super) fn files(&self) -> &[File] {
        &self.0
    }

    pub(super) fn file(&self, version: i64) -> Option<&File> {
        self.0.iter().find(|file| file.migration.version == version)
    }
}
