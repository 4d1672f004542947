//! The guards of policy and of the loops, each with the fault that it is there for, and taken out: the whole pipeline
//! on a simulated cluster, judged on what was written to it.

mod amounts;
mod loops;
mod pace;
mod steps;
mod whose;

use futures::FutureExt as _;
use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use kubewise_core::guard::proof::{Breach, prove, safe};
use kubewise_core::guard::{Guards, Place};
use kubewise_core::incident::IncidentStatus;
use kubewise_core::plan::{Action, FieldChange, Mode, PlanStatus, RemediationPlan};
use kubewise_core::port::RecordStore;
use kubewise_core::record::{Extra, Record, SchemaVersion};
use kubewise_core::request::PatchOperation;
use kubewise_core::{Kind, Period};
use kubewise_sim::Change;
use serde_json::{Value, json};

use crate::pipeline::{Run, Scene, cart};

/// From a release that crashes to the end of what is done about it.
const A_WHILE: Period = Period::from_mins(6);
const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// A scene whose generations are remembered, so that it can be told what was written.
struct Stage {
    scene: Scene,
    run: Option<Run>,
}

impl Stage {
    fn new(guards: Guards) -> Self {
        let mut scene = Scene::new(Mode::Auto);
        scene.policy.guards = guards;
        Stage { scene, run: None }
    }

    /// One playbook: this action, whenever something crashes.
    fn playbook(self, action: &str, parameters: &Value) -> Self {
        self.playbook_for("CrashLoopBackOff", action, parameters)
    }

    fn playbook_for(mut self, reason: &str, action: &str, parameters: &Value) -> Self {
        let text = format!(
            "name: test\ndescription: d\nreasons: [{reason}]\nrootCause: r\nreasoning: r\n\
             candidates:\n  - action: {action}\n    parameters: {parameters}\n"
        );
        self.scene.playbook = Some(text);
        self
    }

    fn start(&mut self) -> Run {
        self.scene.start("first")
    }

    /// A process watches the healthy cluster for a while.
    fn begin(&mut self) {
        self.run = Some(self.start());
        self.scene.pass(Period::from_mins(5));
    }

    /// The cart crashes after a new revision, and time passes.
    fn crash_on(&mut self) {
        self.scene.release(&cart(), "2-crash");
        self.scene.pass(A_WHILE);
        assert!(!self.scene.incidents().is_empty(), "it is noticed");
    }

    fn crash(&mut self) {
        self.begin();
        self.crash_on();
    }

    fn edit(&self, operations: &[PatchOperation]) {
        let (object, manager) = (cart(), "kubectl-edit".into());
        self.scene.change(Change::Edit { object, manager, operations: operations.to_vec() });
    }

    /// Another object by the cart's name beside it; a claim is bound.
    fn add(&self, kind: &str, spec: &Value) {
        let object = json!({
            "kind": kind, "metadata": { "namespace": "shop", "name": "cart" }, "spec": spec,
            "status": { "phase": "Bound" },
        });
        self.scene.world.create(object).unwrap();
    }

    /// The hash of the ReplicaSet with this image.
    fn template_of(&self, image: &str) -> String {
        let sets = self.scene.world.list(&Kind::ReplicaSet, Some("shop"));
        let set = sets.iter().find(|set| set.text(IMAGE) == Some(image)).unwrap();
        set.label("pod-template-hash").unwrap().to_owned()
    }

    /// Records that KubeWise did something to the cart that long ago.
    fn did(&self, name: &str, ago: Period, changes: Vec<FieldChange>) -> ExecutedActionRecord {
        let time = ago.before(self.scene.world.now());
        let done = ExecutedActionRecord {
            version: SchemaVersion::CURRENT,
            id: format!("x-{ago}").as_str().into(),
            saga: format!("s-{ago}").as_str().into(),
            plan: "p-0".into(),
            incident: "i-0".into(),
            anomalies: Vec::new(),
            workload: cart(),
            step: 0,
            direction: Direction::Act,
            cause: None,
            action: Action { name: name.into(), target: cart(), parameters: Value::Null },
            changes,
            status: ActionStatus::Succeeded,
            detail: "done".into(),
            verdict: None,
            outcome: None,
            started_at: time,
            finished_at: Some(time),
            extra: Extra::new(),
        };
        self.save(Record::Action(done.clone()));
        done
    }

    fn save(&self, record: Record) {
        self.scene.store.save(&[record]).now_or_never().unwrap().unwrap();
    }

    /// Nothing in the cluster was changed or evicted.
    fn untouched(&self) -> Result<(), Breach> {
        assert_eq!(self.scene.world.mishaps(), [""; 0]);
        let changes = self.scene.changes();
        safe(changes.is_empty(), || {
            let told = changes.iter().map(|write| format!("{:?} of {}", write.kind, write.object));
            told.collect::<Vec<_>>().join(", ")
        })
    }
}

fn field(path: &str, before: Value, after: Value) -> FieldChange {
    FieldChange { path: path.into(), before: Some(before), after: Some(after) }
}

/// The cart crashes, and a playbook does this.
fn doing(guards: Guards, action: &str, parameters: &Value, prepare: fn(&Stage)) -> Result<(), Breach> {
    let mut stage = Stage::new(guards).playbook(action, parameters);
    prepare(&stage);
    stage.crash();
    stage.untouched()
}

/// A proposed plan is approved in the store while nobody runs, after something about it changed; then a process takes
/// it up.
fn altered(guards: Guards, change: fn(&mut RemediationPlan, &Scene)) -> Result<(), Breach> {
    let mut stage = Stage::new(Guards::default());
    stage.scene.policy.mode = Mode::Propose;
    stage.begin();
    stage.scene.release(&cart(), "2-crash");
    stage.scene.until_status(IncidentStatus::Proposed);
    stage.scene.pass(Period::from_secs(30));
    stage.run = None;
    stage.scene.simulation.kill();
    let [mut plan] = stage.scene.plans().try_into().unwrap();
    plan.status = PlanStatus::Approved;
    plan.decided_by = Some("ada".into());
    change(&mut plan, &stage.scene);
    stage.save(Record::Plan(plan));
    stage.scene.policy.guards = guards;
    let _second = stage.start();
    stage.scene.pass(A_WHILE);
    stage.untouched()
}

#[test]
fn every_guard_is_proven() {
    let only = std::env::var("KUBEWISE_DISABLED_GUARD").ok();
    let places = [Place::Policy, Place::Runtime];
    let scenarios =
        [whose::SCENARIOS, amounts::SCENARIOS, steps::SCENARIOS, pace::SCENARIOS, loops::SCENARIOS].concat();
    let proven = prove(&places, &scenarios, only.as_deref(), |line| println!("{line}"));
    assert_eq!(proven, Ok(()));
}
