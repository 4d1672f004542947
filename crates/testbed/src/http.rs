//! As much of an HTTP client as Prometheus and etcd on this machine need.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A stopped program must not hang a test.
const LIMIT: Duration = Duration::from_secs(5);

/// The body of the answer to `GET` (without a `body`) or `POST`; any status but 2xx is an error.
pub(crate) fn fetch(url: &str, body: Option<&str>) -> Result<String> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url}: only http:// is known here"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = host.to_socket_addrs()?.next().with_context(|| format!("{host} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).with_context(|| url.to_owned())?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;

    let (method, body) = body.map_or(("GET", ""), |body| ("POST", body));
    // Version 1.0, so that the answer is not chunked and ends with the connection.
    write!(
        stream,
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| url.to_owned())?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status.starts_with('2'), "{url} answered {status}: {body}");
    Ok(body.to_owned())
}

/// For a value in a query string.
pub(crate) fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}
