//! Bringing the schema up to date: the store's part on a real database, and the real binary of `migrate` between
//! CloudFormation's requests and the place that takes its answers.

mod connections;
mod desk;
mod function;
mod store;
mod users;

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use outbox::store::migrate::Migrations;
use sha2::{Digest as _, Sha256};
use stack::{database::migrations_folder, install::workspace};

/// Longer than any migration of an empty database takes.
fn plenty() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// The files of `infra/migrations`, in order.
fn files() -> Vec<String> {
    let entries = fs::read_dir(migrations_folder()).expect("the folder");
    let names: BTreeSet<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.into_iter().collect()
}

/// The binary brings along what the folder has, and the template's number makes CloudFormation ask for it.
#[test]
fn the_binary_and_the_template_know_the_latest_migration() {
    let embedded = Migrations::embedded();
    assert_eq!(embedded.names().collect::<Vec<_>>(), files());
    let name = files().pop().expect("a migration");
    let latest: i64 = name.split('_').next().and_then(|number| number.parse().ok()).expect("a number");
    assert_eq!(embedded.latest(), latest);
    let template = fs::read_to_string(workspace().join("template.yaml")).expect("the template");
    let line = format!("\n      SchemaVersion: {latest}\n");
    assert!(template.contains(&line), "template.yaml has another SchemaVersion than {latest}");
}

/// A right that a release adds is given, although CloudFormation does not see into the code.
#[test]
fn the_template_knows_the_rights() {
    let rights = fs::read(workspace().join("infra/grants.sql")).expect("the rights");
    let digits =
        Sha256::digest(rights).iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let template = fs::read_to_string(workspace().join("template.yaml")).expect("the template");
    let line = format!("\n      Rights: \"{digits:016x}\"\n");
    assert!(
        template.contains(&line),
        "infra/grants.sql has changed: template.yaml has to say Rights: \"{digits:016x}\""
    );
}
