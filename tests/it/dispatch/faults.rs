//! The database away, slow, full, or gone in the middle: nothing lost, nothing sent twice.

use std::sync::LazyLock;

use outbox::{dispatch::Answer, store::Tls};
use stack::{
    database::{Options, Server},
    gate::Gate,
    ses::{Fault, Match, SesError},
};
use tokio::sync::Mutex;

use crate::{
    stage::{Stage, ring},
    world::{Table, flavor, reach},
};

/// A stage on a server that a test may ill-treat. Left running by a test that fails, it ends with the tests.
async fn own_stage(arguments: &[&str]) -> (&'static Server, Stage) {
    let options = arguments.iter().fold(Options::new(flavor()), |options, argument| options.arg(*argument));
    let server = Server::start(options).await.expect("the server starts");
    let database = server.create_database().await.expect("the schema applies");
    let server: &'static Server = Box::leak(Box::new(server));
    (server, Stage::on(Table { server, database }).await)
}

/// One email; `trouble` comes while SES is thinking about it. It is sent, once, and recorded.
async fn sent_in_spite_of(trouble: impl Future<Output = ()>, stage: &Stage) {
    let id = stage.table.insert(&[]).await;
    let gate = Gate::new();
    stage.ses.script(Match::Any, 1, Fault::Gate(gate.clone()));
    let dispatcher = stage.dispatcher();
    let trouble = async {
        gate.reached().await;
        trouble.await;
        gate.release();
    };
    let (answer, ()) = tokio::join!(ring(&dispatcher, id), trouble);
    assert_eq!(answer, Answer::Done);
    assert_eq!(stage.table.state(id).await, "sent");
    assert_eq!(stage.ses.times_taken(id), 1);
}

/// The flights of a plaintext connection after the greeting: 0 is the login.
const CLAIM: usize = 1;
const RECORD: usize = 2;

/// Servers of one's own cost memory and time: one such test at a time.
static ILL_TREATMENT: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

#[tokio::test]
async fn the_claims_answer_is_lost() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    let (proxy, url) = stage.table.proxied().await;
    let dispatcher = stage.dispatcher_through(reach(&url, Tls::Off));
    proxy.lose_answer(CLAIM);
    assert_eq!(ring(&dispatcher, id).await, Answer::Done);
    assert_eq!(stage.table.state(id).await, "pending");
    assert_eq!(stage.table.column(id, "attempts").await.as_deref(), Some("0"));
    assert!(stage.table.column(id, "attempt_id").await.is_some(), "the claim had been made");
    assert_eq!((dispatcher.bell().rings().len(), stage.ses.request_count()), (1, 0));
    assert_eq!(ring(&dispatcher, id).await, Answer::Done);
    assert_eq!(stage.table.state(id).await, "sent");
    assert_eq!(stage.ses.times_taken(id), 1);
    proxy.idle().await;
    assert_eq!(proxy.totals().peak_open, 1, "never two connections");
}

#[tokio::test]
async fn the_claim_never_reaches_the_server() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    let (proxy, url) = stage.table.proxied().await;
    let dispatcher = stage.dispatcher_through(reach(&url, Tls::Off));
    proxy.cut_before_request(CLAIM);
    assert_eq!(ring(&dispatcher, id).await, Answer::Done);
    assert_eq!(stage.table.column(id, "attempt_id").await, None);
    assert_eq!((dispatcher.bell().rings().len(), stage.ses.request_count()), (1, 0));
}

#[tokio::test]
async fn the_records_answer_is_lost() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    let (proxy, url) = stage.table.proxied().await;
    let dispatcher = stage.dispatcher_through(reach(&url, Tls::Off));
    proxy.lose_answer(RECORD);
    assert_eq!(ring(&dispatcher, id).await, Answer::Done);
    assert_eq!(stage.table.state(id).await, "sent");
    assert_eq!(stage.ses.times_taken(id), 1);
    assert_eq!(stage.table.value("SELECT COUNT(*) FROM email_event").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn the_record_never_reaches_the_server() {
    let stage = Stage::new().await;
    let (sent, failed) = (stage.table.insert(&[]).await, stage.table.insert(&[]).await);
    stage.ses.script(Match::EmailId(failed), 1, Fault::Refuse(SesError::MessageRejected));
    for (id, state) in [(sent, "sent"), (failed, "failed")] {
        let (proxy, url) = stage.table.proxied().await;
        let dispatcher = stage.dispatcher_through(reach(&url, Tls::Off));
        proxy.cut_before_request(RECORD);
        assert_eq!(ring(&dispatcher, id).await, Answer::Done);
        assert_eq!(stage.table.state(id).await, state);
        assert_eq!(stage.ses.requests_for(id).len(), 1);
        assert_eq!(proxy.totals().peak_open, 1);
    }
}

#[tokio::test]
async fn the_server_goes_away_between_claim_and_record() {
    let _one = ILL_TREATMENT.lock().await;
    let (server, stage) = own_stage(&[]).await;
    let trouble = async {
        server.kill().await.expect("killed");
        server.restart().await.expect("back again");
    };
    sent_in_spite_of(trouble, &stage).await;
    server.stop().await.expect("stopped");
}

/// Whatever the server says to whoever comes back to write down that SES has the email: it is asked again.
#[tokio::test]
async fn logins_that_are_refused_for_a_moment_cost_no_acceptance() {
    let _one = ILL_TREATMENT.lock().await;
    let (server, stage) = own_stage(&[]).await;
    let id = stage.table.insert(&[]).await;
    let gate = Gate::new();
    stage.ses.script(Match::Any, 1, Fault::Gate(gate.clone()));
    let dispatcher = stage.dispatcher();
    let admin = stage.table.database.admin();
    let refused = async || server.global_status("Aborted_connects").await.expect("a counter");
    let trouble = async {
        gate.reached().await;
        let user = "'sendonce_dispatch_sqs'@'%'";
        admin.execute(&format!("ALTER USER {user} ACCOUNT LOCK")).await.expect("locked");
        for process in server.processlist().await.expect("processes") {
            admin.execute(&format!("KILL {}", process.id)).await.expect("killed");
        }
        let before = refused().await;
        gate.release();
        while refused().await < before + 3 {
            tokio::task::yield_now().await;
        }
        admin.execute(&format!("ALTER USER {user} ACCOUNT UNLOCK")).await.expect("unlocked");
        std::future::pending::<Answer>().await
    };
    let answer = tokio::select! {
        answer = ring(&dispatcher, id) => answer,
        never = trouble => never,
    };
    assert_eq!(answer, Answer::Done);
    assert_eq!((stage.table.state(id).await.as_str(), stage.ses.times_taken(id)), ("sent", 1));
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn ses_is_slower_than_wait_timeout() {
    let _one = ILL_TREATMENT.lock().await;
    let (server, stage) = own_stage(&["--wait-timeout=1"]).await;
    // The server loses patience with the idle connection.
    let trouble = async {
        while !server.processlist().await.expect("processes").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    sent_in_spite_of(trouble, &stage).await;
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn no_connection_to_spare() {
    let _one = ILL_TREATMENT.lock().await;
    let (server, stage) = own_stage(&["--max-connections=10"]).await;
    let id = stage.table.insert(&[]).await;
    let mut hogs = Vec::new();
    while let Ok(session) = stage.table.plain().connect(crate::world::soon()).await {
        hogs.push(session);
    }
    let (answer, rings) = stage.ring(id).await;
    assert_eq!((answer, rings.len()), (Answer::Done, 1));
    assert_eq!(stage.ses.request_count(), 0);
    for hog in hogs {
        hog.close().await;
    }
    stage.ring(id).await;
    assert_eq!(stage.table.state(id).await, "sent");
    server.stop().await.expect("stopped");
}

#[tokio::test]
async fn no_server_and_a_wrong_password_ring_again() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    let url = stage.table.database.url();
    let wrong = url.replace(stack::database::PASSWORD, "wrong");
    let closed = crate::world::closed_address();
    let nobody = url.replace(&format!(":{}/", stage.table.server.port()), &format!(":{}/", closed.port()));
    for url in [wrong, nobody] {
        let dispatcher = stage.dispatcher_through(reach(&url, Tls::Off));
        assert_eq!(ring(&dispatcher, id).await, Answer::Done);
        assert_eq!(dispatcher.bell().rings().len(), 1);
        dispatcher.bell().break_queue();
        assert_eq!(
            ring(&dispatcher, id).await,
            Answer::Again,
            "with the queue away, too, the message comes again"
        );
    }
    assert_eq!(stage.table.column(id, "attempt_id").await, None);
}

#[tokio::test]
async fn the_record_loses_a_deadlock_and_is_written_all_the_same() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    stage.ses.script(Match::Any, 1, Fault::Refuse(SesError::MessageRejected));
    let mut rival = stage.table.database.admin().connect().await.expect("connected");
    // The rival holds an event of this email; a claim would have to read it, so it begins after the claim, when SES is
    // called. A refusal has no gate of its own: the connection to SES has.
    let proxy =
        stack::proxy::Proxy::start(([127, 0, 0, 1], stage.ses.port()).into()).await.expect("a free port");
    let held = proxy.hold(0);
    let mailer = crate::stage::mailer(&format!("http://{}", proxy.address()));
    let dispatcher = outbox::dispatch::Dispatcher::new(
        stage.table.plain(),
        mailer,
        crate::stage::Memory::default(),
        stage.policy,
    );
    let waits = || async {
        let sql = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
        stage.table.value(sql).await.is_some_and(|count| count != "0")
    };
    let trouble = async {
        held.reached().await;
        run(&mut rival, "BEGIN").await;
        run(&mut rival, &format!("INSERT INTO email_event (email_id, kind) VALUES ({id}, 'send')")).await;
        held.release();
        // The record holds the email and wants the event; now the rival wants the email.
        while !waits().await {
            // The server refreshes this table only when nobody has read it for a tenth of a second.
            tokio::time::sleep(std::time::Duration::from_millis(120)).await;
        }
        run(&mut rival, &format!("UPDATE email SET subject = 'changed' WHERE id = {id}")).await;
        run(&mut rival, "ROLLBACK").await;
    };
    let (answer, ()) = tokio::join!(ring(&dispatcher, id), trouble);
    assert_eq!(answer, Answer::Done);
    assert_eq!(stage.table.state(id).await, "failed");
}

async fn run(connection: &mut sqlx::MySqlConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(connection).await.expect("executed");
}

#[tokio::test]
async fn a_server_whose_defaults_would_undo_the_claim_is_refused() {
    let _one = ILL_TREATMENT.lock().await;
    for default in ["SET GLOBAL autocommit = 0", "SET GLOBAL init_connect = 'SET autocommit = 0'"] {
        let (server, stage) = own_stage(&[]).await;
        let id = stage.table.insert(&[]).await;
        stage.table.execute(default).await;
        let (answer, rings) = stage.ring(id).await;
        assert_eq!((answer, rings.len()), (Answer::Done, 1), "{default}");
        assert_eq!(stage.ses.request_count(), 0, "{default}");
        server.stop().await.expect("stopped");
    }
}
