//! The one place that turns values into SQL text.
//!
//! [`Sql`] accepts program text only as `&'static str`, and values only as integers and hexadecimal literals. There is
//! nothing to escape, whatever the connection's character set or the server's `sql_mode`, so nothing can be injected. The one
//! name that is not program text is a database's: [`DatabaseName`] has no character that could end it.
//! Why not placeholders: docs/decisions/0002-literal-writer.md.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// The name of a database, of characters that mean the same in any character set and cannot leave their backticks.
#[derive(Debug, Clone)]
pub(super) struct DatabaseName(String);

impl DatabaseName {
    /// `None`: it has another character than ASCII's letters and digits, `_`, `-`, `$` and `%`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-$%".contains(&byte);
        (!name.is_empty() && name.bytes().all(is_plain)).then(|| Self(name.to_owned()))
    }
}

/// SQL text under construction.
#[derive(Debug, Default)]
pub(super) struct Sql(String);

impl Sql {
    /// Begins with program text.
    pub(super) fn new(program: &'static str) -> Self {
        let mut sql = Self(String::with_capacity(2048));
        sql.0.push_str(program);
        sql
    }

    /// Appends program text.
    pub(super) fn push(mut self, program: &'static str) -> Self {
        self.0.push_str(program);
        self
    }

    /// Appends an integer.
    pub(super) fn integer(mut self, value: impl Into<i128>) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{}", value.into());
        self
    }

    /// Appends text (JSON too) as `_utf8mb4 x'…'`.
    pub(super) fn text(mut self, value: &str) -> Self {
        self.0.push_str("_utf8mb4 ");
        self.hexadecimal(value.as_bytes())
    }

    /// Appends text, or NULL.
    pub(super) fn nullable_text(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(value),
            None => self.push("NULL"),
        }
    }

    /// Appends bytes as `x'…'`.
    pub(super) fn bytes(self, value: &[u8]) -> Self {
        self.hexadecimal(value)
    }

    /// Appends a database's name.
    pub(super) fn database(mut self, name: &DatabaseName) -> Self {
        for part in ["`", &name.0, "`"] {
            self.0.push_str(part);
        }
        self
    }

    /// Appends a database's name where it is a pattern: before the `.*` of a `GRANT`.
    pub(super) fn database_pattern(self, name: &DatabaseName) -> Self {
        self.database(&DatabaseName(name.0.replace('_', "\\_").replace('%', "\\%")))
    }

    /// The text itself, for a migration: its file was there when this was compiled.
    pub(super) fn into_text(self) -> SqlStr {
        self.into_sql_str()
    }

    /// Appends another text's statements, when there are any.
    pub(super) fn append(mut self, other: Option<Self>) -> Self {
        if let Some(other) = other {
            self.0.push_str(&other.0);
        }
        self
    }

    fn hexadecimal(mut self, bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.0.reserve(bytes.len() * 2 + 3);
        self.0.push_str("x'");
        for byte in bytes {
            self.0.push(char::from(DIGITS[usize::from(byte >> 4)]));
            self.0.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        self.0.push('\'');
        self
    }
}

/// What lets the text reach the server, and the only such promise in the module: `tests/it/architecture.rs` sees to it.
impl SqlSafeStr for Sql {
    fn into_sql_str(self) -> SqlStr {
        AssertSqlSafe(self.0).into_sql_str()
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseName, Sql};

    #[test]
    fn values_cannot_leave_their_literal() {
        let sql = Sql::new("SELECT ")
            .text("a' OR 1=1 -- \\")
            .push(", ")
            .integer(-7_i64)
            .push(", ")
            .nullable_text(None);
        assert_eq!(sql.0, "SELECT _utf8mb4 x'6127204f5220313d31202d2d205c', -7, NULL");
    }

    #[test]
    fn a_databases_name_cannot_leave_its_backticks() {
        let name = DatabaseName::parse("my_shop-100%").expect("it is plain");
        let sql = Sql::new("").database(&name).push(" ").database_pattern(&name);
        assert_eq!(sql.0, r"`my_shop-100%` `my\_shop-100\%`");
        for other in ["", "a`b", r"a\b", "a.b", "a b", "a\0", "caf\u{e9}"] {
            assert!(DatabaseName::parse(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn empty_text_is_a_literal_too() {
        assert_eq!(Sql::new("").text("").0, "_utf8mb4 x''");
    }
}
