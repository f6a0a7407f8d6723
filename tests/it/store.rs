//! The table, on a real server.

mod claim;
mod connection;
mod lanes;
mod literal;
mod record;
mod transitions;
