//! A worker dies after SES took its email and before it heard so: what nobody can know then, and who knows it later.
//!
//! The worker is the real binary in a Lambda environment of its own, with the variables of the deployed function, so
//! that it can be killed at that very moment. Everything after its death is done by what is deployed: the sweep, the
//! queues, dispatch-sqs, EventBridge, feedback. What the screen claims is checked before it is claimed; the first thing
//! that is not so ends the story.

mod scene;
mod verdict;

use std::time::{Duration, Instant};

use stack::ses::{EventKind, Recorded};

use self::scene::{Scene, times};
use self::verdict::Email;
use super::progress::{Failure, note, step_since};
use super::stage::Stage;

/// How long a line stands before the next one, where somebody reads them. Nothing waits for that.
pub(super) const PACE: Duration = Duration::from_millis(900);

/// What happened, and whether all of it is as it should be.
pub(super) struct Story {
    begun: Instant,
    pace: Duration,
    emails: Vec<Email>,
    inbox: String,
    problems: Vec<String>,
}

impl Story {
    /// Tells it.
    ///
    /// # Errors
    ///
    /// Something is not as it should be, and what is known of that email.
    pub(super) async fn play(stage: &Stage, pace: Duration) -> Result<Self, Failure> {
        let (emails, problems) = (Vec::new(), Vec::new());
        let mut story = Self { begun: Instant::now(), pace, emails, inbox: stage.inbox.url(), problems };
        let scene = Scene { stage };
        story.with_its_event(&scene).await?;
        story.without_an_event(&scene).await?;
        story.judge(stage).await?;
        Ok(story)
    }

    /// SES tells afterwards that it took the email.
    async fn with_its_event(&mut self, scene: &Scene<'_>) -> Result<(), Failure> {
        chapter("A worker is killed in mid-send. on_unknown = hold: while nobody can know, nobody sends.");
        let id = scene.write("hold", "Your order 2041").await?;
        let attempt = self.kill_in_mid_send(scene, id).await?;
        self.end_leases(scene, &[id]).await?;
        scene.must_be(id, "unknown").await?;
        self.say(&format!("row {id} says unknown, and why:")).await;
        eprintln!("            {}", scene.error_detail(id).await?);

        let what = "its doorbell rings once more, as a queue may bring a message twice";
        self.step(what, scene.ring_and_wait(id)).await?;
        scene.must_have_asked(id, 1).await?;
        scene.must_be(id, "unknown").await?;
        self.say(&format!(
            "dispatch-sqs has looked and sent nothing: row {id} says unknown, SES was asked once"
        ))
        .await;

        scene.stage.ses.emit(&attempt, EventKind::Send).await?;
        let what = "SES's Send event of that attempt comes, late: EventBridge, a queue, feedback";
        self.step(what, scene.must_be(id, "sent")).await?;
        let taken = times(scene.stage.ses.times_taken(id));
        self.say(&format!("row {id} says sent, and SES has taken the email {taken}")).await;
        self.emails.push(Email::new(id, "hold", true, ("sent", 1), "SES's event told".to_owned()));
        Ok(())
    }

    /// SES tells nothing: what its owner said decides.
    async fn without_an_event(&mut self, scene: &Scene<'_>) -> Result<(), Failure> {
        chapter(
            "The same, and SES's event is lost. on_unknown = resend: its owner wants it twice rather than never.",
        );
        let resend = scene.write("resend", "Your order 2042").await?;
        self.kill_in_mid_send(scene, resend).await?;
        chapter("And beside it what hold makes of it.");
        let hold = scene.write("hold", "Your order 2043").await?;
        self.kill_in_mid_send(scene, hold).await?;
        self.end_leases(scene, &[resend, hold]).await?;
        for id in [resend, hold] {
            scene.must_be(id, "unknown").await?;
        }
        self.say(&format!("rows {resend} and {hold} say unknown, and no event comes")).await;

        scene.wait_for_events(&[resend, hold]).await?;
        self.say("nobody waits ten minutes for one here: state_at of both is moved back by as much").await;
        self.sweep(scene).await?;
        scene.must_be(resend, "sent").await?;
        scene.must_have_asked(resend, 2).await?;
        let taken = times(scene.stage.ses.times_taken(resend));
        self.say(&format!(
            "row {resend} says sent: it was rung for and sent again, and SES has taken it {taken}"
        ))
        .await;
        scene.must_be(hold, "unknown").await?;
        scene.must_have_asked(hold, 1).await?;
        let taken = times(scene.stage.ses.times_taken(hold));
        self.say(&format!("row {hold} says unknown until somebody decides, and SES has taken it {taken}"))
            .await;
        self.emails.extend([
            Email::new(resend, "resend", false, ("sent", 2), "its owner asked for it".to_owned()),
            Email::new(hold, "hold", false, ("unknown", 1), format!("sendonce resolve {hold} ends it")),
        ]);
        Ok(())
    }

    /// Has a worker of its own claim the email, and kills it when SES has taken that and has not yet answered. Returns what
    /// SES knows of the attempt.
    async fn kill_in_mid_send(&mut self, scene: &Scene<'_>, id: u64) -> Result<Recorded, Failure> {
        let what = format!("email {id} is written, and its doorbell is handed to a worker");
        let sending = self.step(&what, scene.send_until_taken(id)).await?;
        scene.must_be(id, "sending").await?;
        let pid = sending.worker.pid();
        self.say(&format!("the worker (dispatch-sqs, process {pid}) has claimed it: row {id} says sending"))
            .await;
        self.say("SES has taken it, and its answer is on the way").await;
        let attempt = scene.kill(id, sending).await?;
        self.say(&format!("kill -9 {pid}: the worker is gone, and SES's answer finds nobody")).await;
        scene.must_be(id, "sending").await?;
        let lease_s = scene.lease_s(id).await?;
        self.say(&format!("row {id} says sending still, and its lease has {lease_s} s to go")).await;
        Ok(attempt)
    }

    async fn end_leases(&mut self, scene: &Scene<'_>, ids: &[u64]) -> Result<(), Failure> {
        scene.end_leases(ids).await?;
        self.say("nobody waits for that here: lease_until is moved into the past").await;
        self.sweep(scene).await
    }

    async fn sweep(&mut self, scene: &Scene<'_>) -> Result<(), Failure> {
        self.step("the sweep runs, by hand; by itself it would within a minute", scene.sweep()).await
    }

    async fn step<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let done = step_since(self.begun, what, work).await?;
        tokio::time::sleep(self.pace).await;
        Ok(done)
    }

    async fn say(&self, what: &str) {
        note(self.begun, what);
        tokio::time::sleep(self.pace).await;
    }
}

fn chapter(title: &str) {
    eprintln!("\n{title}");
}
