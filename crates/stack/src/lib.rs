//! The local stack: what the tests, the demo and the benchmark stand on.
//!
//! Real servers wherever they run here: [`database`] (MariaDB, Oracle's MySQL), [`rabbitmq`], [`ministack`] (SQS, Lambda,
//! CloudFormation), [`inbox`] (a page that shows what was sent). They are child processes on free ports of 127.0.0.1,
//! keep everything in a temporary folder, and end with their parent however it ends ([`supervisor`]). What a machine
//! lacks is installed by [`install`].
//!
//! Stand-ins only for what cannot run here or must be made to fail: [`ses`], a strict SES with scripted faults;
//! [`runtime_api`], a Lambda Runtime API that steps, freezes and kills; [`lambda`], Lambda's `Invoke` in front of it;
//! [`secrets`], a Secrets Manager that can fail; [`rds`], which asks a client for its token; [`proxy`], which counts and
//! cuts.

mod certificate;
pub mod database;
pub mod deploy;
pub mod front;
pub mod gate;
mod http1;
pub mod inbox;
pub mod install;
pub mod lambda;
mod listen;
pub mod ministack;
pub mod proxy;
pub mod rabbitmq;
pub mod rds;
pub mod runtime_api;
pub mod secrets;
pub mod ses;
pub mod supervisor;
