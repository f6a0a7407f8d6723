//! Every row of the state table that a doorbell can lead to: real table, strict SES, one connection.

mod batches;
mod faults;
mod outcomes;
mod rows;
mod waiting;
