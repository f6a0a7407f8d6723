//! The environment, read once into typed structs that report every problem at once, by variable name.
//!
//! One struct a part, each in a file of its own. How a variable is read is `doorbell::config`'s to know, which serves
//! what may not reach a database; here stands what does.

mod database;
mod dispatch;
mod feedback;
mod metrics;
mod migrate;
mod operator;
mod rabbitmq;
mod sweep;

use doorbell::config::Reader;
pub use doorbell::config::{ConfigError, ProcessEnvironment, Variables};

pub use self::{
    dispatch::{DispatchConfig, SendPolicy},
    feedback::FeedbackConfig,
    metrics::stack_name,
    migrate::MigrateConfig,
    operator::OperatorConfig,
    rabbitmq::RabbitmqConfig,
    sweep::SweepConfig,
};
