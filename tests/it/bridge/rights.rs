//! The rights that `docs/BRIDGE.md` asks for: enough for everything, and each one is needed.

use std::{fs, path::Path};

use lapin::{BasicProperties, types::AMQPValue};
use serde_json::json;
use stack::rabbitmq::{Options, PASSWORD, Rabbitmq, USER};

use super::{Function, Rabbit, bridge, doorbell, function::Answer, rabbit::header, until};

const CONFIGURE: &str = r"^mail\.(urgent|bulk)\.(retry\..+|dead)$";
const WRITE: &str = r"^amq\.default$";
const READ: &str = r"^mail\.(urgent|bulk)(\.retry\..+)?$";

/// A broker with a user who may do this much, in one virtual host each.
async fn broker(rights: &[[&str; 3]]) -> Rabbitmq {
    let vhosts: Vec<String> = (0..rights.len()).map(|number| format!("v{number}")).collect();
    let all = |vhost: &String| json!({"user": USER, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"});
    let mut permissions: Vec<_> = vhosts.iter().map(all).collect();
    for (vhost, [configure, write, read]) in vhosts.iter().zip(rights) {
        permissions.push(
            json!({"user": "bridge", "vhost": vhost, "configure": configure, "write": write, "read": read}),
        );
    }
    let users = [USER, "bridge"].map(|name| json!({"name": name, "password": PASSWORD, "tags": ""}));
    let vhosts: Vec<_> = vhosts.iter().map(|name| json!({"name": name})).collect();
    let definitions = json!({"users": users, "vhosts": vhosts, "permissions": permissions});
    let file = std::env::temp_dir().join(format!("sendonce-rights-{}.json", std::process::id()));
    fs::write(&file, definitions.to_string()).expect("written");
    // The last line of a name counts.
    let options = Options::default().setting(format!("load_definitions = {}", file.display()));
    let broker = Rabbitmq::start(options).await.expect("the broker starts");
    fs::remove_file(file).expect("removed");
    broker
}

#[tokio::test]
async fn the_rights_of_the_document_are_enough_and_each_is_needed() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/BRIDGE.md");
    let document = fs::read_to_string(document).expect("the document");
    for right in [CONFIGURE, WRITE, READ] {
        assert!(document.contains(right), "{right}");
    }
    let rights =
        [[CONFIGURE, WRITE, READ], ["^$", WRITE, READ], [CONFIGURE, "^$", READ], [CONFIGURE, WRITE, "^$"]];
    let broker = broker(&rights).await;
    let start = |number: usize, function: &Function| {
        let vhost = format!("v{number}");
        let rabbit = Rabbit::by(broker.uri_of(USER, PASSWORD, &vhost));
        let settings = bridge(&rabbit, "mail.urgent,mail.bulk", function)
            .with("BROKER_URL", broker.uri_of("bridge", PASSWORD, &vhost))
            .with("MAX_TRIES", "2");
        (rabbit, settings)
    };
    let function = Function::new(|_, _| Answer::Fails).await;
    let (rabbit, settings) = start(0, &function);
    for queue in ["mail.urgent", "mail.bulk"] {
        rabbit.declare(queue, "quorum").await;
        // RabbitMQ refuses a user id that is not the publisher's own, and ends what has expired.
        let properties =
            BasicProperties::default().with_user_id(USER.into()).with_expiration("600000".into());
        rabbit.publish_with(queue, &[(doorbell(1), properties)]).await;
    }
    let running = settings.start();
    for dead in ["mail.urgent.dead", "mail.bulk.dead"] {
        until(dead, async || rabbit.depth(dead).await == Some(1)).await;
    }
    assert!(!running.log().contains("queue.broken"), "{}", running.log());
    let letter = rabbit.take("mail.urgent.dead").await.remove(0);
    assert_eq!((letter.properties.user_id(), letter.properties.expiration()), (&None, &None));
    let user = AMQPValue::LongString(USER.into());
    assert_eq!(header(&letter.properties, "x-sendonce-user-id"), Some(user));
    running.stop().await;
    // Where the queues are made by somebody else, nothing needs to be configured.
    for (number, refused) in [(1, "may not use queue"), (2, "may not use queue"), (3, "may not")] {
        let (rabbit, settings) = start(number, &function);
        for queue in ["mail.urgent", "mail.bulk"] {
            rabbit.declare(queue, "quorum").await;
        }
        let running = settings.start();
        running.says(refused).await;
        running.stop().await;
        if number == 1 {
            for beside in ["mail.urgent.retry.1s", "mail.urgent.dead", "mail.bulk.retry.1s", "mail.bulk.dead"]
            {
                rabbit.declare(beside, "quorum").await;
            }
            let running = settings.with("DECLARE", "no").start();
            running.is_well().await;
            running.stop().await;
        }
    }
}
