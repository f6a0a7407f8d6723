//! The life of an email, from its row in MySQL to its acceptance by Amazon SES.
//!
//! Pure modules know no I/O: [`email`] (what a row must be to become an email), [`state`] (states and legal
//! transitions), [`retry`] (when to try again), [`budget`] (how many connections at a time). Adapters each own one library:
//! [`store`] alone names `sqlx`, [`ses`] alone names `aws_sdk_sesv2`, [`credentials`] alone names what tells
//! or makes a login. Ports are plain traits: [`mailer`] is what a use case needs of a provider. Use cases
//! ([`dispatch`], [`sweep`], [`feedback`], [`operator`], [`redrive`]) know the store and the ports, never another adapter.
//! `tests/it/architecture.rs` asserts this.

// Also for what may not reach a database, so it stands below.
pub use doorbell::{deadline, telemetry};

pub mod budget;
pub mod change;
pub mod config;
pub mod credentials;
pub mod dispatch;
pub mod email;
pub mod feedback;
mod line;
pub mod mailer;
pub mod measure;
pub mod meter;
pub mod operator;
pub mod redrive;
pub mod retry;
pub mod ses;
pub mod state;
pub mod store;
pub mod sweep;
