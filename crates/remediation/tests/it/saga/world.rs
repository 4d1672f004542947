//! A reference world for sagas: a few objects as the API server keeps them, a journal with locks and epochs, a
//! clock that moves only when a saga waits, and a driver that holds every effect against the journal.

use std::collections::BTreeMap;

use kubewise_core::anomaly::Severity;
use kubewise_core::document::Document;
use kubewise_core::guard::Guards;
use kubewise_core::id::{IncidentId, PlanId};
use kubewise_core::journal::{Epoch, JournalBody, JournalEntry, Outcome};
use kubewise_core::plan::{
    Action, Author, Dependant, FieldChange, Indicators, Measurement, Mode, Operation, PlanStatus, PlanStep,
    RemediationPlan, Verification,
};
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::request::{ClusterRequest, FENCE_ANNOTATION, PatchOperation, Performed, pointer};
use kubewise_core::{Failure, Kind, ObjectRef, Period, Rejection, Timestamp};
use kubewise_remediation::saga::{Effect, Forbidden, Input, Report, Saga};
use serde_json::{Value, json};

/// More effects than any saga of these tests needs, however often it is disturbed.
const MANY: usize = 2_000;

pub(crate) fn cart() -> ObjectRef {
    ObjectRef::namespaced(Kind::Deployment, "shop", "cart")
}

pub(crate) fn autoscaler() -> ObjectRef {
    ObjectRef::namespaced(Kind::HorizontalPodAutoscaler, "shop", "cart")
}

pub(crate) fn pod() -> ObjectRef {
    ObjectRef::namespaced(Kind::Pod, "shop", "cart-1")
}

pub(crate) fn write(object: ObjectRef, changes: &[(&str, Value, Value)]) -> PlanStep {
    let field = |value: &Value| (!value.is_null()).then(|| value.clone());
    let changes = changes.iter().map(|(path, before, after)| FieldChange {
        path: (*path).into(),
        before: field(before),
        after: field(after),
    });
    let operation = Operation::Write {
        uid: uid_of(&object).as_str().into(),
        object: object.clone(),
        subresource: None,
        changes: changes.collect(),
    };
    step("SetFields", object, operation, true)
}

pub(crate) fn evict() -> PlanStep {
    step("EvictPod", pod(), Operation::Evict { pod: pod(), uid: uid_of(&pod()).as_str().into() }, false)
}

/// Three pods one after the other, as from a node that is emptied.
pub(crate) fn drain() -> Vec<PlanStep> {
    let evict = |number: u32| {
        let pod = ObjectRef::namespaced(Kind::Pod, "shop", format!("drained-{number}"));
        let uid = uid_of(&pod).as_str().into();
        step("DrainNode", cart(), Operation::Evict { pod, uid }, false)
    };
    (1..=3).map(evict).collect()
}

/// An object under a new name, with a mark of ours.
pub(crate) fn create() -> PlanStep {
    let object = ObjectRef::namespaced(Kind::Job, "shop", "cart-retry");
    let body = json!({
        "kind": "Job",
        "metadata": {
            "name": "cart-retry", "namespace": "shop", "annotations": { "kubewise.dev/retry-of": "uid" },
        },
    });
    step("RetryJob", cart(), Operation::Create { object, body }, false)
}

pub(crate) fn notify(message: &str) -> PlanStep {
    step("Notify", cart(), Operation::Notify { message: message.into() }, false)
}

/// What policy says when it forbids for good.
pub(crate) fn forbidden(finding: &str) -> Forbidden {
    Forbidden { finding: finding.into(), temporary: false }
}

fn step(name: &str, target: ObjectRef, operation: Operation, reversible: bool) -> PlanStep {
    PlanStep {
        action: Action { name: name.into(), target, parameters: Value::Null },
        operation,
        description: name.into(),
        reversible,
        disruption: 1,
    }
}

fn uid_of(object: &ObjectRef) -> String {
    format!("uid-of-{object}")
}

pub(crate) fn web() -> ObjectRef {
    ObjectRef::namespaced(Kind::Deployment, "shop", "web")
}

pub(crate) fn start() -> Timestamp {
    "2026-03-01T02:00:00Z".parse().unwrap()
}

pub(crate) fn plan(actions: Vec<PlanStep>, baseline: Indicators) -> RemediationPlan {
    RemediationPlan {
        version: SchemaVersion::CURRENT,
        id: PlanId::from("p-1"),
        incident: IncidentId::from("i-1"),
        workload: cart(),
        attempt: 1,
        author: Author::Playbook { name: "test".into() },
        reasoning: "because".into(),
        root_cause: "known".into(),
        evidence: Vec::new(),
        priority: Severity::Critical,
        actions,
        safety_constraints: Vec::new(),
        verification: Verification {
            checks: Vec::new(),
            provisional_after: Period::from_secs(30),
            settle: Period::from_secs(60),
            deadline: Period::from_secs(300),
            baseline,
            dependants: Vec::new(),
        },
        mode: Mode::Auto,
        status: PlanStatus::Approved,
        created_at: start(),
        updated_at: start(),
        decided_by: None,
        decision: None,
        extra: Extra::new(),
    }
}

pub(crate) fn indicators(desired: u32, available: u32) -> Indicators {
    Indicators {
        desired,
        available,
        rolled_out: available == desired,
        restarts: BTreeMap::new(),
        failing: Vec::new(),
        firing: Vec::new(),
        newest_sample: Some(start()),
        taken_at: start(),
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Normal,
    /// Done, and the answer lost.
    DoneUnanswered,
    /// Never arrived, and nobody can tell.
    LostUnanswered,
    RateLimited,
    Unavailable,
    Rejected(Rejection),
}

/// How the workload fares, seen from its objects.
pub(crate) type Health = fn(&World) -> Indicators;

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) objects: BTreeMap<ObjectRef, Value>,
    pub(crate) journal: Vec<JournalEntry>,
    pub(crate) health: Health,
    /// How `web` fares, which needs it.
    pub(crate) needing: Option<Health>,
    pub(crate) guards: Guards,
    /// Writes that no entry spoke of before.
    pub(crate) unjournalled: Vec<String>,
    /// When samples ceased to come.
    pub(crate) telemetry_until: Option<Timestamp>,
    /// The finding of policy, from the next check on.
    pub(crate) forbidden: Option<Forbidden>,
    /// The finding of ownership or protection before an undo.
    pub(crate) undo_forbidden: Option<String>,
    /// Values that KubeWise gave to fields, in order, and pods that it evicted.
    pub(crate) writes: Vec<String>,
    /// Steps before which was saved what they take down.
    pub(crate) captured: Vec<usize>,
    pub(crate) reports: Vec<Report>,
    pub(crate) notices: Vec<String>,
}

impl World {
    /// `cart` wants nothing and gets three replicas; its autoscaler may go to 5, and one pod runs.
    pub(crate) fn new(health: Health) -> Self {
        let object = |object: &ObjectRef, spec: Value| {
            json!({
                "kind": object.kind.as_str(),
                "metadata": { "name": &*object.name, "namespace": "shop", "uid": uid_of(object) },
                "spec": spec,
            })
        };
        let objects = [
            (cart(), json!({ "replicas": 0, "image": "v2", "paused": false })),
            (autoscaler(), json!({ "maxReplicas": 5 })),
            (pod(), json!({})),
        ];
        let drained = drain().into_iter().filter_map(|step| step.operation.writes().cloned());
        let objects = objects.into_iter().chain(drained.map(|pod| (pod, json!({}))));
        World {
            now: start(),
            objects: objects.map(|(at, spec)| (at.clone(), object(&at, spec))).collect(),
            journal: Vec::new(),
            health,
            needing: None,
            guards: Guards::default(),
            unjournalled: Vec::new(),
            telemetry_until: None,
            forbidden: None,
            undo_forbidden: None,
            writes: Vec::new(),
            captured: Vec::new(),
            reports: Vec::new(),
            notices: Vec::new(),
        }
    }

    pub(crate) fn field(&self, object: &ObjectRef, path: &str) -> Value {
        self.objects.get(object).and_then(|found| found.pointer(path)).cloned().unwrap_or(Value::Null)
    }

    /// As a person with kubectl would.
    pub(crate) fn edit(&mut self, object: &ObjectRef, path: &str, value: Value) {
        set(self.objects.get_mut(object).unwrap(), path, Some(value));
    }

    /// Another object takes the name, also if nothing had it.
    pub(crate) fn recreate(&mut self, object: &ObjectRef) {
        let new = || json!({ "kind": object.kind.as_str(), "metadata": {}, "spec": {} });
        let found = self.objects.entry(object.clone()).or_insert_with(new);
        found["metadata"]["uid"] = json!("another");
        found["metadata"].as_object_mut().unwrap().remove("annotations");
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let closed = |entry: &JournalEntry| {
            if let JournalBody::Closed { outcome, .. } = entry.body { Some(outcome) } else { None }
        };
        self.journal.last().and_then(closed)
    }

    /// Objects that a saga holds.
    pub(crate) fn locked(&self) -> Vec<ObjectRef> {
        let kept = matches!(self.outcome(), None | Some(Outcome::Stuck));
        match self.journal.first().map(|entry| &entry.body) {
            Some(JournalBody::Opened { locks, .. }) if kept => locks.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn entries(&self) -> Vec<&'static str> {
        self.journal
            .iter()
            .map(|entry| match &entry.body {
                JournalBody::Opened { .. } => "Opened",
                JournalBody::Prepared { .. } => "Prepared",
                JournalBody::Started { .. } => "Started",
                JournalBody::Succeeded { .. } => "Succeeded",
                JournalBody::Failed { .. } => "Failed",
                JournalBody::Verified { .. } => "Verified",
                JournalBody::UndoStarted { .. } => "UndoStarted",
                JournalBody::Undone { .. } => "Undone",
                JournalBody::UndoSkipped { .. } => "UndoSkipped",
                JournalBody::UndoFailed { .. } => "UndoFailed",
                JournalBody::Closed { .. } => "Closed",
            })
            .collect()
    }

    /// Performs an effect as the ports would.
    pub(crate) fn perform(&mut self, effect: &Effect, fate: Fate) -> Input {
        self.hold_against_journal(effect);
        match effect {
            Effect::Append(entry) => Input::Appended(self.fated(fate, |world| world.append(entry))),
            Effect::Check { .. } => Input::Checked(self.forbidden.clone().map_or(Ok(()), Err)),
            Effect::CheckUndo { .. } => {
                Input::UndoChecked(self.fated(fate, |world| Ok(world.undo_forbidden.clone())))
            }
            Effect::Read { object } => {
                Input::Read(self.fated(fate, |world| Ok(world.objects.get(object).cloned().map(Document))))
            }
            Effect::Perform { request, dry_run } => {
                Input::Performed(self.fated(fate, |world| world.apply(request, *dry_run)))
            }
            Effect::Capture { step } => Input::Captured(self.fated(fate, |world| {
                world.captured.push(*step);
                Ok(())
            })),
            Effect::Measure => Input::Measured(self.fated(fate, |world| Ok(world.measure()))),
            Effect::Notify { message } => Input::Notified(self.fated(fate, |world| {
                world.notices.push(message.clone());
                Ok(())
            })),
            Effect::Wait { until } => {
                self.now = self.now.max(*until);
                Input::Elapsed
            }
        }
    }

    fn fated<T>(
        &mut self,
        fate: Fate,
        call: impl FnOnce(&mut World) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let message = || String::from("injected");
        match fate {
            Fate::Normal => call(self),
            Fate::DoneUnanswered => {
                let _ = call(self);
                Err(Failure::Unknown { message: message() })
            }
            Fate::LostUnanswered => Err(Failure::Unknown { message: message() }),
            Fate::RateLimited => Err(Failure::RateLimited { retry_after: None, message: message() }),
            Fate::Unavailable => Err(Failure::Unavailable { message: message() }),
            Fate::Rejected(reason) => Err(Failure::Rejected { reason, message: message() }),
        }
    }

    fn measure(&self) -> Measurement {
        let newest = self.telemetry_until.map_or(self.now, |until| until.min(self.now));
        let measured =
            |health: Health| Indicators { newest_sample: Some(newest), taken_at: self.now, ..health(self) };
        let needing = self.needing.map(|health| Dependant { workload: web(), indicators: measured(health) });
        Measurement { own: measured(self.health), dependants: needing.into_iter().collect() }
    }

    fn append(&mut self, entry: &JournalEntry) -> Result<(), Failure> {
        if self.journal.get(entry.sequence as usize) == Some(entry) {
            return Ok(());
        }
        let newer = self.journal.iter().any(|known| known.epoch > entry.epoch);
        if newer || entry.sequence as usize != self.journal.len() || self.outcome().is_some() {
            return Err(Failure::Rejected { reason: Rejection::Conflict, message: "taken".into() });
        }
        self.journal.push(entry.clone());
        Ok(())
    }

    /// No write without its entry: an act after `Started`, an undo after `UndoStarted`, a fence only where a
    /// write may be under way.
    fn hold_against_journal(&mut self, effect: &Effect) {
        let Effect::Perform { request, dry_run: false } = effect else { return };
        let last = self.journal.last().map(|entry| &entry.body);
        let begun = matches!(last, Some(JournalBody::Started { .. } | JournalBody::UndoStarted { .. }));
        let prepared = matches!(last, Some(JournalBody::Prepared { .. }));
        let journalled = begun || (prepared && is_fence(request));
        if !journalled {
            self.unjournalled.push(format!("{request:?} after {:?}", self.entries()));
        }
    }

    /// The API server's answer to a request.
    pub(crate) fn apply(&mut self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        let rejected = |reason, message: String| Err(Failure::Rejected { reason, message });
        match request {
            ClusterRequest::Evict { pod, uid } => {
                if self.field(pod, "/metadata/uid") != json!(&*uid.0) {
                    return rejected(Rejection::NotFound, format!("no {pod} of that uid"));
                }
                if !dry_run {
                    self.objects.remove(pod);
                    self.writes.push(format!("evict {pod}"));
                }
                Ok(Performed::Evicted)
            }
            ClusterRequest::Create { object, body } => {
                if self.objects.contains_key(object) {
                    return rejected(Rejection::Superseded, format!("{object} already exists"));
                }
                let mut made = body.clone();
                made["metadata"]["uid"] = json!(uid_of(object));
                if !dry_run {
                    self.objects.insert(object.clone(), made.clone());
                    self.writes.push(format!("make {object}"));
                }
                Ok(Performed::Created(Document(made)))
            }
            ClusterRequest::Patch { object, operations, .. } => {
                let Some(before) = self.objects.get(object) else {
                    return rejected(Rejection::NotFound, format!("no {object}"));
                };
                let mut after = before.clone();
                let mut writes = Vec::new();
                for operation in operations {
                    match operation {
                        PatchOperation::Test { path, value } => {
                            let found = after.pointer(path).cloned().unwrap_or(Value::Null);
                            if found != *value {
                                return rejected(Rejection::Superseded, format!("test of {path} failed"));
                            }
                        }
                        PatchOperation::Add { path, value } | PatchOperation::Replace { path, value } => {
                            if let Some(value) = admitted(value) {
                                writes.push(format!("{path} = {value}"));
                                set(&mut after, path, Some(value));
                            }
                        }
                        PatchOperation::Remove { path } => {
                            writes.push(format!("{path} removed"));
                            set(&mut after, path, None);
                        }
                    }
                }
                if !dry_run {
                    writes.retain(|write| !write.contains("annotations"));
                    self.writes.extend(writes);
                    self.objects.insert(object.clone(), after.clone());
                }
                Ok(Performed::Patched(Document(after)))
            }
        }
    }

    /// Drives a saga to its end or its suspension; `fate` decides what becomes of each effect.
    pub(crate) fn drive(&mut self, saga: &mut Saga, mut fate: impl FnMut(&Effect) -> Fate) {
        self.reports.extend(saga.take_reports());
        for _ in 0..MANY {
            let Some(effect) = saga.poll_effect() else {
                let mutated = self.guards != Guards::default();
                assert!(mutated || self.unjournalled.is_empty(), "{:?}", self.unjournalled);
                return;
            };
            assert_eq!(saga.poll_effect(), None, "one effect at a time");
            let input = self.perform(&effect, fate(&effect));
            saga.handle(input, self.now);
            self.reports.extend(saga.take_reports());
        }
        panic!("no end after {MANY} effects: {:?}", self.entries());
    }

    /// Runs a plan undisturbed.
    pub(crate) fn run(&mut self, plan: RemediationPlan) {
        let mut saga = Saga::open(plan, self.guards, Epoch(1), self.now);
        self.drive(&mut saga, |_| Fate::Normal);
        assert!(saga.is_finished(), "{:?}", saga.suspended());
    }

    /// Takes up what the journal holds, as a new leader, until it is finished.
    pub(crate) fn recover(&mut self, plan: &RemediationPlan, epoch: Epoch) {
        let mut saga = self.successor(plan, epoch);
        self.drive(&mut saga, |_| Fate::Normal);
        assert!(saga.is_finished(), "{:?}: {:?}", self.entries(), saga.suspended());
    }

    pub(crate) fn successor(&self, plan: &RemediationPlan, epoch: Epoch) -> Saga {
        if self.journal.is_empty() {
            Saga::open(plan.clone(), self.guards, epoch, self.now)
        } else {
            Saga::replay(&self.journal, self.guards, epoch, self.now).unwrap()
        }
    }

    pub(crate) fn stories(&self) -> Vec<&str> {
        self.reports
            .iter()
            .filter_map(|report| if let Report::Story { text, .. } = report { Some(&**text) } else { None })
            .collect()
    }
}

/// The server writes quantities its own way, and a webhook does not let everything pass.
fn admitted(value: &Value) -> Option<Value> {
    match value.as_str() {
        Some("1024Mi") => Some(json!("1Gi")),
        Some("unwelcome") => None,
        _ => Some(value.clone()),
    }
}

/// Whether a patch does nothing but raise the fence.
pub(crate) fn is_fence(request: &ClusterRequest) -> bool {
    let fence = pointer(&["metadata", "annotations", FENCE_ANNOTATION]);
    let ClusterRequest::Patch { operations, .. } = request else { return false };
    operations.iter().all(|operation| match operation {
        PatchOperation::Test { .. } => true,
        PatchOperation::Add { path, .. } => *path == fence || path == "/metadata/annotations",
        PatchOperation::Replace { .. } | PatchOperation::Remove { .. } => false,
    })
}

fn set(document: &mut Value, path: &str, value: Option<Value>) {
    let (parent, key) = path.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    match value {
        Some(value) => parent.insert(key, value),
        None => parent.remove(&key),
    };
}
