//! What is known about an incident when a plan is made.

pub(crate) mod all_pods;
pub(crate) mod amounts;
mod items;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use kubewise_core::action::ExecutedActionRecord;
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus, Reason};
use kubewise_core::document::Document;
use kubewise_core::event::EventRecord;
use kubewise_core::incident::Incident;
use kubewise_core::metric::NormalizedMetric;
use kubewise_core::plan::Dependant;
use kubewise_core::record::HealthyRevision;
use kubewise_core::service::ServingService;
use kubewise_core::state::{ContainerState, ObjectState};
use kubewise_core::{Kind, ObjectRef, Timestamp, Uid};

pub use all_pods::{AllPods, taken_by};
pub use amounts::Room;
pub(crate) use settings::SETTINGS;

/// Owner chains in Kubernetes are short (pod, ReplicaSet, Deployment, operator); a longer one is a cycle.
const MAX_OWNERS: usize = 8;
/// Logs that are worth a call each: a workload's pods fail alike.
const MAX_LOGS: usize = 3;

/// Everything a plan may rest on.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub incident: Incident,
    pub anomalies: Vec<AnomalyRecord>,
    /// The incident's workload; `None` if it no longer exists.
    pub workload: Option<Document>,
    pub namespace: Option<Document>,
    /// ReplicaSets (Deployment) or ControllerRevisions (StatefulSet, DaemonSet) that the workload controls.
    pub revisions: Vec<Document>,
    /// Pods of the workload.
    pub pods: Vec<Document>,
    /// Autoscalers, budgets, quotas and limit ranges of the namespace.
    pub autoscalers: Vec<Document>,
    pub budgets: Vec<Document>,
    pub quotas: Vec<Document>,
    pub limit_ranges: Vec<Document>,
    /// NetworkPolicies of the namespace, as far as they could be listed.
    pub policies: Vec<Document>,
    pub claims: Vec<Document>,
    pub services: Vec<Document>,
    /// Of the whole cluster. Incidents that are planned at one time share them, as they share the pods.
    pub nodes: Arc<[Document]>,
    /// For the room on nodes; `None` if they could not be listed.
    pub all_pods: Option<AllPods>,
    /// Where they are too many for that: what pods take of some nodes ([`crate::policy::nodes_to_look_at`]).
    pub looked_at: BTreeMap<String, Room>,
    pub events: Vec<EventRecord>,
    /// Revisions of the workload that were seen available, newest first.
    pub healthy: Vec<HealthyRevision>,
    /// How those fare that need the workload.
    pub dependants: Vec<Dependant>,
    /// Services as they were when they last led to the workload's ready pods.
    pub serving: Vec<ServingService>,
    /// What KubeWise did to the workload before, newest first.
    pub history: Vec<ExecutedActionRecord>,
    /// What it did to workloads of the namespace, newest first: trust is computed from it, and a model is told of others'.
    /// Empty where neither is needed.
    pub precedents: Vec<ExecutedActionRecord>,
    /// Recent samples of the workload and its pods, oldest first.
    pub samples: Vec<NormalizedMetric>,
    pub logs: Vec<LogExcerpt>,
    /// When ConfigMaps and Secrets that its pods read last changed, as far as that is known; what they hold never is.
    pub settings: Vec<(ObjectRef, Timestamp)>,
    pub taken_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogExcerpt {
    pub pod: ObjectRef,
    pub container: String,
    /// Whether it is of the container's previous run.
    pub previous: bool,
    pub text: String,
}

/// What has to be listed for the evidence on a workload, beside the workload, its namespace and the nodes. The room on
/// nodes needs the pods of every namespace too ([`Evidence::all_pods`]), and a cause may be in a NetworkPolicy; these are
/// not in this list, because a plan can be made without them.
pub fn lists(workload: &ObjectRef) -> Vec<(Kind, Option<Arc<str>>)> {
    let Some(namespace) = &workload.namespace else {
        if workload.kind != Kind::Node {
            return Vec::new(); // a namespace tells of itself what is left in it
        }
        // A node holds pods of every namespace, and their budgets.
        return vec![(Kind::PodDisruptionBudget, None)];
    };
    let between = [
        (Kind::Deployment, Kind::ReplicaSet),
        (Kind::StatefulSet, Kind::ControllerRevision),
        (Kind::DaemonSet, Kind::ControllerRevision),
        (Kind::CronJob, Kind::Job),
    ];
    let between = between.into_iter().filter(|(kind, _)| *kind == workload.kind).map(|(_, between)| between);
    let beside = [
        Kind::Pod,
        Kind::HorizontalPodAutoscaler,
        Kind::VerticalPodAutoscaler,
        Kind::ScaledObject,
        Kind::PodDisruptionBudget,
        Kind::ResourceQuota,
        Kind::LimitRange,
        Kind::PersistentVolumeClaim,
        Kind::Service,
    ];
    between.chain(beside).map(|kind| (kind, Some(namespace.clone()))).collect()
}

/// The pods among `documents` that belong to the workload, by the uids of their owner chain. A pod that nobody
/// controls is its own workload.
pub fn pods_of(workload: Option<&Document>, documents: &[Document]) -> Vec<Document> {
    let Some(root) = workload.and_then(|workload| workload.uid().ok()) else { return Vec::new() };
    let by_uid: BTreeMap<Uid, &Document> =
        documents.iter().filter_map(|document| Some((document.uid().ok()?, document))).collect();
    by_uid
        .values()
        .filter(|document| is(document, &Kind::Pod) && belongs(document, &root, &by_uid))
        .map(|document| (*document).clone())
        .collect()
}

fn is(document: &Document, kind: &Kind) -> bool {
    document.text("/kind") == Some(kind.as_str())
}

fn controller(document: &Document) -> Option<Uid> {
    document.owners().into_iter().find(|owner| owner.controller).map(|owner| owner.uid)
}

fn belongs(document: &Document, root: &Uid, by_uid: &BTreeMap<Uid, &Document>) -> bool {
    let mut uid = document.uid().ok();
    for _ in 0..MAX_OWNERS {
        let Some(current) = uid else { return false };
        if current == *root {
            return true;
        }
        uid = by_uid.get(&current).and_then(|document| controller(document));
        // The owner itself need not be among the documents: the workload is not.
        if uid.as_ref() == Some(root) {
            return true;
        }
    }
    false
}

impl Evidence {
    /// Sorts what was listed into its fields. What incidents share (nodes, all pods) and the records (Events, history,
    /// samples) are filled in by the caller.
    pub fn assemble(
        incident: Incident,
        anomalies: Vec<AnomalyRecord>,
        workload: Option<Document>,
        documents: Vec<Document>,
        taken_at: Timestamp,
    ) -> Self {
        let pods = pods_of(workload.as_ref(), &documents);
        let root = workload.as_ref().and_then(|workload| workload.uid().ok());
        let mut evidence = Evidence {
            incident,
            anomalies,
            workload,
            namespace: None,
            revisions: Vec::new(),
            pods,
            autoscalers: Vec::new(),
            budgets: Vec::new(),
            quotas: Vec::new(),
            limit_ranges: Vec::new(),
            policies: Vec::new(),
            claims: Vec::new(),
            services: Vec::new(),
            nodes: Arc::default(),
            all_pods: None,
            looked_at: BTreeMap::new(),
            events: Vec::new(),
            healthy: Vec::new(),
            dependants: Vec::new(),
            serving: Vec::new(),
            history: Vec::new(),
            precedents: Vec::new(),
            samples: Vec::new(),
            logs: Vec::new(),
            settings: Vec::new(),
            taken_at,
        };
        for document in documents {
            match document.text("/kind").unwrap_or_default() {
                "ReplicaSet" | "ControllerRevision" if root.is_some() && controller(&document) == root => {
                    evidence.revisions.push(document);
                }
                "HorizontalPodAutoscaler" | "VerticalPodAutoscaler" | "ScaledObject" => {
                    evidence.autoscalers.push(document);
                }
                "PodDisruptionBudget" => evidence.budgets.push(document),
                "ResourceQuota" => evidence.quotas.push(document),
                "LimitRange" => evidence.limit_ranges.push(document),
                "NetworkPolicy" => evidence.policies.push(document),
                "PersistentVolumeClaim" => evidence.claims.push(document),
                "Service" => evidence.services.push(document),
                "Namespace" => evidence.namespace = Some(document),
                _ => {}
            }
        }
        evidence
    }

    /// The logs that would tell most: of the run that failed, of containers that failed most. At most three.
    pub fn wanted_logs(&self) -> Vec<(ObjectRef, String, bool)> {
        let mut failing: Vec<_> = self
            .pod_states()
            .flat_map(|pod| {
                let containers = pod.pod().map(|state| state.containers.clone()).unwrap_or_default();
                containers.into_iter().map(move |container| (pod.object.clone(), container))
            })
            .filter(|(_, container)| container.terminated.as_ref().is_some_and(|ended| ended.exit_code != 0))
            .collect();
        failing.sort_by_key(|(pod, container)| {
            (std::cmp::Reverse(container.restarts), pod.clone(), container.name.clone())
        });
        failing.truncate(MAX_LOGS);
        failing
            .into_iter()
            .map(|(pod, container)| (pod, container.name.to_string(), container.restarts > 0))
            .collect()
    }

    /// What is known of an object that a plan may write.
    pub(crate) fn document(&self, object: &ObjectRef) -> Option<&Document> {
        if *object == self.incident.workload {
            return self.workload.as_ref();
        }
        let known: [&[Document]; 5] =
            [&self.pods, &self.autoscalers, &self.claims, &self.services, &self.nodes];
        known.into_iter().flatten().find(|document| document.object().is_ok_and(|found| found == *object))
    }

    /// A pod that the incident's plan may evict: one of the workload's, or one that the incident's node holds.
    pub(crate) fn evictable(&self, uid: &Uid) -> Option<&Document> {
        let mut pods = self.pods.iter().chain(self.on_node());
        pods.find(|pod| pod.uid().is_ok_and(|own| own == *uid))
    }

    /// What pods take of a node; `None` if that is not known.
    pub(crate) fn taken(&self, node: &str) -> Option<Room> {
        match &self.all_pods {
            Some(pods) => Some(pods.taken(node)),
            None => self.looked_at.get(node).copied(),
        }
    }

    /// The pods of every namespace; none if they could not be listed.
    pub(crate) fn every_pod(&self) -> impl Iterator<Item = &Document> {
        self.all_pods.iter().flat_map(|pods| pods.iter())
    }

    /// The pods that the incident's node holds; none if the incident is no node's, or not all pods could be listed.
    pub(crate) fn on_node(&self) -> impl Iterator<Item = &Document> {
        let node = Some(&self.incident.workload).filter(|workload| workload.kind == Kind::Node);
        self.every_pod()
            .filter(move |pod| node.is_some_and(|node| pod.text("/spec/nodeName") == Some(&*node.name)))
    }

    /// The pods as states, by name; what is not a pod is left out. Each is read when it is its turn.
    pub(crate) fn pod_states(&self) -> impl Iterator<Item = ObjectState> {
        let mut pods: Vec<&Document> = self.pods.iter().collect();
        pods.sort_by_key(|pod| (pod.text("/metadata/namespace"), pod.text("/metadata/name")));
        pods.into_iter().filter_map(|pod| pod.state().ok())
    }

    pub(crate) fn firing(&self) -> impl Iterator<Item = &AnomalyRecord> {
        self.anomalies.iter().filter(|anomaly| anomaly.status == AnomalyStatus::Firing)
    }

    /// Why a container is in trouble, if it is: now, or while it runs between two crashes and an anomaly of it fires.
    pub(crate) fn trouble_of(&self, pod: &ObjectRef, container: &ContainerState) -> Option<String> {
        let named = |anomaly: &AnomalyRecord| {
            anomaly.object == *pod && anomaly.container.as_deref() == Some(&*container.name)
        };
        trouble_of(container).or_else(|| {
            let ended = container.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
            self.firing().any(named).then(|| ended.reason.to_string())
        })
    }

    /// The reasons that fire, each once, in the order of [`Reason::ALL`].
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        let mut reasons: Vec<_> = self.firing().map(|anomaly| anomaly.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// When the oldest trouble that still fires began.
    pub(crate) fn trouble_since(&self) -> Timestamp {
        self.firing().map(|anomaly| anomaly.time).min().unwrap_or(self.incident.opened_at)
    }
}

/// Why a container is in trouble now, if it is: what it waits for, or how it ended.
fn trouble_of(container: &ContainerState) -> Option<String> {
    const WAITING_IS_NORMAL: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];
    if let Some(waiting) = container.waiting.as_ref().filter(|w| !WAITING_IS_NORMAL.contains(&&*w.reason)) {
        return Some(waiting.reason.to_string());
    }
    let ended = container.terminated.as_ref()?;
    (ended.exit_code != 0 && (!container.ready || &*ended.reason == "OOMKilled"))
        .then(|| ended.reason.to_string())
}
