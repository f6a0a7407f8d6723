//! Time passes by moving the table's clock: every time in it is set back, so that all of it lies further in the past.
//!
//! The columns are asked of the schema, so that one that is added later moves too.

use std::time::Duration;

use stack::database::Database;

use crate::Failure;

/// The statements that move every time of a database.
#[derive(Debug)]
pub(crate) struct Clock {
    database: Database,
    tables: Vec<(String, Vec<String>)>,
}

impl Clock {
    /// Of a database that has its schema.
    pub(crate) async fn of(database: &Database) -> Result<Self, Failure> {
        let columns = database
            .admin()
            .rows(
                "SELECT table_name, column_name FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND data_type IN ('datetime', 'timestamp') \
                 AND table_name NOT LIKE '\\_%' ORDER BY table_name, column_name",
            )
            .await?;
        let mut tables: Vec<(String, Vec<String>)> = Vec::new();
        for row in columns {
            let [Some(table), Some(column)] =
                <[_; 2]>::try_from(row).map_err(|_| "two columns were asked for")?
            else {
                continue;
            };
            match tables.last_mut() {
                Some((name, columns)) if *name == table => columns.push(column),
                _ => tables.push((table, vec![column])),
            }
        }
        Ok(Self { database: database.clone(), tables })
    }

    /// So much time passes, for everything in the table.
    pub(crate) async fn pass(&self, time: Duration) -> Result<(), Failure> {
        let seconds = time.as_secs();
        let statements: Vec<_> = self
            .tables
            .iter()
            .map(|(table, columns)| {
                let moved: Vec<_> = columns
                    .iter()
                    .map(|column| format!("`{column}` = `{column}` - INTERVAL {seconds} SECOND"))
                    .collect();
                format!("UPDATE `{table}` SET {}", moved.join(", "))
            })
            .collect();
        self.database.admin().execute(&statements.join("; ")).await?;
        Ok(())
    }
}
