//! From options to a client, and one call over it.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Request, Response};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kubewise_core::guard::Guard;
use kubewise_core::{Failure, Kind, ObjectRef, Period, Rejection};
use serde_json::Value;

use crate::answer::{Intent, Refusal};
use crate::options::{Error, Options};

/// A login program may ask a person to sign in.
const LOGIN_LIMIT: Period = Period::from_mins(1);
/// Short beside the whole call's limit, so that "not connected, surely not sent" can be told from "no answer".
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// A client whose calls have a time limit and are sent once.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Client,
    timeout: Duration,
}

/// A request that kube built, or why it could not.
pub(crate) type Built = Result<Request<Vec<u8>>, kube::core::request::Error>;

impl Connection {
    pub(crate) async fn new(config: Config, timeout: Period) -> Result<Self, Error> {
        let server = config.cluster_url.to_string();
        // Building runs the kubeconfig's login program, if it has one, and waits for it.
        let building = tokio::task::spawn_blocking(move || Client::try_from(config));
        let client = match tokio::time::timeout(LOGIN_LIMIT.as_duration(), building).await {
            Ok(Ok(built)) => built.map_err(|source| Error::Client { server, source: Box::new(source) })?,
            Ok(Err(_)) | Err(_) => return Err(Error::Login { limit: LOGIN_LIMIT }),
        };
        Ok(Connection { client, timeout: timeout.as_duration() })
    }

    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Connection { timeout, ..self }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The text of a successful answer. `what` begins each failure's message: `get Pod shop/cart-1`.
    pub(crate) async fn text(&self, intent: Intent, what: &str, request: Built) -> Result<String, Failure> {
        let request = request.map_err(|error| Failure::rejected(Rejection::Invalid, &error))?;
        let call = async {
            let answer = self
                .client
                .send(request.map(Body::from))
                .await
                .map_err(|error| Refusal::of_error(intent, what, &error).failure)?;
            let (status, retry_after) = (answer.status(), retry_after(&answer));
            let body = answer.into_body().collect_bytes().await;
            let body = body.map_err(|error| Refusal::of_error(intent, what, &error).failure)?;
            let text = String::from_utf8_lossy(&body).into_owned();
            if status.is_success() {
                return Ok(text);
            }
            Err(Refusal::of_answer(intent, what, status.as_u16(), retry_after, &text).failure)
        };
        match tokio::time::timeout(self.timeout, call).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(intent.unanswered(format!("{what}: no answer within {}", Period::from(self.timeout))))
            }
        }
    }

    /// The object in a successful answer.
    pub(crate) async fn object(&self, intent: Intent, what: &str, request: Built) -> Result<Value, Failure> {
        let text = self.text(intent, what, request).await?;
        serde_json::from_str(&text)
            .ok()
            .filter(|object: &Value| object.get("kind").is_some_and(Value::is_string))
            .ok_or_else(|| intent.unanswered(crate::answer::not_kubernetes(what, 200, &text)))
    }
}

fn retry_after(answer: &Response<Body>) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Where the API server serves a kind, in a namespace or the whole cluster.
pub(crate) fn collection(kind: &Kind, namespace: Option<&str>) -> Result<kube::core::Request, Failure> {
    let api =
        kind.api().ok_or_else(|| invalid(format!("KubeWise does not work with objects of kind {kind}")))?;
    let root = if api.group.is_empty() { "api" } else { "apis" };
    let scope = match namespace {
        Some(namespace) if api.namespaced => format!("namespaces/{}/", segment(namespace)?),
        Some(namespace) => {
            return Err(invalid(format!("{kind} is of the cluster, not of namespace {namespace}")));
        }
        None => String::new(),
    };
    Ok(kube::core::Request::new(format!("/{root}/{}/{scope}{}", api.api_version(), api.plural)))
}

/// Where one object is; a name that would lead elsewhere is refused.
pub(crate) fn place<'a>(
    kind: &Kind,
    namespace: Option<&str>,
    name: &'a str,
) -> Result<(kube::core::Request, &'a str), Failure> {
    if namespace.is_none() && kind.api().is_some_and(|api| api.namespaced) {
        return Err(invalid(format!("{kind} {name} is named without its namespace")));
    }
    Ok((collection(kind, namespace)?, segment(name)?))
}

/// Where a ConfigMap or Secret is, to ask for its metadata. To everything else these are kinds that KubeWise does not work
/// with, so that nothing can ask for what they hold.
pub(crate) fn settings_place(settings: &ObjectRef) -> Result<(kube::core::Request, &str), Failure> {
    let plural = match settings.kind.as_str() {
        "ConfigMap" => "configmaps",
        "Secret" => "secrets",
        _ => return Err(invalid(format!("{settings} is neither a ConfigMap nor a Secret"))),
    };
    let namespace = segment(settings.namespace_or_empty())?;
    let collection = kube::core::Request::new(format!("/api/v1/namespaces/{namespace}/{plural}"));
    Ok((collection, segment(&settings.name)?))
}

pub(crate) fn invalid(message: String) -> Failure {
    Failure::Rejected { reason: Rejection::Invalid, message }
}

/// Names and namespaces become parts of a path.
pub(crate) fn segment(name: &str) -> Result<&str, Failure> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if name.is_empty() || name == "." || name == ".." || !name.chars().all(allowed) {
        return Err(invalid(format!("`{name}` is not a name that an object can have")));
    }
    Ok(name)
}

/// Where the cluster is and who we are there.
pub(crate) async fn configuration(options: &Options) -> Result<Config, Error> {
    let mut config = match kubeconfig(options)? {
        Some((place, kubeconfig)) => {
            let wanted = KubeConfigOptions { context: options.context.clone(), cluster: None, user: None };
            let loaded = Config::from_custom_kubeconfig(kubeconfig, &wanted).await;
            loaded.map_err(|source| Error::Kubeconfig { place, source: Box::new(source) })?
        }
        None => Config::incluster().map_err(|source| Error::InCluster { source })?,
    };
    // A retry of kube's would repeat writes, and hide from us that the server is down.
    config.default_retry = !options.guards.stands(Guard::SentOnce);
    config.connect_timeout = Some(CONNECT_LIMIT.min(options.timeout.as_duration() / 2));
    Ok(config)
}

/// The kubeconfig and where it came from; `None` in a pod.
fn kubeconfig(options: &Options) -> Result<Option<(String, Kubeconfig)>, Error> {
    let (origin, paths) = if let Some(given) = &options.kubeconfig {
        ("", paths(given.as_os_str()))
    } else if let Some(named) = env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        (" (from KUBECONFIG)", paths(&named))
    } else {
        let home = env::home_dir().map(|home| home.join(".kube/config"));
        match home {
            Some(home) if home.exists() => ("", vec![home]),
            home if options.context.is_none() && env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
                tracing::debug!(?home, "no kubeconfig; using the pod's service account");
                return Ok(None);
            }
            home => {
                let file =
                    home.map_or("no home directory".into(), |home| format!("no file {}", home.display()));
                let pod = if options.context.is_some() {
                    "a context needs a kubeconfig"
                } else {
                    "KUBERNETES_SERVICE_HOST is not set, so this is not a pod"
                };
                let tried = format!("no kubeconfig given, KUBECONFIG is not set, {file}, {pod}");
                return Err(Error::NotConfigured { tried });
            }
        }
    };
    let place = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ") + origin;
    merged(&paths)
        .map(|kubeconfig| Some((place.clone(), kubeconfig)))
        .map_err(|source| Error::Kubeconfig { place, source: Box::new(source) })
}

fn paths(list: &OsStr) -> Vec<PathBuf> {
    env::split_paths(list).filter(|path| path != Path::new("")).collect()
}

fn merged(paths: &[PathBuf]) -> Result<Kubeconfig, kube::config::KubeconfigError> {
    paths.iter().try_fold(Kubeconfig::default(), |merged, path| merged.merge(Kubeconfig::read_from(path)?))
}
