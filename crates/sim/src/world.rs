//! The world: what a scenario is built with, changed by and asked about.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kubewise_core::document::Document;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::port::{Clock, Notice};
use kubewise_core::request::PatchOperation;
use kubewise_core::{Failure, Kind, ObjectRef, Period, Timestamp};
use serde_json::{Value, json};

use crate::clock::VirtualClock;
use crate::cluster::{App, Cluster, Task};
use crate::fault::{Gap, PerformFault};
use crate::manifest::{self, Workload};
use crate::store::not_found;

/// A Monday morning (2026-01-05T08:00:00Z), before the peak of the day.
const START_SECOND: i64 = 1_767_600_000;

/// A simulated cluster. Clones are the same cluster; it may be read from any thread.
#[derive(Clone, Debug)]
pub struct World {
    cluster: Arc<Mutex<Cluster>>,
    clock: VirtualClock,
}

/// Something that happens to the cluster from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Create(Workload),
    Delete(ObjectRef),
    /// A new image for the first container of a workload.
    Image {
        workload: ObjectRef,
        image: String,
    },
    /// Sets a variable of the first container of a workload, or removes it.
    Env {
        workload: ObjectRef,
        name: String,
        value: Option<String>,
    },
    Scale {
        workload: ObjectRef,
        replicas: u32,
    },
    /// The load of a workload becomes this many times its normal one.
    Load {
        workload: ObjectRef,
        factor: f64,
    },
    /// Another actor writes.
    Edit {
        object: ObjectRef,
        manager: String,
        operations: Vec<PatchOperation>,
    },
    /// Some component tells a Warning about an object.
    Warning {
        object: ObjectRef,
        reason: String,
        message: String,
    },
    NodeLost(String),
    NodeBack(String),
    Telemetry(Option<Gap>),
    WatchCut,
    /// `forgotten`: the server no longer knows where the watches were, and they list anew.
    WatchBack {
        forgotten: bool,
    },
    /// Another process takes the leadership.
    Lead {
        holder: String,
    },
}

/// A write of a KubeWise process to the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub time: Timestamp,
    pub kind: WriteKind,
    /// What was written; the Lease for leadership.
    pub object: ObjectRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    Patch,
    Evict,
    Create,
    Event,
    Lease,
}

impl World {
    /// An empty cluster. The seed decides noise, names and the time that pulls take.
    pub fn new(seed: u64) -> Self {
        let start = Timestamp::from_second(START_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
        World {
            cluster: Arc::new(Mutex::new(Cluster::new(seed, start))),
            clock: VirtualClock::starting_at(start),
        }
    }

    pub fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> Arc<Mutex<Cluster>> {
        self.cluster.clone()
    }

    /// When something happens next by itself.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lock().next_due()
    }

    /// Lets cluster and clock live until `to`.
    pub fn advance(&self, to: Timestamp) {
        self.lock().advance(to);
        self.clock.advance(to);
    }

    /// Lets the cluster live for a while, with nobody beside it.
    pub fn pass(&self, period: Period) -> &Self {
        self.advance(period.after(self.now()));
        self
    }

    pub fn node(&self, name: &str, cores: f64, bytes: f64) -> &Self {
        self.keep(manifest::node(name, cores, bytes));
        self.lock().node_ready(name);
        self
    }

    pub fn add(&self, workload: Workload) -> &Self {
        self.note(&Change::Create(workload));
        self
    }

    /// Any object, by its manifest.
    pub fn create(&self, manifest: Value) -> Result<ObjectRef, Failure> {
        let mut cluster = self.lock();
        cluster.namespace_of(&manifest);
        let now = cluster.now;
        let object = cluster.store.create(manifest, "kubectl-create", now)?;
        cluster.mark(object.clone());
        cluster.settle();
        Ok(object)
    }

    /// CPU use is kept near `utilization` percent of what is requested.
    pub fn autoscaler(&self, target: &ObjectRef, min: u32, max: u32, utilization: u32) -> &Self {
        self.keep(manifest::autoscaler(target, min, max, utilization));
        self
    }

    /// Keeps at least `min_available` pods (a number, or `"50%"`) of a workload.
    pub fn budget(&self, target: &ObjectRef, min_available: impl Into<Value>) -> &Self {
        self.keep(manifest::budget(target, &min_available.into()));
        self
    }

    /// A Service under the name of the workload that it selects.
    pub fn service(&self, target: &ObjectRef) -> &Self {
        self.keep(manifest::service(target));
        self
    }

    /// Hard limits, such as `("requests.memory", "2Gi")`.
    pub fn quota(&self, namespace: &str, name: &str, hard: &[(&str, &str)]) -> &Self {
        self.keep(manifest::quota(namespace, name, hard));
        self
    }

    /// Pods that a node holds, by name.
    pub fn pods_on(&self, node: &str) -> Vec<ObjectRef> {
        let cluster = self.lock();
        let there =
            cluster.pods.iter().filter(|(_, pod)| pod.node.as_deref() == Some(node) && pod.deleted.is_none());
        there.map(|(object, _)| object.clone()).collect()
    }

    fn keep(&self, manifest: Value) {
        if let Err(failure) = self.create(manifest) {
            self.lock().faults.mishaps.push(failure.to_string());
        }
    }

    fn note(&self, change: &Change) {
        let mut cluster = self.lock();
        cluster.change(change);
        cluster.settle();
    }

    /// Something that will happen at a time.
    pub fn at(&self, time: Timestamp, change: Change) -> &Self {
        self.lock().at(time, Task::Change(Box::new(change)));
        self
    }

    /// Something that happens now; fails if the cluster refuses it.
    pub fn change(&self, change: Change) -> Result<(), Failure> {
        let mut cluster = self.lock();
        let result = cluster.apply(change);
        cluster.settle();
        result
    }

    /// Something that happens just before the `number`th request to come (from 1) is performed.
    pub fn before_perform(&self, number: u32, change: Change) -> &Self {
        self.lock().faults.hook(true, number, change);
        self
    }

    /// Something that happens just after the `number`th request to come (from 1) was performed.
    pub fn after_perform(&self, number: u32, change: Change) -> &Self {
        self.lock().faults.hook(false, number, change);
        self
    }

    /// The next request that is not a dry run meets this; called again, the one after it.
    pub fn fail_next_perform(&self, fault: PerformFault) -> &Self {
        self.lock().faults.next_performs.push_back(fault);
        self
    }

    pub fn get(&self, object: &ObjectRef) -> Option<Document> {
        self.lock().store.get(object).cloned()
    }

    /// By namespace and name.
    pub fn list(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Document> {
        self.lock().store.list(kind, namespace).map(|(_, document)| document.clone()).collect()
    }

    /// Pods of a workload that are not on their way out, by name.
    pub fn pods_of(&self, workload: &ObjectRef) -> Vec<Document> {
        let cluster = self.lock();
        let pods = cluster.pods.iter().filter(|(_, pod)| pod.workload == *workload && pod.deleted.is_none());
        pods.filter_map(|(object, _)| cluster.store.get(object).cloned()).collect()
    }

    /// The Events that the API server still holds, oldest first.
    pub fn events(&self) -> Vec<EventRecord> {
        let cluster = self.lock();
        cluster.events.all(cluster.now)
    }

    /// What KubeWise wrote to the cluster; dry runs are not counted.
    pub fn writes(&self) -> Vec<Write> {
        self.lock().writes.clone()
    }

    pub fn notices(&self) -> Vec<Notice> {
        self.lock().notices.clone()
    }

    /// Changes of the script that the cluster refused: a fault of the scenario.
    pub fn mishaps(&self) -> Vec<String> {
        self.lock().faults.mishaps.clone()
    }

    /// A digest of everything that happened, was told and was measured so far.
    pub fn digest(&self) -> u64 {
        self.lock().digested()
    }
}

impl Cluster {
    pub(crate) fn change(&mut self, change: &Change) {
        if let Err(failure) = self.apply(change.clone()) {
            self.faults.mishaps.push(format!("{} {change:?}: {failure}", self.now));
        }
    }

    fn apply(&mut self, change: Change) -> Result<(), Failure> {
        const CONTAINER: &str = "/spec/template/spec/containers/0";
        match change {
            Change::Create(workload) => self.create_workload(&workload)?,
            Change::Delete(object) => self.delete_tree(&object),
            Change::Image { workload, image } => {
                let operations =
                    [PatchOperation::Replace { path: format!("{CONTAINER}/image"), value: json!(image) }];
                self.edit(&workload, None, &operations, "kubectl-set", false)?;
            }
            Change::Env { workload, name, value } => {
                let document = self.store.get(&workload).ok_or_else(|| not_found(&workload))?;
                let mut env = document.list(&format!("{CONTAINER}/env")).to_vec();
                env.retain(|entry| entry["name"] != name);
                env.extend(value.map(|value| json!({ "name": name, "value": value })));
                let operations =
                    [PatchOperation::Add { path: format!("{CONTAINER}/env"), value: json!(env) }];
                self.edit(&workload, None, &operations, "kubectl-set", false)?;
            }
            Change::Scale { workload, replicas } => {
                let operations =
                    [PatchOperation::Add { path: "/spec/replicas".into(), value: json!(replicas) }];
                self.edit(&workload, None, &operations, "kubectl-scale", false)?;
            }
            Change::Load { workload, factor } => {
                let app = self.apps.get_mut(&workload).ok_or_else(|| not_found(&workload))?;
                app.growth = factor;
            }
            Change::Edit { object, manager, operations } => {
                self.edit(&object, None, &operations, &manager, false)?;
            }
            Change::Warning { object, reason, message } => {
                self.store.get(&object).ok_or_else(|| not_found(&object))?;
                self.tell(&object, EventType::Warning, &reason, message, "kubelet");
            }
            Change::NodeLost(name) => self.lose_node(&name),
            Change::NodeBack(name) => self.bring_node_back(&name),
            Change::Telemetry(gap) => self.faults.gap = gap,
            Change::WatchCut => self.cut_watches(),
            Change::WatchBack { forgotten } => self.resume_watches(forgotten),
            Change::Lead { holder } => {
                let now = self.now;
                self.lease.take(&holder, now);
            }
        }
        Ok(())
    }

    fn create_workload(&mut self, workload: &Workload) -> Result<(), Failure> {
        let manifest = workload.manifest();
        self.namespace_of(&manifest);
        let app = App {
            behaviour: workload.behaviour.clone(),
            nominal: f64::from(workload.nominal_replicas().max(1)),
            growth: 1.0,
        };
        self.apps.insert(workload.object(), app);
        let now = self.now;
        self.store.create(manifest, "kubectl-client-side-apply", now).map(|_| ())
    }

    /// Makes the namespace of an object, unless it is there.
    pub(crate) fn namespace_of(&mut self, document: &Value) {
        let Some(name) = document.pointer("/metadata/namespace").and_then(Value::as_str) else { return };
        if self.store.get(&ObjectRef::cluster_scoped(Kind::Namespace, name)).is_none() {
            let now = self.now;
            // It was looked for just now, so it cannot be there already.
            let created = self.store.create(manifest::namespace(name), "kubectl-create", now);
            debug_assert!(created.is_ok(), "{created:?}");
        }
    }
}
