//! Every state and policy, without a database.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox::state::State;

use super::{EmailFacts, Next, SweepRules};

const RULES: SweepRules = SweepRules::DEFAULT;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000)
}

fn ago(minutes: u64) -> SystemTime {
    now() - Duration::from_mins(minutes)
}

fn email(state: State, change: impl FnOnce(&mut EmailFacts)) -> EmailFacts {
    let mut email = EmailFacts {
        id: 42,
        sender: String::new(),
        reply_to: None,
        to_addresses: "[]".to_owned(),
        cc_addresses: None,
        bcc_addresses: None,
        subject: String::new(),
        text_body_bytes: None,
        html_body_bytes: None,
        headers: None,
        tags: None,
        lane: "urgent".to_owned(),
        due_at: ago(1),
        expires_at: None,
        idempotency_key: None,
        on_unknown: None,
        list_name: None,
        state,
        state_at: ago(1),
        attempts: 0,
        resends: 0,
        first_attempt_at: None,
        attempt_id: None,
        lease_until: None,
        rung_at: None,
        ses_message_id: None,
        sent_at: None,
        error_kind: None,
        error_detail: None,
        created_at: ago(1),
        now: now(),
        accepted: false,
        unresolved: false,
        lane_rests_until: None,
        lane_is_paused: false,
    };
    change(&mut email);
    email
}

fn next(state: State, change: impl FnOnce(&mut EmailFacts)) -> Next {
    Next::of(&email(state, change), &RULES)
}

fn typed(next: &Next) -> Vec<&str> {
    next.commands.iter().map(|(command, _)| command.as_str()).collect()
}

#[test]
fn an_unknown_email_is_never_without_a_button() {
    let changes: [fn(&mut EmailFacts); 5] = [
        |_| {},
        |email| email.on_unknown = Some("resend".to_owned()),
        |email| (email.on_unknown, email.resends) = (Some("resend".to_owned()), 1),
        |email| email.expires_at = Some(ago(1)),
        |email| email.on_unknown = Some("perhaps".to_owned()),
    ];
    for change in changes {
        let next = next(State::Unknown, change);
        for option in ["sendonce resolve 42 --assume-sent", "sendonce resolve 42 --resend"] {
            assert!(typed(&next).iter().any(|command| command.starts_with(option)), "{next:?}");
        }
    }
    // What SES is known to have taken is not offered to be sent again.
    let accepted = next(State::Unknown, |email| email.accepted = true);
    assert_eq!(typed(&accepted), ["sendonce resolve 42 --assume-sent"]);
}

#[test]
fn a_policy_of_resend_says_when() {
    let waits = next(State::Unknown, |email| email.on_unknown = Some("resend".to_owned()));
    assert_eq!(waits.at, Some(now() + Duration::from_mins(9)));
    assert!(waits.sentence.contains("its on_unknown=resend"), "{waits:?}");
    let held = next(State::Unknown, |_| {});
    assert!(held.sentence.contains("ON_UNKNOWN=hold here"), "{held:?}");
    assert_eq!(held.at, None);
    let by_default = SweepRules { resend_by_default: true, ..RULES };
    let resent = Next::of(&email(State::Unknown, |_| {}), &by_default);
    assert!(resent.sentence.contains("ON_UNKNOWN=resend here"), "{resent:?}");
}

#[test]
fn a_waiting_email_says_who_rings() {
    let rung_long_ago = next(State::Pending, |email| email.rung_at = Some(UNIX_EPOCH));
    assert!(rung_long_ago.sentence.contains("within a minute"), "{rung_long_ago:?}");
    let rung_later = next(State::Pending, |email| email.rung_at = Some(now() + Duration::from_mins(1)));
    assert_eq!(rung_later.at, Some(now() + Duration::from_mins(1)));
    let fresh = next(State::Pending, |_| {});
    assert_eq!(fresh.at, Some(ago(1) + SweepRules::GRACE));
    let rests = next(State::Pending, |email| email.lane_rests_until = Some(now() + Duration::from_mins(2)));
    assert!(rests.sentence.contains("rests until"), "{rests:?}");
    let paused = |until| {
        next(State::Pending, |email| (email.lane_rests_until, email.lane_is_paused) = (Some(until), true))
    };
    let for_a_while = paused(now() + Duration::from_mins(2));
    assert_eq!(for_a_while.at, Some(now() + Duration::from_mins(2)));
    assert_eq!(typed(&for_a_while), ["sendonce resume --lane urgent", "sendonce cancel 42"]);
    let for_good = paused(UNIX_EPOCH + Duration::from_hours(70_389_504));
    assert!(
        for_good.sentence.contains("paused until it is resumed") && for_good.at.is_none(),
        "{for_good:?}"
    );
    let expired = next(State::Pending, |email| (email.expires_at, email.unresolved) = (Some(ago(1)), true));
    assert!(expired.sentence.contains("makes it unknown"), "{expired:?}");
    assert_eq!(typed(&expired), ["sendonce cancel 42"]);
    assert!(expired.commands[0].1.contains("is unknown"), "cancelled would promise too much: {expired:?}");
    assert_eq!(fresh.commands[0].1, "it is not sent");
}

#[test]
fn an_ended_email_says_how_it_is_tried_again() {
    let expired = next(State::Expired, |email| email.expires_at = Some(ago(1)));
    assert_eq!(typed(&expired), ["sendonce retry 42 --drop-expiry"]);
    assert_eq!(typed(&next(State::Failed, |_| {})), ["sendonce retry 42"]);
    assert_eq!(next(State::Sent, |_| {}).commands, []);
}

#[test]
fn a_dead_attempt_is_told_from_a_live_one() {
    let live = next(State::Sending, |email| email.lease_until = Some(now() + Duration::from_secs(30)));
    assert!(live.sentence.contains("under way"), "{live:?}");
    let dead = next(State::Sending, |email| email.lease_until = Some(ago(1)));
    assert!(dead.sentence.contains("makes it unknown"), "{dead:?}");
}

#[test]
fn what_was_only_assumed_is_not_called_taken() {
    assert!(!next(State::Sent, |_| {}).sentence.contains("SES took it"));
    assert!(next(State::Sent, |email| email.accepted = true).sentence.contains("SES took it"));
    let answered = next(State::Sent, |email| email.ses_message_id = Some("0102-x".to_owned()));
    assert!(answered.sentence.contains("SES took it"), "{answered:?}");
}
