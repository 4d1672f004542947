//! What the detector and the planner need of an object, read from its JSON in one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{Document, NotAnObject, at};
use crate::mentions;
use crate::object::{Kind, ObjectRef, Uid};
use crate::quantity;
use crate::service::{ContainerPort, Route};

/// Annotations that KubeWise itself gives a meaning; all others are dropped here.
pub const ANNOTATION_PREFIX: &str = "kubewise.dev/";

#[derive(Clone, Debug, PartialEq)]
pub struct ObjectState {
    pub object: ObjectRef,
    pub uid: Uid,
    pub resource_version: Arc<str>,
    pub generation: u64,
    pub created: Option<Timestamp>,
    /// Set while the object is being deleted.
    pub deleted: Option<Timestamp>,
    /// While it is being deleted: what holds it.
    pub held_by: Vec<String>,
    /// The controller, if any.
    pub owner: Option<Owner>,
    /// Only KubeWise's own annotations.
    pub annotations: BTreeMap<String, String>,
    pub detail: StateDetail,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub object: ObjectRef,
    pub uid: Uid,
    pub controller: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StateDetail {
    Pod(PodState),
    /// Deployment, StatefulSet, DaemonSet.
    Workload(WorkloadState),
    ReplicaSet(ReplicaSetState),
    Job(JobState),
    Node(NodeState),
    Autoscaler(AutoscalerState),
    Service(Route),
    /// Nothing but identity and owners.
    Other,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodState {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: Arc<str>,
    /// `Evicted`, `NodeLost`; empty otherwise.
    pub reason: Arc<str>,
    /// What the kubelet says about that.
    pub message: String,
    pub node: Option<Arc<str>>,
    pub ready: bool,
    /// The scheduler's message while the pod finds no node.
    pub unschedulable: Option<String>,
    /// The `pod-template-hash` or `controller-revision-hash` label: which revision made it.
    pub template: Option<Arc<str>>,
    pub labels: Arc<BTreeMap<String, String>>,
    /// Names of the claims that it mounts.
    pub claims: Vec<Arc<str>>,
    /// Hosts that its containers are told of, such as `cart` or `db.shop.svc`: what it probably depends on.
    pub hosts: Vec<Arc<str>>,
    /// Ports that its containers say they listen on.
    pub ports: Vec<ContainerPort>,
    pub containers: Vec<ContainerState>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerState {
    pub name: Arc<str>,
    pub image: Arc<str>,
    pub init: bool,
    pub ready: bool,
    pub restarts: u32,
    /// Why it waits, with the kubelet's message.
    pub waiting: Option<Waiting>,
    /// The latest termination, whether it runs again by now or not.
    pub terminated: Option<Termination>,
    /// Cores and bytes; `None` if unset.
    pub cpu_request: Option<f64>,
    pub cpu_limit: Option<f64>,
    pub memory_request: Option<f64>,
    pub memory_limit: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub reason: Arc<str>,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termination {
    /// `OOMKilled`, `Error`, `Completed`.
    pub reason: Arc<str>,
    pub exit_code: i64,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkloadState {
    pub desired: u32,
    pub updated: u32,
    pub ready: u32,
    pub available: u32,
    /// The status speaks of this generation of the spec.
    pub observed_generation: u64,
    pub paused: bool,
    /// Deployment: the `deployment.kubernetes.io/revision` annotation. Others: the update revision's name.
    pub revision: Option<String>,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaSetState {
    pub revision: Option<u64>,
    /// The `pod-template-hash` label.
    pub template: Option<Arc<str>>,
    pub desired: u32,
    pub ready: u32,
    pub available: u32,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobState {
    pub active: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeState {
    pub unschedulable: bool,
    pub allocatable_cpu: f64,
    pub allocatable_memory: f64,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AutoscalerState {
    pub target: ObjectRef,
    pub min: u32,
    pub max: u32,
    pub current: u32,
    pub desired: u32,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub kind: Arc<str>,
    /// `True`, `False`, `Unknown`.
    pub status: Arc<str>,
    pub reason: Arc<str>,
    pub message: String,
    pub since: Option<Timestamp>,
}

/// The condition of a kind, if present.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| &*condition.kind == kind)
}

impl AutoscalerState {
    /// It wants more replicas than its most. The same condition tells of other limits too, by other reasons.
    pub fn is_limited(&self) -> bool {
        condition(&self.conditions, "ScalingLimited")
            .is_some_and(|limited| &*limited.status == "True" && &*limited.reason == "TooManyReplicas")
    }
}

impl Owner {
    pub(crate) fn from_reference(reference: &Value, namespace: Option<&str>) -> Option<Self> {
        let kind = Kind::from(reference.get("kind")?.as_str()?);
        let namespaced = kind.api().is_none_or(|api| api.namespaced);
        Some(Owner {
            object: ObjectRef {
                kind,
                namespace: namespace.filter(|_| namespaced).map(Into::into),
                name: reference.get("name")?.as_str()?.into(),
            },
            uid: reference.get("uid")?.as_str()?.into(),
            controller: reference.get("controller").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

impl ObjectState {
    pub fn from_document(document: &Document) -> Result<Self, NotAnObject> {
        let object = document.object()?;
        let detail = match &object.kind {
            Kind::Pod => StateDetail::Pod(pod(document)),
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
                StateDetail::Workload(workload(&object.kind, document))
            }
            Kind::ReplicaSet => StateDetail::ReplicaSet(replica_set(document)),
            Kind::Job => StateDetail::Job(JobState {
                active: count(document, "/status/active"),
                succeeded: count(document, "/status/succeeded"),
                failed: count(document, "/status/failed"),
                conditions: conditions(document),
            }),
            Kind::Node => StateDetail::Node(NodeState {
                unschedulable: flag(document, "/spec/unschedulable"),
                allocatable_cpu: amount(document.at("/status/allocatable/cpu")).unwrap_or(0.0),
                allocatable_memory: amount(document.at("/status/allocatable/memory")).unwrap_or(0.0),
                conditions: conditions(document),
            }),
            Kind::HorizontalPodAutoscaler => autoscaler(document, &object),
            Kind::Service => StateDetail::Service(Route::of(document)),
            Kind::ControllerRevision
            | Kind::CronJob
            | Kind::Namespace
            | Kind::VerticalPodAutoscaler
            | Kind::ScaledObject
            | Kind::PersistentVolumeClaim
            | Kind::ResourceQuota
            | Kind::LimitRange
            | Kind::PodDisruptionBudget
            | Kind::NetworkPolicy
            | Kind::Event
            | Kind::Lease
            | Kind::Other(_) => StateDetail::Other,
        };
        let deleted = document.time("/metadata/deletionTimestamp");
        Ok(ObjectState {
            uid: document.uid()?,
            resource_version: document.text("/metadata/resourceVersion").unwrap_or_default().into(),
            generation: document.number("/metadata/generation").unwrap_or(0),
            created: document.time("/metadata/creationTimestamp"),
            deleted,
            held_by: deleted.map(|_| document.held_by()).unwrap_or_default(),
            owner: document.owners().into_iter().find(|owner| owner.controller),
            annotations: strings(document.at("/metadata/annotations"), ANNOTATION_PREFIX),
            detail,
            object,
        })
    }

    pub fn pod(&self) -> Option<&PodState> {
        if let StateDetail::Pod(pod) = &self.detail { Some(pod) } else { None }
    }

    pub fn workload(&self) -> Option<&WorkloadState> {
        if let StateDetail::Workload(workload) = &self.detail { Some(workload) } else { None }
    }

    pub fn replica_set(&self) -> Option<&ReplicaSetState> {
        if let StateDetail::ReplicaSet(set) = &self.detail { Some(set) } else { None }
    }
}

fn pod(document: &Document) -> PodState {
    let conditions = conditions(document);
    let template = ["pod-template-hash", "controller-revision-hash"];
    let by_name = |list: &str| -> BTreeMap<&str, &Value> {
        document.list(list).iter().filter_map(|item| Some((item.get("name")?.as_str()?, item))).collect()
    };
    let containers = [
        ("/spec/initContainers", "/status/initContainerStatuses", true),
        ("/spec/containers", "/status/containerStatuses", false),
    ]
    .into_iter()
    .flat_map(|(spec_list, status_list, init)| {
        let statuses = by_name(status_list);
        by_name(spec_list)
            .into_iter()
            .map(move |(name, spec)| container(spec, statuses.get(name).copied(), init))
    })
    .collect();
    PodState {
        phase: document.text("/status/phase").unwrap_or("Unknown").into(),
        reason: document.text("/status/reason").unwrap_or_default().into(),
        message: document.text("/status/message").unwrap_or_default().into(),
        node: document.text("/spec/nodeName").map(Into::into),
        ready: condition(&conditions, "Ready").is_some_and(|ready| &*ready.status == "True"),
        unschedulable: condition(&conditions, "PodScheduled")
            .filter(|scheduled| &*scheduled.status == "False")
            .map(|scheduled| scheduled.message.clone()),
        template: template.iter().find_map(|key| document.label(key)).map(Into::into),
        labels: strings(document.at("/metadata/labels"), "").into(),
        claims: document
            .list("/spec/volumes")
            .iter()
            .filter_map(|volume| at(volume, "/persistentVolumeClaim/claimName")?.as_str().map(Into::into))
            .collect(),
        hosts: mentions::hosts(document.list("/spec/containers")),
        ports: document.list("/spec/containers").iter().flat_map(container_ports).collect(),
        containers,
    }
}

fn container_ports(spec: &Value) -> impl Iterator<Item = ContainerPort> {
    let ports = spec.get("ports").and_then(Value::as_array);
    ports.into_iter().flatten().filter_map(|port| {
        Some(ContainerPort {
            name: port.get("name").and_then(Value::as_str).map(Into::into),
            number: port.get("containerPort")?.as_u64()?.try_into().ok()?,
        })
    })
}

fn container(spec: &Value, status: Option<&Value>, init: bool) -> ContainerState {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let resource = |path: &str| amount(at(spec, path));
    let waiting = status
        .and_then(|status| at(status, "/state/waiting"))
        .map(|waiting| Waiting { reason: text(waiting, "reason").into(), message: text(waiting, "message") });
    let terminated = status
        .and_then(|status| at(status, "/state/terminated").or_else(|| at(status, "/lastState/terminated")))
        .map(|ended| Termination {
            reason: text(ended, "reason").into(),
            exit_code: ended.get("exitCode").and_then(Value::as_i64).unwrap_or(0),
            // The kubelet writes the epoch for what could not even be started.
            started_at: text(ended, "startedAt").parse().ok().filter(|at| *at > Timestamp::UNIX_EPOCH),
            finished_at: text(ended, "finishedAt").parse().ok(),
        });
    ContainerState {
        name: text(spec, "name").into(),
        image: text(spec, "image").into(),
        init,
        ready: status.and_then(|status| status.get("ready")).and_then(Value::as_bool).unwrap_or(false),
        restarts: status.and_then(|status| status.get("restartCount")).and_then(Value::as_u64).unwrap_or(0)
            as u32,
        waiting,
        terminated,
        cpu_request: resource("/resources/requests/cpu"),
        cpu_limit: resource("/resources/limits/cpu"),
        memory_request: resource("/resources/requests/memory"),
        memory_limit: resource("/resources/limits/memory"),
    }
}

fn workload(kind: &Kind, document: &Document) -> WorkloadState {
    let daemon = *kind == Kind::DaemonSet;
    let status = |ordinary: &str, of_daemon: &str| count(document, if daemon { of_daemon } else { ordinary });
    let desired = if daemon {
        count(document, "/status/desiredNumberScheduled")
    } else {
        document.number("/spec/replicas").unwrap_or(1) as u32 // the API server's default
    };
    WorkloadState {
        desired,
        updated: status("/status/updatedReplicas", "/status/updatedNumberScheduled"),
        ready: status("/status/readyReplicas", "/status/numberReady"),
        available: status("/status/availableReplicas", "/status/numberAvailable"),
        observed_generation: document.number("/status/observedGeneration").unwrap_or(0),
        paused: flag(document, "/spec/paused"),
        revision: document
            .annotation("deployment.kubernetes.io/revision")
            .or_else(|| document.text("/status/updateRevision"))
            .map(Into::into),
        conditions: conditions(document),
    }
}

fn replica_set(document: &Document) -> ReplicaSetState {
    ReplicaSetState {
        revision: document
            .annotation("deployment.kubernetes.io/revision")
            .and_then(|revision| revision.parse().ok()),
        template: document.label("pod-template-hash").map(Into::into),
        desired: count(document, "/spec/replicas"),
        ready: count(document, "/status/readyReplicas"),
        available: count(document, "/status/availableReplicas"),
        conditions: conditions(document),
    }
}

fn autoscaler(document: &Document, object: &ObjectRef) -> StateDetail {
    let target = "/spec/scaleTargetRef";
    StateDetail::Autoscaler(AutoscalerState {
        target: ObjectRef {
            kind: Kind::from(document.text(&format!("{target}/kind")).unwrap_or_default()),
            namespace: object.namespace.clone(),
            name: document.text(&format!("{target}/name")).unwrap_or_default().into(),
        },
        min: document.number("/spec/minReplicas").unwrap_or(1) as u32,
        max: count(document, "/spec/maxReplicas"),
        current: count(document, "/status/currentReplicas"),
        desired: count(document, "/status/desiredReplicas"),
        conditions: conditions(document),
    })
}

fn conditions(document: &Document) -> Vec<Condition> {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    document
        .list("/status/conditions")
        .iter()
        .map(|condition| Condition {
            kind: text(condition, "type").into(),
            status: text(condition, "status").into(),
            reason: text(condition, "reason").into(),
            message: text(condition, "message"),
            since: text(condition, "lastTransitionTime").parse().ok(),
        })
        .collect()
}

fn count(document: &Document, pointer: &str) -> u32 {
    document.number(pointer).unwrap_or(0) as u32
}

fn flag(document: &Document, pointer: &str) -> bool {
    document.at(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// A quantity, which JSON may hold as text or as a number.
fn amount(value: Option<&Value>) -> Option<f64> {
    let value = value?;
    value.as_f64().or_else(|| quantity::parse(value.as_str()?))
}

fn strings(value: Option<&Value>, prefix: &str) -> BTreeMap<String, String> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.starts_with(prefix))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
