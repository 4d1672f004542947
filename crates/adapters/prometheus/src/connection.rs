//! Options made into an HTTP client, an address and credentials.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use kubewise_core::{Period, Timestamp};
use reqwest::header::AUTHORIZATION;
use reqwest::{Certificate, Client, Identity, Request, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};

use crate::options::{Error, Options};

/// Tokens, passwords and certificates are some kilobytes; a larger file is the wrong one.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    endpoint: Url,
    credentials: Credentials<Secret>,
    timeout: Period,
    staleness: Period,
}

#[derive(Clone, Debug)]
pub(crate) enum Credentials<S> {
    None,
    Bearer(S),
    Basic { username: String, password: S },
}

#[derive(Clone, Debug)]
pub(crate) enum Secret {
    Text(SecretString),
    File { key: &'static str, path: PathBuf },
}

/// When a query is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Now(Timestamp),
    /// Both ends are included.
    Span {
        start: Timestamp,
        end: Timestamp,
        step: Period,
    },
}

/// A request, and what of it no message may repeat.
pub(crate) struct Prepared {
    pub(crate) request: Request,
    pub(crate) secrets: Vec<SecretString>,
}

impl Connection {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let limits = [
            ("timeout", options.timeout == Period::ZERO),
            ("staleness", options.staleness == Period::ZERO),
            ("max_samples", options.max_samples == 0),
            ("max_answer_bytes", options.max_answer_bytes == 0),
        ];
        if let Some((key, _)) = limits.into_iter().find(|(_, zero)| *zero) {
            return Err(Error::Zero { key });
        }
        let endpoint = endpoint(&options.url)?;
        let credentials = credentials(options)?;
        let client = client(options, endpoint.scheme() == "https")?;
        let connection = Connection {
            client,
            endpoint,
            credentials,
            timeout: options.timeout,
            staleness: options.staleness,
        };
        // A credential that fits in no header shows now, not at the first query.
        connection.prepare(&connection.credentials.read()?, Call::Now(Timestamp::UNIX_EPOCH), "1")?;
        Ok(connection)
    }

    pub(crate) async fn query(&self, promql: &str, call: Call) -> Result<Prepared, Error> {
        let stored = self.credentials.clone();
        // A file may be on a slow disk.
        let read = tokio::task::spawn_blocking(move || stored.read()).await;
        let credentials = read.map_err(|source| Error::Stopped { source })??;
        self.prepare(&credentials, call, promql)
    }

    fn prepare(
        &self,
        credentials: &Credentials<SecretString>,
        call: Call,
        promql: &str,
    ) -> Result<Prepared, Error> {
        let mut endpoint = self.endpoint.clone();
        let mut form = vec![("query", promql.to_owned())];
        match call {
            Call::Now(now) => form.push(("time", now.to_string())),
            Call::Span { start, end, step } => {
                let path = endpoint.path().to_owned() + "_range";
                endpoint.set_path(&path);
                form.push(("start", start.to_string()));
                form.push(("end", end.to_string()));
                form.push(("step", step.as_secs_f64().to_string()));
            }
        }
        form.push(("timeout", self.timeout.as_secs_f64().to_string()));
        form.push(("lookback_delta", self.staleness.as_secs_f64().to_string()));
        let request = self.client.post(endpoint).form(&form);
        let (request, key, secret) = match credentials {
            Credentials::None => return Ok(Prepared { request: request.build()?, secrets: Vec::new() }),
            Credentials::Bearer(token) => (request.bearer_auth(token.expose_secret()), "bearer_token", token),
            Credentials::Basic { username, password } => {
                (request.basic_auth(username, Some(password.expose_secret())), "password", password)
            }
        };
        let unusable =
            |_| Error::Unusable { key, problem: "it holds characters that no HTTP header may hold" };
        let request = request.build().map_err(unusable)?;
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let encoded = header.and_then(|text| text.split_once(' ')).map(|(_, encoded)| encoded.into());
        let secrets = std::iter::once(secret.clone()).chain(encoded).collect();
        Ok(Prepared { request, secrets })
    }
}

fn endpoint(text: &str) -> Result<Url, Error> {
    let wrong = |problem: String| Error::Url { problem };
    // The text may hold a password as long as it was not understood.
    let shown = if text.contains('@') { String::new() } else { format!(" `{text}`") };
    let mut url = Url::parse(text).map_err(|error| wrong(format!("is no URL{shown} ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong(format!("does not begin with http:// or https://{shown}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "holds credentials; they belong in prometheus.username and prometheus.password".into(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has something after its path (`?` or `#`)".into()));
    }
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn credentials(options: &Options) -> Result<Credentials<Secret>, Error> {
    let token =
        secret(("bearer_token", &options.bearer_token), ("bearer_token_file", &options.bearer_token_file))?;
    let password = secret(("password", &options.password), ("password_file", &options.password_file))?;
    match (token, &options.username, password) {
        (Some(_), Some(_), _) => Err(Error::Exclusive { first: "bearer_token", second: "username" }),
        (Some(_), None, Some(_)) => Err(Error::Exclusive { first: "bearer_token", second: "password" }),
        (Some(token), None, None) => Ok(Credentials::Bearer(token)),
        (None, Some(username), _) if username.is_empty() || username.contains(':') => {
            Err(Error::Unusable { key: "username", problem: "it is empty or holds a colon" })
        }
        (None, Some(username), Some(password)) => {
            Ok(Credentials::Basic { username: username.clone(), password })
        }
        (None, Some(_), None) => Err(Error::Incomplete { key: "username", missing: "password" }),
        (None, None, Some(_)) => Err(Error::Incomplete { key: "password", missing: "username" }),
        (None, None, None) => Ok(Credentials::None),
    }
}

fn secret(
    (key, text): (&'static str, &Option<SecretString>),
    (file_key, path): (&'static str, &Option<PathBuf>),
) -> Result<Option<Secret>, Error> {
    match (text, path) {
        (Some(_), Some(_)) => Err(Error::Exclusive { first: key, second: file_key }),
        (Some(text), None) if text.expose_secret().is_empty() => {
            Err(Error::Unusable { key, problem: "it is empty; leave it out if there is none" })
        }
        (Some(text), None) => Ok(Some(Secret::Text(text.clone()))),
        (None, Some(path)) => Ok(Some(Secret::File { key: file_key, path: path.clone() })),
        (None, None) => Ok(None),
    }
}

impl Credentials<Secret> {
    fn read(&self) -> Result<Credentials<SecretString>, Error> {
        Ok(match self {
            Credentials::None => Credentials::None,
            Credentials::Bearer(token) => Credentials::Bearer(token.read()?),
            Credentials::Basic { username, password } => {
                Credentials::Basic { username: username.clone(), password: password.read()? }
            }
        })
    }
}

impl Secret {
    fn read(&self) -> Result<SecretString, Error> {
        match self {
            Secret::Text(text) => Ok(text.clone()),
            Secret::File { key, path } => {
                let content = read(key, path)?;
                match std::str::from_utf8(&content).map(str::trim) {
                    Ok(text) if !text.is_empty() => Ok(text.into()),
                    _ => Err(Error::Content {
                        key,
                        path: path.clone(),
                        wanted: "secret (it is empty or not text)",
                    }),
                }
            }
        }
    }
}

fn client(options: &Options, encrypted: bool) -> Result<Client, Error> {
    // reqwest panics without one.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::NoCryptoProvider);
    }
    let tls_keys = [
        ("ca_file", options.ca_file.is_some()),
        ("client_certificate_file", options.client_certificate_file.is_some()),
        ("client_key_file", options.client_key_file.is_some()),
        ("insecure_skip_verify", options.insecure_skip_verify),
    ];
    if let Some((key, _)) = tls_keys.into_iter().find(|(_, set)| *set && !encrypted) {
        return Err(Error::Unusable { key, problem: "prometheus.url is not https" });
    }
    let mut builder = Client::builder()
        .user_agent(concat!("kubewise/", env!("CARGO_PKG_VERSION")))
        .timeout(options.timeout.as_duration())
        // A POST that is sent elsewhere becomes a GET of a login page; better to say where it was sent.
        .redirect(redirect::Policy::none())
        .tls_danger_accept_invalid_certs(options.insecure_skip_verify);
    if let Some(path) = &options.ca_file {
        if options.insecure_skip_verify {
            return Err(Error::Exclusive { first: "ca_file", second: "insecure_skip_verify" });
        }
        let wrong =
            || Error::Content { key: "ca_file", path: path.clone(), wanted: "certificate in PEM form" };
        let bundle = Certificate::from_pem_bundle(&read("ca_file", path)?).map_err(|_| wrong())?;
        if bundle.is_empty() {
            return Err(wrong());
        }
        builder = builder.tls_certs_only(bundle);
    }
    match (&options.client_certificate_file, &options.client_key_file) {
        (None, None) => {}
        (Some(_), None) => {
            return Err(Error::Incomplete { key: "client_certificate_file", missing: "client_key_file" });
        }
        (None, Some(_)) => {
            return Err(Error::Incomplete { key: "client_key_file", missing: "client_certificate_file" });
        }
        (Some(certificate), Some(key)) => {
            let mut pem = read("client_certificate_file", certificate)?;
            pem.push(b'\n');
            pem.extend(read("client_key_file", key)?);
            let identity = Identity::from_pem(&pem).map_err(|_| Error::Content {
                key: "client_certificate_file",
                path: certificate.clone(),
                wanted: "certificate in PEM form, or prometheus.client_key_file no key",
            })?;
            builder = builder.identity(identity);
        }
    }
    Ok(builder.build()?)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let bounded = || -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
        }
        Ok(content)
    };
    bounded().map_err(|source| Error::File { key, path: path.to_owned(), source })
}
