//! Reading the JSON columns: an array of strings, an object of name and value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The strings of a JSON array. SQL `NULL` and JSON `null` are the empty array.
///
/// # Errors
///
/// The end of a sentence that begins with the column's name.
pub(super) fn strings(json: Option<&str>) -> Result<Vec<String>, String> {
    let wanted = "must be a JSON array of strings such as [\"Ada <ada@customer.example>\"]";
    let Some(json) = json else { return Ok(Vec::new()) };
    let value: Value =
        serde_json::from_str(json).map_err(|e| format!("{wanted}, but is not valid JSON ({})", place(&e)))?;
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        other => return Err(format!("{wanted}, but is {}", name(&other))),
    };
    let mut strings = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        match item {
            Value::String(text) => strings.push(text),
            other => return Err(format!("{wanted}, but item {} is {}", at + 1, name(&other))),
        }
    }
    Ok(strings)
}

/// The members of a JSON object in their order, names that stand twice included (MariaDB keeps them). SQL `NULL` and
/// JSON `null` are the empty object.
///
/// # Errors
///
/// The end of a sentence that begins with the column's name.
pub(super) fn members(json: Option<&str>) -> Result<Vec<(String, Value)>, String> {
    let wanted = "must be a JSON object such as {\"name\": \"value\"}";
    let Some(json) = json else { return Ok(Vec::new()) };
    match serde_json::from_str::<Option<Members>>(json) {
        Ok(members) => Ok(members.map_or_else(Vec::new, |members| members.0)),
        Err(error) => match serde_json::from_str::<Value>(json) {
            Ok(other) => Err(format!("{wanted}, but is {}", name(&other))),
            Err(_) => Err(format!("{wanted}, but is not valid JSON ({})", place(&error))),
        },
    }
}

/// What a JSON value is, in words.
pub(super) const fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
