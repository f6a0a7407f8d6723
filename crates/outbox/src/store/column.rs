//! Reading the columns of an answer: one way for every statement.

use std::time::Duration;

use sqlx::{Row as _, mysql::MySqlRow};

use super::StoreError;

/// A column by its name; an answer of another shape than was asked for is [`StoreError::Protocol`].
pub(super) fn get<'r, T>(row: &'r MySqlRow, column: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    row.try_get(column).map_err(StoreError::Protocol)
}

/// A count, which the server hands out as a signed number.
pub(super) fn unsigned(signed: i64) -> u64 {
    u64::try_from(signed).unwrap_or(0)
}

/// A distance in microseconds; none at all when it is negative.
pub(super) fn micros(signed: i64) -> Duration {
    Duration::from_micros(unsigned(signed))
}
