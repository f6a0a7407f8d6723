//! With a client of AMQP that knows nothing of this crate.

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use super::*;
use crate::supervisor::tests::kill_the_parent;

async fn connect(uri: &str) -> lapin::Result<Connection> {
    Connection::connect(uri, ConnectionProperties::default()).await
}

async fn connect_tls(uri: &str, ca: &Path) -> lapin::Result<Connection> {
    let tls = OwnedTLSConfig {
        identity: None,
        cert_chain: Some(std::fs::read_to_string(ca).expect("the authority")),
    };
    let runtime = lapin::runtime::default_runtime()?;
    Connection::connect_with_config(uri, ConnectionProperties::default(), tls, runtime).await
}

async fn channel(connection: &Connection) -> Channel {
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("it confirms");
    channel
}

async fn declare(channel: &Channel, queue: &str, kind: &str) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await.expect("declared");
}

/// Returns once the broker has it on its disk.
async fn publish(channel: &Channel, queue: &str, text: &str) {
    let kept = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), queue.into(), options, text.as_bytes(), kept).await;
    assert!(!sent.expect("sent").await.expect("answered").is_nack());
}

async fn take(channel: &Channel, queue: &str) -> Option<String> {
    let options = BasicGetOptions { no_ack: true };
    let message = channel.basic_get(queue.into(), options).await.expect("the queue is there")?;
    Some(String::from_utf8(message.delivery.data).expect("text"))
}

#[tokio::test]
async fn two_beside_each_other_plain_and_with_tls() {
    let options = Options::default().tls().vhost("the shop").user("clerk", "p@ss/word");
    let (one, two) = tokio::join!(Rabbitmq::start(options), Rabbitmq::start(Options::default()));
    let (one, two) = (one.expect("it starts"), two.expect("and so does its neighbour"));
    assert_ne!((one.port(), one.pid()), (two.port(), two.pid()));
    assert_eq!((two.port_tls(), two.uri_tls(), two.ca_file()), (None, None, None));

    let ca = one.ca_file().expect("an authority");
    let secure = connect_tls(&one.uri_tls().expect("an address"), ca).await.expect("TLS, and logged in");
    declare(&channel(&secure).await, "only-one-has-it", "classic").await;
    let clerk = connect(&one.uri_of("clerk", "p@ss/word", "the shop")).await.expect("logged in");
    let counter = channel(&clerk).await;
    declare(&counter, "quorum", "quorum").await;
    publish(&counter, "quorum", "three").await;
    assert_eq!(take(&counter, "quorum").await.as_deref(), Some("three"));

    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let neighbour = connect(&two.uri()).await.expect("logged in");
    let asked = channel(&neighbour).await;
    asked
        .queue_declare("only-one-has-it".into(), passive, FieldTable::default())
        .await
        .expect_err("not here");
    connect(&two.uri_of(USER, "wrong", "/")).await.expect_err("refused");
    connect(&two.uri_of("clerk", "p@ss/word", "/")).await.expect_err("unknown here");
}

#[tokio::test]
async fn stopped_or_killed_it_comes_back_with_its_data() {
    let broker = Rabbitmq::start(Options::default()).await.expect("it starts");
    let (uri, port) = (broker.uri(), broker.port());
    let first = connect(&uri).await.expect("logged in");
    for kind in ["classic", "quorum"] {
        declare(&channel(&first).await, kind, kind).await;
    }
    // In order first: what a quorum queue is called reaches the disk half a second after it was declared.
    for is_killed in [false, true] {
        let before = broker.pid().expect("it runs");
        let connection = connect(&uri).await.expect("logged in");
        for kind in ["classic", "quorum"] {
            publish(&channel(&connection).await, kind, "still here").await;
        }
        if is_killed {
            broker.kill().await.expect("it is killed");
        } else {
            broker.stop().await.expect("it stops");
        }
        assert_eq!(broker.pid(), None);
        assert!(matches!(broker.stop().await, Err(ServerError::NotRunning { .. })));
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        broker.restart().await.expect("it starts again");

        assert_ne!(broker.pid(), Some(before));
        let again = connect(&uri).await.expect("the same address and user");
        for kind in ["classic", "quorum"] {
            assert_eq!(take(&channel(&again).await, kind).await.as_deref(), Some("still here"), "{kind}");
        }
    }
    broker.suspend().expect("it can be frozen");
    let mut frozen = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("the kernel takes it");
    frozen.write_all(PROTOCOL_HEADER).await.expect("and what is sent");
    broker.resume().expect("it can be thawed");
    assert_eq!(frozen.read_u8().await.expect("it answers"), 1);
}

#[test]
#[ignore = "not a test: the parent that `killed_parent_leaves_no_broker_and_no_epmd` kills"]
fn parent_of_a_broker() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let broker = runtime.block_on(Rabbitmq::start(Options::default())).expect("it starts");
    for port in [broker.place.port, broker.place.epmd_port, broker.place.distribution_port] {
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
        println!("port {port}");
    }
    println!("root {}", broker.supervisor.root().display());
    // Until it is killed; or, run by hand, until its input ends.
    std::io::stdin().lines().for_each(drop);
}

/// Looked for by its ports too: what has lost its marker would not be found by that.
#[test]
fn killed_parent_leaves_no_broker_and_no_epmd() {
    let said = kill_the_parent("rabbitmq::tests::parent_of_a_broker", &["beam.smp", "epmd"]);
    let ports: Vec<u16> = said
        .iter()
        .filter_map(|line| line.split_once("port "))
        .map(|(_, port)| port.parse().expect("a number"))
        .collect();
    assert_eq!(ports.len(), 3, "{said:?}");
    let begun = std::time::Instant::now();
    for port in ports {
        // A process that dies loses its environment a moment before its sockets.
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(20), "somebody listens at {port}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn an_address_survives_any_name() {
    assert_eq!(uri("amqp", "a:b", "c@d", 1, "/"), "amqp://a%3ab:c%40d@127.0.0.1:1/%2f");
}
