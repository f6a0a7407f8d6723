//! What is planned, and in which order it is done.

use std::sync::Mutex;

use super::*;

/// Writes down what it was asked to do, and refuses some of it.
#[derive(Default)]
struct Book {
    done: Mutex<Vec<String>>,
    refuses: &'static str,
}

impl Book {
    fn note(&self, what: String) -> bool {
        let refused = !self.refuses.is_empty() && what.starts_with(self.refuses);
        self.done.lock().expect("not poisoned").push(what);
        refused
    }

    fn removal(&self, what: String) -> Result<(), BacklogError> {
        if self.note(what) { Err(BacklogError { what: "do it", source: "away".into() }) } else { Ok(()) }
    }

    fn done(&self) -> Vec<String> {
        self.done.lock().expect("not poisoned").clone()
    }
}

impl Bell for Book {
    async fn ring(&self, ring: Ring) -> Result<Rung, RingError> {
        let refused = self.note(format!("ring {} {}", ring.lane, ring.email_id));
        if refused { Err(RingError { lane: ring.lane, source: "away".into() }) } else { Ok(Rung::Yes) }
    }

    fn lane_of_queue(&self, _: &str) -> Lane {
        Lane::Urgent
    }
}

impl Backlog for Book {
    async fn take(&self) -> Result<Vec<Taken>, BacklogError> {
        // The third time nothing is new.
        let times = self.done().len();
        self.note("take".to_owned());
        Ok((0..10).map(|serial| message(&format!("{}", serial + 10 * times.min(1)), "1")).collect())
    }

    async fn remove(&self, taken: &Taken) -> Result<(), BacklogError> {
        self.removal(format!("remove {}", taken.id))
    }

    async fn give_back(&self, taken: &Taken) -> Result<(), BacklogError> {
        self.removal(format!("give back {}", taken.id))
    }

    async fn copy_to(&self, queue_url: &str, taken: &Taken) -> Result<(), BacklogError> {
        self.removal(format!("copy {} to {queue_url}", taken.id))
    }
}

fn message(id: &str, body: &str) -> Taken {
    let receipt = format!("receipt of {id}");
    Taken { id: id.into(), receipt, body: body.into(), attributes: Vec::new(), group: None, trace: None }
}

fn facts(id: u64, state: State, lane: &str) -> Facts {
    Facts { id, state, lane: lane.into(), accepted: false, unresolved: false, expired: false }
}

/// One message of every sort.
fn planned() -> Vec<Planned> {
    let taken = vec![
        message("a", "41"),
        message("b", r#"{"email_id":42}"#),
        message("c", "a letter"),
        message("d", "43"),
        message("e", "41"),
        message("f", "44"),
    ];
    let facts = [
        facts(41, State::Pending, "bulk"),
        facts(42, State::Sent, "urgent"),
        facts(44, State::Unknown, "a lane that there is not"),
    ];
    decide(taken, &facts)
}

#[test]
fn only_what_is_not_at_its_end_is_rung_for_and_once() {
    let what: Vec<_> = planned().into_iter().map(|planned| planned.what).collect();
    assert_eq!(
        what,
        [
            What::Ring(Lane::Bulk),
            What::Remove,
            What::Keep(Why::Unreadable(UnreadableBody::Shape)),
            What::Keep(Why::NoRow),
            What::Double,
            What::Ring(Lane::Urgent),
        ]
    );
    for state in State::ALL {
        let decided = decide(vec![message("a", "41")], &[facts(41, state, "urgent")]);
        assert_eq!(decided[0].what == What::Remove, state.is_terminal(), "{state}");
    }
}

#[tokio::test]
async fn a_message_is_removed_after_its_doorbell_was_taken() {
    let book = Book::default();
    let mut told = Vec::new();
    apply(&book, &book, &planned(), |planned, done| {
        told.push((planned.taken.id.clone(), done.is_as_planned()));
    })
    .await;
    assert_eq!(
        book.done(),
        [
            "ring bulk 41",
            "remove a",
            "remove b",
            "give back c",
            "give back d",
            "remove e",
            "ring urgent 44",
            "remove f"
        ]
    );
    assert!(told.len() == 6 && told.iter().all(|(_, as_planned)| *as_planned), "{told:?}");
}

#[tokio::test]
async fn what_could_not_be_rung_for_stays_with_all_that_rely_on_it() {
    let book = Book { refuses: "ring bulk", ..Book::default() };
    let mut told = Vec::new();
    apply(&book, &book, &planned(), |planned, done| {
        told.push((planned.taken.id.clone(), done.is_as_planned()));
    })
    .await;
    let done = book.done();
    assert!(!done.contains(&"remove a".to_owned()) && !done.contains(&"remove e".to_owned()), "{done:?}");
    assert!(done.contains(&"give back a".to_owned()) && done.contains(&"give back e".to_owned()), "{done:?}");
    assert!(done.contains(&"remove f".to_owned()), "the others are dealt with: {done:?}");
    let failed: Vec<_> = told.iter().filter(|(_, fine)| !fine).map(|(id, _)| id.as_str()).collect();
    assert_eq!(failed, ["a", "e"]);
}

#[tokio::test]
async fn what_is_moved_is_there_before_it_is_removed_here() {
    let book = Book::default();
    move_on(&book, "q", &[message("a", "an event")], |_, done| assert!(done.is_as_planned())).await;
    assert_eq!(book.done(), ["copy a to q", "remove a"]);
    let book = Book { refuses: "copy", ..Book::default() };
    move_on(&book, "q", &[message("a", "an event")], |_, done| assert!(!done.is_as_planned())).await;
    assert_eq!(book.done(), ["copy a to q", "give back a"]);
}

#[tokio::test]
async fn what_comes_again_ends_the_taking() {
    let book = Book::default();
    let taken = take(&book, 1_000).await.expect("it hands out");
    assert_eq!((taken.len(), book.done().len()), (20, 3), "two times ten, and then nothing new");
    assert_eq!(take(&Book::default(), 1).await.expect("it hands out").len(), 10, "they are taken in tens");
}
