//! A scripted API server on loopback, so that what goes over the wire can be seen and cut.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Response, header};
use futures::{StreamExt as _, future, stream};
use kubewise_core::Period;
use kubewise_kubernetes::{Kubernetes, Options, connect};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) accept: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn watches(&self) -> bool {
        self.query.contains("watch=true")
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer {
        code: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: String,
    },
    /// The lines of a watch, and what then becomes of the connection.
    Watch(Vec<Value>, End),
    /// Headers, half a body, and a cut.
    Half,
    Silence,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Closed,
    Held,
}

impl Reply {
    pub(crate) fn json(code: u16, body: &Value) -> Self {
        Reply::Answer { code, headers: vec![("content-type", "application/json")], body: body.to_string() }
    }

    pub(crate) fn status(code: u16, reason: &str, message: &str) -> Self {
        Reply::json(code, &status(code, reason, message))
    }

    pub(crate) fn html(code: u16) -> Self {
        let body = "<html><body>Sign in to go on</body></html>".into();
        Reply::Answer { code, headers: vec![("content-type", "text/html")], body }
    }

    fn response(self) -> Response<Body> {
        match self {
            Reply::Answer { code, headers, body } => {
                let answer = Response::builder().status(code);
                headers
                    .into_iter()
                    .fold(answer, |answer, (name, value)| answer.header(name, value))
                    .body(Body::from(body))
            }
            Reply::Watch(lines, end) => {
                let lines = stream::iter(lines).map(|line| Ok::<_, std::io::Error>(format!("{line}\n")));
                let body = match end {
                    End::Closed => Body::from_stream(lines),
                    End::Held => Body::from_stream(lines.chain(stream::pending())),
                };
                Response::builder().header(header::CONTENT_TYPE, "application/json").body(body)
            }
            Reply::Half => {
                let cut = Err(std::io::Error::other("cut"));
                let body = stream::iter([Ok(r#"{"kind":"Depl"#), cut]);
                Response::builder().body(Body::from_stream(body))
            }
            Reply::Silence => unreachable!("answered by nobody"),
        }
        .unwrap()
    }
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

pub(crate) struct Fake {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Fake {
    /// `script` gets each request with all requests before it.
    pub(crate) async fn start(script: impl Fn(&Seen, &[Seen]) -> Reply + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (script, log) = (Arc::new(script), seen.clone());
        let router = Router::new().fallback(move |request: axum::extract::Request| {
            let (script, log) = (script.clone(), log.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.unwrap();
                let header = |name| {
                    let value = parts.headers.get(name);
                    value.map_or("", |value| value.to_str().unwrap()).to_owned()
                };
                let request = Seen {
                    method: parts.method.to_string(),
                    path: parts.uri.path().into(),
                    query: parts.uri.query().unwrap_or_default().into(),
                    accept: header(header::ACCEPT),
                    content_type: header(header::CONTENT_TYPE),
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                let reply = {
                    let mut log = log.lock().unwrap();
                    let reply = script(&request, &log);
                    log.push(request);
                    reply
                };
                if matches!(reply, Reply::Silence) {
                    future::pending::<()>().await;
                }
                reply.response()
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Fake { address, seen, server }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) async fn kubernetes(&self, options: Options) -> Kubernetes {
        at(&format!("http://{}", self.address), options).await
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A client of the API server there, without credentials.
pub(crate) async fn at(server: &str, options: Options) -> Kubernetes {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    std::fs::write(&file, kubeconfig(server)).unwrap();
    with_kubeconfig(&file, options).await
}

pub(crate) async fn with_kubeconfig(file: &Path, options: Options) -> Kubernetes {
    let _ = rustls::crypto::ring::default_provider().install_default();
    connect(Options { kubeconfig: Some(file.into()), ..options }).await.unwrap()
}

pub(crate) fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
    })
    .to_string()
}

/// Impatient, so that silence is soon noticed.
pub(crate) fn impatient() -> Options {
    Options { timeout: Period::from_millis(500), ..Options::default() }
}
