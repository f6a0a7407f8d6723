use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{DeadLetter, DeadLetters, LONGEST, NotBuried, bury, letter};
use crate::{
    Lane,
    body::UnreadableBody,
    rabbitmq::{BadDelivery, Delivery, Origin, Original, Unreadable},
};

fn delivery(original: Original) -> Delivery {
    let origin = Origin {
        queue: "mail".into(),
        vhost: String::new(),
        position: 3,
        message_id: None,
        timestamp: None,
        redelivered: false,
    };
    let reason = BadDelivery::Body(UnreadableBody::Shape);
    Delivery { origin, lane: Lane::Urgent, email_id: Err(Unreadable { reason, original }), trace: None }
}

fn of(original: Original) -> DeadLetter {
    let delivery = delivery(original);
    letter(&delivery, delivery.email_id.as_ref().expect_err("unreadable"))
}

fn attribute<'l>(letter: &'l DeadLetter, name: &str) -> Option<&'l str> {
    letter.attributes.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_letter_holds_the_body_as_the_queue_takes_it() {
    let cases = [
        (Original::Body(b"hello\n".to_vec()), "hello\n", "text", "6"),
        (Original::Body(b"\xff\xfe".to_vec()), "//4=", "base64", "2"),
        (Original::Body(b"a\0b".to_vec()), "YQBi", "base64", "3"),
        (Original::Body(Vec::new()), "(empty)", "none", "0"),
        (Original::Data("%\u{1}%".to_owned()), "%\u{fffd}%", "data", "3"),
        (Original::None, "(nothing)", "none", "0"),
    ];
    for (original, body, encoding, bytes) in cases {
        let letter = of(original);
        assert_eq!(letter.body, body);
        assert_eq!(attribute(&letter, "encoding"), Some(encoding), "{body}");
        assert_eq!(attribute(&letter, "body_bytes"), Some(bytes), "{body}");
        assert_eq!(attribute(&letter, "cut"), None);
        assert_eq!((attribute(&letter, "queue"), attribute(&letter, "vhost")), (Some("mail"), None));
        assert_eq!(attribute(&letter, "reason"), Some("body_shape"));
    }
}

#[test]
fn what_is_too_large_for_the_queue_is_cut() {
    let letter = of(Original::Body("ü".repeat(5_000_000).into_bytes()));
    assert!((LONGEST - 1..=LONGEST).contains(&letter.body.len()));
    assert_eq!(
        (attribute(&letter, "cut"), attribute(&letter, "body_bytes")),
        (Some("true"), Some("10000000"))
    );
}

/// Fails as it is told, and remembers how often it was asked.
struct Failing(Mutex<usize>, fn() -> NotBuried);

impl DeadLetters for Failing {
    async fn put(&self, _: DeadLetter) -> Result<(), NotBuried> {
        *self.0.lock().expect("not poisoned") += 1;
        Err((self.1)())
    }
}

#[tokio::test]
async fn a_queue_that_is_away_is_asked_once_and_one_that_refuses_each_time() {
    let batch: Vec<_> = (0..100).map(|_| delivery(Original::None)).collect();
    let failures: [(fn() -> NotBuried, usize); 3] = [
        (|| NotBuried::Unreachable("away".into()), 1),
        (|| NotBuried::Refused("InvalidMessageContents".into()), 100),
        (|| NotBuried::NoQueue, 100),
    ];
    for (failure, asked) in failures {
        let letters = Failing(Mutex::default(), failure);
        bury(&letters, &batch, Instant::now() + Duration::from_secs(30)).await;
        assert_eq!(*letters.0.lock().expect("not poisoned"), asked);
    }
}
