//! Doorbells that come through RabbitMQ.
//!
//! Lambda hands them on as an event of type `aws:rmq`, and so does `bridge`. It has no partial response: an event that
//! fails comes again as a whole, for ever, and while it does nothing else comes through. So one delivery that nobody can
//! read may never fail the event: it is put aside ([`poison`]), and all others are handled.

mod delivery;
mod event;
mod loose;
pub mod poison;
pub mod relay;

pub use self::{
    delivery::{BadDelivery, Delivery, Origin, Original, Unreadable, deliveries},
    event::RabbitmqEvent,
};
