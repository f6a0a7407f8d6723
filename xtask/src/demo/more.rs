//! One more email for each line that is typed, until Ctrl-C.

use std::fmt::Write as _;
use std::io::BufRead as _;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::progress::Failure;
use super::stage::Stage;

/// How long an answer is waited for.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Sends what is typed; returns at Ctrl-C.
pub(super) async fn until_interrupted(stage: &Stage) -> Result<(), Failure> {
    println!("\nType a subject and press Enter to send one more. Ctrl-C ends it, and every server with it.");
    let (sender, mut lines) = mpsc::unbounded_channel();
    // A thread of its own, since a read from a terminal cannot be called off: it ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let line = tokio::select! {
            ended = &mut interrupted => return Ok(ended?),
            line = lines.recv() => line,
        };
        match line.as_deref().map(str::trim) {
            Some("") => {}
            Some(subject) => match send(stage, subject).await {
                Ok(told) => println!("{told}"),
                Err(error) => println!("{error}"),
            },
            // Nobody types, as when standard input is closed: there is still the page to look at.
            None => return Ok(interrupted.await?),
        }
    }
}

async fn send(stage: &Stage, subject: &str) -> Result<String, Failure> {
    let mut hex = String::new();
    for byte in subject.bytes() {
        write!(hex, "{byte:02x}")?;
    }
    let admin = stage.database.admin();
    let written = admin
        .rows(&format!(
            "INSERT INTO email (sender, to_addresses, subject, text_body)
             VALUES ('Demo <demo@shop.example>', JSON_ARRAY('you@customer.example'), _utf8mb4 x'{hex}', 'It works.');
             SELECT LAST_INSERT_ID()"
        ))
        .await?;
    let Some([Some(id)]) = written.first().map(Vec::as_slice) else {
        return Err("the row was not written".into());
    };
    let rung = Instant::now();
    stage.cloud.send_message(stage.queue("urgent")?, id).await?;
    let sql = format!("SELECT state, ses_message_id, error_detail FROM email WHERE id = {id}");
    loop {
        let rows = admin.rows(&sql).await?;
        let Some([Some(now), ses_id, detail]) = rows.first().map(Vec::as_slice) else {
            return Err(format!("email {id} is gone").into());
        };
        let is_over = !matches!(now.as_str(), "pending" | "sending");
        if is_over || rung.elapsed() > ENDS_WITHIN {
            let known = ses_id.as_deref().or(detail.as_deref()).unwrap_or("no more is known");
            return Ok(format!("email {id} is {now} after {} ms: {known}", rung.elapsed().as_millis()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
