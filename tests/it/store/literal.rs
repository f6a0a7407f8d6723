//! Whatever a value holds, the server reads back exactly that, and nothing of it as SQL.

use std::time::Duration;

use outbox::{
    mailer::Reason,
    state::{AttemptId, State},
    store::{Claim, ClaimRequest, NotClaimed, Record, Session, StoreError, Verdict},
};
use proptest::prelude::*;
use tokio::sync::Mutex;

use crate::world::{Table, open, soon};

/// What would end a literal, a statement or a row somewhere, if values were not hexadecimal.
const NASTY: [&str; 20] = [
    "'",
    "\"",
    "`",
    "\\",
    "\\'",
    "''",
    "\0",
    "\n",
    "\r\n",
    "\u{1a}",
    "%",
    "?",
    "$1",
    "--  ",
    "/*! */",
    ";",
    "'; DROP TABLE email; -- ",
    "x'00'",
    "e\u{301}",
    "📬",
];

/// Any text of at most 500 characters, which is what `error_detail` keeps whole.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        prop::sample::select(NASTY.as_slice()).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..=500)
        .prop_map(|pieces| pieces.concat().chars().take(500).collect::<String>())
}

async fn claim(session: &mut Session, id: u64, attempt: &AttemptId) -> Result<Claim, StoreError> {
    let request = ClaimRequest { id, attempt, lease: Duration::from_mins(1), pace: None, probe: false };
    session.claim(request, soon()).await
}

/// Writes `detail` as an attempt's reason.
async fn write(session: &mut Session, id: u64, attempt: &AttemptId, detail: &str) {
    let reason = Reason::new("k", detail);
    let record = Record { id, attempt, verdict: Verdict::Unknown { reason: &reason }, lane: None };
    assert_eq!(session.record(record, soon()).await.expect("recorded"), Some(State::Unknown));
}

fn hexadecimal(text: &str) -> String {
    text.bytes()
        .flat_map(|byte| {
            [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)]))
        })
        .collect()
}

#[test]
fn any_text_comes_back_unchanged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let attempt = AttemptId::new(1, 1);
    let (table, id, session) = runtime.block_on(async {
        let table = Table::new().await;
        let id = table.insert(&[]).await;
        let mut session = open(&table.plain()).await;
        assert!(matches!(claim(&mut session, id, &attempt).await, Ok(Claim::Claimed(_))));
        (table, id, Mutex::new(session))
    });
    let unchanged = |detail: &str| {
        runtime.block_on(async {
            write(&mut *session.lock().await, id, &attempt, detail).await;
            let read = table.column(id, "HEX(error_detail)").await;
            assert_eq!(read, Some(hexadecimal(detail)), "{detail:?}");
        });
    };
    unchanged("");
    unchanged(&NASTY.concat());
    unchanged(&"\u{10ffff}".repeat(500));
    let config = ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(detail in text())| unchanged(&detail));
    runtime.block_on(async {
        session.into_inner().close().await;
        assert_eq!(table.value("SELECT COUNT(*) FROM email").await.as_deref(), Some("1"));
    });
}

#[tokio::test]
async fn an_id_may_be_any_number() {
    let table = Table::new().await;
    let mut session = open(&table.plain()).await;
    let attempt = AttemptId::new(u64::MAX, u128::MAX);
    for id in [0, i64::MAX.unsigned_abs(), i64::MAX.unsigned_abs() + 1, u64::MAX] {
        let missing = claim(&mut session, id, &attempt).await;
        assert!(matches!(missing, Ok(Claim::NotClaimed(NotClaimed::Missing))), "{id}: {missing:?}");
        assert_eq!(session.settle(id, soon()).await.expect("an answer"), None, "{id}");
    }
    let id = table.insert(&[("id", &u64::MAX.to_string())]).await;
    assert_eq!(id, u64::MAX);
    match claim(&mut session, id, &attempt).await {
        Ok(Claim::Claimed(claimed)) => assert_eq!(claimed.row.expect("content").id, id),
        other => panic!("{other:?}"),
    }
    write(&mut session, id, &attempt, "as any other").await;
    session.close().await;
}
