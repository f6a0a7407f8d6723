//! What a proxy is told to do, and where.

use crate::gate::Gate;

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A reset (RST): both sides get an error at once.
    Reset,
    /// An orderly close (FIN): both sides read an end of file.
    Close,
}

/// A place in a connection. Flights count from 0: the first data a client sends is flight 0, whether or not the
/// server has greeted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The client flight has arrived and has not been passed on.
    Request(usize),
    /// The server has begun to answer the flight and nothing of that has been passed on.
    Answer(usize),
}

/// Which connections a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The next one accepted, once.
    Next,
    /// The one accepted after so many others from now, once: `Nth(0)` is `Next`.
    Nth(u64),
    /// Every one accepted from now on, each time.
    Every,
}

/// What happens at a [`Point`].
#[derive(Clone, Debug)]
pub enum Action {
    /// The connection is cut, both ways. At an answer the rest of it is awaited first, so that the server has
    /// done all it was asked to: an answer counts as whole after a short quiet.
    Cut(How),
    /// From here on everything is swallowed; the connection stays open, as if the network were gone.
    Stall,
    /// What has arrived is held until the gate is released.
    Hold(Gate),
}

#[derive(Debug)]
struct Rule {
    first: u64,
    once: bool,
    point: Point,
    action: Action,
}

/// The scripts not used up yet.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    /// Adds a script; `accepted` is how many connections there have been.
    pub(super) fn add(&mut self, accepted: u64, on: On, point: Point, action: Action) {
        let (first, once) = match on {
            On::Next => (accepted, true),
            On::Nth(skipped) => (accepted + skipped, true),
            On::Every => (accepted, false),
        };
        self.0.push(Rule { first, once, point, action });
    }

    /// What connection `id` must do at `point`, in the order it was scripted.
    pub(super) fn take(&mut self, id: u64, point: Point) -> Vec<Action> {
        let mut actions = Vec::new();
        self.0.retain(|rule| {
            let here = rule.point == point && if rule.once { rule.first == id } else { rule.first <= id };
            if here {
                actions.push(rule.action.clone());
            }
            !(here && rule.once)
        });
        actions
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, How, On, Point, Rules};

    #[test]
    fn scripts_fire_where_and_as_often_as_they_say() {
        let mut rules = Rules::default();
        rules.add(5, On::Nth(1), Point::Request(2), Action::Stall);
        rules.add(5, On::Every, Point::Answer(0), Action::Cut(How::Reset));
        assert_eq!(rules.take(5, Point::Request(2)).len(), 0, "one connection too early");
        assert_eq!(rules.take(6, Point::Request(2)).len(), 1);
        assert_eq!(rules.take(6, Point::Request(2)).len(), 0, "used up");
        assert_eq!(rules.take(4, Point::Answer(0)).len(), 0, "accepted before the script");
        assert_eq!(rules.take(7, Point::Answer(0)).len(), 1);
        assert_eq!(rules.take(8, Point::Answer(0)).len(), 1);
    }
}
