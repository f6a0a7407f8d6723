//! That the kit sees what it is there to see: a plain handler goes through it, loses emails and sends some twice.
//!
//! `cargo xtask conformance --against` compares in full.

use conformance::{Plan, cell::Cell, peers::AtLeastOnce, subject::End};
use stack::database::Flavor;

use crate::world::flavor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kit_sees_what_a_plain_handler_loses_and_sends_twice() {
    if flavor() != Flavor::MariaDb {
        return;
    }
    let wanted = [
        ("claim_answer/calm", End::Sent, 1),
        ("ses_asked/calm", End::Sent, 1),
        ("ses_asked/queue_purged", End::Waiting, 0),
        ("ses_took/calm", End::Sent, 2),
        ("ses_took/two_workers", End::Sent, 2),
        ("record_request/calm", End::Sent, 2),
        ("record_request/queue_purged", End::Waiting, 1),
        ("record_answer/calm", End::Sent, 1),
        ("doorbell_kept/doorbell_x5", End::Sent, 1),
    ];
    let cells = wanted.map(|(name, ..)| format!("{name}/events_off/hold").parse::<Cell>().expect("a cell"));
    let handler = AtLeastOnce { worker: env!("CARGO_BIN_EXE_at-least-once").into(), sdk_retries: true };
    let plan = Plan { cells: cells.to_vec(), seed: 2026, lanes: 1, storms: Vec::new() };
    let report = conformance::run(&handler, &plan, |_| {}).await.expect("the servers start");
    for (cell, (name, end, taken)) in cells.into_iter().zip(wanted) {
        let finding = report.findings.iter().find(|finding| finding.cell == cell).expect("it was run");
        assert!(finding.reached, "{name}: {:?}\n{}", finding.faults, finding.story);
        let seen = (finding.facts.end, finding.facts.taken);
        assert_eq!(seen, (end, taken), "{name}\n{}", finding.story);
    }
}
