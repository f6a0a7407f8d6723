use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{CALLS, NotHandedOn, ROUNDS, TEN, hand_on};
use crate::{Bell, Lane, Ring, RingError, Rung};

/// Which offer of which email it refuses, counted from 0.
type Refusal = fn(&Ring, usize) -> bool;

struct Scripted {
    refuses: Refusal,
    offers: Mutex<BTreeMap<u64, usize>>,
    calls: Mutex<Vec<usize>>,
}

impl Scripted {
    fn new(refuses: Refusal) -> Self {
        Self { refuses, offers: Mutex::default(), calls: Mutex::default() }
    }

    fn offers(&self) -> BTreeMap<u64, usize> {
        self.offers.lock().expect("not poisoned").clone()
    }

    fn calls(&self) -> usize {
        self.calls.lock().expect("not poisoned").len()
    }
}

impl Bell for Scripted {
    async fn ring(&self, ring: Ring) -> Result<Rung, RingError> {
        let mut offers = self.offers.lock().expect("not poisoned");
        let count = offers.entry(ring.email_id).or_default();
        *count += 1;
        if (self.refuses)(&ring, *count - 1) {
            return Err(RingError { lane: ring.lane, source: "refused".into() });
        }
        Ok(Rung::Yes)
    }

    async fn ring_all(&self, rings: &[Ring]) -> Vec<Result<Rung, RingError>> {
        assert!(rings.len() <= TEN && rings.iter().all(|ring| ring.lane == rings[0].lane), "{rings:?}");
        self.calls.lock().expect("not poisoned").push(rings.len());
        let mut answers = Vec::new();
        for ring in rings {
            answers.push(self.ring(ring.clone()).await);
        }
        answers
    }

    fn lane_of_queue(&self, _: &str) -> Lane {
        Lane::Urgent
    }
}

fn rings(urgent: u64, bulk: u64) -> Vec<Ring> {
    let ring = |email_id, lane| Ring { email_id, lane, delay: Duration::ZERO, tries: 0, trace: None };
    let urgent = (1..=urgent).map(|id| ring(id, Lane::Urgent));
    urgent.chain((1..=bulk).map(|id| ring(1000 + id, Lane::Bulk))).collect()
}

async fn hand(bell: &Scripted, rings: Vec<Ring>) -> Result<(), NotHandedOn> {
    hand_on(bell, rings, Instant::now() + Duration::from_secs(30), &mut Rng::with_seed(7)).await
}

#[tokio::test]
async fn tens_of_one_lane_and_only_what_failed_once_more() {
    let bell = Scripted::new(|ring, offer| ring.email_id % 10 == 3 && offer < 2);
    hand(&bell, rings(25, 12)).await.expect("taken in the end");
    for (id, offers) in bell.offers() {
        assert_eq!(offers, if id % 10 == 3 { 3 } else { 1 }, "{id}");
    }
    // 25 in three calls and 12 in two; then twice what failed, one call a lane.
    let mut calls = bell.calls.lock().expect("not poisoned").clone();
    calls.sort_unstable();
    assert_eq!(calls, [1, 1, 2, 3, 3, 5, 10, 10, 10]);
}

#[tokio::test]
async fn what_is_never_taken_ends_in_an_error_and_costs_the_others_nothing() {
    let bell = Scripted::new(|ring, _| ring.email_id == 5);
    let error = hand(&bell, rings(20, 20)).await.expect_err("one is left");
    assert_eq!(error, NotHandedOn { left: 1, of: 40, lane: Lane::Urgent });
    let offers = bell.offers();
    assert_eq!((offers[&5], offers[&4], offers[&1001]), (ROUNDS as usize, 1, 1));
}

#[tokio::test]
async fn a_lane_that_is_away_does_not_hold_up_the_other() {
    let bell = Scripted::new(|ring, _| ring.lane == Lane::Urgent);
    let error = hand(&bell, rings(900, 90)).await.expect_err("a whole lane is left");
    assert_eq!(error, NotHandedOn { left: 900, of: 990, lane: Lane::Urgent });
    assert_eq!(bell.offers().range(1001..).map(|(_, offers)| offers).sum::<usize>(), 90);
    // The lane that is away is asked with one wave a round, and not with all of its tens.
    assert_eq!(bell.calls(), 9 + CALLS * ROUNDS as usize);
}

#[tokio::test]
async fn short_of_time_it_stops() {
    let bell = Scripted::new(|_, _| true);
    let soon = Instant::now() + Duration::from_millis(1050);
    let error =
        hand_on(&bell, rings(10, 0), soon, &mut Rng::with_seed(7)).await.expect_err("nothing is taken");
    assert_eq!((error.left, bell.calls()), (10, 1));
    hand(&bell, Vec::new()).await.expect("nothing to do");
}
