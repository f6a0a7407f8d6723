//! The table: the only module that names `sqlx`.
//!
//! [`Database`] knows how to reach the server; [`Session`] is the one connection of an invocation. Every statement goes
//! over the text protocol in one packet (a bound query would cost a second round trip, and pin a session on RDS Proxy),
//! built by the one literal writer. A session ends with COM_QUIT when [`Session::close`] is awaited, and it is
//! awaited on every path; dropping one is what the server counts as an aborted client.
//!
//! Round trips after the TCP connection and the server's greeting: 3 in plaintext (log in, claim, record), 4 with TLS
//! (5 on MySQL, whose `caching_sha2_password` takes one more).

mod claim;
mod column;
mod connection;
mod error;
mod event;
mod history;
mod lane;
mod literal;
mod postpone;
mod record;
mod relay;
mod sweep;

pub mod migrate;
pub mod operator;

pub use claim::{Claim, ClaimRequest, Claimed, NotClaimed, Pace, Place};
pub use connection::{
    Carries, ClearTextNeedsTls, Database, DatabaseConfig, InvalidDatabaseUrl, Login, LoginSource, NoLogin,
    Pending, Session, Tls,
};
pub use error::StoreError;
pub use event::{Event, Followed, Meaning};
pub use postpone::Postpone;
pub use record::{LaneReport, Record, Verdict};
pub use sweep::{Chore, Chored, Overdue, Part, Survey, SweepRules};
