use jiff::SignedDuration;
use kubewise_core::anomaly::{Feature, Reason};
use kubewise_core::metric::MetricType;
use kubewise_core::record::SchemaVersion;
use kubewise_core::unit::Unit;
use kubewise_core::{ObjectRef, Timestamp};
use serde_json::json;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + seconds)
}

fn deployment(replicas: u32, updated: u32, available: u32) -> Document {
    Document(json!({
        "kind": "Deployment",
        "metadata": { "name": "cart", "namespace": "shop", "uid": "u", "generation": 2 },
        "spec": { "replicas": 3 },
        "status": {
            "observedGeneration": 2, "replicas": replicas,
            "updatedReplicas": updated, "availableReplicas": available,
        },
    }))
}

fn pod(name: &str, phase: &str, status: &serde_json::Value) -> Document {
    Document(json!({
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "shop", "uid": name },
        "spec": { "containers": [{ "name": "app" }] },
        "status": { "phase": phase, "containerStatuses": [status] },
    }))
}

fn sample(time: Timestamp) -> NormalizedMetric {
    NormalizedMetric {
        version: SchemaVersion::CURRENT,
        object: ObjectRef::namespaced(Kind::Pod, "shop", "a"),
        container: None,
        detail: None,
        metric_type: MetricType::Ready,
        unit: Unit::Count,
        value: 1.0,
        time,
    }
}

#[test]
fn indicators_are_read_from_the_workload_its_pods_and_samples() {
    let waits = |reason: &str, restarts: u32| json!({ "name": "app", "restartCount": restarts, "state": { "waiting": { "reason": reason } } });
    let mut leaving = pod("leaving", "Running", &waits("CrashLoopBackOff", 9));
    leaving.0["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let pods = [
        pod("a", "Running", &waits("CrashLoopBackOff", 4)),
        pod("b", "Pending", &waits("ContainerCreating", 0)),
        pod(
            "c",
            "Running",
            &json!({
                "name": "app", "restartCount": 1, "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } }
            }),
        ),
        pod(
            "d",
            "Running",
            &json!({
                "name": "app", "restartCount": 2,
                "state": { "running": {} }, "lastState": { "terminated": { "exitCode": 1, "reason": "Error" } }
            }),
        ),
        pod("evicted", "Failed", &waits("CrashLoopBackOff", 7)),
        leaving,
    ];
    let samples = [sample(at(-60)), sample(at(-20)), sample(at(500))];
    let found = indicators(Some(&deployment(3, 3, 1)), &pods, &samples, at(0));
    assert_eq!((found.desired, found.available, found.rolled_out), (3, 1, true));
    assert_eq!(found.failing, ["a/app: CrashLoopBackOff", "c/app: OOMKilled"]);
    let restarts: Vec<_> = found.restarts.iter().map(|(at, count)| (at.as_str(), *count)).collect();
    assert_eq!(restarts, [("a/app", 4), ("b/app", 0), ("c/app", 1), ("d/app", 2)]);
    assert_eq!(found.newest_sample, Some(at(-20)), "one from the future is not fresh");
    assert_eq!(found.taken_at, at(0));
}

#[test]
fn a_rollout_is_complete_once_every_replica_runs_the_newest_spec() {
    let rolled_out = |document: &Document| indicators(Some(document), &[], &[], at(0)).rolled_out;
    assert!(rolled_out(&deployment(3, 3, 3)));
    assert!(!rolled_out(&deployment(4, 3, 3)), "an old pod is left");
    assert!(!rolled_out(&deployment(3, 2, 3)), "one is not updated");
    let mut unseen = deployment(3, 3, 3);
    unseen.0["metadata"]["generation"] = json!(3);
    assert!(!rolled_out(&unseen), "the controller has not seen it");
    let gone = indicators(None, &[], &[], at(0));
    assert_eq!((gone.desired, gone.available, gone.rolled_out), (0, 0, false));
}

fn state(desired: u32, available: u32, failing: &[&str], restarts: &[(&str, u32)]) -> Indicators {
    Indicators {
        desired,
        available,
        rolled_out: true,
        restarts: restarts.iter().map(|(at, count)| ((*at).to_owned(), *count)).collect(),
        failing: failing.iter().map(|text| (*text).to_owned()).collect(),
        firing: Vec::new(),
        newest_sample: Some(at(95)),
        taken_at: at(100),
    }
}

fn standard(baseline: &Indicators) -> Standard<'_> {
    Standard {
        baseline,
        dependants: &[],
        previous: None,
        suffering_since: None,
        settled: false,
        acted_at: at(0),
        disruption: 0,
        patient_until: at(300),
        guards: Guards::default(),
    }
}

fn alone(own: &Indicators) -> Measurement {
    Measurement { own: own.clone(), dependants: Vec::new() }
}

fn check(baseline: &Indicators, measured: &Indicators, expect: Verdict, because: &str) {
    let judgement = judge(&alone(measured), &standard(baseline));
    assert_eq!(judgement.verdict, expect, "{judgement:?} of {measured:?}");
    assert!(judgement.reasons.join("; ").contains(because), "{judgement:?}");
}

#[test]
fn better_needs_every_indicator_and_a_fresh_sample() {
    use Verdict::{Improved, Inconclusive};
    let before = state(3, 0, &["old/app: CrashLoopBackOff"], &[("old/app", 6)]);
    let well = || state(3, 3, &[], &[("new/app", 0)]);
    check(&before, &well(), Improved, "fresh samples confirm it");
    check(&before, &Indicators { available: 2, ..well() }, Inconclusive, "2 of 3");
    check(&before, &Indicators { rolled_out: false, ..well() }, Inconclusive, "rollout is not complete");
    check(&before, &state(3, 3, &["new/app: OOMKilled"], &[]), Inconclusive, "OOMKilled");
    check(&before, &state(3, 3, &[], &[("new/app", 1)]), Inconclusive, "rose from 0 to 1");
    check(&before, &state(3, 3, &[], &[("old/app", 6)]), Improved, "");
    check(&before, &state(0, 0, &[], &[]), Inconclusive, "no replica is wanted");
    check(&before, &Indicators { newest_sample: None, ..well() }, Inconclusive, "nobody measures it");
    check(&before, &Indicators { newest_sample: Some(at(0)), ..well() }, Inconclusive, "older than the act");
    let late = Indicators { newest_sample: Some(at(95)), taken_at: at(400), ..well() };
    check(&before, &late, Inconclusive, "older than 2m");
}

#[test]
fn worse_needs_the_loss_of_what_was_sound_and_no_rollout_to_explain_it() {
    use Verdict::{Inconclusive, Worse};
    let partly = state(3, 2, &["c/app: CrashLoopBackOff"], &[("a/app", 0), ("b/app", 0), ("c/app", 5)]);
    check(&partly, &state(3, 1, &[], &[]), Worse, "1 replicas are available, 2 were sound");
    // Counted as available, but its only pod had just crashed.
    let lagging = state(1, 1, &["x/app: CrashLoopBackOff"], &[("x/app", 1)]);
    check(&lagging, &state(1, 0, &["y/app: CreateContainerConfigError"], &[]), Inconclusive, "0 of 1");
    check(&partly, &state(3, 2, &[], &[]), Inconclusive, "2 of 3");
    check(&partly, &state(1, 1, &[], &[]), Verdict::Improved, "");
    let rolling = |available: u32, taken_at| Indicators {
        rolled_out: false,
        taken_at,
        ..state(3, available, &["x/app: ErrImagePull"], &[])
    };
    check(&partly, &rolling(1, at(100)), Inconclusive, "1 of 3");
    check(&partly, &rolling(0, at(100)), Worse, "0 replicas");
    check(&partly, &rolling(1, at(300)), Worse, "1 replicas");
    // What is up between two crashes was not sound.
    let flapping = state(3, 3, &[], &[("a/app", 4), ("b/app", 4), ("c/app", 4)]);
    check(&flapping, &state(3, 0, &["a/app: CrashLoopBackOff"], &[]), Inconclusive, "0 of 3");
    // The same failing as before is no harm, but failing where nothing failed is.
    let all_failing = state(3, 0, &["a/app: CrashLoopBackOff"], &[("a/app", 4)]);
    let more = &["a/app: CrashLoopBackOff", "b/app: CrashLoopBackOff"];
    check(&all_failing, &state(3, 0, more, &[]), Inconclusive, "failing");
    let clean = state(3, 3, &[], &[("a/app", 0)]);
    check(&clean, &state(3, 3, &["x/app: CreateContainerConfigError"], &[]), Worse, "nothing failed before");
    check(&clean, &state(3, 3, &[], &[("x/app", 2)]), Worse, "x/app rose from 0 to 2");
    // From zero, no result is worse than none.
    check(&state(0, 0, &[], &[]), &state(3, 0, more, &[]), Inconclusive, "0 of 3");
}

#[test]
fn what_still_fires_is_not_better_once_the_settle_time_is_over() {
    let before = state(3, 3, &[], &[]);
    let fires = Indicators { firing: vec!["Deviation".into()], ..state(3, 3, &[], &[]) };
    check(&before, &fires, Verdict::Improved, "");
    let judgement = judge(&alone(&fires), &Standard { settled: true, ..standard(&before) });
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert_eq!(judgement.reasons, ["still fires: Deviation"]);
    assert!(judgement.healthy, "it lags behind, and is no new trouble");
}

#[test]
fn harm_to_a_dependant_is_waited_for_and_then_worse() {
    use Verdict::{Improved, Inconclusive, Worse};
    let web = |indicators: Indicators| Dependant {
        workload: ObjectRef::namespaced(Kind::Deployment, "shop", "web"),
        indicators,
    };
    let (served, down) = (state(3, 2, &[], &[("a/app", 0), ("b/app", 0)]), state(3, 0, &[], &[]));
    let before = [web(state(2, 2, &[], &[("w/app", 0)]))];
    let judged = |baseline: &Indicators, own: Indicators, dependant: Indicators, since: Option<i64>| {
        let standard = Standard { dependants: &before, suffering_since: since.map(at), ..standard(baseline) };
        let judgement = judge(&Measurement { own, dependants: vec![web(dependant)] }, &standard);
        (judgement.verdict, judgement.suffering)
    };
    let well = || state(3, 3, &[], &[]);
    let fails = || state(2, 0, &["w/app: CrashLoopBackOff"], &[("w/app", 3)]);
    assert_eq!(judged(&served, well(), state(2, 2, &[], &[]), None), (Improved, false));
    assert_eq!(judged(&served, well(), fails(), None), (Inconclusive, true), "it may find back");
    assert_eq!(judged(&served, well(), fails(), Some(0)), (Inconclusive, true));
    assert_eq!(judged(&served, well(), fails(), Some(-60)), (Worse, true));
    assert_eq!(judged(&served, well(), state(2, 2, &[], &[("w/app", 1)]), Some(-60)), (Worse, true));
    // Its old outage, not the act.
    assert_eq!(judged(&down, well(), fails(), Some(-60)), (Inconclusive, true));
    // The workload is on its way.
    let rolling = Indicators { rolled_out: false, ..state(3, 2, &[], &[]) };
    assert_eq!(judged(&served, rolling, fails(), Some(-60)), (Inconclusive, false));
    // A person scales it down, or rolls something out there.
    assert_eq!(judged(&served, well(), state(1, 1, &[], &[]), Some(-60)), (Improved, false));
    let deployed = Indicators { rolled_out: false, ..state(2, 1, &["x/app: ErrImagePull"], &[]) };
    assert_eq!(judged(&served, well(), deployed, Some(-60)), (Improved, false));
}

#[test]
fn a_deviation_of_a_replaced_pod_is_gone_only_when_what_replaced_it_is_near_the_usual() {
    let throttled = AnomalyRecord {
        reason: Reason::Deviation,
        status: AnomalyStatus::Resolved,
        container: Some("app".into()),
        metric_type: Some(MetricType::CpuThrottling),
        features: vec![Feature { name: "cpu_throttling".into(), value: 0.8, expected: Some(0.05) }],
        ..serde_json::from_value(json!({
            "id": "a", "workload": { "kind": "Deployment", "namespace": "shop", "name": "cart" },
            "object": { "kind": "Pod", "namespace": "shop", "name": "old" }, "reason": "Deviation",
            "detector": "Scorer", "severity": "Warning", "score": 1.0, "threshold": 0.9, "features": [],
            "explanation": "", "status": "Firing", "time": at(0), "updatedAt": at(0), "remediationStatus": "None",
        }))
        .unwrap()
    };
    let measured = |pod: &str, value: f64, time: i64| NormalizedMetric {
        object: ObjectRef::namespaced(Kind::Pod, "shop", pod),
        container: Some("app".into()),
        metric_type: MetricType::CpuThrottling,
        value,
        ..sample(at(time))
    };
    let pods = ["new", "newer"].map(|name| pod(name, "Running", &json!({ "name": "app" })));
    let told =
        |samples: &[NormalizedMetric]| firing(std::slice::from_ref(&throttled), samples, &pods, at(100));
    assert_eq!(told(&[measured("new", 0.5, 90)]), ["Deviation: cpu_throttling is 0.50, usually 0.05"]);
    assert_eq!(told(&[measured("new", 0.5, 60), measured("new", 0.1, 90)]), [""; 0], "the newest counts");
    assert_eq!(
        told(&[measured("new", 0.7, 90), measured("newer", 0.0, 90)]).len(),
        1,
        "of all pods together"
    );
    assert_eq!(told(&[measured("old", 0.9, 90)]), [""; 0], "it is gone");
    assert_eq!(told(&[measured("new", 0.9, -60)]), [""; 0], "that was long ago");
    assert_eq!(told(&[measured("new", 0.0, 90)]), [""; 0], "below the usual is another matter");
    let firing_yet = AnomalyRecord { status: AnomalyStatus::Firing, ..throttled.clone() };
    assert_eq!(firing(&[firing_yet], &[], &pods, at(100)), ["Deviation"]);
}
