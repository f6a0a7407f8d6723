//! How many connections a deployment may hold at the same time, against what it was given: checked at deploy, since a rule
//! of CloudFormation cannot add.
//!
//! The numbers are properties of the custom resource that `functions/migrate` answers: `DatabaseMaxConnections`, and
//! `Connections`, from a name to the most connections behind it. CloudFormation hands every number over as text.

use serde_json::Value;

const MOST: &str = "DatabaseMaxConnections";
const PARTS: &str = "Connections";

/// What a deployment was given, which is enough for all that it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    most: u64,
    is_raised: bool,
}

/// Why a deploy is refused, in a sentence for whoever deploys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// A property is no whole number.
    #[error("the property {0} is not a whole number")]
    NoNumber(String),
    /// There is a limit, and nothing to hold against it.
    #[error("the property {MOST} is given, and {PARTS} is not an object that names what it is for")]
    NoParts,
    /// The functions may hold more than there is.
    #[error(
        "the functions may hold {sum} connections at the same time ({}), and {MOST} is {most}: lower one of them, or raise it",
        .parts.iter().map(|(name, number)| format!("{name} {number}")).collect::<Vec<_>>().join(" + ")
    )]
    Exceeded {
        /// All together.
        sum: u64,
        /// Each, the largest first.
        parts: Vec<(String, u64)>,
        /// What there is.
        most: u64,
    },
}

impl Budget {
    /// Reads a request's properties, and those from before where it is an update; `None`: nobody asked for a check.
    ///
    /// # Errors
    ///
    /// [`BudgetError`]. Never for properties that were accepted before, so that no rollback to them is refused.
    pub fn of(properties: &Value, before: &Value) -> Result<Option<Self>, BudgetError> {
        let most = limit(properties)?;
        if most == 0 {
            return Ok(None);
        }
        let parts = properties.get(PARTS).and_then(Value::as_object).ok_or(BudgetError::NoParts)?;
        let number = |(name, value): (&String, &Value)| {
            let number = whole(value).ok_or_else(|| BudgetError::NoNumber(format!("{PARTS}.{name}")))?;
            Ok((name.clone(), number))
        };
        let mut parts = parts.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let sum = parts.iter().fold(0, |sum: u64, (_, number)| sum.saturating_add(*number));
        if sum > most {
            parts.retain(|(_, number)| *number > 0);
            parts.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
            return Err(BudgetError::Exceeded { sum, parts, most });
        }
        // What was not checked before is as good as nothing.
        let is_raised = limit(before).unwrap_or(0) < most;
        Ok(Some(Self { most, is_raised }))
    }

    /// What the deployment was given.
    #[must_use]
    pub const fn most(self) -> u64 {
        self.most
    }

    /// What the server has to have room for, or the deploy is refused: only more than before. As much or less may be a
    /// rollback, and the server may have become smaller since.
    #[must_use]
    pub fn to_insist_on(self) -> Option<u64> {
        self.is_raised.then_some(self.most)
    }
}

fn limit(properties: &Value) -> Result<u64, BudgetError> {
    match properties.get(MOST) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => whole(value).ok_or_else(|| BudgetError::NoNumber(MOST.to_owned())),
    }
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Budget, BudgetError};

    fn properties(most: &Value) -> Value {
        let connections = json!({
            "UrgentMaximumConcurrency": "10", "BulkMaximumConcurrency": "5", "FeedbackMaximumConcurrency": "2",
            "RabbitmqBridgeInvocations": "0", "sweep": "2", "migrate": 1,
        });
        json!({ "SchemaVersion": "2", "DatabaseMaxConnections": most, "Connections": connections })
    }

    fn created(properties: &Value) -> Result<Option<Budget>, BudgetError> {
        Budget::of(properties, &Value::Null)
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_arithmetic() {
        let error = created(&properties(&json!("19"))).expect_err("one too few");
        assert_eq!(
            error.to_string(),
            "the functions may hold 20 connections at the same time (UrgentMaximumConcurrency 10 + BulkMaximumConcurrency 5 + \
             FeedbackMaximumConcurrency 2 + sweep 2 + migrate 1), and DatabaseMaxConnections is 19: lower one of them, or \
             raise it"
        );
        let fits = created(&properties(&json!("20"))).expect("just enough").expect("checked");
        assert_eq!((fits.most(), fits.to_insist_on()), (20, Some(20)));
        let huge = json!({ "DatabaseMaxConnections": "9", "Connections": { "a": u64::MAX, "b": u64::MAX } });
        assert!(matches!(created(&huge), Err(BudgetError::Exceeded { sum: u64::MAX, .. })));
    }

    #[test]
    fn without_a_limit_nothing_is_looked_at() {
        for unchecked in [
            Value::Null,
            json!({}),
            json!({ "DatabaseMaxConnections": "0", "Connections": "?" }),
            json!({ "DatabaseMaxConnections": null, "Connections": { "sweep": "two" } }),
        ] {
            assert_eq!(created(&unchecked), Ok(None), "{unchecked}");
        }
    }

    #[test]
    fn a_number_that_cannot_be_read_is_told_by_the_propertys_name() {
        for number in [json!(""), json!("many"), json!("-1"), json!("1.5"), json!(-1), json!([]), json!(1.5)]
        {
            let error = created(&properties(&number)).expect_err("no number").to_string();
            assert_eq!(error, "the property DatabaseMaxConnections is not a whole number", "{number}");
            let part = json!({ "DatabaseMaxConnections": "9", "Connections": { "sweep": number } });
            let error = created(&part).expect_err("no number").to_string();
            assert_eq!(error, "the property Connections.sweep is not a whole number", "{number}");
        }
        for parts in [Value::Null, json!("21"), json!(["1"])] {
            let parts = json!({ "DatabaseMaxConnections": "9", "Connections": parts });
            assert_eq!(created(&parts), Err(BudgetError::NoParts), "{parts}");
        }
    }

    #[test]
    fn the_server_has_to_have_room_for_more_than_before_only() {
        let after = |before: &Value| {
            let budget = Budget::of(&properties(&json!("30")), before).expect("it fits").expect("checked");
            budget.to_insist_on()
        };
        for less in [Value::Null, json!({}), properties(&json!("29")), properties(&json!("?"))] {
            assert_eq!(after(&less), Some(30), "{less}");
        }
        for as_much in ["30", "31"] {
            assert_eq!(after(&properties(&json!(as_much))), None, "{as_much}: it may be a rollback");
        }
    }
}
