//! Carries one connection, both ways.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::timeout,
};

use super::{
    Orders, Shared,
    count::{Closed, Progress},
    script::{Action, How, Point},
};

/// An answer that has been quiet for so long is taken as whole.
const QUIET: Duration = Duration::from_millis(20);
const CHUNK: usize = 16 * 1024;

/// Why carrying stopped before both sides had closed.
enum End {
    Cut(How),
    Swallow,
    Broken,
}

struct Carrier {
    shared: Arc<Shared>,
    progress: Mutex<Progress>,
    id: u64,
}

/// Carries one connection to its end.
///
/// `born` is the number of cuts there had been when it was accepted: a later one is meant for it too.
pub(super) async fn carry(
    shared: Arc<Shared>,
    id: u64,
    mut client: TcpStream,
    orders: watch::Receiver<Orders>,
    born: u64,
) {
    let carrier = Carrier { shared, id, progress: Mutex::new(Progress::new(id)) };
    let closed = carrier.run(&mut client, orders, born).await;
    let mut count = carrier.with(|progress| progress.count);
    if count.closed == Closed::Not {
        count.closed = closed;
    }
    carrier.shared.ended(count);
}

impl Carrier {
    async fn run(&self, client: &mut TcpStream, mut orders: watch::Receiver<Orders>, born: u64) -> Closed {
        if orders.borrow().blackhole {
            return self.swallow(client, None, orders, born).await;
        }
        let Ok(mut server) = TcpStream::connect(self.shared.target).await else {
            reset(client);
            return Closed::Cut;
        };
        if server.set_nodelay(true).is_err() {
            return Closed::Cut;
        }
        let end = {
            let (client_in, client_out) = client.split();
            let (server_in, server_out) = server.split();
            tokio::select! {
                biased;
                end = ordered(&mut orders, born) => Err(end),
                end = async { tokio::try_join!(self.up(client_in, server_out), self.down(server_in, client_out)) } => end,
            }
        };
        match end {
            Ok(_) => Closed::Client,
            Err(End::Cut(How::Close)) => Closed::Cut,
            Err(End::Cut(How::Reset)) => {
                reset(client);
                reset(&server);
                Closed::Cut
            }
            Err(End::Broken) => {
                reset(client);
                reset(&server);
                Closed::Broken
            }
            Err(End::Swallow) => self.swallow(client, Some(&mut server), orders, born).await,
        }
    }

    async fn up(&self, mut client: ReadHalf<'_>, mut server: WriteHalf<'_>) -> Result<(), End> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = self.read(client.read(&mut buffer).await, Closed::Client)?;
            if length == 0 {
                return server.shutdown().await.map_err(|_| End::Broken);
            }
            let begins = self.with(|progress| progress.client_data(&buffer[..length]));
            self.shared.note(self.with(|progress| progress.count));
            if let Some(flight) = begins {
                let point = Point::Request(flight);
                self.shared.step(point);
                for action in self.shared.actions(self.id, point) {
                    match action {
                        Action::Cut(how) => return Err(End::Cut(how)),
                        Action::Stall => return Err(End::Swallow),
                        Action::Hold(gate) => gate.pass().await,
                    }
                }
            }
            self.shared.linger().await;
            server.write_all(&buffer[..length]).await.map_err(|_| End::Broken)?;
        }
    }

    async fn down(&self, mut server: ReadHalf<'_>, mut client: WriteHalf<'_>) -> Result<(), End> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = self.read(server.read(&mut buffer).await, Closed::Server)?;
            if length == 0 {
                return client.shutdown().await.map_err(|_| End::Broken);
            }
            let answers = self.with(|progress| progress.server_data(&buffer[..length]));
            self.shared.note(self.with(|progress| progress.count));
            if let Some(flight) = answers {
                let point = Point::Answer(flight);
                self.shared.step(point);
                for action in self.shared.actions(self.id, point) {
                    match action {
                        Action::Cut(how) => {
                            self.drain(&mut server, &mut buffer).await;
                            return Err(End::Cut(how));
                        }
                        Action::Stall => return Err(End::Swallow),
                        Action::Hold(gate) => gate.pass().await,
                    }
                }
            }
            self.shared.linger().await;
            client.write_all(&buffer[..length]).await.map_err(|_| End::Broken)?;
        }
    }

    /// Reads the rest of an answer that will be lost.
    async fn drain(&self, server: &mut ReadHalf<'_>, buffer: &mut [u8]) {
        while let Ok(Ok(length @ 1..)) = timeout(QUIET, server.read(buffer)).await {
            self.with(|progress| progress.server_data(&buffer[..length]));
        }
    }

    /// Reads and forgets. A side that closes is not told to the other: the network is gone.
    async fn swallow(
        &self,
        client: &mut TcpStream,
        server: Option<&mut TcpStream>,
        mut orders: watch::Receiver<Orders>,
        born: u64,
    ) -> Closed {
        let how = {
            let forget_server = async {
                match server {
                    Some(server) => forget(server).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                how = cut(&mut orders, born) => how,
                () = async { tokio::join!(forget(client), forget_server); } => How::Close,
            }
        };
        // The server's half closes in order when dropped: it has heard nothing for long enough.
        if how == How::Reset {
            reset(client);
        }
        Closed::Cut
    }

    fn read(&self, result: io::Result<usize>, side: Closed) -> Result<usize, End> {
        let length = result.map_err(|_| End::Broken)?;
        if length == 0 {
            self.with(|progress| {
                if progress.count.closed == Closed::Not {
                    progress.count.closed = side;
                }
            });
        }
        Ok(length)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits for an order that ends carrying.
async fn ordered(orders: &mut watch::Receiver<Orders>, born: u64) -> End {
    match orders.wait_for(|now| now.cuts != born || now.blackhole).await {
        Ok(now) if now.cuts == born => End::Swallow,
        Ok(now) => End::Cut(now.how),
        Err(_) => End::Cut(How::Close),
    }
}

/// Waits for an order to cut.
async fn cut(orders: &mut watch::Receiver<Orders>, born: u64) -> How {
    orders.wait_for(|now| now.cuts != born).await.map_or(How::Close, |now| now.how)
}

async fn forget(stream: &mut TcpStream) {
    let mut buffer = vec![0; CHUNK];
    // A half that has closed stays so: the other side must not learn of it, so this never ends by itself.
    while let Ok(1..) = stream.read(&mut buffer).await {}
    std::future::pending::<()>().await;
}

fn reset(stream: &TcpStream) {
    // When even this fails the socket is already gone, which is what was asked for.
    let _ = stream.set_zero_linger();
}
