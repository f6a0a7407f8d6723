//! What a script does to a request, and whether the message was taken.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Client, simple};
use crate::{
    gate::Gate,
    ses::{Answer, Fault, Match, Ses, SesError},
};

#[tokio::test]
async fn each_fault_ends_as_it_says() {
    let ses = Ses::start().await.unwrap();
    // What the client gets: a status, or the end of the connection, orderly or not.
    let (closed, reset) = (Err(std::io::ErrorKind::UnexpectedEof), Err(std::io::ErrorKind::ConnectionReset));
    let body = String::from("{}");
    let cases = [
        (Fault::status(503), Ok(503), false),
        (Fault::status(408), Ok(408), false),
        (Fault::Status { code: 500, body, taken: true }, Ok(500), true),
        (Fault::CloseAfterRead { taken: true }, closed, true),
        (Fault::CloseAfterRead { taken: false }, closed, false),
        (Fault::ResetAfterRead { taken: true }, reset, true),
        (Fault::ResetAfterRead { taken: false }, reset, false),
        (Fault::CloseInHeaders, closed, true),
        (Fault::CloseInBody, closed, true),
        (Fault::Unreadable200, Ok(200), true),
        (Fault::NoMessageId200, Ok(200), true),
        (Fault::Truncated200, Ok(200), true),
    ];
    for (number, (fault, expected, taken)) in cases.into_iter().enumerate() {
        let name = fault.name();
        ses.script(Match::EmailId(41), 1, fault);
        let mut client = Client::connect(&ses).await;
        client.write(&simple()).await;
        let got = client.0.read_response().await;
        assert_eq!(got.as_ref().map(|(status, _)| *status).map_err(std::io::Error::kind), expected, "{name}");
        if expected == Ok(200) {
            let told: Option<serde_json::Value> = serde_json::from_slice(&got.unwrap().1).ok();
            assert!(told.is_none_or(|body| body == json!({})), "{name}");
        }
        let record = &ses.requests()[number];
        assert_eq!((record.taken, &record.answer), (taken, &Answer::Scripted(name)));
        assert_eq!(record.message_id.is_some(), taken, "{name}");
    }
    assert_eq!((ses.unused_scripts(), ses.accepted().len()), (0, 0));
}

#[tokio::test]
async fn every_modelled_error_has_its_status() {
    let ses = Ses::start().await.unwrap();
    let mut client = Client::connect(&ses).await;
    for error in SesError::ALL {
        ses.script(Match::Any, 1, Fault::Refuse(error));
        assert_eq!(client.send(&simple()).await.0, error.status());
    }
    assert!(ses.taken().is_empty());
    assert_eq!(client.send(&simple()).await.0, 200);
}

#[tokio::test]
async fn scripts_match_and_are_used_up() {
    let ses = Ses::start().await.unwrap();
    let mut client = Client::connect(&ses).await;
    ses.script(Match::EmailId(42), 1, Fault::status(500));
    ses.script(Match::Recipient("ADA@customer.example".into()), 2, Fault::status(503));
    let mut other = simple();
    other["EmailTags"][0]["Value"] = json!("42");
    other["Destination"]["ToAddresses"] = json!(["bob@b.example"]);
    assert_eq!(client.send(&simple()).await.0, 503);
    assert_eq!(client.send(&other).await.0, 500);
    assert_eq!(ses.unused_scripts(), 1);
    assert_eq!(client.send(&simple()).await.0, 503);
    assert_eq!(client.send(&simple()).await.0, 200);
    assert_eq!(client.send(&other).await.0, 200);
}

#[tokio::test]
async fn gates_hold_the_taking_or_the_answer() {
    let ses = Ses::start().await.unwrap();
    let (taking, answer) = (Gate::new(), Gate::new());
    ses.script(Match::Any, 1, Fault::Gate(taking.clone()));
    ses.script(Match::Any, 1, Fault::GateAnswer(answer.clone()));
    let (mut one, mut two) = (Client::connect(&ses).await, Client::connect(&ses).await);
    one.write(&simple()).await;
    taking.reached().await;
    two.write(&simple()).await;
    answer.reached().await;
    ses.arrived(2).await;
    assert_eq!(ses.requests().iter().map(|record| record.taken).collect::<Vec<_>>(), [false, true]);
    answer.release();
    assert_eq!(two.0.read_response().await.unwrap().0, 200);
    // The sender gives up; SES takes the message all the same.
    drop(one);
    taking.release();
    while ses.taken().len() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn hangs_delays_and_closes_unread() {
    let ses = Ses::start().await.unwrap();
    ses.script(Match::Any, 1, Fault::HangForever { taken: true });
    let mut client = Client::connect(&ses).await;
    client.write(&simple()).await;
    ses.arrived(1).await;
    let nothing = tokio::time::timeout(Duration::from_millis(5), client.0.read_response()).await;
    assert!(nothing.is_err() && ses.taken().len() == 1);

    ses.script(Match::Any, 1, Fault::Delay(Duration::from_millis(20)));
    let (asked, mut client) = (Instant::now(), Client::connect(&ses).await);
    assert_eq!(client.send(&simple()).await.0, 200);
    assert!(asked.elapsed() >= Duration::from_millis(20));

    ses.script(Match::Any, 1, Fault::CloseBeforeRead);
    client.write(&simple()).await;
    assert!(client.0.read_response().await.is_err());
    assert_eq!((ses.request_count(), ses.unused_scripts()), (2, 0));
}

#[tokio::test]
async fn refuses_connections_and_closes_idle_ones() {
    let ses = Ses::start().await.unwrap();
    let mut client = Client::connect(&ses).await;
    assert_eq!(client.send(&simple()).await.0, 200);
    ses.close_idle();
    client.0.peer_stirs().await;
    ses.refuse(true).await;
    let refused = tokio::net::TcpStream::connect(("127.0.0.1", ses.port())).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    ses.refuse(false).await;
    assert_eq!(Client::connect(&ses).await.send(&simple()).await.0, 200);
}
