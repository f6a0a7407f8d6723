//! Lanes that rest, are probed, and recover; doorbells that wait in line.

use std::time::Duration;

use outbox::{
    mailer::Reason,
    state::AttemptId,
    store::{
        Claim, ClaimRequest, LaneReport, NotClaimed, Postpone, Record, Session, Verdict,
        operator::LaneCommand,
    },
};

use crate::world::{Table, open, soon};

async fn attempt(session: &mut Session, table: &Table, serial: u128, probe: bool) -> (u64, AttemptId, Claim) {
    let id = table.insert(&[]).await;
    let attempt = AttemptId::new(1, serial);
    let request = ClaimRequest { id, attempt: &attempt, lease: Duration::from_mins(1), pace: None, probe };
    let claim = session.claim(request, soon()).await.expect("an answer");
    (id, attempt, claim)
}

async fn report(session: &mut Session, id: u64, attempt: &AttemptId, report: LaneReport) {
    let reason = Reason::new("ses_unavailable", "No answer.");
    let verdict = Verdict::Unknown { reason: &reason };
    let lane = Some(("urgent", report));
    session.record(Record { id, attempt, verdict, lane }, soon()).await.expect("recorded");
}

async fn rest_ms(table: &Table) -> u64 {
    let sql = "SELECT IF(rest_until > UTC_TIMESTAMP(6), rest_ms, 0) FROM lane WHERE name = 'urgent'";
    table.value(sql).await.expect("the lane").parse().expect("a number")
}

#[tokio::test]
async fn three_doubtful_answers_make_a_lane_rest_and_a_probe_wakes_it() {
    let table = Table::new().await;
    let mut session = open(&table.plain()).await;
    for serial in 1..=3 {
        assert_eq!(rest_ms(&table).await, 0);
        let (id, token, claim) = attempt(&mut session, &table, serial, false).await;
        assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
        report(&mut session, id, &token, LaneReport::Doubtful { probe: false }).await;
    }
    assert_eq!(rest_ms(&table).await, 5_000);
    let (_, _, claim) = attempt(&mut session, &table, 4, false).await;
    assert!(matches!(claim, Claim::NotClaimed(NotClaimed::Resting { .. })), "{claim:?}");
    // The rest is over: one email at a time.
    table.execute("UPDATE lane SET rest_until = UTC_TIMESTAMP(6)").await;
    let (_, _, claim) = attempt(&mut session, &table, 5, false).await;
    assert!(matches!(claim, Claim::NotClaimed(NotClaimed::WantsProbe { .. })), "{claim:?}");
    let (id, token, claim) = attempt(&mut session, &table, 6, true).await;
    assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    let (_, _, second) = attempt(&mut session, &table, 7, true).await;
    assert!(matches!(second, Claim::NotClaimed(NotClaimed::Resting { .. })), "{second:?}");
    // It failed: twice the rest. Then one that succeeds opens the lane.
    report(&mut session, id, &token, LaneReport::Doubtful { probe: true }).await;
    assert_eq!(rest_ms(&table).await, 10_000);
    table.execute("UPDATE lane SET rest_until = UTC_TIMESTAMP(6)").await;
    let (id, token, claim) = attempt(&mut session, &table, 8, true).await;
    assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    report(&mut session, id, &token, LaneReport::Healthy).await;
    assert_eq!(rest_ms(&table).await, 0);
    let (_, _, claim) = attempt(&mut session, &table, 9, false).await;
    assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    session.close().await;
}

#[tokio::test]
async fn ten_failures_at_once_are_one_rest() {
    let table = Table::new().await;
    let mut session = open(&table.plain()).await;
    let mut flying = Vec::new();
    for serial in 1..=10 {
        flying.push(attempt(&mut session, &table, serial, false).await);
    }
    for (id, token, _) in &flying {
        let rest = LaneReport::Rest { at_least: Duration::from_secs(7), probe: false };
        report(&mut session, *id, token, rest).await;
    }
    assert_eq!(rest_ms(&table).await, 7_000);
    session.close().await;
}

#[tokio::test]
async fn whatever_was_under_way_a_paused_lane_stays_paused() {
    let table = Table::new().await;
    let mut session = open(&table.plain()).await;
    let rest = |probe| LaneReport::Rest { at_least: Duration::from_secs(7), probe };
    let reports = [
        LaneReport::Healthy,
        LaneReport::Unprobed,
        LaneReport::Doubtful { probe: false },
        LaneReport::Doubtful { probe: true },
        rest(false),
        rest(true),
    ];
    let standing = "SELECT CONCAT_WS(' ', rest_until, struck_at, strikes) FROM lane WHERE name = 'urgent'";
    let mut serial = 0;
    for pause in [LaneCommand::Pause, LaneCommand::PauseFor(Duration::from_mins(1))] {
        for strikes in [0, 1, 3] {
            for told in reports {
                serial += 2;
                let sql = format!("UPDATE lane SET rest_until = '1970-01-01', strikes = {strikes}");
                table.execute(&sql).await;
                let probe = strikes == 3;
                let (id, token, claim) = attempt(&mut session, &table, serial, probe).await;
                assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
                session.lanes(Some(pause), &["urgent"], soon()).await.expect("paused");
                let paused = table.value(standing).await;
                report(&mut session, id, &token, told).await;
                assert_eq!(table.value(standing).await, paused, "{told:?} with {strikes} strikes");
                for probe in [false, true] {
                    let (_, _, claim) = attempt(&mut session, &table, serial + 1, probe).await;
                    assert!(matches!(claim, Claim::NotClaimed(NotClaimed::Paused { .. })), "{claim:?}");
                }
                session.lanes(Some(LaneCommand::Resume), &["urgent"], soon()).await.expect("resumed");
                let (_, _, claim) = attempt(&mut session, &table, serial + 1, probe).await;
                assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
            }
        }
    }
    session.close().await;
}

#[tokio::test]
async fn a_waiting_row_has_one_doorbell_and_the_line_grows() {
    let table = Table::new().await;
    table.execute("UPDATE lane SET rest_until = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR").await;
    let mut session = open(&table.plain()).await;
    let mut delays = Vec::new();
    for serial in 1..=3 {
        let (id, _, claim) = attempt(&mut session, &table, serial, false).await;
        let Claim::NotClaimed(NotClaimed::Resting { place, .. }) = claim else { panic!("{claim:?}") };
        let postpone =
            Postpone::InLine { earliest: Duration::from_secs(10), spacing: Duration::from_secs(2) };
        let delay = session.postpone(id, &place, postpone, soon()).await.expect("postponed");
        delays.push(delay.expect("the first to ask").as_secs_f64());
        // A second doorbell that saw the same place comes too late.
        assert_eq!(session.postpone(id, &place, postpone, soon()).await.expect("an answer"), None);
    }
    session.close().await;
    assert!(delays[0] < 12.1 && delays[1] > delays[0] + 1.0 && delays[2] > delays[1] + 1.0, "{delays:?}");
}
