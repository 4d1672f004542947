//! Options made into an HTTP client, an address and a key.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubewise_core::Failure;
use reqwest::{Certificate, Client, Url, redirect, retry};
use secrecy::SecretString;

use crate::options::{Error, Fault, Options, header_fault};
use crate::protocol::Protocol;

/// Keys and certificates are some kilobytes; a larger file is the wrong one.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A host that does not take a connection for this long is not there. Short of the whole time limit, so that it is told
/// apart from one that took the request and said nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) url: Url,
    key: Key,
}

#[derive(Clone, Debug)]
enum Key {
    None,
    Text(SecretString),
    File(PathBuf),
}

impl Connection {
    /// The options must be valid.
    pub(crate) fn new(options: &Options, protocol: Protocol, model: &str) -> Result<Self, Error> {
        let mut faults = Vec::new();
        let url = options.base(protocol).map(|mut url| {
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.extend(protocol.path(model));
            }
            url
        });
        let key = match (&options.api_key, &options.api_key_file) {
            (Some(key), _) => Key::Text(key.clone()),
            (None, Some(path)) => Key::File(path.clone()),
            (None, None) => Key::None,
        };
        faults.extend(key.read().err());
        let authorities = options.ca_file.as_deref().map(authorities).transpose();
        let (url, authorities) = match (url, authorities) {
            (Ok(url), Ok(authorities)) if faults.is_empty() => (url, authorities),
            (url, authorities) => {
                faults.extend(url.err().into_iter().chain(authorities.err()));
                return Err(Error::Options(faults));
            }
        };
        // reqwest panics without one.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(Error::NoCryptoProvider);
        }
        let mut builder = Client::builder()
            .user_agent(concat!("kubewise/", env!("CARGO_PKG_VERSION")))
            .timeout(options.timeout.as_duration())
            .connect_timeout(CONNECT_TIMEOUT.min(options.timeout.as_duration()))
            // A prompt and a key go where the configuration says and nowhere else, once.
            .redirect(redirect::Policy::none())
            .retry(retry::never());
        if let Some(authorities) = authorities {
            builder = builder.tls_certs_only(authorities);
        }
        Ok(Connection { client: builder.build()?, url, key })
    }

    /// The key of this moment.
    pub(crate) async fn key(&self) -> Result<Option<SecretString>, Failure> {
        let key = self.key.clone();
        // A file may be on a slow disk.
        let read = tokio::task::spawn_blocking(move || key.read()).await;
        read.map_err(|error| Failure::unavailable(&error))?.map_err(|fault| Failure::unavailable(&fault))
    }
}

impl Key {
    fn read(&self) -> Result<Option<SecretString>, Fault> {
        let path = match self {
            Key::None => return Ok(None),
            Key::Text(key) => return Ok(Some(key.clone())),
            Key::File(path) => path,
        };
        let wrong = |problem: &str| Fault::File {
            key: "api_key_file",
            path: path.clone(),
            problem: problem.to_owned(),
        };
        let content = read("api_key_file", path)?;
        let text = std::str::from_utf8(&content).map_err(|_| wrong("it is not text"))?;
        let key = SecretString::from(text.trim());
        match header_fault(&key) {
            Some(problem) => Err(wrong(problem)),
            None => Ok(Some(key)),
        }
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Fault> {
    match Certificate::from_pem_bundle(&read("ca_file", path)?) {
        Ok(bundle) if !bundle.is_empty() => Ok(bundle),
        _ => Err(Fault::File {
            key: "ca_file",
            path: path.to_owned(),
            problem: "it holds no certificate in PEM form".to_owned(),
        }),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Fault> {
    let wrong = |problem: String| Fault::File { key, path: path.to_owned(), problem };
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content))
        .map_err(|error| wrong(error.to_string()))?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong("it is larger than 1 MiB".to_owned()));
    }
    Ok(content)
}
