//! A wire between a client and the API server that a test can cut, or hold what is sent over it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    wire: watch::Sender<Wire>,
    /// Bytes that wait in the wire now.
    held: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Whole,
    /// What clients send waits; answers pass.
    Held,
    Cut,
}

impl Proxy {
    pub(super) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (wire, held) = (watch::Sender::new(Wire::Whole), watch::Sender::new(0));
        let (accepting, counter) = (wire.clone(), held.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (wire, held, server) = (accepting.clone(), counter.clone(), server.clone());
                tokio::spawn(async move {
                    if *wire.borrow() != Wire::Cut
                        && let Ok(far) = TcpStream::connect(&server).await
                    {
                        Box::pin(join(near, far, &wire, &held)).await;
                    }
                });
            }
        });
        Proxy { address, wire, held }
    }

    pub(super) fn cut(&self) {
        self.wire.send_replace(Wire::Cut);
    }

    pub(super) fn mend(&self) {
        self.wire.send_replace(Wire::Whole);
    }

    /// Holds what is sent from now on until it is mended.
    pub(super) fn hold(&self) {
        self.wire.send_replace(Wire::Held);
    }

    /// Until something waits in the wire.
    pub(super) async fn until_held(&self) {
        self.held.subscribe().wait_for(|bytes| *bytes > 0).await.unwrap();
    }
}

/// Until either end closes, or the wire is cut.
async fn join(
    mut near: TcpStream,
    mut far: TcpStream,
    wire: &watch::Sender<Wire>,
    held: &watch::Sender<usize>,
) {
    let (from_client, mut to_client) = near.split();
    let (mut from_server, to_server) = far.split();
    let mut state = wire.subscribe();
    tokio::select! {
        _ = forward(from_client, to_server, wire.subscribe(), held) => {}
        _ = copy(&mut from_server, &mut to_client) => {}
        _ = state.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

async fn forward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut wire: watch::Receiver<Wire>,
    held: &watch::Sender<usize>,
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if *wire.borrow() == Wire::Held {
            held.send_modify(|bytes| *bytes += read);
            let _ = wire.wait_for(|wire| *wire != Wire::Held).await;
            held.send_modify(|bytes| *bytes -= read);
        }
        to.write_all(&buffer[..read]).await?;
    }
}
