//! What a playbook's conditions and parameters may speak of: the one place where these names are documented.
//!
//! Every name is always there and always has the same type, so that a mistake in a condition shows when the
//! playbook is loaded. What is not known is `0`, `""` or `false`. Integers are `int`, amounts are `double`.

mod claim;
mod deletion;
mod job;
mod memory;
mod network;
mod node;
mod probe;
mod throttling;

use std::collections::BTreeSet;

use kubewise_core::anomaly::Reason;
use kubewise_core::document::Document;
use kubewise_core::metric::MetricType;
use kubewise_core::state::{ObjectState, StateDetail};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::action::restore_service::astray_of;
use crate::evidence::Evidence;
use crate::network::{Suspect, suspect};
use crate::policy::{Options, made_by_us};
use crate::revision::{Revision, Revisions, is_ready, template_of};
use claim::ClaimFacts;
use deletion::DeletionFacts;
use job::JobFacts;
use network::NetworkFacts;
use node::NodeFacts;
use probe::ProbeFacts;
use throttling::ThrottlingFacts;

/// A revision that never was healthy, or whose trouble began this soon after it (seconds), is to blame for it.
const BLAME_WITHIN_SECONDS: i64 = 30 * 60;
/// What grows takes its time to show; a revision that is older than this (seconds) is no release any more.
const GROWTH_WITHIN_SECONDS: i64 = 3 * 3600;
/// What is applied this soon after a revision came with it.
const TOGETHER: Period = Period::from_mins(1);

/// The variables of a playbook: `incident`, `workload`, `revision`, `crash`, `probe`, `memory`, `throttling`,
/// `replicas`, `ordinal`, `autoscaler`, `service`, `claim`, `node`, `job`, `deletion`, `network`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts {
    pub(crate) incident: IncidentFacts,
    pub(crate) workload: WorkloadFacts,
    pub(crate) revision: RevisionFacts,
    pub(crate) crash: CrashFacts,
    pub(crate) probe: ProbeFacts,
    pub(crate) memory: MemoryFacts,
    pub(crate) throttling: ThrottlingFacts,
    pub(crate) replicas: ReplicaFacts,
    pub(crate) ordinal: OrdinalFacts,
    pub(crate) autoscaler: AutoscalerFacts,
    pub(crate) service: ServiceFacts,
    pub(crate) claim: ClaimFacts,
    pub(crate) node: NodeFacts,
    pub(crate) job: JobFacts,
    pub(crate) deletion: DeletionFacts,
    pub(crate) network: NetworkFacts,
}

/// What it is about, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IncidentFacts {
    /// The gravest reason.
    pub(crate) reason: String,
    /// Every reason that fires.
    pub(crate) reasons: Vec<String>,
    /// `Info`, `Warning`, `Critical`.
    pub(crate) severity: String,
    /// Since the oldest trouble that still fires began.
    pub(crate) age_seconds: i64,
    /// Sagas opened for this incident before.
    pub(crate) attempts: i64,
}

/// The workload of the incident; of a node or a Job too.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkloadFacts {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) desired: i64,
    pub(crate) ready: i64,
    pub(crate) available: i64,
    pub(crate) paused: bool,
    /// `RollingUpdate`, `Recreate`, `OnDelete`.
    pub(crate) strategy: String,
}

/// The revisions of its pod template.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevisionFacts {
    /// The current one: its template hash (Deployment) or ControllerRevision.
    pub(crate) current: String,
    pub(crate) age_seconds: i64,
    pub(crate) count: i64,
    /// The newest earlier revision known to be healthy.
    pub(crate) last_healthy: String,
    pub(crate) has_last_healthy: bool,
    /// The trouble is in the current revision's pods and began with it.
    pub(crate) to_blame: bool,
    /// KubeWise made the current revision.
    pub(crate) ours: bool,
}

/// The container that is in trouble: of those that are not ready, the one that restarted most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CrashFacts {
    pub(crate) pod: String,
    pub(crate) container: String,
    /// What it waits for or how it ended: `CrashLoopBackOff`, `OOMKilled`, `Error`.
    pub(crate) reason: String,
    pub(crate) exit_code: i64,
    pub(crate) restarts: i64,
    /// It was killed at its memory limit.
    pub(crate) oom: bool,
}

/// Memory of the container that was killed at its limit, or of the one in trouble. Bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemoryFacts {
    pub(crate) container: String,
    pub(crate) limit: f64,
    pub(crate) request: f64,
    /// The newest working set; the largest of the pods'.
    pub(crate) working_set: f64,
    /// Use grows without an end within one run.
    pub(crate) leak: bool,
    /// Demand is steady: measured without growth, or above the limit soon after each start.
    pub(crate) steady: bool,
    /// The current revision has a lower limit than the last healthy one.
    pub(crate) limit_lowered: bool,
    /// The highest limit that policy lets KubeWise set.
    pub(crate) cap: f64,
}

/// How many there were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplicaFacts {
    /// The newest number of replicas above zero that was seen; 0 if none was.
    pub(crate) last_non_zero: i64,
}

/// Pods of a StatefulSet that are not ready.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrdinalFacts {
    /// The first of them by name; empty if there is none.
    pub(crate) pod: String,
    /// How many there are.
    pub(crate) not_ready: i64,
}

/// The HorizontalPodAutoscaler that scales the workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AutoscalerFacts {
    /// Empty if there is none.
    pub(crate) name: String,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) current: i64,
    /// It wants more replicas than its most.
    pub(crate) limited: bool,
}

/// A Service that led to the workload's ready pods, was changed, and leads to none of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceFacts {
    /// Empty if there is none.
    pub(crate) name: String,
    /// Where it led, such as `app=cart to 8080`.
    pub(crate) led: String,
}

impl Facts {
    pub(crate) fn of(evidence: &Evidence, options: &Options, now: Timestamp) -> Self {
        let revisions = Revisions::of(evidence);
        let pods: Vec<_> = evidence.pod_states().collect();
        let suspect = suspect(evidence);
        let crash = crash(evidence, &pods);
        Facts {
            incident: IncidentFacts {
                reason: evidence.incident.reason.to_string(),
                reasons: evidence.reasons().iter().map(ToString::to_string).collect(),
                severity: format!("{:?}", evidence.incident.severity),
                age_seconds: seconds(evidence.trouble_since(), now),
                attempts: evidence.incident.attempts.into(),
            },
            workload: workload(evidence),
            memory: memory::of(evidence, &pods, options, &crash.container, &revisions),
            revision: revision(evidence, &revisions, suspect.as_ref(), now),
            replicas: ReplicaFacts { last_non_zero: last_non_zero(evidence) },
            ordinal: ordinal(evidence),
            autoscaler: autoscaler(evidence),
            service: service(evidence),
            claim: ClaimFacts::of(evidence),
            node: NodeFacts::of(evidence, now),
            job: JobFacts::of(evidence),
            deletion: DeletionFacts::of(evidence),
            network: NetworkFacts::of(suspect.as_ref()),
            probe: ProbeFacts::of(evidence, &crash.container),
            throttling: ThrottlingFacts::of(evidence),
            crash,
        }
    }

    /// One filled-in example for each reason, against which playbooks are tried when they are loaded.
    pub(crate) fn examples() -> Vec<Facts> {
        Reason::ALL.iter().map(|reason| Facts::example(*reason)).collect()
    }

    pub(crate) fn example(reason: Reason) -> Facts {
        Facts {
            incident: IncidentFacts {
                reason: reason.to_string(),
                reasons: vec![reason.to_string()],
                severity: "Critical".into(),
                age_seconds: 60,
                attempts: 0,
            },
            workload: WorkloadFacts {
                kind: "Deployment".into(),
                namespace: "shop".into(),
                name: "cart".into(),
                desired: 3,
                ready: 1,
                available: 1,
                paused: false,
                strategy: "RollingUpdate".into(),
            },
            revision: RevisionFacts {
                current: "6d4cf56db6".into(),
                age_seconds: 120,
                count: 2,
                last_healthy: "5f7d9c8b44".into(),
                has_last_healthy: true,
                to_blame: true,
                ours: false,
            },
            crash: CrashFacts {
                pod: "cart-5d8f7c9b6-x2x8q".into(),
                container: "app".into(),
                reason: reason.to_string(),
                exit_code: 1,
                restarts: 4,
                oom: reason == Reason::OomKilled,
            },
            memory: MemoryFacts {
                container: "app".into(),
                limit: 134_217_728.0,
                request: 134_217_728.0,
                working_set: 130_023_424.0,
                leak: false,
                steady: true,
                limit_lowered: false,
                cap: 536_870_912.0,
            },
            probe: ProbeFacts {
                kills: false,
                container: "app".into(),
                initial_delay_seconds: 0,
                timeout_seconds: 1,
                period_seconds: 10,
                failure_threshold: 3,
            },
            throttling: ThrottlingFacts {
                pod: "cart-5d8f7c9b6-x2x8q".into(),
                container: "app".into(),
                share: 0.6,
                unusual: reason == Reason::Deviation,
                limit: 0.5,
            },
            replicas: ReplicaFacts { last_non_zero: 3 },
            ordinal: OrdinalFacts { pod: "cart-0".into(), not_ready: 1 },
            autoscaler: AutoscalerFacts { name: "cart".into(), min: 2, max: 5, current: 5, limited: true },
            claim: ClaimFacts::default(),
            node: NodeFacts { name: "n1".into(), cordoned: false, count: 3, unsteady: 1 },
            service: ServiceFacts { name: "cart".into(), led: "app=cart to 8080".into() },
            job: JobFacts { failed: 7, transient: true, retried: false },
            deletion: DeletionFacts {
                object: "Pod shop/cart-1".into(),
                held_by: "finalizer example.com/cleanup".into(),
            },
            network: NetworkFacts {
                policy: "deny-all".into(),
                told: "NetworkPolicy shop/deny-all, which selects its pods, was made 1m before the trouble began".into(),
                undo: "`kubectl delete networkpolicy deny-all -n shop` takes it back".into(),
            },
        }
    }
}

fn autoscaler(evidence: &Evidence) -> AutoscalerFacts {
    let object = &evidence.incident.workload;
    let ours = evidence.autoscalers.iter().find(|document| {
        document.text("/kind") == Some("HorizontalPodAutoscaler")
            && document.text("/spec/scaleTargetRef/kind") == Some(object.kind.as_str())
            && document.text("/spec/scaleTargetRef/name") == Some(&object.name)
    });
    ours.map(|document| {
        let number = |pointer: &str, default: u64| document.number(pointer).unwrap_or(default) as i64;
        AutoscalerFacts {
            name: document.text("/metadata/name").unwrap_or_default().into(),
            min: number("/spec/minReplicas", 1),
            max: number("/spec/maxReplicas", 0),
            current: number("/status/currentReplicas", 0),
            limited: wants_more(document),
        }
    })
    .unwrap_or_default()
}

fn wants_more(autoscaler: &Document) -> bool {
    let Ok(StateDetail::Autoscaler(state)) = autoscaler.state().map(|state| state.detail) else {
        return false;
    };
    state.is_limited()
}

fn service(evidence: &Evidence) -> ServiceFacts {
    astray_of(evidence)
        .next()
        .map(|(document, served)| ServiceFacts {
            name: document.text("/metadata/name").unwrap_or_default().into(),
            led: served.route.to_string(),
        })
        .unwrap_or_default()
}

fn ordinal(evidence: &Evidence) -> OrdinalFacts {
    if evidence.incident.workload.kind != Kind::StatefulSet {
        return OrdinalFacts::default();
    }
    let unready = evidence.pods.iter().filter(|pod| !is_ready(pod));
    let names: BTreeSet<&str> = unready.filter_map(|pod| pod.text("/metadata/name")).collect();
    OrdinalFacts { pod: names.first().copied().unwrap_or_default().into(), not_ready: names.len() as i64 }
}

fn seconds(start: Timestamp, end: Timestamp) -> i64 {
    end.duration_since(start).as_secs().max(0)
}

fn workload(evidence: &Evidence) -> WorkloadFacts {
    let object = &evidence.incident.workload;
    let state = evidence.workload.as_ref().and_then(|document| document.state().ok());
    let counts = state.as_ref().and_then(|state| state.workload()).cloned().unwrap_or_default();
    let strategy = evidence.workload.as_ref().and_then(|document| {
        document.text("/spec/strategy/type").or_else(|| document.text("/spec/updateStrategy/type"))
    });
    WorkloadFacts {
        kind: object.kind.to_string(),
        namespace: object.namespace_or_empty().into(),
        name: object.name.to_string(),
        desired: counts.desired.into(),
        ready: counts.ready.into(),
        available: counts.available.into(),
        paused: counts.paused,
        strategy: strategy.unwrap_or_default().into(),
    }
}

fn revision(
    evidence: &Evidence,
    revisions: &Revisions,
    suspect: Option<&Suspect>,
    now: Timestamp,
) -> RevisionFacts {
    let current = revisions.current();
    let healthy = revisions.last_healthy();
    RevisionFacts {
        current: current.map(|revision| revision.name.clone()).unwrap_or_default(),
        age_seconds: current.and_then(|revision| revision.began).map_or(0, |began| seconds(began, now)),
        count: revisions.count(),
        last_healthy: healthy.map(|revision| revision.name.clone()).unwrap_or_default(),
        has_last_healthy: healthy.is_some(),
        to_blame: to_blame(evidence, revisions, suspect),
        ours: made_by_us(evidence, revisions).is_some(),
    }
}

/// Whether the current revision brought the trouble: its pods are the ones in trouble, the trouble is younger
/// than the revision, and it came soon, or the revision never was healthy at all; and nothing else was changed since that
/// may have brought it.
fn to_blame(evidence: &Evidence, revisions: &Revisions, suspect: Option<&Suspect>) -> bool {
    let Some(current) = revisions.current() else { return false };
    let Some(began) = current.began else { return false };
    let since = evidence.trouble_since();
    let changed_since = suspect.is_some_and(|suspect| suspect.since > TOGETHER.after(began));
    if evidence.reasons() == [Reason::Exhaustion] {
        return grows_since(evidence, revisions, current, began) && !changed_since;
    }
    let soon = since.duration_since(began).as_secs() <= BLAME_WITHIN_SECONDS;
    // A pod that failed as a whole stays as an object for days; it counts where that is the trouble.
    let evicted = evidence.reasons().contains(&Reason::Evicted);
    let mut troubled = evidence
        .pods
        .iter()
        .filter(|pod| {
            pod.state().ok().is_some_and(|state| {
                let ill = |container| evidence.trouble_of(&state.object, container).is_some();
                state.pod().is_some_and(|pod| match &*pod.phase {
                    "Failed" => evicted,
                    _ => pod.containers.iter().any(ill),
                })
            })
        })
        .peekable();
    // A rollout that is stuck without a failing container (its pods are just never ready) is the revision's, too.
    let stuck = evidence.reasons().contains(&Reason::ProgressDeadlineExceeded);
    let in_its_pods = if troubled.peek().is_some() {
        troubled.any(|pod| template_of(pod) == Some(&current.label))
    } else {
        stuck || only_its_pods_are_unready(evidence, &current.label)
    };
    began <= since && in_its_pods && (soon || stuck || !current.was_recorded()) && !changed_since
}

/// Whether what grows is in the current revision's pods alone, and the healthy one before ran at least as long without.
fn grows_since(evidence: &Evidence, revisions: &Revisions, current: &Revision, began: Timestamp) -> bool {
    let Some(healthy) = revisions.last_healthy().and_then(|revision| revision.began) else { return false };
    let shown_after = evidence.trouble_since().duration_since(began).as_secs();
    let is_its_pod = |object: &ObjectRef| {
        let pod = evidence.pods.iter().find(|pod| pod.object().is_ok_and(|own| own == *object));
        pod.is_some_and(|pod| template_of(pod) == Some(&current.label))
    };
    (0..=GROWTH_WITHIN_SECONDS).contains(&shown_after)
        && began.duration_since(healthy).as_secs() >= shown_after
        && evidence.firing().all(|anomaly| is_its_pod(&anomaly.object))
}

/// Only Deployments have a deadline for their rollout; of others, unready pods tell.
fn only_its_pods_are_unready(evidence: &Evidence, label: &str) -> bool {
    let unready: Vec<_> = evidence.pods.iter().filter(|pod| !is_ready(pod)).collect();
    evidence.incident.workload.kind != Kind::Deployment
        && evidence.reasons().contains(&Reason::Unavailable)
        && !unready.is_empty()
        && unready.into_iter().all(|pod| template_of(pod) == Some(label))
}

fn crash(evidence: &Evidence, pods: &[ObjectState]) -> CrashFacts {
    let containers = pods.iter().flat_map(|state| {
        let containers = state.pod().map(|pod| pod.containers.as_slice()).unwrap_or_default();
        containers.iter().filter_map(|container| {
            Some((evidence.trouble_of(&state.object, container)?, &state.object, container))
        })
    });
    let Some((reason, pod, worst)) = containers
        .max_by_key(|(_, _, container)| (!container.ready, container.restarts, container.name.clone()))
    else {
        return CrashFacts::default();
    };
    let ended = worst.terminated.as_ref();
    CrashFacts {
        pod: pod.name.to_string(),
        container: worst.name.to_string(),
        reason,
        exit_code: ended.map_or(0, |ended| ended.exit_code),
        restarts: worst.restarts.into(),
        oom: ended.is_some_and(|ended| &*ended.reason == "OOMKilled")
            || evidence.reasons().contains(&Reason::OomKilled),
    }
}

/// From samples, from the controller's Events (`… from 3 to 0`), or from what the anomaly expected.
pub(crate) fn last_non_zero(evidence: &Evidence) -> i64 {
    let is_desired = |metric_type: &MetricType| *metric_type == MetricType::ReplicasDesired;
    let sampled = evidence
        .samples
        .iter()
        .rev()
        .find(|sample| {
            is_desired(&sample.metric_type)
                && sample.object == evidence.incident.workload
                && sample.value >= 1.0
        })
        .map(|sample| sample.value as i64);
    let told = || {
        let mut events: Vec<_> =
            evidence.events.iter().filter(|event| event.reason == "ScalingReplicaSet").collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.last_seen));
        events.iter().find_map(|event| {
            let (before, _) = event.message.split_once(" to 0")?;
            before.rsplit(' ').next()?.parse::<i64>().ok().filter(|count| *count > 0)
        })
    };
    let expected = || {
        let scaled = evidence.firing().find(|anomaly| anomaly.reason == Reason::ScaledToZero)?;
        let counts = scaled.features.iter().filter_map(|feature| feature.expected);
        counts.filter(|count| (1.0..1e6).contains(count)).map(|count| count as i64).next()
    };
    sampled.or_else(told).or_else(expected).unwrap_or(0)
}
