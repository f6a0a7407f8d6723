//! Where the database is, for every part that has one.

use std::path::PathBuf;

use super::{Reader, Variables};
use crate::store::{Database, DatabaseConfig, Tls};

/// Where a layer or the deployment package puts the RDS trust store's `global-bundle.pem`.
const DEFAULT_CA_FILE: &str = "/var/task/rds-global-bundle.pem";

/// Which database, and how it is reached; `None` when that is wrong or missing.
pub(super) fn read<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<Database> {
    let auth = reader.text("DATABASE_AUTH").unwrap_or_else(|| "url".to_owned());
    match auth.as_str() {
        "url" => {}
        "secret" | "iam" => reader.problem(format!(
            "DATABASE_AUTH={auth} is not supported by this version: use url, with the password in DATABASE_URL"
        )),
        _ => reader.problem("DATABASE_AUTH must be url".to_owned()),
    }
    let tls = tls(reader);
    let url = reader.required("DATABASE_URL", "mysql://user:password@host:3306/name")?;
    // The URL is looked at even where the other two are wrong: every problem is reported at once.
    match DatabaseConfig::parse(&url, tls.clone().unwrap_or(Tls::Off)) {
        Ok(config) => tls.map(|_| Database::new(config)),
        Err(error) => {
            reader.problem(format!("DATABASE_URL {error}"));
            None
        }
    }
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
