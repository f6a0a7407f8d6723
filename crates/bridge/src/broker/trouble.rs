//! What is wrong with the broker, in sentences that name queue, virtual host or host, and say what to do. Never who the
//! bridge logs in as.

use std::io;

use lapin::{Error, ErrorKind};

use crate::{config::BrokerConfig, topology::NotThere};

/// Why no socket could be had.
#[must_use]
pub fn connecting(error: &io::Error, config: &BrokerConfig) -> String {
    let host = config.host();
    match error.kind() {
        io::ErrorKind::TimedOut => format!("{host} does not answer: look at address, network and firewall"),
        io::ErrorKind::ConnectionRefused => {
            format!("{host} refuses the connection: no broker listens there, or not yet")
        }
        io::ErrorKind::InvalidData if config.has_tls() => {
            format!(
                "TLS with {host} failed ({error}): look at BROKER_CA_FILE and at the broker's certificate"
            )
        }
        _ if config.has_tls() => format!("{host} cannot be reached, or speaks no TLS there: {error}"),
        _ => format!("{host} cannot be reached: {error}"),
    }
}

/// Why the broker let nobody in.
#[must_use]
pub fn opening(error: &Error, config: &BrokerConfig) -> String {
    let (host, vhost) = (config.host(), &config.uri.vhost);
    match (code(error), error.kind()) {
        (Some(403), _) => format!("{host} refuses user or password: correct BROKER_URL"),
        (Some(530), _) => {
            format!(
                "virtual host {vhost} is not there, closed to this user, or has all the connections it may have: create it, \
                 grant it, raise its limit, or correct BROKER_URL"
            )
        }
        (Some(code), _) => format!("{host} closed the connection with code {code}"),
        (None, ErrorKind::IOError(error)) if config.has_tls() => connecting(error, config),
        (None, ErrorKind::IOError(_)) => {
            format!("{host} hung up before it let anybody in: is it AMQP without TLS, and is the broker up?")
        }
        _ => format!("{host}: {error}"),
    }
}

/// Nobody spoke.
#[must_use]
pub fn no_answer(config: &BrokerConfig) -> String {
    format!("{} takes connections and says nothing", config.host())
}

/// Why a queue cannot be used.
#[must_use]
pub fn queue(not_there: &NotThere, vhost: &str) -> String {
    let NotThere { queue, error } = not_there;
    match code(error) {
        Some(404) => {
            format!("queue {queue} is not there in virtual host {vhost}: create it, or correct QUEUES")
        }
        Some(403) => {
            format!("this user may not use queue {queue} in virtual host {vhost}: grant it (docs/BRIDGE.md)")
        }
        Some(405) => format!("queue {queue} is exclusive to another connection"),
        Some(406) => {
            format!(
                "queue {queue} is there with other arguments: delete it when it is empty, or set DECLARE=no"
            )
        }
        Some(code) => format!("queue {queue}: the broker said {code}"),
        None => format!("queue {queue}: {error}"),
    }
}

/// Why messages of a queue come no more.
#[must_use]
pub fn consuming(error: &Error, name: &str) -> String {
    match code(error) {
        Some(404) => format!("queue {name} is gone"),
        Some(403) => format!("this user may not read from queue {name}: grant it (docs/BRIDGE.md)"),
        Some(406) => {
            format!("the broker took the messages of queue {name} back: they were kept for too long")
        }
        Some(code) => format!("the broker closed the channel of queue {name} with code {code}"),
        None => format!("queue {name}: {error}"),
    }
}

/// Why a message could not be put aside.
#[must_use]
pub fn publishing(error: &Error) -> String {
    match code(error) {
        Some(403) => {
            "this user may not write to amq.default, and so put nothing aside: grant it (docs/BRIDGE.md)"
                .into()
        }
        Some(code) => format!("a message could not be put aside: the broker said {code}"),
        None => format!("a message could not be put aside: {error}"),
    }
}

/// The code of AMQP. Its text is not quoted: it may name the user.
fn code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}
