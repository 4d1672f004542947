//! A server that says exactly what it is told to say, for what no proper server would.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What happens after the reply is written.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    /// Say no more until the client goes.
    Stall,
}

/// Answers one connection with `reply`, whatever is asked. Returns the URL.
pub(crate) fn raw(reply: impl Into<Vec<u8>>, then: Then) -> String {
    let reply = reply.into();
    let address = accept(move |stream| answer(stream, &reply, then));
    format!("http://{address}")
}

/// Answers one encrypted connection with an empty vector.
pub(crate) fn encrypted(config: Arc<ServerConfig>) -> String {
    const BODY: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let reply =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}", BODY.len());
    let address = accept(move |stream| {
        let connection = ServerConnection::new(config).expect("a usable configuration");
        answer(StreamOwned::new(connection, stream), reply.as_bytes(), Then::Close);
    });
    // By name, since the certificate is made out to it.
    format!("https://localhost:{}", address.port())
}

fn accept(serve: impl FnOnce(TcpStream) + Send + 'static) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || serve(listener.accept().expect("a client").0));
    address
}

fn answer(mut stream: impl Read + Write, reply: &[u8], then: Then) {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    // The form ends with the last parameter that is sent.
    while !request.windows(15).any(|window| window == b"lookback_delta=") {
        match stream.read(&mut part) {
            Ok(length) if length > 0 => request.extend_from_slice(&part[..length]),
            // A client that does not trust the certificate goes away here.
            _ => return,
        }
    }
    let _ = stream.write_all(reply).and_then(|()| stream.flush());
    if let Then::Stall = then {
        let _ = stream.read(&mut part);
    }
}
