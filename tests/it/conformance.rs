//! The crash conformance kit in its short form: every step, every world, all kinds of events, both policies.
//!
//! `cargo xtask conformance` runs every cell, and says how one is repeated by its name.

use conformance::{
    Plan, Sendonce, Storm,
    cell::{Cell, Policy},
};
use stack::database::Flavor;

use crate::world::{flavor, function_binary};

/// Fixed: what fails here must fail again.
const SEED: u64 = 2026;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_sent_twice_whatever_dies() {
    if flavor() != Flavor::MariaDb {
        return;
    }
    let [dispatch, sweep, feedback] = Sendonce::BINARIES.map(function_binary);
    let subject = Sendonce { dispatch, sweep, feedback };
    let mut plan = Plan::shuffled(Cell::some(), SEED, 2);
    // And a thousand rows whose queue is purged in mid-flight: once while workers die, once while nobody does.
    plan.storms.push(Storm { emails: 1000, kills: 24, policy: Policy::Resend });
    plan.storms.push(Storm { emails: 1000, kills: 0, policy: Policy::Hold });
    let report = conformance::run(&subject, &plan, |_| {}).await.expect("the kit works");
    assert!(report.is_clean(), "{}", report.stories());
    assert_eq!(report.steps_never_hit(), []);
    assert_eq!(report.worlds_never_seen(), []);
    assert_eq!(report.total().kills, plan.cells.len());
    assert_eq!(report.storms.len(), 2);
    for storm in &report.storms {
        assert_eq!((storm.sent, storm.twice), (1000, 0));
    }
}
