//! What the sweep needs to know.

use std::time::Duration;

use super::{ConfigError, DispatchConfig, Reader, Variables, dispatch};
use crate::store::SweepRules;

/// Everything that `functions/sweep` needs: what sending needs, since it sends where no queue can be rung, and its rules.
#[derive(Debug)]
pub struct SweepConfig {
    /// Database, SES, queues, and what a send goes by.
    pub dispatch: DispatchConfig,
    /// By what a row counts as overdue.
    pub rules: SweepRules,
}

impl SweepConfig {
    /// Reads the environment and builds the clients.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every wrong or missing variable.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        let mut reader = Reader::of(variables);
        let rules = rules(&mut reader);
        let config = dispatch::read(&mut reader).map(|dispatch| Self { dispatch, rules });
        reader.finish_with(config)
    }
}

/// By what a row counts as overdue; also what `sendonce sweep --dry-run` goes by.
pub(super) fn rules<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> SweepRules {
    let resend_by_default = match reader.text("ON_UNKNOWN").as_deref() {
        None => SweepRules::DEFAULT.resend_by_default,
        Some("hold") => false,
        Some("resend") => true,
        Some(_) => {
            reader.problem("ON_UNKNOWN must be hold or resend".to_owned());
            false
        }
    };
    let SweepRules { unknown_wait, max_resends, max_age, .. } = SweepRules::DEFAULT;
    let mut seconds = |name, default: Duration, least, most| {
        Duration::from_secs(reader.number(name, default.as_secs(), least, most))
    };
    SweepRules {
        resend_by_default,
        unknown_wait: seconds("UNKNOWN_WAIT_S", unknown_wait, 1, 2_592_000),
        max_age: seconds("MAX_AGE_S", max_age, 3_600, 315_360_000),
        max_resends: u32::try_from(reader.number("MAX_RESENDS", max_resends.into(), 0, 100)).unwrap_or(1),
        urgent_has_queue: reader.text("URGENT_QUEUE_URL").is_some(),
        bulk_has_queue: reader.text("BULK_QUEUE_URL").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::SweepConfig;

    #[test]
    fn what_is_wrong_with_either_part_is_named_at_once() {
        let variables: [(&str, &str); 4] =
            [("ON_UNKNOWN", "ask"), ("MAX_RESENDS", "-1"), ("MAX_AGE_S", "1"), ("DATABASE_TLS", "off")];
        let error = SweepConfig::from_variables(&variables[..]).expect_err("much is wrong");
        for name in ["ON_UNKNOWN", "MAX_RESENDS", "MAX_AGE_S", "DATABASE_URL", "AWS_REGION"] {
            assert!(error.problems().iter().any(|problem| problem.starts_with(name)), "{name}: {error}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_design() {
        let variables: [(&str, &str); 6] = [
            ("DATABASE_URL", "mysql://mail:secret@db.internal/shop"),
            ("DATABASE_TLS", "off"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "hush"),
            ("BULK_QUEUE_URL", "https://sqs.example/1/bulk"),
        ];
        let rules = SweepConfig::from_variables(&variables[..]).expect("all is well").rules;
        assert_eq!((rules.resend_by_default, rules.max_resends), (false, 1));
        assert_eq!(rules.unknown_wait, Duration::from_mins(10));
        assert_eq!(rules.max_age, Duration::from_hours(7 * 24));
        assert_eq!((rules.urgent_has_queue, rules.bulk_has_queue), (false, true));
    }
}
