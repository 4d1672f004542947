//! Who decides, and who acts.

use kubewise_core::Period;
use kubewise_core::guard::Guard;
use kubewise_core::guard::proof::{Scenario, safe};
use kubewise_core::journal::JournalBody;
use kubewise_core::plan::Mode;
use kubewise_core::request::PatchOperation;
use kubewise_sim::{Change, CrashPoint};
use serde_json::json;

use super::{A_WHILE, Stage, altered};
use crate::pipeline::cart;

pub(super) const SCENARIOS: &[Scenario] = &[
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
