//! The rules for known failures: from what is known of a workload now to the symptoms that it shows now.
//!
//! A rule has no memory of its own and no order of arrival matters: what must last before it counts says so by
//! the moment at which its symptom is ripe.

mod beside;
mod deletion;
mod nodes;
mod pods;
pub(crate) mod workloads;

use jiff::Timestamp;
use kubewise_core::anomaly::Reason;
use kubewise_core::{Kind, ObjectRef};

use crate::options::RuleOptions;
use crate::symptom::Symptom;
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
        return nodes::symptoms(world, workload, options, now);
    }
    let objects = world.objects_of(workload);
    let scene = Scene { world, workload, objects: &objects, options, now };
    let mut symptoms = pods::symptoms(&scene);
    workloads::symptoms(&scene, &mut symptoms);
    beside::symptoms(&scene, &mut symptoms);
    deletion::symptoms(&scene, &mut symptoms);
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

/// Kinds whose watch an anomaly rests on: while one is broken, silence means nothing.
pub(crate) fn rests_on(reason: Reason, workload: &ObjectRef) -> Vec<Kind> {
    let own = workload.kind.clone();
    match reason {
        Reason::CrashLoopBackOff
        | Reason::OomKilled
        | Reason::ImagePullBackOff
        | Reason::CreateContainerConfigError
        | Reason::Evicted
        | Reason::FailedScheduling
        | Reason::Exhaustion
        | Reason::Deviation
        | Reason::Flatline
        | Reason::RestartRhythm => vec![Kind::Pod],
        Reason::FailedCreate if own == Kind::Deployment => vec![own, Kind::ReplicaSet],
        Reason::ProgressDeadlineExceeded | Reason::ScaledToZero | Reason::FailedCreate => vec![own],
        Reason::Unavailable | Reason::Terminating => vec![own, Kind::Pod],
        Reason::NodeNotReady | Reason::NodeFlapping | Reason::NodePressure => vec![Kind::Node],
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
        Reason::NodeNotReady | Reason::NodeFlapping | Reason::NodePressure => 0,
        Reason::OomKilled => 1,
        Reason::CreateContainerConfigError => 2,
        Reason::ImagePullBackOff => 3,
        Reason::CrashLoopBackOff => 4,
        Reason::Evicted => 5,
        Reason::FailedCreate => 6,
        Reason::FailedScheduling => 7,
        Reason::BackoffLimitExceeded => 8,
        Reason::ProgressDeadlineExceeded => 9,
        Reason::ScaledToZero => 10,
        Reason::Terminating => 11,
        Reason::Unavailable => 12,
        Reason::ServiceWithoutEndpoints => 13,
        Reason::ScalingLimited => 14,
        Reason::Exhaustion => 15,
        Reason::RestartRhythm => 16,
        Reason::Flatline => 17,
        Reason::Deviation => 18,
        Reason::TelemetryMissing => 19,
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
        | Reason::ScalingLimited
        | Reason::Terminating => false,
        Reason::CrashLoopBackOff
        | Reason::OomKilled
        | Reason::ImagePullBackOff
        | Reason::CreateContainerConfigError
        | Reason::Evicted
        | Reason::ProgressDeadlineExceeded
        | Reason::FailedScheduling
        | Reason::FailedCreate
        | Reason::Unavailable
        | Reason::ScaledToZero
        | Reason::ServiceWithoutEndpoints
        | Reason::NodeNotReady
        | Reason::NodeFlapping => true,
    }
}
