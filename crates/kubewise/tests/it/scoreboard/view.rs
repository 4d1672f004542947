//! The cluster as the judge sees it: through its own client, with nothing of KubeWise in between.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{ApiCapabilities, ApiGroup, ApiResource, Discovery, Scope};
use kube::{Client, Config};
use kubewise_testbed::Cluster;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::stage::{list, text};

/// What a healthy apiserver answers at once; while it is stopped or dead, nothing is waited for.
const LIMIT: Duration = Duration::from_secs(5);
/// Where Events about objects of the cluster itself are.
const CLUSTER_EVENTS: &str = "default";

pub(super) struct View<'a> {
    cluster: &'a Cluster,
    runtime: Runtime,
    client: Client,
    kinds: Vec<Known>,
}

struct Known {
    resource: ApiResource,
    namespaced: bool,
}

impl<'a> View<'a> {
    /// As the cluster's administrator.
    pub(super) fn of(cluster: &'a Cluster) -> Result<Self> {
        // Another test of this process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
        let (client, kinds) = runtime.block_on(async {
            let mut config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            config.connect_timeout = Some(LIMIT);
            config.read_timeout = Some(LIMIT);
            let client = Client::try_from(config)?;
            let discovery = Discovery::new(client.clone()).run().await?;
            let resources =
                discovery.groups_alphabetical().into_iter().flat_map(ApiGroup::recommended_resources);
            let known = |(resource, capabilities): (_, ApiCapabilities)| Known {
                resource,
                namespaced: capabilities.scope == Scope::Namespaced,
            };
            anyhow::Ok((client, resources.map(known).collect()))
        })?;
        Ok(Self { cluster, runtime, client, kinds })
    }

    /// `deployment/web` (null if it is not there), `pods`, or `pods app=web`.
    pub(super) fn get(&self, namespace: &str, what: &str) -> Result<Value> {
        let (what, label) = what.split_once(' ').unwrap_or((what, ""));
        let (kind, name) = what.split_once('/').unwrap_or((what, ""));
        let api = self.api(namespace, kind)?;
        self.wait(async {
            Ok(if name.is_empty() {
                serde_json::to_value(api.list(&ListParams::default().labels(label)).await?)?
            } else {
                serde_json::to_value(api.get_opt(name).await?)?
            })
        })
    }

    /// The first value that Prometheus answers to a query; null if there is none.
    pub(super) fn measure(&self, promql: &str) -> Result<Value> {
        let vector = self.cluster.query(promql)?;
        let value = vector.first().map(|series| text(&series["value"][1]));
        Ok(value.map(|value| value.parse::<f64>()).transpose()?.map_or(Value::Null, Value::from))
    }

    /// Reasons of the Events that KubeWise wrote about an object such as `deployment/web`.
    pub(super) fn told(&self, namespace: &str, about: &str) -> Result<Vec<String>> {
        let (kind, name) = about.split_once('/').with_context(|| format!("`{about}` is no object"))?;
        let known = self.known(kind)?;
        let namespace = if known.namespaced { namespace } else { CLUSTER_EVENTS };
        let events = self.get(namespace, "events")?;
        let about = |event: &&Value| {
            event["reportingComponent"] == "kubewise"
                && event["involvedObject"]["kind"] == known.resource.kind
                && event["involvedObject"]["name"] == name
        };
        Ok(list(&events["items"]).iter().filter(about).map(|event| text(&event["reason"])).collect())
    }

    /// Changes an object, or its status, by a merge patch.
    pub(super) fn merge(&self, namespace: &str, object: &str, patch: &Value, status: bool) -> Result<()> {
        let (kind, name) = object.split_once('/').with_context(|| format!("`{object}` is no object"))?;
        let api = self.api(namespace, kind)?;
        let (options, patch) = (PatchParams::default(), Patch::Merge(patch));
        self.wait(async {
            if status {
                api.patch_status(name, &options, &patch).await?;
            } else {
                api.patch(name, &options, &patch).await?;
            }
            Ok(())
        })
    }

    fn api(&self, namespace: &str, kind: &str) -> Result<Api<DynamicObject>> {
        let Known { resource, namespaced } = self.known(kind)?;
        let client = self.client.clone();
        Ok(if *namespaced {
            Api::namespaced_with(client, namespace, resource)
        } else {
            Api::all_with(client, resource)
        })
    }

    /// By its name in singular or plural.
    fn known(&self, kind: &str) -> Result<&Known> {
        let called = |known: &&Known| {
            known.resource.plural == kind || known.resource.kind.to_lowercase() == kind.to_lowercase()
        };
        self.kinds.iter().find(called).with_context(|| format!("the cluster has no kind `{kind}`"))
    }

    fn wait<T>(&self, asking: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async { tokio::time::timeout(LIMIT, asking).await })?
    }
}
