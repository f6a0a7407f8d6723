//! `sendonce list`.

use crate::world::Table;

#[tokio::test]
async fn pages_follow_each_other_across_lanes() {
    let table = Table::new().await;
    let mut expected = Vec::new();
    for serial in 0..7 {
        let id = table.in_state("unknown", serial).await;
        let lane = if serial % 2 == 0 { "urgent" } else { "bulk" };
        // Two at a time are due at the same moment.
        table
            .execute(&format!(
                "UPDATE email SET lane = '{lane}', due_at = '2026-05-04' + INTERVAL {} MINUTE WHERE id = {id}",
                serial / 2
            ))
            .await;
        expected.push(id);
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = table.ask(&format!("list --state unknown --limit 2{after}"), 0);
        let emails = page["emails"].as_array().expect("a list");
        found.extend(emails.iter().map(|email| email["id"].as_u64().expect("an id")));
        match page["next_after"].as_u64() {
            Some(id) => after = format!(" --after {id}"),
            None => break,
        }
    }
    assert_eq!(found, expected);
    let text = table.type_in("list --state unknown --limit 2").done();
    assert!(text.contains("ada@customer.example") && text.contains("--after"), "{text}");
    let bulk = table.ask("list --state unknown --lane bulk", 0);
    assert_eq!(bulk["emails"].as_array().map(Vec::len), Some(3));
    assert_eq!(bulk["next_after"], serde_json::Value::Null);
}

#[tokio::test]
async fn what_is_done_comes_newest_first_and_times_select() {
    let table = Table::new().await;
    let mut ids = Vec::new();
    for hours in [5, 3, 1] {
        let id = table.in_state("failed", hours).await;
        let time = format!("UTC_TIMESTAMP(6) - INTERVAL {hours} HOUR");
        table.execute(&format!("UPDATE email SET due_at = {time}, state_at = {time} WHERE id = {id}")).await;
        ids.push(id);
    }
    let listed = |line: &str| -> Vec<u64> {
        let page = table.ask(line, 0);
        let emails = page["emails"].as_array().expect("a list").clone();
        emails.iter().map(|email| email["id"].as_u64().expect("an id")).collect()
    };
    assert_eq!(listed("list --state failed"), [ids[2], ids[1], ids[0]]);
    assert_eq!(listed("list --state failed --since 4h"), [ids[2], ids[1]]);
    assert_eq!(listed("list --state failed --older-than 2h"), [ids[1], ids[0]]);
    assert_eq!(listed("list --state failed --since 4h --older-than 2h"), [ids[1]]);
    assert_eq!(listed("list --state failed --since 2020-01-01T00:00:00Z").len(), 3);
    assert_eq!(listed(&format!("list --state failed --after {}", ids[2])), [ids[1], ids[0]]);
    assert_eq!(listed("list --state expired"), [0; 0]);
    table.execute(&format!("UPDATE email SET error_kind = 'other' WHERE id = {}", ids[1])).await;
    assert_eq!(listed("list --state failed --error-kind other"), [ids[1]]);
    assert!(table.type_in("list --state expired").done().contains("No expired email"));
}

#[tokio::test]
async fn a_page_that_was_looked_through_in_vain_says_where_to_go_on() {
    let table = Table::new().await;
    // More than are looked at for one page; the last one alone fits.
    table
        .execute(
            "INSERT INTO email (sender, to_addresses, subject, state, due_at, state_at) WITH RECURSIVE n AS \
             (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
             SELECT 'x', '[]', 'x', 'unknown', '2026-05-04' + INTERVAL a.i * 1000 + b.i SECOND, '2026-05-04' \
             FROM n AS a JOIN n AS b WHERE a.i <= 21; \
             UPDATE email SET state_at = UTC_TIMESTAMP(6) ORDER BY due_at DESC LIMIT 1",
        )
        .await;
    let first = table.ask("list --state unknown --since 1h", 0);
    assert_eq!(first["emails"].as_array().map(Vec::len), Some(0));
    let second = table.ask(&format!("list --state unknown --since 1h --after {}", first["next_after"]), 0);
    assert_eq!(second["emails"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["next_after"], serde_json::Value::Null);
    // Who resolves goes through all of them.
    let resolved = table.ask("resolve --since 1h --assume-sent --dry-run", 0);
    assert_eq!(resolved["changed"], 1);
}

#[tokio::test]
async fn wrong_lines_are_refused() {
    let table = Table::new().await;
    for line in [
        "list",
        "list --state lost",
        "list --state failed --since yesterday",
        "list --state failed --limit 0",
        "nonsense",
    ] {
        let said = table.type_in(line);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}: {said:?}");
        assert!(!said.err.is_empty());
    }
    assert_eq!(table.ask("list --state failed --after 9", 1)["error"]["kind"], "not_found");
}
