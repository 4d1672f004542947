//! Where the API listens, and who may do what.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq as _;

use crate::problem::Problem;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Address and port. Beyond loopback, reading needs the token too.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The bearer token that whoever changes state must send. Without one, nothing can be changed by the API.
    #[serde(serialize_with = "masked", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// A file that holds the token, instead of `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options { listen: SocketAddr::from(([127, 0, 0, 1], 8470)), token: None, token_file: None }
    }
}

/// Why the options give no access rules.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("token and token_file are both set; keep one")]
    TwoTokens,
    #[error("token_file `{}` cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// It could never match, or would match by accident.
    #[error("the token is not usable: {0}; `openssl rand -hex 32` makes a good one")]
    Unusable(&'static str),
}

/// The rules by which a request is let in.
#[derive(Clone, Debug)]
pub struct Access {
    token: Option<SecretString>,
    loopback: bool,
}

/// What an endpoint lets a request do, and so what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// For probes.
    Open,
    /// The token, when others than this machine can connect.
    Read,
    /// Always the token.
    Write,
}

/// Shorter ones can be guessed over a network.
const SHORTEST_TOKEN: usize = 16;

impl Options {
    /// Reads the token's file, if one is named.
    pub fn access(&self) -> Result<Access, Error> {
        let token = match (&self.token, &self.token_file) {
            (Some(_), Some(_)) => return Err(Error::TwoTokens),
            (Some(token), None) => Some(token.clone()),
            (None, Some(path)) => {
                let text = fs::read_to_string(path)
                    .map_err(|source| Error::Unreadable { path: path.clone(), source })?;
                Some(text.trim().into())
            }
            (None, None) => None,
        };
        if let Some(token) = &token {
            let text = token.expose_secret();
            if text.len() < SHORTEST_TOKEN {
                return Err(Error::Unusable("it has fewer than 16 characters"));
            }
            if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Error::Unusable("it holds something else than printable ASCII without spaces"));
            }
        }
        Ok(Access { token, loopback: self.listen.ip().to_canonical().is_loopback() })
    }
}

impl Access {
    pub(crate) fn admit(&self, scope: Scope, headers: &HeaderMap) -> Result<(), Problem> {
        let needed = match scope {
            Scope::Open => false,
            Scope::Read => !self.loopback,
            Scope::Write => true,
        };
        if !needed {
            return Ok(());
        }
        let Some(token) = &self.token else {
            return Err(Problem::forbidden(
                "this needs a token, and none is configured; set api.token, api.token_file or KUBEWISE_TOKEN \
                 where KubeWise runs, and send it as `Authorization: Bearer TOKEN`",
            ));
        };
        let given = bearer(headers)
            .ok_or_else(|| Problem::unauthorized("send the token as `Authorization: Bearer TOKEN`"))?;
        if token.expose_secret().as_bytes().ct_eq(given.as_bytes()).into() {
            Ok(())
        } else {
            Err(Problem::unauthorized("the token is not the one that is configured"))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn masked<S: Serializer>(_: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("***")
}
