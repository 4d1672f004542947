//! The rules for known failures: from what is known of a workload now to the symptoms that it shows now.
//!
//! A rule has no memory of its own and no order of arrival matters: what must last before it counts says so by
//! the moment at which its symptom is ripe.

mod beside;
mod pods;
pub(crate) mod workloads;

use jiff::Timestamp;
use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::state::condition;
use kubewise_core::{Kind, ObjectRef};

use crate::history::{History, is_pressure};
use crate::options::RuleOptions;
use crate::symptom::Symptom;
use crate::text;
use crate::world::{Known, World};

/// Longer messages of Kubernetes are cut in explanations.
const MESSAGE: usize = 160;

/// All symptoms of a workload, or of a node, at this moment.
pub(crate) fn symptoms(
    world: &World,
    workload: &ObjectRef,
    options: &RuleOptions,
    now: Timestamp,
) -> Vec<Symptom> {
    if workload.kind == Kind::Node {
        return world.get(workload).into_iter().flat_map(|known| node(known, options)).collect();
    }
    let objects = world.objects_of(workload);
    let scene = Scene { world, workload, objects: &objects, options, now };
    let mut symptoms = pods::symptoms(&scene);
    workloads::symptoms(&scene, &mut symptoms);
    beside::symptoms(&scene, &mut symptoms);
    symptoms
}

/// What the rules of one workload look at.
pub(crate) struct Scene<'a> {
    world: &'a World,
    workload: &'a ObjectRef,
    /// The workload and all that it controls.
    objects: &'a [&'a Known],
    options: &'a RuleOptions,
    now: Timestamp,
}

fn node(known: &Known, options: &RuleOptions) -> Vec<Symptom> {
    [unready(known, options), pressed(known, options)].into_iter().flatten().collect()
}

fn pressed(known: &Known, options: &RuleOptions) -> Option<Symptom> {
    let History::Node { pressed_since: Some(since), .. } = known.history else { return None };
    let pressure = known.node()?.conditions.iter().find(|condition| is_pressure(condition))?;
    let text = format!(
        "{} reports {} ({}): {}",
        text::name(&known.state.object),
        pressure.kind,
        pressure.reason,
        text::brief(&pressure.message, MESSAGE)
    );
    let ripe_at = options.node_grace.after(since);
    Some(Symptom::new(Reason::NodePressure, &known.state.object, ripe_at, text).severity(Severity::Warning))
}

fn unready(known: &Known, options: &RuleOptions) -> Option<Symptom> {
    let History::Node { unready_since: Some(since), cordoned_since, .. } = known.history else { return None };
    let ready = condition(&known.node()?.conditions, "Ready")?;
    // Who cordons a node and then takes it down means to.
    let maintained = cordoned_since.is_some_and(|cordoned| cordoned <= since);
    let (grace, planned) = if maintained {
        (options.node_maintenance_grace, ", for longer than its maintenance may take")
    } else {
        (options.node_grace, "")
    };
    let text = format!(
        "{} is not ready ({}){planned}: {}",
        text::name(&known.state.object),
        if ready.reason.is_empty() { &ready.status } else { &ready.reason },
        text::brief(&ready.message, MESSAGE)
    );
    let ripe_at = grace.after(since);
    Some(Symptom::new(Reason::NodeNotReady, &known.state.object, ripe_at, text).severity(Severity::Critical))
}

/// Kinds whose watch an anomaly rests on: while one is broken, silence means nothing.
pub(crate) fn rests_on(reason: Reason, workload: &ObjectRef) -> Vec<Kind> {
    let own = workload.kind.clone();
    match reason {
        Reason::CrashLoopBackOff
        | Reason::OomKilled
        | Reason::ImagePullBackOff
        | Reason::CreateContainerConfigError
        | Reason::FailedScheduling
        | Reason::Exhaustion
        | Reason::Deviation
        | Reason::Flatline
        | Reason::RestartRhythm => vec![Kind::Pod],
        Reason::FailedCreate if own == Kind::Deployment => vec![own, Kind::ReplicaSet],
        Reason::ProgressDeadlineExceeded | Reason::ScaledToZero | Reason::FailedCreate => vec![own],
        Reason::Unavailable => vec![own, Kind::Pod],
        Reason::NodeNotReady | Reason::NodePressure => vec![Kind::Node],
        Reason::BackoffLimitExceeded => vec![Kind::Job],
        Reason::ServiceWithoutEndpoints => vec![Kind::Service, Kind::Pod],
        Reason::ScalingLimited => vec![Kind::HorizontalPodAutoscaler],
        Reason::TelemetryMissing => Vec::new(),
    }
}

/// How near a reason is to the cause of what people notice: the first of a workload's firing reasons names the
/// incident. What stops a container from being made comes before what ends it, a kill before the loop that
/// follows it, one container's trouble before what it does to the rollout and to availability.
pub(crate) fn precedence(reason: Reason) -> u8 {
    match reason {
        Reason::NodeNotReady | Reason::NodePressure => 0,
        Reason::OomKilled => 1,
        Reason::CreateContainerConfigError => 2,
        Reason::ImagePullBackOff => 3,
        Reason::CrashLoopBackOff => 4,
        Reason::FailedCreate => 5,
        Reason::FailedScheduling => 6,
        Reason::BackoffLimitExceeded => 7,
        Reason::ProgressDeadlineExceeded => 8,
        Reason::ScaledToZero => 9,
        Reason::Unavailable => 10,
        Reason::ServiceWithoutEndpoints => 11,
        Reason::ScalingLimited => 12,
        Reason::Exhaustion => 13,
        Reason::RestartRhythm => 14,
        Reason::Flatline => 15,
        Reason::Deviation => 16,
        Reason::TelemetryMissing => 17,
    }
}

/// Whether trouble of this kind keeps a workload from serving those that need it.
pub(crate) fn stops(reason: Reason) -> bool {
    match reason {
        Reason::Exhaustion
        | Reason::Deviation
        | Reason::Flatline
        | Reason::RestartRhythm
        | Reason::TelemetryMissing
        | Reason::NodePressure
        | Reason::BackoffLimitExceeded
        | Reason::ScalingLimited => false,
        Reason::CrashLoopBackOff
        | Reason::OomKilled
        | Reason::ImagePullBackOff
        | Reason::CreateContainerConfigError
        | Reason::ProgressDeadlineExceeded
        | Reason::FailedScheduling
        | Reason::FailedCreate
        | Reason::Unavailable
        | Reason::ScaledToZero
        | Reason::ServiceWithoutEndpoints
        | Reason::NodeNotReady => true,
    }
}
