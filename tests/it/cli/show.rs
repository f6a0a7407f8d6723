//! `sendonce show`.

use serde_json::json;

use crate::world::Table;

#[tokio::test]
async fn the_whole_story_is_told() {
    let table = Table::new().await;
    let id = table.in_state("unknown", 7).await;
    table
        .execute(&format!(
            "UPDATE email SET error_kind = 'lease_expired', error_detail = 'The process died.', \
             subject = 'Your\u{1b}[2J receipt', html_body = REPEAT('x', 1234) WHERE id = {id}; \
             INSERT INTO attachment (email_id, name, content_type, content) \
             VALUES ({id}, 'invoice.pdf', 'application/pdf', REPEAT('y', 4321)); \
             INSERT INTO email_event (email_id, kind, attempt_id, detail) VALUES ({id}, 'click', NULL, \
             JSON_OBJECT('click', JSON_OBJECT('reason', 'curiosity')))"
        ))
        .await;
    let text = table.type_in(&format!("show {id}")).done();
    for part in [
        &format!("Email {id} is unknown"),
        "Ada <ada@customer.example>",
        "Shop <orders@shop.example>",
        "Your\\u{1b}[2J receipt",
        "text 10 bytes, HTML 1,234 bytes",
        "invoice.pdf, application/pdf, 4,321 bytes",
        "lease_expired: The process died.",
        "the row was written",
        "SES event: click (reason: curiosity)",
        "ON_UNKNOWN=hold here",
        &format!("sendonce resolve {id} --assume-sent"),
        &format!("sendonce resolve {id} --resend"),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains("Thank you."), "{text}");

    let document = table.ask(&format!("show {id}"), 0);
    assert_eq!(document["email"]["state"], "unknown");
    assert_eq!(document["email"]["to_addresses"], json!(["Ada <ada@customer.example>"]));
    assert_eq!(document["email"]["html_body_bytes"], 1234);
    assert_eq!(document["email"]["subject"], "Your\u{1b}[2J receipt");
    assert_eq!(document["attachments"][0]["bytes"], 4321);
    let story = document["story"].as_array().expect("a list");
    assert!(story.iter().any(|entry| entry["kind"] == "click"), "{document}");
    let times: Vec<_> = story.iter().map(|entry| entry["at"].as_str().expect("a time")).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(document["next"]["commands"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn every_state_says_what_happens_next() {
    let table = Table::new().await;
    for (serial, state) in (1..).zip(outbox::state::State::ALL) {
        let id = table.in_state(state.as_str(), serial).await;
        let text = table.type_in(&format!("show {id}")).done();
        let (_, next) = text.split_once("What happens next\n").expect("it says so");
        assert!(!next.trim().is_empty(), "{text}");
        let document = table.ask(&format!("show {id}"), 0);
        assert_eq!(document["email"]["state"], state.as_str());
    }
}

#[tokio::test]
async fn what_producers_may_write_is_shown() {
    let table = Table::new().await;
    let id = table
        .insert(&[
            ("to_addresses", "'{\"not\": \"a list\"}'"),
            ("subject", "REPEAT('é', 10000)"),
            ("due_at", "'9999-12-31 23:59:59.999999'"),
            ("expires_at", "'1000-01-01 00:00:00'"),
            ("lane", "'nowhere'"),
        ])
        .await;
    assert!(table.type_in(&format!("show {id}")).done().contains("not"), "the address as it stands");
    assert!(table.type_in("list --state pending").done().contains("nowhere"));
    // A text is cut, a document is not; neither steers the terminal, not even with a control character of eight bits.
    let text = table.type_in(&format!("show {id}")).done();
    assert!(text.chars().filter(|character| *character == 'é').count() < 2_000, "{text}");
    table
        .execute(&format!(
            "UPDATE email SET sender = CONVERT(x'C29B' USING utf8mb4), error_kind = x'1B' WHERE id = {id}"
        ))
        .await;
    for line in [format!("show {id}"), "list --state pending".to_owned()] {
        for line in [line.clone(), format!("{line} --json")] {
            let text = table.type_in(&line).done();
            assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
        }
    }
    let document = table.ask(&format!("show {id}"), 0);
    assert_eq!(document["email"]["subject"].as_str().map(|subject| subject.chars().count()), Some(10_000));
    assert_eq!(document["email"]["sender"], "\u{9b}");
    table.ask("list --state pending", 0);
}

#[tokio::test]
async fn an_email_that_is_not_there_is_said_to_be_missing() {
    let table = Table::new().await;
    let said = table.type_in("show 4711");
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("there is no email 4711") && said.err.contains("hint: "), "{said:?}");
    assert_eq!(table.ask("show 4711", 1)["error"]["kind"], "not_found");
}
