//! The guards of policy and of the loops, each with the fault that it is there for, and taken out: the whole pipeline
//! on a simulated cluster, judged on what was written to it.

use futures::FutureExt as _;
use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use kubewise_core::guard::proof::{Breach, Scenario, prove, safe};
use kubewise_core::guard::{Guard, Guards, Place};
use kubewise_core::incident::IncidentStatus;
use kubewise_core::journal::{JournalBody, JournalEntry, Outcome};
use kubewise_core::plan::{Action, FieldChange, Mode, Operation, PlanStatus, RemediationPlan, Verdict};
use kubewise_core::port::{Control, RecordStore};
use kubewise_core::record::{Extra, Record, SchemaVersion};
use kubewise_core::request::PatchOperation;
use kubewise_core::{Kind, Period};
use kubewise_sim::{Change, CrashPoint, Gap, Workload};
use serde_json::{Value, json};

use crate::pipeline::{OTHERS, Run, Scene, cart, deployment};

/// From a release that crashes to the end of what is done about it.
const A_WHILE: Period = Period::from_mins(6);
const IMAGE: &str = "/spec/template/spec/containers/0/image";

const SCENARIOS: &[Scenario] = &[
    Scenario {
        guard: Guard::ProtectedNamespace,
        fault: "a Deployment of kube-system crashes after a revision",
        play: |guards| {
            let dns = Workload::deployment("kube-system", "dns");
            let mut stage = Stage::new(guards);
            stage.scene.world.add(dns.clone());
            stage.begin();
            stage.scene.release(&dns.object(), "2-crash");
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::OwnHierarchy,
        fault: "a playbook changes the autoscaler of another workload",
        play: |guards| {
            let bounds = json!({ "autoscaler": OTHERS[0], "maxReplicas": 8 });
            let mut stage = Stage::new(guards).playbook("ChangeAutoscaler", &bounds);
            stage.scene.world.autoscaler(&deployment(OTHERS[0]), 1, 5, 80);
            stage.crash();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Lowering,
        fault: "a stored plan was altered to run another image",
        play: |guards| {
            altered(guards, |plan, _| {
                let Operation::Write { changes, .. } = &mut plan.actions[0].operation else {
                    panic!("it writes")
                };
                *changes = vec![field(IMAGE, json!("shop/cart:2-crash"), json!("evil/miner:1"))];
                plan.actions[0].action.name = "SetResources".into();
            })
        },
    },
    Scenario {
        guard: Guard::FieldOwnership,
        fault: "Argo CD manages the workload that crashes",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.annotate("argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/cart");
            stage.crash();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::OwnRevision,
        fault: "the revision that crashes is KubeWise's own",
        play: |guards| {
            let mut stage = Stage::new(guards).playbook("RolloutUndo", &json!({}));
            stage.scene.policy.cooldown = Period::ZERO;
            stage.begin();
            let change = field(IMAGE, json!("shop/cart:1"), json!("shop/cart:2-crash"));
            stage.did("RolloutRestart", Period::ZERO, vec![change]);
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::RevisionStillThere,
        fault: "a playbook names a revision that never was healthy",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.pass(Period::from_mins(1));
            for tag in ["2-crash", "3-crash"] {
                stage.scene.release(&cart(), tag);
                stage.scene.pass(Period::from_secs(5));
            }
            let second = stage.template_of("shop/cart:2-crash");
            let mut stage = stage.playbook("RolloutUndo", &json!({ "revision": second }));
            stage.begin();
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::RecreateStrategy,
        fault: "the strategy became Recreate while good pods still serve",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.begin();
            stage.scene.release(&cart(), "2-crash");
            stage.scene.pass(Period::from_secs(1));
            stage.edit(&[
                PatchOperation::Add { path: "/spec/paused".into(), value: json!(true) },
                PatchOperation::Replace {
                    path: "/spec/strategy".into(),
                    value: json!({ "type": "Recreate" }),
                },
            ]);
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::NeverToZero,
        fault: "a playbook scales what crashes to zero",
        play: |guards| scaled(guards, &Workload::deployment("shop", "web"), 0),
    },
    Scenario {
        guard: Guard::NoStatefulSetScaleDown,
        fault: "a playbook scales a StatefulSet down",
        play: |guards| scaled(guards, &Workload::stateful_set("shop", "db"), 1),
    },
    Scenario {
        guard: Guard::LimitBounds,
        fault: "a playbook raises a limit far above the cap",
        play: |guards| {
            let limit = json!({ "container": "app", "memoryLimit": "8Gi" });
            let mut stage = Stage::new(guards).playbook("SetResources", &limit);
            stage.crash();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Evictions,
        fault: "a playbook evicts a pod of a DaemonSet",
        play: |guards| {
            let agent = Workload::daemon_set("shop", "agent").env("CRASH", "true");
            let mut stage = Stage::new(guards);
            stage.scene.world.add(agent.clone());
            stage.scene.pass(Period::from_secs(5));
            let pod =
                stage.scene.world.pods_of(&agent.object())[0].text("/metadata/name").unwrap().to_owned();
            let mut stage = stage.playbook("EvictPod", &json!({ "pod": pod }));
            stage.begin();
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Attempts,
        fault: "the workload was repaired as often as is allowed",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.max_attempts = 1;
            stage.begin();
            stage.did("ScaleWorkload", Period::from_mins(60), Vec::new());
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Escalation,
        fault: "the same cause was treated in vain three times, days ago",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.begin();
            for days in [2, 3, 4] {
                let done = stage.did("RolloutUndo", Period::from_mins(days * 24 * 60), Vec::new());
                let cause = Some("crash-loop-after-revision".into());
                let verdict = Some(Verdict::Inconclusive);
                stage.save(Record::Action(ExecutedActionRecord { cause, verdict, ..done }));
            }
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Oscillation,
        fault: "a scheduled job put back what KubeWise set, twice",
        play: |guards| {
            let mut stage = Stage::new(guards).playbook("ScaleWorkload", &json!({ "replicas": 3 }));
            stage.begin();
            for minutes in [60, 120] {
                let change = field("/spec/replicas", json!(2), json!(3));
                stage.did("ScaleWorkload", Period::from_mins(minutes), vec![change]);
            }
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Cooldown,
        fault: "the workload was acted upon a minute ago",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.cooldown = Period::from_mins(60);
            stage.begin();
            stage.did("ScaleWorkload", Period::from_mins(1), Vec::new());
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Concurrency,
        fault: "two workloads crash at once, and one repair may run",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.max_running = 1;
            stage.begin();
            stage.scene.release(&deployment(OTHERS[0]), "2-crash");
            stage.crash_on();
            let mut running = 0_u32;
            let mut most = 0;
            for entry in in_time(&stage.scene) {
                running += u32::from(matches!(entry.body, JournalBody::Opened { .. }));
                running -= u32::from(matches!(entry.body, JournalBody::Closed { .. }));
                most = most.max(running);
            }
            assert!(most > 0, "something is repaired");
            safe(most == 1, || format!("{most} repairs ran at once"))
        },
    },
    Scenario {
        guard: Guard::DisruptionBudget,
        fault: "an eviction, and no pod may become unavailable",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.disruption_budget = 0;
            stage.scene.pass(Period::from_mins(1));
            stage.scene.release(&cart(), "2-crash");
            stage.scene.pass(Period::from_secs(10));
            let pods = stage.scene.world.pods_of(&cart());
            let crashing =
                pods.iter().find(|pod| pod.text("/spec/containers/0/image") == Some("shop/cart:2-crash"));
            let pod = crashing.unwrap().text("/metadata/name").unwrap().to_owned();
            let mut stage = stage.playbook("EvictPod", &json!({ "pod": pod }));
            stage.begin();
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::DisruptionBudget,
        fault: "a repair of two disruptive steps runs, and another comes",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.world.add(Workload::stateful_set("shop", "db"));
            stage.scene.policy.disruption_budget = 2;
            for name in ["cart", OTHERS[0]] {
                stage.scene.change(Change::Edit {
                    object: deployment(name),
                    manager: "kubectl-edit".into(),
                    operations: vec![PatchOperation::Add {
                        path: "/spec/strategy".into(),
                        value: json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } }),
                    }],
                });
            }
            stage.begin();
            // The undo of a StatefulSet rolls out and evicts the stuck pod: two pods may be away at one time.
            stage.scene.release(&Workload::stateful_set("shop", "db").object(), "2-crash");
            stage.crash_on();
            let opened: Vec<_> = in_time(&stage.scene);
            let charged = |plan: &RemediationPlan| kubewise_core::plan::disruption(&plan.actions);
            let (mut running, mut most) = (Vec::new(), 0);
            for entry in &opened {
                if let JournalBody::Opened { plan, .. } = &entry.body {
                    running.push((entry.saga.clone(), charged(plan)));
                } else if matches!(entry.body, JournalBody::Closed { .. }) {
                    running.retain(|(saga, _)| *saga != entry.saga);
                }
                most = most.max(running.iter().map(|(_, pods)| pods).sum());
            }
            assert!(most > 1, "the repair of two steps is made: {most}");
            safe(most <= 2, || format!("{most} pods might have been away at one time"))
        },
    },
    Scenario {
        guard: Guard::Storm,
        fault: "a workload crashes after every other one",
        play: |guards| {
            let mut stage = Stage::new(guards);
            let observed = OTHERS.map(|name| (format!("shop/{name}"), Mode::Observe));
            stage.scene.policy.modes = observed.into();
            stage.begin();
            for name in OTHERS {
                stage.scene.release(&deployment(name), "2-crash");
            }
            stage.scene.pass(Period::from_mins(1));
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::GatheringStorm,
        fault: "one workload after the other crashes, too few yet for a storm",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.storm_minimum = 6;
            stage.scene.policy.max_running = 6;
            stage.begin();
            for name in OTHERS.into_iter().chain(["cart"]) {
                stage.scene.release(&deployment(name), "2-crash");
                stage.scene.pass(Period::from_secs(6));
            }
            stage.scene.until("all of it is noticed", |scene| scene.incidents().len() == 6);
            stage.scene.pass(Period::from_secs(5));
            // The first two look like troubles of their own; the third makes it half of a storm.
            let repaired = stage.scene.changes().len();
            safe(repaired <= 2, || format!("{repaired} workloads were repaired before the storm was seen"))
        },
    },
    Scenario {
        guard: Guard::Telemetry,
        fault: "no query is answered while a workload crashes",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.begin();
            stage.scene.change(Change::Telemetry(Some(Gap::Unavailable)));
            stage.scene.pass(Period::from_mins(2));
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Freeze,
        fault: "a workload crashes in a change freeze",
        play: |guards| {
            let mut stage = Stage::new(guards);
            let freeze = json!({ "name": "release week", "cron": "* * * * *", "namespaces": ["shop"] });
            stage.scene.policy.freezes = vec![serde_json::from_value(freeze).unwrap()];
            stage.crash();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Pause,
        fault: "a person paused KubeWise, it was restarted, and a workload crashes",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.begin();
            let handle = stage.run.take().unwrap().handle;
            let limit = Period::from_secs(1).after(stage.scene.world.now());
            let pause = async move { handle.pause("ada", "the provider moves house").await };
            stage.scene.simulation.complete(limit, pause).unwrap().unwrap();
            stage.scene.simulation.kill();
            stage.run = Some(stage.start());
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::EarnedAutonomy,
        fault: "a workload crashes, and the undo never was approved there before",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.autonomy.enabled = true;
            stage.crash();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::EarnedAutonomy,
        fault: "the undo helped twenty times in the namespace, and did harm the last time",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.autonomy.enabled = true;
            stage.begin();
            for days in 1..=21 {
                let done = stage.did("RolloutUndo", Period::from_mins(days * 24 * 60), Vec::new());
                let harmed = days == 1;
                let verdict = Some(if harmed { Verdict::Worse } else { Verdict::Improved });
                let outcome = Some(if harmed { Outcome::RolledBack } else { Outcome::Succeeded });
                let workload = deployment(OTHERS[0]);
                stage.save(Record::Action(ExecutedActionRecord { verdict, outcome, workload, ..done }));
            }
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::PlanSize,
        fault: "a stored plan was altered to have eleven steps",
        play: |guards| altered(guards, |plan, _| plan.actions = vec![plan.actions[0].clone(); 11]),
    },
    Scenario {
        guard: Guard::IrreversibleLast,
        fault: "a stored plan was altered to evict a pod first",
        play: |guards| {
            altered(guards, |plan, scene| {
                let pod = &scene.world.pods_of(&cart())[0];
                let mut step = plan.actions[0].clone();
                step.action.name = "EvictPod".into();
                step.action.parameters = json!({ "pod": pod.text("/metadata/name") });
                step.operation = Operation::Evict { pod: pod.object().unwrap(), uid: pod.uid().unwrap() };
                step.reversible = false;
                step.disruption = 1;
                plan.actions.insert(0, step);
            })
        },
    },
    Scenario {
        guard: Guard::Observe,
        fault: "a workload crashes, and the mode is observe",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.mode = Mode::Observe;
            stage.crash();
            let writes = stage.scene.world.writes();
            safe(writes.is_empty(), || format!("written: {writes:?}"))
        },
    },
    Scenario {
        guard: Guard::Approval,
        fault: "a workload crashes, the mode is propose and nobody decides",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.policy.mode = Mode::Propose;
            stage.crash();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::CheckBeforeAct,
        fault: "a person lowers the mode between the approval and the act",
        play: |guards| {
            altered(guards, |_, scene| {
                scene.change(Change::Edit {
                    object: cart(),
                    manager: "kubectl-annotate".into(),
                    operations: vec![PatchOperation::Add {
                        path: "/metadata/annotations".into(),
                        value: json!({ "kubewise.dev/mode": "observe" }),
                    }],
                });
            })
        },
    },
    Scenario {
        guard: Guard::LeaderOnly,
        fault: "another process takes the Lease while the journal is down",
        play: |guards| {
            let mut stage = Stage::new(guards);
            let run = stage.start();
            stage.scene.pass(Period::from_mins(5));
            let (weathered, world) = (run.weathered.clone(), stage.scene.world.clone());
            let taken_over = Box::new(move || {
                weathered.set(|weather| weather.journal_down = true);
                world.change(Change::Lead { holder: "another".into() }).unwrap();
            });
            run.weather(|weather| weather.after_entry = Some((2, taken_over)));
            let start = stage.scene.world.now();
            for seconds in (10..600).step_by(5) {
                let again = Change::Lead { holder: "another".into() };
                stage.scene.world.at(Period::from_secs(seconds).after(start), again);
            }
            stage.scene.release(&cart(), "2-crash");
            stage.scene.until_entry("prepared", |body| matches!(body, JournalBody::Prepared { .. }));
            stage.scene.pass(Period::from_secs(40));
            run.weather(|weather| weather.journal_down = false);
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::RecoveryFirst,
        fault: "the process dies in the middle of a repair",
        play: |guards| {
            let mut stage = Stage::new(guards);
            let first = stage.scene.start_to_crash("first", Some(CrashPoint::AfterAppend(5)));
            stage.scene.pass(Period::from_mins(5));
            stage.scene.release(&cart(), "2-crash");
            stage.scene.until("its death", |_| first.process.is_dead());
            stage.scene.simulation.kill();
            let _second = stage.start();
            stage.scene.pass(Period::from_mins(15));
            let journal = stage.scene.store.journal();
            let closed = matches!(journal.last().unwrap().body, JournalBody::Closed { .. });
            safe(closed, || "what was begun is left as it is, and its locks are held".into())
        },
    },
];

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
    fn playbook(mut self, action: &str, parameters: &Value) -> Self {
        let text = format!(
            "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\n\
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

    fn annotate(&self, key: &str, value: &str) {
        self.edit(&[PatchOperation::Add {
            path: "/metadata/annotations".into(),
            value: json!({ key: value }),
        }]);
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

/// The entries of all sagas in order of time.
fn in_time(scene: &Scene) -> Vec<JournalEntry> {
    let mut entries = scene.store.journal();
    entries.sort_by_key(|entry| entry.time);
    entries
}

/// A workload crashes, and a playbook scales it.
fn scaled(guards: Guards, workload: &Workload, replicas: u32) -> Result<(), Breach> {
    let mut stage = Stage::new(guards).playbook("ScaleWorkload", &json!({ "replicas": replicas }));
    stage.scene.world.add(workload.clone());
    stage.begin();
    stage.scene.release(&workload.object(), "2-crash");
    stage.scene.pass(A_WHILE);
    assert!(!stage.scene.incidents().is_empty(), "it is noticed");
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
    let proven = prove(&places, SCENARIOS, only.as_deref(), |line| println!("{line}"));
    assert_eq!(proven, Ok(()));
}
