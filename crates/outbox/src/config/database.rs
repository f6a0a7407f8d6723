//! Where the database is and who logs in, for every part that has one.

use std::{path::PathBuf, sync::Arc};

use super::{Reader, Variables};
use crate::{
    credentials::{Secret, SecretArn, Tokens},
    store::{Carries, Database, DatabaseConfig, Tls},
};

/// Where a layer or the deployment package puts the RDS trust store's `global-bundle.pem`.
const DEFAULT_CA_FILE: &str = "/var/task/rds-global-bundle.pem";

/// Where user and password come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auth {
    /// Both stand in `DATABASE_URL`.
    Url,
    /// Both stand in the secret `DATABASE_SECRET_ARN`.
    Secret,
    /// The user stands in `DATABASE_URL`; for a password it has tokens of RDS.
    Iam,
}

impl Auth {
    fn carries(self) -> Carries {
        match self {
            Self::Url => Carries::UserAndPassword,
            Self::Secret => Carries::Nobody,
            Self::Iam => Carries::User,
        }
    }
}

/// Which database, and how it is reached; `None` when that is wrong or missing.
///
/// Only what asks AWS for the password needs credentials of AWS.
pub(super) fn read<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<Database> {
    let auth = auth(reader);
    let tls = tls(reader);
    if auth == Some(Auth::Iam) && tls == Some(Tls::Off) {
        reader.problem(
            "DATABASE_TLS must be verify with DATABASE_AUTH=iam: the server is told the token in clear",
        );
    }
    // Everything is looked at even where something else is wrong: every problem is reported at once.
    let config = address(reader, auth.map_or(Carries::UserAndPassword, Auth::carries), tls.clone());
    match auth {
        Some(Auth::Secret) => {
            let secret = secret(reader);
            let database = Database::new(config?);
            secret.map(|secret| database.logging_in_from(Arc::new(secret)))
        }
        Some(Auth::Iam) => {
            let access = reader.aws_access();
            let config = config?;
            let tokens = Tokens::new(access?, &config);
            // It fails only without TLS, which was complained of above.
            Database::new(config).telling_in_clear_from(Arc::new(tokens)).ok()
        }
        Some(Auth::Url) | None => config.map(Database::new),
    }
    .filter(|_| auth.is_some() && tls.is_some())
}

fn auth<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<Auth> {
    match reader.text("DATABASE_AUTH").as_deref() {
        None | Some("url") => Some(Auth::Url),
        Some("secret") => Some(Auth::Secret),
        Some("iam") => Some(Auth::Iam),
        Some(_) => {
            reader.problem("DATABASE_AUTH must be url, secret or iam");
            None
        }
    }
}

fn address<V: Variables + ?Sized>(
    reader: &mut Reader<'_, V>,
    carries: Carries,
    tls: Option<Tls>,
) -> Option<DatabaseConfig> {
    let url = reader.required("DATABASE_URL", carries.example())?;
    match DatabaseConfig::parse_carrying(&url, carries, tls.unwrap_or(Tls::Off)) {
        Ok(config) => Some(config),
        Err(error) => {
            reader.problem(format!("DATABASE_URL {error}"));
            None
        }
    }
}

fn secret<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<Secret> {
    const EXAMPLE: &str = "arn:aws:secretsmanager:region:account:secret:name";
    let arn = reader.required("DATABASE_SECRET_ARN", EXAMPLE).and_then(|text| {
        let arn = SecretArn::parse(&text);
        if arn.is_none() {
            // Not quoted: it may be the secret itself.
            reader.problem(format!("DATABASE_SECRET_ARN must be {EXAMPLE}"));
        }
        arn
    });
    let endpoint = reader.endpoint("AWS_ENDPOINT_URL_SECRETS_MANAGER");
    let access = reader.aws_access();
    Some(Secret::new(&access?, endpoint.as_deref(), arn?))
}

fn tls<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<Tls> {
    let ca_file = reader.text("DATABASE_CA_FILE").map(PathBuf::from);
    match reader.text("DATABASE_TLS").as_deref() {
        Some("off") => Some(Tls::Off),
        None | Some("verify") => {
            let ca_file = ca_file.unwrap_or_else(|| PathBuf::from(DEFAULT_CA_FILE));
            // sqlx reads it at every connect: better to say now that it cannot.
            if let Err(error) = std::fs::File::open(&ca_file) {
                reader.problem(format!(
                    "DATABASE_CA_FILE {} cannot be read ({error}): it is the PEM bundle that the database's \
                     certificate is verified against (DATABASE_TLS=off for plaintext)",
                    ca_file.display()
                ));
                return None;
            }
            Some(Tls::Verify { ca_file })
        }
        Some(_) => {
            reader.problem("DATABASE_TLS must be verify or off".to_owned());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Reader, read};

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:sendonce/feedback";
    const CREDENTIALS: [(&str, &str); 3] =
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hush")];
    /// Any file that can be opened: nobody connects.
    const CA_FILE: (&str, &str) = ("DATABASE_CA_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));

    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        let mut reader = Reader::of(variables);
        let database = read(&mut reader);
        match reader.finish_with(database) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().to_vec(),
        }
    }

    fn with<'a>(all: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [all, more].concat()
    }

    #[test]
    fn each_way_in_needs_its_own_and_no_more() {
        let none: [String; 0] = [];
        let url = [("DATABASE_URL", "mysql://mail:hush@db/shop"), CA_FILE];
        assert_eq!(problems(&url), none);
        let secret = with(
            &CREDENTIALS,
            &[
                ("DATABASE_URL", "mysql://db/shop"),
                ("DATABASE_AUTH", "secret"),
                ("DATABASE_SECRET_ARN", ARN),
                CA_FILE,
            ],
        );
        assert_eq!(problems(&secret), none);
        let iam = with(
            &CREDENTIALS,
            &[("DATABASE_URL", "mysql://mail@db/shop"), ("DATABASE_AUTH", "iam"), CA_FILE],
        );
        assert_eq!(problems(&iam), none);
        for (variables, count) in [(&secret[3..], 3), (&iam[3..], 3)] {
            let problems = problems(variables);
            assert_eq!(problems.len(), count, "{problems:#?}");
            for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
                assert!(problems.iter().any(|problem| problem.starts_with(name)), "{name}: {problems:#?}");
            }
        }
    }

    #[test]
    fn a_token_is_never_told_without_tls() {
        let iam = with(
            &CREDENTIALS,
            &[("DATABASE_URL", "mysql://mail@db/shop"), ("DATABASE_AUTH", "iam"), ("DATABASE_TLS", "off")],
        );
        let problems = problems(&iam);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].starts_with("DATABASE_TLS must be verify"), "{problems:#?}");
    }

    #[test]
    fn every_wrong_variable_is_named_at_once_and_none_is_quoted() {
        let secret = problems(&[
            ("DATABASE_AUTH", "secret"),
            ("DATABASE_URL", "mysql://mail:hunter2@db/shop"),
            ("DATABASE_SECRET_ARN", r#"{"username":"mail","password":"hunter2"}"#),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "localhost"),
            ("DATABASE_TLS", "perhaps"),
        ]);
        for name in [
            "DATABASE_URL has a password",
            "DATABASE_SECRET_ARN",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "DATABASE_TLS",
        ] {
            assert!(secret.iter().any(|problem| problem.starts_with(name)), "{name}: {secret:#?}");
        }
        let iam = problems(&[("DATABASE_AUTH", "iam"), ("DATABASE_URL", "mysql://mail:hunter2@db/shop")]);
        for name in ["DATABASE_URL has a password", "DATABASE_CA_FILE", "AWS_REGION"] {
            assert!(iam.iter().any(|problem| problem.starts_with(name)), "{name}: {iam:#?}");
        }
        let other = problems(&[("DATABASE_AUTH", "kerberos"), ("DATABASE_URL", "mysql://db/shop")]);
        assert!(
            other.iter().any(|problem| problem == "DATABASE_AUTH must be url, secret or iam"),
            "{other:#?}"
        );
        for problem in [secret, iam, other].concat() {
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
