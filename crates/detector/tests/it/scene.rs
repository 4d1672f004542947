//! A small language for clusters: documents as the API server gives them, told to a detector in virtual time.

use jiff::Timestamp;
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus};
use kubewise_core::document::Document;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::failure::Failure;
use kubewise_core::incident::Incident;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::port::WatchItem;
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::service::ServingService;
use kubewise_core::unit::Unit;
use kubewise_core::{Kind, ObjectRef};
use kubewise_detector::{Change, Detector, Observation, Options};
use serde_json::{Value, json};

pub(crate) const KINDS: [Kind; 10] = [
    Kind::Pod,
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Job,
    Kind::Node,
    Kind::HorizontalPodAutoscaler,
    Kind::Service,
    Kind::Namespace,
];

/// A detector, its clock and what it said so far.
pub(crate) struct Scene {
    pub(crate) detector: Detector,
    pub(crate) now: Timestamp,
    pub(crate) said: Vec<Change>,
}

impl Scene {
    /// The watches of all kinds are whole.
    pub(crate) fn new() -> Self {
        let mut scene = Scene::listing();
        for kind in KINDS {
            scene.watch(WatchItem::Synced(kind));
        }
        scene
    }

    /// No watch has told all yet.
    pub(crate) fn listing() -> Self {
        Scene::of(Detector::new(Options::default()), at(0))
    }

    pub(crate) fn of(detector: Detector, now: Timestamp) -> Self {
        Scene { detector, now, said: Vec::new() }
    }

    pub(crate) fn see(&mut self, observation: &Observation) {
        self.said.extend(self.detector.observe(observation, self.now));
    }

    pub(crate) fn watch(&mut self, item: WatchItem) {
        self.see(&Observation::Watch(item));
    }

    pub(crate) fn apply(&mut self, documents: impl IntoIterator<Item = Value>) {
        for document in documents {
            self.watch(WatchItem::Applied(Box::new(Document(document).state().unwrap())));
        }
    }

    pub(crate) fn delete(&mut self, document: &Value) {
        let document = Document(document.clone());
        self.watch(WatchItem::Deleted { object: document.object().unwrap(), uid: document.uid().unwrap() });
    }

    pub(crate) fn interrupt(&mut self, kind: Kind) {
        self.watch(WatchItem::Interrupted { kind, failure: Failure::Unavailable { message: "cut".into() } });
    }

    pub(crate) fn sample(&mut self, sample: NormalizedMetric) {
        self.see(&Observation::Metric(NormalizedMetric { time: self.now, ..sample }));
    }

    /// Lets time pass, with a tick each second.
    pub(crate) fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += jiff::SignedDuration::from_secs(1);
            self.said.extend(self.detector.tick(self.now));
        }
    }

    /// What fires: the latest word on each anomaly.
    pub(crate) fn firing(&self) -> Vec<AnomalyRecord> {
        let mut latest: Vec<AnomalyRecord> = Vec::new();
        for anomaly in self.anomalies() {
            latest.retain(|one| one.id != anomaly.id);
            latest.push(anomaly.clone());
        }
        latest.retain(|one| one.status == AnomalyStatus::Firing);
        latest
    }

    pub(crate) fn reasons(&self) -> Vec<&'static str> {
        let mut reasons: Vec<_> = self.firing().iter().map(|one| one.reason.as_str()).collect();
        reasons.sort_unstable();
        reasons
    }

    pub(crate) fn anomalies(&self) -> impl Iterator<Item = &AnomalyRecord> {
        self.said
            .iter()
            .filter_map(|change| if let Change::Anomaly(one) = change { Some(&**one) } else { None })
    }

    pub(crate) fn incidents(&self) -> Vec<&Incident> {
        let said = self.said.iter();
        said.filter_map(|change| if let Change::IncidentOpened(one) = change { Some(&**one) } else { None })
            .collect()
    }

    pub(crate) fn quiet(&self) -> usize {
        self.said.iter().filter(|change| matches!(change, Change::IncidentQuiet { .. })).count()
    }

    pub(crate) fn healthy(&self) -> Vec<&str> {
        let said = self.said.iter();
        said.filter_map(|change| if let Change::Healthy(one) = change { Some(&*one.template) } else { None })
            .collect()
    }

    /// Services that were told as leading to pods, with where they lead.
    pub(crate) fn serving(&self) -> Vec<ServingService> {
        let said = self.said.iter();
        said.filter_map(|change| if let Change::Serving(one) = change { Some((**one).clone()) } else { None })
            .collect()
    }

    pub(crate) fn nothing_noticed(&self) {
        assert_eq!(self.anomalies().collect::<Vec<_>>(), Vec::<&AnomalyRecord>::new());
        assert_eq!(self.incidents(), Vec::<&Incident>::new());
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// Sets a JSON path such as `status/phase`; numbers are positions.
pub(crate) trait With: Sized {
    fn with(self, path: &str, value: impl Into<Value>) -> Self;
}

impl With for Value {
    fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self;
        for part in path.split('/') {
            place = match part.parse::<usize>() {
                Ok(position) => &mut place[position],
                Err(_) => &mut place[part],
            };
        }
        *place = value.into();
        self
    }
}

fn object(kind: &str, name: &str, owner: Option<(&str, &str)>) -> Value {
    let owners: Vec<Value> = owner
        .into_iter()
        .map(|(kind, name)| json!({ "kind": kind, "name": name, "uid": format!("{kind}-{name}"), "controller": true }))
        .collect();
    json!({
        "kind": kind,
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("{kind}-{name}"), "generation": 1,
            "creationTimestamp": at(-86_400).to_string(), "ownerReferences": owners,
        },
    })
}

/// `desired` replicas wanted, `available` there, all of them of the present revision.
pub(crate) fn deployment(name: &str, revision: u32, desired: u32, available: u32) -> Value {
    object("Deployment", name, None)
        .with("metadata/annotations", json!({ "deployment.kubernetes.io/revision": revision.to_string() }))
        .with("metadata/generation", revision)
        .with("spec", json!({ "replicas": desired }))
        .with(
            "status",
            json!({
                "observedGeneration": revision, "replicas": desired, "updatedReplicas": desired,
                "readyReplicas": available, "availableReplicas": available,
                "conditions": [{ "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" }],
            }),
        )
}

/// The set of a revision is called and hashed `NAME-rREVISION`, `rREVISION`.
pub(crate) fn replica_set(name: &str, revision: u32, desired: u32, ready: u32) -> Value {
    object("ReplicaSet", &format!("{name}-r{revision}"), Some(("Deployment", name)))
        .with("metadata/annotations", json!({ "deployment.kubernetes.io/revision": revision.to_string() }))
        .with("metadata/labels", json!({ "pod-template-hash": format!("r{revision}") }))
        .with("spec", json!({ "replicas": desired }))
        .with("status", json!({ "readyReplicas": ready, "availableReplicas": ready }))
}

/// A ready pod of a Deployment's revision.
pub(crate) fn pod(name: &str, revision: u32, number: u32) -> Value {
    let set = format!("{name}-r{revision}");
    pod_of(("ReplicaSet", &set), &format!("{set}-{number}"), &format!("r{revision}"))
}

pub(crate) fn pod_of(owner: (&str, &str), name: &str, template: &str) -> Value {
    object("Pod", name, Some(owner))
        .with("metadata/labels", json!({ "pod-template-hash": template }))
        .with(
            "spec",
            json!({ "nodeName": "n1", "containers": [{ "name": "app", "image": "shop/app:1", "resources": { "limits": { "memory": "64Mi" } } }] }),
        )
        .with(
            "status",
            json!({
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [{ "name": "app", "ready": true, "restartCount": 0, "state": { "running": {} } }],
            }),
        )
}

pub(crate) fn unready(pod: Value) -> Value {
    pod.with("status/conditions/0/status", "False").with("status/containerStatuses/0/ready", false)
}

pub(crate) fn waiting(pod: Value, reason: &str) -> Value {
    unready(pod).with(
        "status/containerStatuses/0/state",
        json!({ "waiting": { "reason": reason, "message": "as the kubelet says" } }),
    )
}

/// A container that ended at `ended` for the `restarts`th time and runs again, not ready yet.
pub(crate) fn restarted(pod: Value, restarts: u32, reason: &str, exit_code: i64, ended: Timestamp) -> Value {
    unready(pod).with("status/containerStatuses/0/restartCount", restarts).with(
        "status/containerStatuses/0/lastState",
        json!({ "terminated": { "reason": reason, "exitCode": exit_code, "finishedAt": ended.to_string() } }),
    )
}

pub(crate) fn node(name: &str, ready: &str) -> Value {
    json!({
        "kind": "Node", "metadata": { "name": name, "uid": name },
        "status": { "conditions": [{ "type": "Ready", "status": ready, "reason": "KubeletReady", "message": "kubelet" }] },
    })
}

/// Is being deleted since `since`, with a finalizer if `held`.
pub(crate) fn going(document: Value, since: Timestamp, held: bool) -> Value {
    let finalizers = if held { json!(["example.com/cleanup"]) } else { json!([]) };
    document.with("metadata/deletionTimestamp", since.to_string()).with("metadata/finalizers", finalizers)
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({
        "kind": "Namespace", "metadata": { "name": name, "uid": name },
        "status": { "conditions": [
            { "type": "NamespaceContentRemaining", "status": "True", "message": "configmaps. has 1 resource instances" },
            { "type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all is well" },
        ] },
    })
}

pub(crate) fn stateful_set(name: &str, desired: u32, available: u32) -> Value {
    object("StatefulSet", name, None).with("spec", json!({ "replicas": desired })).with(
        "status",
        json!({
            "observedGeneration": 1, "updatedReplicas": desired, "readyReplicas": available,
            "availableReplicas": available, "updateRevision": format!("{name}-r1"),
        }),
    )
}

pub(crate) fn job(name: &str, condition: &str) -> Value {
    object("Job", name, None).with(
        "status",
        json!({ "failed": 4, "conditions": [{ "type": condition, "status": "True", "reason": "BackoffLimitExceeded", "message": "too often" }] }),
    )
}

pub(crate) fn autoscaler(target: &str) -> Value {
    object("HorizontalPodAutoscaler", target, None)
        .with("spec", json!({ "scaleTargetRef": { "kind": "Deployment", "name": target }, "maxReplicas": 9 }))
}

/// Selects by the label `app`, and leads to port 8080.
pub(crate) fn service(name: &str, app: &str) -> Value {
    object("Service", name, None)
        .with("spec", json!({ "selector": { "app": app }, "ports": [{ "port": 80, "targetPort": 8080 }] }))
}

/// A Deployment with its ReplicaSet and `count` ready pods.
pub(crate) fn workload(name: &str, revision: u32, count: u32) -> Vec<Value> {
    let mut all = vec![deployment(name, revision, count, count), replica_set(name, revision, count, count)];
    all.extend((0..count).map(|number| pod(name, revision, number)));
    all
}

pub(crate) fn reference(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef::namespaced(kind, "shop", name)
}

pub(crate) fn event(object: ObjectRef, reason: &str, count: u32, seen: Timestamp) -> EventRecord {
    EventRecord {
        version: SchemaVersion::CURRENT,
        uid: format!("{object}-{reason}").as_str().into(),
        count,
        object,
        object_uid: "u".into(),
        event_type: EventType::Warning,
        reason: reason.into(),
        message: "as the controller says".into(),
        first_seen: seen,
        last_seen: seen,
        source: "kubelet".into(),
        workload: None,
        extra: Extra::new(),
    }
}

/// A sample of container `app` of a pod; its time is that at which it is told.
pub(crate) fn sample(pod: &str, metric_type: MetricType, unit: Unit, value: f64) -> NormalizedMetric {
    NormalizedMetric {
        version: SchemaVersion::CURRENT,
        object: reference(Kind::Pod, pod),
        container: Some("app".into()),
        detail: None,
        metric_type,
        unit,
        value,
        time: at(0),
    }
}
