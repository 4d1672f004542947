//! A way to a server that can be cut: to whoever goes through it, the server has stopped, while others still
//! reach it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;

#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    cut: bool,
    /// Both ends of every connection since the last cut; a test makes some dozens.
    streams: Vec<TcpStream>,
}

impl Link {
    /// A new port of this machine from which everything goes to `server`. It ends with the process.
    pub(crate) fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let link = Self { address: listener.local_addr()?, state: Arc::default() };
        let accepting = link.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that cannot be served is dropped: that is what a stopped server looks like.
                let _ = accepting.join(client, server);
            }
        });
        Ok(link)
    }

    /// Breaks every connection, and every new one at once.
    pub(crate) fn cut(&self) {
        let mut state = self.state();
        state.cut = true;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both); // it may have ended by itself
        }
    }

    pub(crate) fn mend(&self) {
        self.state().cut = false;
    }

    fn join(&self, client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let mut state = self.state(); // held, so that no connection slips past a cut
        if state.cut {
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect(server)?;
        for (mut from, mut to) in
            [(client.try_clone()?, server.try_clone()?), (server.try_clone()?, client.try_clone()?)]
        {
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to); // ends when either side does
                let _ = to.shutdown(Shutdown::Write);
            });
        }
        state.streams.extend([client, server]);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
