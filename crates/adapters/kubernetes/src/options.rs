//! How to reach a cluster and what to watch there, and what can be wrong with that.

use std::path::PathBuf;

use kubewise_core::event::EventType;
use kubewise_core::guard::Guards;
use kubewise_core::{Kind, Period};
use schemars::JsonSchema;
use serde::Deserialize;

/// How to reach a cluster, and what to watch there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// A kubeconfig file, or several as in the variable `KUBECONFIG`. Without it: that variable, `~/.kube/config`,
    /// and at last the credentials of the pod that KubeWise runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without it the current one.
    pub context: Option<String>,
    /// The time limit of one call, from connecting to the last byte of the answer.
    pub timeout: Period,
    /// Objects in one answer to a list; larger lists come in several.
    #[schemars(range(min = 1, max = 5000))]
    pub page_size: u32,
    /// Kinds of objects to watch. Events are always watched.
    pub kinds: Vec<Kind>,
    /// Which Events count.
    pub events: EventFilter,
    /// The Lease that decides which process may act.
    pub lease: LeaseOptions,
    /// All, except where a test took one out.
    #[serde(skip)]
    pub guards: Guards,
}

/// Which Events count. An empty list admits all.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    pub types: Vec<EventType>,
    /// Only these reasons.
    pub include_reasons: Vec<String>,
    /// Not these reasons, even if included.
    pub exclude_reasons: Vec<String>,
    /// Only about objects of these kinds.
    pub kinds: Vec<Kind>,
    /// Only about objects in these namespaces; objects of the cluster itself are not left out.
    pub namespaces: Vec<String>,
}

/// The Lease that decides which process may act. All processes that may act on a cluster must name the same one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseOptions {
    pub namespace: String,
    pub name: String,
    /// How long others wait, after the last renewal they saw, before they take over. Whole seconds.
    pub duration: Period,
    /// How long the holder acts without a renewal; shorter than `duration`.
    pub renew_deadline: Period,
    /// Who holds it, for people; each process adds its own suffix. Without it the host's name.
    pub identity: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            kubeconfig: None,
            context: None,
            timeout: Period::from_secs(10),
            page_size: 500, // as client-go
            kinds: Kind::WATCHED.into(),
            events: EventFilter::default(),
            lease: LeaseOptions::default(),
            guards: Guards::default(),
        }
    }
}

impl Default for LeaseOptions {
    fn default() -> Self {
        LeaseOptions {
            namespace: "kube-system".into(), // there in every cluster, and where components keep theirs
            name: "kubewise".into(),
            // As client-go: a leader that died is replaced within 17 s.
            duration: Period::from_secs(15),
            renew_deadline: Period::from_secs(10),
            identity: None,
        }
    }
}

/// Why no connection can be made of the options.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no cluster is configured: {tried}; set kubernetes.kubeconfig, --kubeconfig or KUBECONFIG, or run in a pod \
         with a service account"
    )]
    NotConfigured { tried: String },
    #[error("kubeconfig {place} cannot be used")]
    Kubeconfig { place: String, source: Box<kube::config::KubeconfigError> },
    #[error("the pod's service account cannot be used")]
    InCluster { source: kube::config::InClusterError },
    #[error("the client for {server} cannot be set up")]
    Client { server: String, source: Box<kube::Error> },
    #[error("the login program of the kubeconfig did not end within {limit}")]
    Login { limit: Period },
    #[error("kubernetes.{key} is {value}; it must be {wanted}")]
    Value { key: &'static str, value: String, wanted: String },
}

impl Options {
    /// Faults that no cluster is needed to see.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong =
            |key, value: String, wanted: &str| Err(Error::Value { key, value, wanted: wanted.into() });
        let lease = &self.lease;
        if self.timeout == Period::ZERO {
            return wrong("timeout", self.timeout.to_string(), "more than zero");
        }
        if !(1..=5000).contains(&self.page_size) {
            return wrong("page_size", self.page_size.to_string(), "between 1 and 5000");
        }
        if let Some(unknown) = self.kinds.iter().find(|kind| kind.api().is_none()) {
            let known: Vec<&str> = Kind::KNOWN.iter().map(Kind::as_str).collect();
            let wanted = format!("one of {}", known.join(", "));
            return wrong("kinds", format!("`{unknown}`"), &wanted);
        }
        if lease.namespace.is_empty() || lease.name.is_empty() {
            return wrong("lease", "without a namespace or a name".into(), "named by both");
        }
        let duration = lease.duration.as_duration();
        if duration.as_secs() == 0 || duration.subsec_nanos() != 0 {
            return wrong("lease.duration", lease.duration.to_string(), "whole seconds and more than zero");
        }
        if lease.renew_deadline >= lease.duration {
            return wrong(
                "lease.renew_deadline",
                lease.renew_deadline.to_string(),
                "less than lease.duration",
            );
        }
        Ok(())
    }
}
