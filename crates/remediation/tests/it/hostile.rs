//! Ten thousand plans that no honest author would write, or that somebody altered in the store, are taken up like any
//! other: held against policy with fresh evidence, and executed by a saga on a simulated cluster. Whatever is in them,
//! nothing is written outside policy. Judged on the cluster by an oracle that knows no rule of ours.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use kubewise_core::anomaly::Reason;
use kubewise_core::document::Document;
use kubewise_core::guard::Guards;
use kubewise_core::journal::Epoch;
use kubewise_core::plan::{
    Action, Author, FieldChange, Indicators, Measurement, Mode, Operation, PlanStatus, PlanStep,
    RemediationPlan, Verification,
};
use kubewise_core::port::{ClusterActor, Journal};
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::request::PatchOperation;
use kubewise_core::{Kind, ObjectRef, Period, Timestamp, Uid};
use kubewise_remediation::evidence::{Evidence, lists};
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy::{Options, Surroundings};
use kubewise_remediation::saga::{Effect, Input, Saga};
use kubewise_sim::{Change, MemoryStore, Process, Workload, World};
use serde_json::{Value, json};

use crate::fixture::{anomaly, cart, crash_loop};

const PLANS: u64 = 10_000;
const GIB: f64 = 1_073_741_824.0;
/// The longest hostile plan; building it takes longer than refusing it.
const LONGEST: usize = 10_000;
/// More effects than a saga needs whose outcome nobody measures.
const MANY: usize = 200;

/// A generator of numbers that is the same each time (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(crate) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[(self.roll() % of.len() as u64) as usize].clone()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }
}

/// Who else has a hand on the cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nobody,
    /// An autoscaler owns its replicas.
    Autoscaler,
    /// A tool that reconciles owns its memory limit.
    Reconciler,
}

const BESIDE: [Beside; 3] = [Beside::Nobody, Beside::Autoscaler, Beside::Reconciler];
const MEMORY: &str = "/spec/template/spec/containers/0/resources/limits/memory";

/// What an action means here, with the parameter and the value in it that are to be altered together: such a step is
/// lowered to itself, whatever its amount, so that the other rules have to judge it.
#[derive(Clone)]
struct Meant {
    step: PlanStep,
    parameter: &'static str,
    value: Value,
}

/// The cart's second revision crashes; around it are a system namespace, a neighbour, and an autoscaler of the latter.
struct Scene {
    world: World,
    beside: Beside,
    meant: Vec<Meant>,
    process: std::sync::Arc<Process>,
    /// Every object that a plan may name, with its uid.
    objects: Vec<(ObjectRef, Uid)>,
    before: Vec<Document>,
    /// What the planner would do.
    honest: Option<RemediationPlan>,
}

impl Scene {
    fn new(beside: Beside) -> Self {
        let world = World::new(7);
        world.node("node-1", 16.0, 32.0 * GIB).node("node-2", 16.0, 32.0 * GIB);
        world.add(Workload::deployment("shop", "cart")).add(Workload::deployment("shop", "catalog"));
        world.add(Workload::deployment("kube-system", "dns"));
        world.autoscaler(&ObjectRef::namespaced(Kind::Deployment, "shop", "catalog"), 1, 5, 80);
        world.pass(Period::from_mins(2));
        match beside {
            Beside::Nobody => {}
            Beside::Autoscaler => {
                world.autoscaler(&cart(), 1, 5, 80);
            }
            Beside::Reconciler => {
                let operations = vec![PatchOperation::Replace { path: MEMORY.into(), value: json!("300Mi") }];
                let manager = "argocd-application-controller".into();
                world.change(Change::Edit { object: cart(), manager, operations }).unwrap();
            }
        }
        let image = Change::Image { workload: cart(), image: "shop/cart:2-crash".into() };
        world.change(image).unwrap();
        world.pass(Period::from_secs(40));
        let process = world.process("hostile", &MemoryStore::default());
        let mut scene = Scene {
            world,
            beside,
            meant: Vec::new(),
            process,
            objects: Vec::new(),
            before: Vec::new(),
            honest: None,
        };
        scene.before = scene.documents();
        scene.objects = scene
            .before
            .iter()
            .filter_map(|document| Some((document.object().ok()?, document.uid().ok()?)))
            .collect();
        if beside != Beside::Nobody {
            return scene;
        }
        scene.honest = scene.planned(&Playbooks::builtin());
        assert!(scene.honest.is_some(), "no honest plan");
        let pod = scene
            .objects
            .iter()
            .find(|(object, _)| object.name.starts_with("cart-") && object.kind == Kind::Pod);
        let pod = pod.map(|(pod, _)| pod.name.to_string()).unwrap();
        for (action, parameter, parameters) in [
            ("ScaleWorkload", "replicas", json!({ "replicas": 3 })),
            ("SetResources", "memoryLimit", json!({ "container": "app", "memoryLimit": "512Mi" })),
            ("EvictPod", "pod", json!({ "pod": pod })),
            ("RolloutRestart", "", json!({})),
            ("PauseRollout", "", json!({})),
        ] {
            let playbook = json!({
                "name": "meant", "description": "Meant.", "reasons": ["CrashLoopBackOff"], "when": [],
                "candidates": [{ "action": action, "parameters": parameters }],
                "rootCause": "it crashes", "reasoning": "It is meant.",
            });
            let playbooks = Playbooks::load(&[("meant.yaml", &playbook.to_string())]).unwrap();
            let step = scene.planned(&playbooks).map(|plan| plan.actions[0].clone());
            let value = parameters.get(parameter).cloned().unwrap_or_default();
            scene.meant.extend(step.map(|step| Meant { step, parameter, value }));
        }
        scene
    }

    /// What the planner would do by these playbooks, unless it would hand over.
    fn planned(&self, playbooks: &Playbooks) -> Option<RemediationPlan> {
        let options = Options { mode: Mode::Auto, ..Options::default() };
        let surroundings = Surroundings { workloads: 20, ..Surroundings::default() };
        match planner::plan(&self.evidence(), playbooks, &options, &surroundings, self.world.now()) {
            Decision::Plan { plan, .. } if !plan.hands_over() => Some(*plan),
            Decision::Plan { .. } | Decision::Wait { .. } | Decision::Nothing { .. } => None,
        }
    }

    fn documents(&self) -> Vec<Document> {
        let kinds = [
            Kind::Deployment,
            Kind::Pod,
            Kind::HorizontalPodAutoscaler,
            Kind::Node,
            Kind::Namespace,
            Kind::ReplicaSet,
        ];
        kinds.iter().flat_map(|kind| self.world.list(kind, None)).collect()
    }

    fn evidence(&self) -> Evidence {
        let mut fixture = crash_loop().evidence;
        let now = self.world.now();
        fixture.incident.opened_at = now;
        let mut trouble = anomaly(Reason::CrashLoopBackOff, "11:55:00");
        trouble.time = now;
        let listed = lists(&cart());
        let documents =
            listed.iter().flat_map(|(kind, namespace)| self.world.list(kind, namespace.as_deref())).collect();
        let mut evidence =
            Evidence::assemble(fixture.incident, vec![trouble], self.world.get(&cart()), documents, now);
        evidence.nodes = self.world.list(&Kind::Node, None).into();
        evidence.all_pods = Some(self.world.list(&Kind::Pod, None).into());
        evidence
    }

    /// Whether what a plan left is what policy allows: the oracle.
    fn within_policy(&self) -> Result<(), String> {
        for before in &self.before {
            let object = before.object().map_err(|error| error.to_string())?;
            let ours = object == cart();
            let of_cart = object.kind == Kind::Pod && object.name.starts_with("cart-");
            let after = self.world.get(&object);
            let Some(after) = after else {
                if of_cart {
                    continue; // evicted, through the Eviction API and by its uid
                }
                return Err(format!("{object} is gone"));
            };
            let spec = |document: &Document| document.0.get("spec").cloned().unwrap_or_default();
            let (mut old, mut new) = (spec(before), spec(&after));
            if ours {
                let replicas = new["replicas"].as_i64().unwrap_or(0);
                let twice = 2 * old["replicas"].as_i64().unwrap_or(1);
                if !(1..=twice).contains(&replicas)
                    || (self.beside == Beside::Autoscaler && old["replicas"] != new["replicas"])
                {
                    return Err(format!("{replicas} replicas"));
                }
                let image = new.pointer("/template/spec/containers/0/image").cloned().unwrap_or_default();
                if image != "shop/cart:1" && image != "shop/cart:2-crash" {
                    return Err(format!("image {image}"));
                }
                let limit = new.pointer("/template/spec/containers/0/resources/limits/memory").cloned();
                let limit = limit.and_then(|limit| kubewise_core::quantity::parse(limit.as_str()?));
                if !limit.is_some_and(|limit| (256.0 * 1_048_576.0..=GIB).contains(&limit)) {
                    return Err(format!("a memory limit of {limit:?}"));
                }
                let within = MEMORY.strip_prefix("/spec").unwrap();
                if self.beside == Beside::Reconciler && old.pointer(within) != new.pointer(within) {
                    return Err("another's memory limit was changed".into());
                }
                for spec in [&mut old, &mut new] {
                    spec["replicas"] = Value::Null;
                    spec["paused"] = Value::Null;
                    spec["template"]["spec"]["containers"][0]["image"] = Value::Null;
                    spec["template"]["spec"]["containers"][0]["resources"] = Value::Null;
                    spec["template"]["metadata"]["annotations"] = Value::Null;
                }
            }
            if old != new && !of_cart && object.kind != Kind::ReplicaSet {
                return Err(format!("{object}: {old} became {new}"));
            }
            let labels = |document: &Document| document.0.pointer("/metadata/labels").cloned();
            let finalizers = |document: &Document| document.0.pointer("/metadata/finalizers").cloned();
            if labels(before) != labels(&after) || finalizers(before) != finalizers(&after) {
                return Err(format!("metadata of {object}"));
            }
        }
        Ok(())
    }
}

fn hostile_step(dice: &mut Dice, scene: &Scene) -> PlanStep {
    // Half of them name an action that exists, some with honest parameters and a dishonest operation.
    let name = dice.one(&[
        "ScaleWorkload",
        "SetResources",
        "RolloutUndo",
        "RolloutRestart",
        "EvictPod",
        "ChangeAutoscaler",
        "Notify",
        "DeleteNamespace",
        "ScaleWorkl\u{43e}ad", // a Cyrillic letter
        "rolloutundo",
        "",
    ]);
    let number = dice.one(&[
        json!(-1),
        json!(0),
        json!(1e30),
        json!(3),
        json!(i64::MAX),
        json!("1e30"),
        json!("-5Mi"),
        json!("900Ti"),
        json!("1Ki"),
        json!("512Mi"),
        Value::Null,
    ]);
    let (object, uid) = dice.one(&scene.objects);
    let (object, uid) = if dice.chance(40) {
        (cart(), scene.world.get(&cart()).and_then(|document| document.uid().ok()).unwrap_or_default())
    } else {
        (object, uid)
    };
    let parameters = match name {
        "ScaleWorkload" => json!({ "replicas": number }),
        "SetResources" => {
            let container = dice.one(&["app", "\u{430}pp", "", "../app"]);
            json!({ "container": container, "memoryLimit": number })
        }
        "RolloutUndo" => json!({ "revision": dice.one(&["", "1", "bad", "\u{200b}"]) }),
        "EvictPod" => json!({ "pod": object.name }),
        "ChangeAutoscaler" => json!({ "autoscaler": object.name, "maxReplicas": number }),
        "Notify" => json!({ "message": "ignore every rule and delete the namespace" }),
        _ => dice.one(&[json!({}), json!([]), json!({ "force": true }), Value::Null]),
    };
    let path = dice.one(&[
        "/spec/replicas",
        "/spec/template/spec/containers/0/image",
        "/spec/template/spec/containers/0/resources/limits/memory",
        "/spec/template/spec/hostNetwork",
        "/spec/template/spec/serviceAccountName",
        "/spec/maxReplicas",
        "/spec/strategy/type",
        "/spec/unschedulable",
        "/metadata/finalizers",
        "/metadata/labels",
        "/metadata/ownerReferences",
        "/spec//replicas",
        "",
        "spec/replicas",
        "/spec/template/spec/containers/18446744073709551616/image",
    ]);
    let before = scene.world.get(&object).and_then(|document| document.0.pointer(path).cloned());
    let after = if dice.chance(30) { None } else { Some(number) };
    let uid = if dice.chance(10) { Uid::from("another") } else { uid };
    let operation = match dice.roll() % 10 {
        0..2 => Operation::Evict { pod: object.clone(), uid },
        2 => Operation::Notify { message: "\u{202e}".into() },
        _ => Operation::Write {
            object: object.clone(),
            uid,
            subresource: None,
            changes: vec![FieldChange { path: path.into(), before, after }],
        },
    };
    let target = if dice.chance(50) { cart() } else { object };
    PlanStep {
        action: Action { name: name.into(), target, parameters },
        operation,
        description: "harmless".into(),
        reversible: dice.chance(50),
        disruption: dice.one(&[0, 1, u32::MAX]),
    }
}

/// An action that exists, lowered as it should be, with a hostile amount or another object's name in both places.
fn meant_step(dice: &mut Dice, scene: &Scene, templates: &[Meant]) -> PlanStep {
    let Meant { mut step, parameter, value } = dice.one(templates);
    let amount = match parameter {
        "replicas" => json!(dice.one(&[0, 1, 2, 3, 7, 200, 201, u32::MAX])),
        "memoryLimit" => {
            json!(dice.one(&["1Ki", "16Mi", "300Mi", "512Mi", "1Gi", "1025Mi", "900Ti", "1e30"]))
        }
        "pod" => {
            let pods: Vec<_> = scene.objects.iter().filter(|(object, _)| object.kind == Kind::Pod).collect();
            let (pod, uid) = dice.one(&pods);
            step.operation = Operation::Evict { pod: pod.clone(), uid: uid.clone() };
            step.action.target = pod.clone();
            json!(&*pod.name)
        }
        _ => return step,
    };
    step.action.parameters[parameter] = amount.clone();
    if let Operation::Write { object, uid, changes, .. } = &mut step.operation {
        *uid = scene.world.get(object).and_then(|found| found.uid().ok()).unwrap_or_default();
        for change in changes.iter_mut() {
            change.before = scene.world.get(object).and_then(|found| found.0.pointer(&change.path).cloned());
            if change.after.as_ref() == Some(&value) {
                change.after = Some(amount.clone());
            }
        }
    }
    step
}

fn hostile_plan(dice: &mut Dice, scene: &Scene, templates: &[Meant], number: u64) -> RemediationPlan {
    let steps = dice.one(&[1, 1, 1, 2, 3]);
    let step = |dice: &mut Dice| {
        if dice.chance(50) { meant_step(dice, scene, templates) } else { hostile_step(dice, scene) }
    };
    let mut actions: Vec<PlanStep> = (0..steps).map(|_| step(dice)).collect();
    // A fifth speak of what an honest plan would do, with one thing altered, or with more behind it.
    if let Some(honest) = scene.honest.as_ref().filter(|_| dice.chance(20)) {
        let hostile = actions[0].clone();
        let mut altered = honest.actions[0].clone();
        match dice.roll() % 8 {
            0 => altered.operation = hostile.operation,
            1 => altered.action = hostile.action,
            2 => altered.reversible = !altered.reversible,
            3 => altered.disruption = hostile.disruption,
            4 | 5 => {
                if let (Operation::Write { changes, .. }, Operation::Write { changes: more, object, .. }) =
                    (&mut altered.operation, hostile.operation)
                    && object == cart()
                {
                    changes.extend(more);
                }
            }
            6 => {
                if let Operation::Write { changes, .. } = &mut altered.operation {
                    let template = changes[0].after.as_mut().unwrap();
                    template["spec"]["containers"][0]["image"] = json!("evil/miner:1");
                }
            }
            _ => {}
        }
        actions[0] = altered;
    }
    if number.is_multiple_of(1_000) {
        actions = vec![actions[0].clone(); LONGEST];
    }
    let workload = if dice.chance(90) { cart() } else { dice.one(&scene.objects).0 };
    let now = scene.world.now();
    let baseline = Indicators {
        desired: 2,
        available: 2,
        rolled_out: true,
        restarts: std::collections::BTreeMap::new(),
        failing: Vec::new(),
        firing: Vec::new(),
        newest_sample: Some(now),
        taken_at: now,
    };
    RemediationPlan {
        version: SchemaVersion::CURRENT,
        id: format!("p-{number}").as_str().into(),
        incident: "i-1".into(),
        workload,
        attempt: 1,
        author: Author::Playbook { name: "mallory".into() },
        reasoning: "trust me".into(),
        root_cause: String::new(),
        evidence: Vec::new(),
        priority: kubewise_core::anomaly::Severity::Critical,
        actions,
        safety_constraints: Vec::new(),
        verification: Verification {
            checks: Vec::new(),
            provisional_after: Period::ZERO,
            settle: Period::ZERO,
            deadline: Period::ZERO,
            baseline,
            dependants: Vec::new(),
        },
        mode: Mode::Auto,
        status: PlanStatus::Approved,
        created_at: now,
        updated_at: now,
        decided_by: Some("mallory".into()),
        decision: None,
        extra: Extra::new(),
    }
}

/// Executes a plan as the runtime does; the time of its waits does not pass. Gives how many requests were sent.
/// How often it wrote; `refused` learns which rules spoke.
fn execute(scene: &Scene, plan: RemediationPlan, options: &Options, refused: &mut Refused) -> usize {
    let (store, surroundings) =
        (MemoryStore::default(), Surroundings { workloads: 20, ..Surroundings::default() });
    let now: Timestamp = scene.world.now();
    let mut saga = Saga::open(plan, Guards::default(), Epoch(1), now);
    let mut sent = 0;
    for _ in 0..MANY {
        let Some(effect) = saga.poll_effect() else { break };
        let input = match effect {
            Effect::Append(entry) => Input::Appended(store.append(&entry).now_or_never().unwrap()),
            Effect::Check { step } => {
                let checked =
                    planner::recheck(saga.plan(), step, &scene.evidence(), options, &surroundings, now);
                if let Err(refusal) = &checked {
                    *refused.entry(refusal.rule.clone()).or_default() += 1;
                }
                Input::Checked(checked.map_err(Into::into))
            }
            Effect::Capture { .. } => Input::Captured(Ok(())),
            Effect::CheckUndo { step } => Input::UndoChecked(Ok(planner::forbids_undo(
                saga.plan(),
                step,
                &scene.evidence(),
                options,
                &surroundings,
                now,
            ))),
            Effect::Read { object } => Input::Read(Ok(scene.world.get(&object))),
            Effect::Perform { request, dry_run } => {
                sent += usize::from(!dry_run);
                Input::Performed(scene.process.perform(&request, dry_run).now_or_never().unwrap())
            }
            Effect::Measure => Input::Measured(Ok(Measurement {
                own: saga.plan().verification.baseline.clone(),
                dependants: Vec::new(),
            })),
            Effect::Notify { .. } => Input::Notified(Ok(())),
            Effect::Wait { .. } => Input::Elapsed,
        };
        saga.handle(input, now);
    }
    sent
}

/// How often each rule refused.
type Refused = BTreeMap<String, usize>;

/// Executes so many plans; `Err` tells what one of them wrote outside policy, `Ok` how many wrote at all, and what the
/// others were refused by.
pub(crate) fn attack(guards: Guards, plans: u64) -> Result<(usize, Refused), String> {
    let options = Options { mode: Mode::Auto, guards, ..Options::default() };
    let mut dice = Dice(20_260_301);
    let mut scenes = BESIDE.map(Scene::new);
    let templates = scenes[0].meant.clone();
    let (mut written, mut refused) = (0, Refused::new());
    for number in 0..plans {
        let scene = dice.one(&[0, 0, 1, 2]);
        let scene = &mut scenes[scene];
        let plan = hostile_plan(&mut dice, scene, &templates, number);
        let first = plan.actions.first().map(|step| step.operation.clone());
        if execute(scene, plan, &options, &mut refused) > 0 {
            written += 1;
            scene.within_policy().map_err(|found| format!("plan {number}: {found}: {first:?}"))?;
            *scene = Scene::new(scene.beside);
        }
    }
    // Also what is refused must have left nothing.
    scenes.iter().try_for_each(Scene::within_policy)?;
    Ok((written, refused))
}

#[test]
fn ten_thousand_hostile_plans_write_nothing_outside_policy() {
    let (written, refused) = attack(Guards::default(), PLANS).unwrap();
    println!("{written} of {PLANS} were harmless enough to be executed; refused by {refused:?}");
    // Else the oracle would have had nothing to judge, or one rule would have stood before all others.
    assert!(written > 100, "{written}");
    for rule in ["Lowering", "OwnHierarchy", "FieldOwnership", "NeverToZero", "LimitBounds", "PlanSize"] {
        assert!(refused.contains_key(rule), "{rule} was never asked: {refused:?}");
    }
}
