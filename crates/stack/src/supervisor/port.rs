//! Ports for servers that cannot choose one themselves.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use super::ServerError;

/// Below the range from which the kernel takes the ports of outgoing connections: a server that restarts on its port
/// must not find it taken by a client that was connecting somewhere meanwhile.
const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;

/// Returns a TCP port of 127.0.0.1 that is free now, and that this process has not been given before.
///
/// # Errors
///
/// [`ServerError::NoPort`] when a few hundred tries found none.
pub fn free_port() -> Result<u16, ServerError> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last = io::Error::other("every port tried had been given before");
    for _ in 0..500 {
        let port = fastrand::u16(FIRST..LAST);
        if given.contains(&port) {
            continue;
        }
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => {
                given.insert(port);
                return Ok(port);
            }
            Err(error) => last = error,
        }
    }
    Err(ServerError::NoPort(last))
}
