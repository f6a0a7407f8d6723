//! One binary for every test that needs a real server: they share the servers, and each has a database of its own.

#![recursion_limit = "256"]

mod architecture;
mod auth;
mod bridge;
mod cli;
mod conformance;
mod dispatch;
mod docs;
mod feedback;
mod function;
mod grants;
mod infra;
mod migrate;
mod old_failures;
mod peers;
mod rabbitmq;
mod stage;
mod store;
mod sweep;
mod telemetry;
mod template;
mod tools;
mod world;
