//! A wire to a server that a test can cut, or hold what is sent over it, while others still reach the server.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Cluster;

/// Much longer than a client takes to send what it has to send.
const PATIENCE: Duration = Duration::from_mins(1);

/// Kinds of records of TLS by which a connection is made; what comes after is encrypted, and of another kind.
const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER: u8 = 20;

/// A port of this machine from which everything goes to a server, as long as this lives.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    wire: Arc<Wire>,
}

#[derive(Debug, Default)]
struct Wire {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Now {
    state: State,
    /// Bytes that wait in it.
    held: usize,
    /// Both ends of every connection since the latest cut; a test makes some dozens.
    ends: Vec<TcpStream>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Whole,
    /// What clients send waits, and arrives also if they close meanwhile; answers pass.
    Held,
    Cut,
}

impl Proxy {
    /// To the server of a URL.
    pub fn to(url: &str) -> Result<Self> {
        let (_, rest) = url.split_once("://").with_context(|| format!("{url} is no URL"))?;
        let server = rest.trim_end_matches('/').to_socket_addrs().with_context(|| url.to_owned())?.next();
        let server = server.with_context(|| format!("{url} has no address"))?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let wire = Arc::new(Wire::default());
        let accepting = wire.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that cannot be served is dropped: that is what a stopped server looks like.
                let _ = accepting.join(&client, server);
            }
        });
        Ok(Self { address, wire })
    }

    pub fn to_api_server(cluster: &Cluster) -> Result<Self> {
        Self::to(&cluster.kubectl(&[
            "config",
            "view",
            "--minify",
            "-o",
            "jsonpath={.clusters[0].cluster.server}",
        ])?)
    }

    /// Lets a kubeconfig lead here.
    pub fn redirect(&self, kubeconfig: &mut Value) {
        kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://{}", self.address));
    }

    /// Breaks every connection, and every new one at once.
    pub fn cut(&self) {
        self.wire.set(State::Cut);
    }

    pub fn mend(&self) {
        self.wire.set(State::Whole);
    }

    /// Holds what is sent from now on until it is mended.
    pub fn hold(&self) {
        self.wire.set(State::Held);
    }

    /// Until something waits in the wire.
    pub fn until_held(&self) -> Result<()> {
        let nothing = |now: &mut Now| now.held == 0;
        let waited = self.wire.changed.wait_timeout_while(self.wire.now(), PATIENCE, nothing);
        ensure!(!waited.unwrap_or_else(PoisonError::into_inner).1.timed_out(), "nothing was sent");
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Wire {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        let mut now = self.now();
        now.state = state;
        if state == State::Cut {
            for end in now.ends.drain(..) {
                let _ = end.shutdown(Shutdown::Both); // it may be closed already
            }
        }
        self.changed.notify_all();
    }

    fn join(self: &Arc<Self>, client: &TcpStream, server: SocketAddr) -> io::Result<()> {
        let mut now = self.now(); // held, so that no connection slips past a cut
        if now.state == State::Cut {
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect(server)?;
        now.ends.extend([client.try_clone()?, server.try_clone()?]);
        let (wire, from, to) = (self.clone(), client.try_clone()?, server.try_clone()?);
        // The server is not told that the client closed: it might not answer what was held until then.
        thread::spawn(move || wire.forward(&from, &to));
        let (mut from, mut to) = (server, client.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to); // ends when either side does
            let _ = to.shutdown(Shutdown::Write);
        });
        Ok(())
    }

    fn forward(&self, from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut first = [0];
        from.peek(&mut first)?;
        let tls = first[0] == HANDSHAKE;
        loop {
            let sent = if tls { record(from)? } else { chunk(from)? };
            let Some(kind) = sent.first() else { return Ok(()) };
            // A connection may be made while the wire is held; what is asked over it waits.
            if !(tls && matches!(*kind, HANDSHAKE | CHANGE_CIPHER)) {
                self.wait_while_held(sent.len());
            }
            to.write_all(&sent)?;
        }
    }

    fn wait_while_held(&self, bytes: usize) {
        let mut now = self.now();
        if now.state == State::Held {
            now.held += bytes;
            self.changed.notify_all();
            let holds = |now: &mut Now| now.state == State::Held;
            now = self.changed.wait_while(now, holds).unwrap_or_else(PoisonError::into_inner);
            now.held -= bytes;
        }
    }
}

/// One record of TLS; nothing at the end.
fn record(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    const HEADER: usize = 5;
    let mut record = vec![0; HEADER];
    if from.read(&mut record[..1])? == 0 {
        return Ok(Vec::new());
    }
    from.read_exact(&mut record[1..])?;
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(HEADER + length, 0);
    from.read_exact(&mut record[HEADER..])?;
    Ok(record)
}

/// Whatever there is; nothing at the end.
fn chunk(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; 16 * 1024];
    let read = from.read(&mut chunk)?;
    chunk.truncate(read);
    Ok(chunk)
}
