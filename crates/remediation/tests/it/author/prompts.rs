//! Prompts as people review them.

use kubewise_core::author::Prompt;
use kubewise_core::journal::Outcome;
use kubewise_core::metric::MetricType;
use kubewise_core::plan::Verdict;
use kubewise_core::{Kind, ObjectRef};
use kubewise_remediation::author::{self, Options};
use serde_json::json;

use super::{data, draft, event, log};
use crate::fixture::{MEBI, World, at, crash_loop, out_of_memory};

/// A revision that reads another variable and another image, and crashes.
fn crash_after_a_change() -> World {
    let mut world = crash_loop();
    let dress = |template: &mut serde_json::Value, level: &str| {
        template["spec"]["containers"][0]["env"] = json!([
            { "name": "LOG_LEVEL", "value": level },
            { "name": "DB_PASSWORD", "valueFrom": { "secretKeyRef": { "name": "cart-db", "key": "password" } } },
        ]);
    };
    dress(&mut world.evidence.revisions[0].0["spec"]["template"], "info");
    let new = &mut world.evidence.revisions[1].0["spec"]["template"];
    dress(new, "debug");
    new["spec"]["containers"][0]["args"] = json!(["--fast", "--token=swordfish"]);
    new["spec"]["containers"][0]["envFrom"] = json!([{ "configMapRef": { "name": "cart-settings" } }]);
    let template = new.clone();
    world.set("/spec/template", template);
    let managed =
        json!([{ "manager": "kubectl-edit", "operation": "Update", "time": "2026-03-01T11:50:00Z" }]);
    world.set("/metadata/managedFields", managed);
    let pull =
        event("Pulled", "cart-bad-1", "Container image \"cart:2\" already present on machine", "11:58:30");
    let crash = "Back-off restarting failed container app in pod cart-bad-1_shop";
    world.evidence.events = vec![pull, event("BackOff", "cart-bad-1", crash, "11:59:30")];
    world
        .evidence
        .logs
        .push(log("cart 2 starting\nlogin with password=swordfish\npanic: no such flag --fast\n"));
    let settings = ObjectRef::namespaced(Kind::from("ConfigMap"), "shop", "cart-settings");
    world.evidence.settings = vec![(settings, at("11:51:00"))];
    world.did("ScaleWorkload", "10:00:00", json!({ "replicas": 2 }), Vec::new());
    world
}

fn shown(prompt: &Prompt) -> String {
    let schema = prompt.schema.as_ref().map_or_else(String::new, |schema| format!("{schema:#}\n"));
    format!("{}\n\n----- case\n{}----- schema\n{schema}", prompt.instructions, prompt.case)
}

#[test]
fn a_crash_after_a_change_reads_well() {
    insta::assert_snapshot!(shown(&draft(&crash_after_a_change()).prompt));
}

#[test]
fn a_limit_that_is_too_low_reads_well() {
    let mut world = out_of_memory();
    world.samples(&MetricType::MemoryWorkingSet, &[100.0 * MEBI, 126.0 * MEBI, 127.5 * MEBI]);
    world.samples(&MetricType::MemoryLimitRatio, &[0.78, 0.98, 0.99]);
    insta::assert_snapshot!(draft(&world).prompt.case);
}

#[test]
fn a_repair_that_policy_forbids_reads_well() {
    let mut world = crash_loop();
    world.annotate("meta.helm.sh/release-name", "cart");
    world.evidence.anomalies[0].object = ObjectRef::namespaced(Kind::Pod, "shop", "cart-bad-1");
    insta::assert_snapshot!(draft(&world).prompt.case);
}

#[test]
fn what_was_done_to_others_for_the_same_trouble_is_told_with_its_outcome() {
    const CAUSE: &str = "crash-loop-after-revision";
    let mut world = crash_loop();
    let mut did = |namespace: &str, name: &str, cause: &str, outcome, verdict| {
        world.did("RolloutUndo", "09:00:00", json!({}), Vec::new());
        let mut done = world.evidence.history.remove(0);
        done.workload = ObjectRef::namespaced(Kind::Deployment, namespace, name);
        (done.cause, done.outcome, done.verdict) = (Some(cause.into()), outcome, verdict);
        world.evidence.precedents.push(done);
    };
    did("shop", "search", CAUSE, Some(Outcome::RolledBack), Some(Verdict::Worse));
    for number in 0..20 {
        let (outcome, verdict) = (Some(Outcome::Succeeded), Some(Verdict::Improved));
        did("shop", &format!("shard-{number}"), CAUSE, outcome, verdict);
        did("shop", "other-cause", "memory-limit-too-low", outcome, verdict);
        did("other-namespace", "search", CAUSE, outcome, verdict);
        did("shop", "cart", CAUSE, outcome, verdict);
    }
    let prompt = draft(&world).prompt;
    let told: Vec<&str> = data(&prompt).lines().filter(|line| line.starts_with("[precedent:")).collect();
    assert_eq!(
        told[0],
        "[precedent:RolloutUndo] 2026-03-01T09:00:00Z did RolloutUndo on Deployment shop/search: Succeeded, \
         it got worse, the repair ended as RolledBack; done"
    );
    assert!(
        told[1].contains("Deployment shop/shard-0: Succeeded, it improved, the repair ended as Succeeded")
    );
    assert_eq!(told.len(), 8, "so many say enough: {told:#?}");
    assert!(
        told.iter().all(|line| line.contains("shop/search") || line.contains("shop/shard-")),
        "{told:#?}"
    );
}

#[test]
fn an_explanation_is_asked_for_with_what_was_decided() {
    let world = crash_after_a_change();
    let prompt = author::explanation(&world.evidence, Some(&world.plan()), &Options::default());
    assert_eq!(prompt.schema, None);
    assert!(prompt.case.contains("to act; the plan is Approved\n- RolloutUndo on Deployment shop/cart\n"));
    assert!(prompt.case.contains("[plan:reasoning]") && !prompt.case.contains("swordfish"));
    let without = author::explanation(&world.evidence, None, &Options::default());
    assert!(without.case.contains("# What KubeWise decided\nnothing yet\n"));
}

#[test]
fn without_a_model_an_incident_is_told_from_a_template() {
    let mut world = crash_after_a_change();
    world.evidence.history[0].detail = "3 replicas".into();
    let evidence = &world.evidence;
    let told = author::told(&evidence.incident, &evidence.anomalies, &[world.plan()], &evidence.history);
    insta::assert_snapshot!(told);
    let undecided = author::told(&evidence.incident, &evidence.anomalies, &[], &[]);
    assert!(undecided.ends_with("Nothing was decided yet.\n"));
}
