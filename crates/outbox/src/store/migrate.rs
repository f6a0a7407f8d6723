//! Applying `infra/migrations`. Runs at deploy time and in tests, never in an invocation.

use std::path::Path;

use sqlx::migrate::Migrator;

use super::Session;

/// The schema could not be brought up to date. The message is the server's: it speaks of the schema, not of a row.
#[derive(Debug, thiserror::Error)]
#[error("the schema could not be migrated: {0}")]
pub struct MigrateError(#[from] sqlx::migrate::MigrateError);

impl Session {
    /// Applies, in order, every file of `folder` that was not applied yet. Two at once are safe: the second waits on a
    /// named lock.
    ///
    /// # Errors
    ///
    /// [`MigrateError`] when the folder cannot be read, a file changed after it was applied, or a statement failed.
    pub async fn migrate(&mut self, folder: &Path) -> Result<(), MigrateError> {
        Migrator::new(folder).await?.run(&mut self.connection).await?;
        Ok(())
    }
}
