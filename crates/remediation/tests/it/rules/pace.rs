//! How often, and how much at one time.

use kubewise_core::Period;
use kubewise_remediation::planner::Decision;
use serde_json::json;

use super::check;
use crate::fixture::{World, at, crash_loop, line, now};

#[test]
fn a_workload_is_left_alone_between_repairs_and_after_too_many() {
    check(
        "Cooldown",
        crash_loop,
        &[
            ("within", |w| w.did("EvictPod", "11:55:00", json!({}), Vec::new()), true),
            ("after", |w| w.did("EvictPod", "11:45:00", json!({}), Vec::new()), false),
            ("a message is no action", |w| w.did("Notify", "11:55:00", json!({}), Vec::new()), false),
        ],
    );
    check(
        "Attempts",
        crash_loop,
        &[
            (
                "three today",
                |w| {
                    for when in ["03:00:00", "05:00:00", "07:00:00"] {
                        w.did("EvictPod", when, json!({}), Vec::new());
                    }
                },
                true,
            ),
            (
                "two today",
                |w| {
                    for when in ["03:00:00", "05:00:00"] {
                        w.did("EvictPod", when, json!({}), Vec::new());
                    }
                },
                false,
            ),
        ],
    );
    let mut world = crash_loop();
    world.did("EvictPod", "11:55:00", json!({}), Vec::new());
    let Decision::Wait { until, .. } = world.decide() else { panic!("does not wait") };
    assert_eq!(until, at("12:05:00"), "it is looked at again when the cooldown ends");
}

#[test]
fn the_cluster_is_repaired_a_little_at_a_time() {
    check(
        "Concurrency",
        crash_loop,
        &[
            ("locked", |w| w.surroundings.locked.push(w.evidence.incident.workload.clone()), true),
            ("enough run", |w| w.surroundings.running_sagas = 4, true),
            ("some run", |w| w.surroundings.running_sagas = 3, false),
        ],
    );
    let unavailable = |world: &mut World| world.set("/spec/strategy/rollingUpdate/maxUnavailable", json!(2));
    for (in_use, budget, expect) in [
        (8, 10, "act RolloutUndo as Approved"),
        (9, 10, "wait for DisruptionBudget"),
        (0, 1, "hand over by playbook crash-loop-after-revision for DisruptionBudget"),
    ] {
        let mut world = crash_loop();
        unavailable(&mut world);
        world.surroundings.disruption_in_use = in_use;
        world.options.disruption_budget = budget;
        assert_eq!(line(&world.decide()), expect, "{in_use} of {budget}");
    }
    check(
        "GatheringStorm",
        crash_loop,
        &[
            (
                "two more just now",
                |w| w.surroundings.other_openings = vec![at("11:59:45"), at("11:59:50")],
                true,
            ),
            ("one more", |w| w.surroundings.other_openings = vec![at("11:59:50")], false),
            (
                "two more of many workloads",
                |w| {
                    w.surroundings.other_openings = vec![at("11:59:45"), at("11:59:50")];
                    w.surroundings.workloads = 200;
                },
                false,
            ),
            ("long ago", |w| w.surroundings.other_openings = vec![at("11:59:00"), at("11:59:50")], false),
            (
                "never",
                |w| {
                    w.surroundings.other_openings = vec![now(); 9];
                    w.options.storm_hold = Period::ZERO;
                },
                false,
            ),
        ],
    );
    check(
        "Storm",
        crash_loop,
        &[
            ("many are ill", |w| w.surroundings.workloads_with_incident = 6, true),
            ("some are ill", |w| w.surroundings.workloads_with_incident = 5, false),
            (
                "many, but few in number",
                |w| {
                    w.surroundings.workloads = 4;
                    w.surroundings.workloads_with_incident = 4;
                },
                false,
            ),
        ],
    );
}
