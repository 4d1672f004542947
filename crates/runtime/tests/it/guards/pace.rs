//! How often and when.

use kubewise_core::Period;
use kubewise_core::action::ExecutedActionRecord;
use kubewise_core::guard::Guard;
use kubewise_core::guard::proof::{Scenario, safe};
use kubewise_core::journal::{JournalBody, JournalEntry, Outcome};
use kubewise_core::plan::{MAX_EVICTIONS, Mode, RemediationPlan, Verdict};
use kubewise_core::port::Control;
use kubewise_core::record::Record;
use kubewise_core::request::PatchOperation;
use kubewise_sim::{Change, Gap, Workload};
use serde_json::json;

use super::{A_WHILE, Stage, field};
use crate::pipeline::{OTHERS, Scene, cart, deployment};

pub(super) const SCENARIOS: &[Scenario] = &[
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
        guard: Guard::Attempts,
        fault: "the last of as many repairs as are allowed evicted all that a node holds",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.begin();
            let [last, ..] =
                [60, 120, 180].map(|minutes| stage.did("EvictPod", Period::from_mins(minutes), Vec::new()));
            for step in 1..MAX_EVICTIONS {
                let id = format!("x-{step}").as_str().into();
                stage.save(Record::Action(ExecutedActionRecord { id, step, ..last.clone() }));
            }
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
];

/// The entries of all sagas in order of time.
fn in_time(scene: &Scene) -> Vec<JournalEntry> {
    let mut entries = scene.store.journal();
    entries.sort_by_key(|entry| entry.time);
    entries
}
