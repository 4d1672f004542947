//! How to reach Prometheus, and what can be wrong with that.

use std::io;
use std::path::PathBuf;

use kubewise_core::Period;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// How to reach Prometheus. Files that hold secrets are read at each call, so that rotated ones are followed;
/// certificates are read once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where Prometheus, or what speaks its API, serves: `http://prometheus.monitoring:9090`, with a path if it
    /// is behind one.
    pub url: String,
    /// The time limit of one query, from connecting to the last byte of the answer.
    pub timeout: Period,
    /// The age from which a sample no longer says how things are. Sent along as `lookback_delta`, so that
    /// Prometheus answers with no older sample, and held against the time of each sample. A server too old to know
    /// the parameter (Prometheus 2.42) keeps to its own `--query.lookback-delta`, 5 minutes by default.
    pub staleness: Period,
    /// Samples in one answer; more fail the query. The default is three containers for each of 150,000 pods,
    /// rounded up.
    #[schemars(range(min = 1))]
    pub max_samples: usize,
    /// Bytes in one answer; more fail the query. The default is 256 for each of the most samples.
    #[schemars(range(min = 1))]
    pub max_answer_bytes: usize,
    #[schemars(with = "Option<String>")]
    pub bearer_token: Option<SecretString>,
    pub bearer_token_file: Option<PathBuf>,
    /// The user of HTTP basic authentication.
    pub username: Option<String>,
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that are trusted instead of those of the machine.
    pub ca_file: Option<PathBuf>,
    /// The certificate (PEM) that KubeWise shows to Prometheus, and its key.
    pub client_certificate_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// Trusts any certificate. Anybody on the way can then read the credentials and change the answers.
    pub insecure_skip_verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        const MAX_SAMPLES: usize = 500_000;
        Options {
            url: "http://localhost:9090".into(),
            timeout: Period::from_secs(10),
            staleness: Period::from_mins(5),
            max_samples: MAX_SAMPLES,
            max_answer_bytes: 256 * MAX_SAMPLES,
            bearer_token: None,
            bearer_token_file: None,
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            insecure_skip_verify: false,
        }
    }
}

/// Why no source can be made of the options. Names the key, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("prometheus.url {problem}; write it like `http://prometheus.monitoring:9090`")]
    Url { problem: String },
    #[error("prometheus.{key} must be more than zero")]
    Zero { key: &'static str },
    #[error("prometheus.{first} and prometheus.{second} exclude each other; set only one")]
    Exclusive { first: &'static str, second: &'static str },
    #[error("prometheus.{key} needs prometheus.{missing} as well")]
    Incomplete { key: &'static str, missing: &'static str },
    #[error("prometheus.{key} cannot be used: {problem}")]
    Unusable { key: &'static str, problem: &'static str },
    #[error("prometheus.{key}: `{}` cannot be read", path.display())]
    File { key: &'static str, path: PathBuf, source: io::Error },
    #[error("prometheus.{key}: `{}` holds no {wanted}", path.display())]
    Content { key: &'static str, path: PathBuf, wanted: &'static str },
    #[error("no rustls crypto provider is installed; install one at the start of the process")]
    NoCryptoProvider,
    #[error("reading the credentials was broken off")]
    Stopped { source: tokio::task::JoinError },
    #[error("the HTTP client cannot be set up")]
    Client {
        #[from]
        source: reqwest::Error,
    },
}
