//! A provider of language models on loopback, for tests: it says what its script says, and remembers what it was asked.
//!
//! It speaks Gemini's `generateContent`, OpenAI's chat completions and Anthropic's messages, whichever the path of a
//! request names, so that one script serves all three. It can also answer as no provider should: another status or
//! type, half a body, a byte now and then, without end, or not at all.

mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub use wire::{ModelEnding, ModelText};

/// How often a connection that says nothing looks whether it may end.
const PAUSE: Duration = Duration::from_millis(10);

/// A larger request is a mistake of the test.
const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// What was asked.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    pub method: String,
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub text: String,
    /// Read as JSON; null if it is none.
    pub body: Value,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct ModelReply {
    status: u16,
    content_type: &'static str,
    headers: Vec<(String, String)>,
    body: Body,
    delivery: Delivery,
}

#[derive(Clone, Debug)]
enum Body {
    /// Put into the words of whoever is asked.
    Text(ModelText),
    Raw(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum Delivery {
    Whole,
    Hang,
    Cut(usize),
    Drip(Duration),
    Endless,
}

impl ModelReply {
    /// A whole answer with this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::from(ModelText::new(text))
    }

    /// A body as it is, said to be JSON.
    pub fn raw(body: impl Into<Vec<u8>>) -> Self {
        ModelReply {
            status: 200,
            content_type: "application/json",
            headers: Vec::new(),
            body: Body::Raw(body.into()),
            delivery: Delivery::Whole,
        }
    }

    #[must_use]
    pub fn status(self, status: u16) -> Self {
        ModelReply { status, ..self }
    }

    #[must_use]
    pub fn content_type(self, content_type: &'static str) -> Self {
        ModelReply { content_type, ..self }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Says nothing until the client goes.
    pub fn hang() -> Self {
        Self { delivery: Delivery::Hang, ..Self::raw("") }
    }

    /// Goes away after so many bytes of the body.
    #[must_use]
    pub fn cut(self, after: usize) -> Self {
        Self { delivery: Delivery::Cut(after), ..self }
    }

    /// One byte of the body, a pause, the next byte.
    #[must_use]
    pub fn drip(self, pause: Duration) -> Self {
        Self { delivery: Delivery::Drip(pause), ..self }
    }

    /// The body over and over until the client goes.
    #[must_use]
    pub fn endless(self) -> Self {
        Self { delivery: Delivery::Endless, ..self }
    }
}

impl From<ModelText> for ModelReply {
    fn from(text: ModelText) -> Self {
        Self { body: Body::Text(text), ..Self::raw("") }
    }
}

/// Serves until it is dropped.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<ModelRequest>>>,
    closing: Arc<AtomicBool>,
}

type Script = dyn FnMut(&ModelRequest) -> ModelReply + Send;

impl ModelServer {
    /// One reply for each request, in turn; what is asked beyond is answered with 500.
    pub fn scripted(replies: impl IntoIterator<Item = ModelReply>) -> Result<Self> {
        let mut replies: VecDeque<ModelReply> = replies.into_iter().collect();
        Self::answering(move |_| {
            replies.pop_front().unwrap_or_else(|| ModelReply::raw("the script is at its end").status(500))
        })
    }

    /// A reply that may depend on what is asked.
    pub fn answering(script: impl FnMut(&ModelRequest) -> ModelReply + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port on loopback")?;
        let server = ModelServer {
            address: listener.local_addr()?,
            requests: Arc::default(),
            closing: Arc::default(),
        };
        let (requests, closing) = (server.requests.clone(), server.closing.clone());
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if closing.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (requests, closing, script) = (requests.clone(), closing.clone(), script.clone());
                // A client that goes in the middle ends its own connection only.
                thread::spawn(move || serve(stream, &requests, &script, &closing));
            }
        });
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`, below which each provider has its usual path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<ModelRequest> {
        lock(&self.requests).clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: TcpStream,
    requests: &Mutex<Vec<ModelRequest>>,
    script: &Mutex<Box<Script>>,
    closing: &AtomicBool,
) -> Result<()> {
    let request = read(&mut stream)?;
    lock(requests).push(request.clone());
    let reply = (lock(script))(&request);
    let body = match reply.body {
        Body::Raw(body) => body,
        Body::Text(text) => wire::body(&request, &text)?.into_bytes(),
    };
    if let Delivery::Hang = reply.delivery {
        return wait_for_the_end(&stream, closing);
    }
    let mut head = Vec::new();
    write!(head, "HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status)?;
    write!(head, "Content-Type: {}\r\n", reply.content_type)?;
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    if !matches!(reply.delivery, Delivery::Endless) {
        write!(head, "Content-Length: {}\r\n", body.len())?;
    }
    head.extend(b"\r\n");
    stream.write_all(&head)?;
    match reply.delivery {
        Delivery::Whole | Delivery::Hang => stream.write_all(&body)?,
        Delivery::Cut(after) => stream.write_all(&body[..after.min(body.len())])?,
        Delivery::Drip(pause) => {
            for byte in body {
                ensure!(!closing.load(Ordering::Relaxed), "the server closes");
                stream.write_all(&[byte])?;
                thread::sleep(pause);
            }
        }
        Delivery::Endless => {
            while !closing.load(Ordering::Relaxed) {
                stream.write_all(&body)?;
            }
        }
    }
    Ok(())
}

fn read(stream: &mut TcpStream) -> Result<ModelRequest> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(END.len()).position(|window| window == END) {
            break end;
        }
        more(stream, &mut bytes)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec())?;
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
    let start = end + END.len();
    while bytes.len() < start + length {
        more(stream, &mut bytes)?;
    }
    let text = String::from_utf8(bytes[start..start + length].to_vec())?;
    Ok(ModelRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        body: serde_json::from_str(&text).unwrap_or_default(),
        headers,
        text,
    })
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    let mut part = [0; 16 * 1024];
    let length = stream.read(&mut part)?;
    ensure!(length > 0, "the client went before it had asked");
    bytes.extend_from_slice(&part[..length]);
    ensure!(bytes.len() <= MAX_REQUEST, "a request of more than {MAX_REQUEST} bytes");
    Ok(())
}

fn wait_for_the_end(stream: &TcpStream, closing: &AtomicBool) -> Result<()> {
    stream.set_read_timeout(Some(PAUSE))?;
    while !closing.load(Ordering::Relaxed) {
        match (&*stream).read(&mut [0]) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A script that panicked has failed its test already.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
