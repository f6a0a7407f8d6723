//! Users and passwords of the database that are not written in `DATABASE_URL`: the adapter to what AWS knows of them.
//!
//! [`Secret`] is a secret of Secrets Manager, read at the first connect of an environment and again when the database no
//! longer takes what it held. [`Tokens`] are those of RDS, made here for each connect. The store knows both by its port,
//! [`LoginSource`](crate::store::LoginSource); nothing else names the libraries behind them. No value of theirs is in any
//! error, any log line or any `Debug` output. See docs/decisions/0014-database-credentials.md.

mod call;
mod error;
mod secret;
mod token;

pub use self::{
    error::{CannotSign, SecretError},
    secret::{Secret, SecretArn},
    token::Tokens,
};
