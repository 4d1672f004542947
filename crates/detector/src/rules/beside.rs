//! What stands beside a workload shows: the autoscaler that scales it, the Services that lead to it.

use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::state::{PodState, StateDetail, condition};
use kubewise_core::{ObjectRef, Period};

use crate::rules::Scene;
use crate::services::Service;
use crate::symptom::Symptom;
use crate::text;
use crate::world::Known;

/// A load that jumps makes an autoscaler want too much for a moment.
const LIMITED_GRACE: Period = Period::from_mins(2);
/// A person, or a pipeline, may change a Service in two steps.
const ROUTE_GRACE: Period = Period::from_secs(30);

pub(crate) fn symptoms(scene: &Scene<'_>, symptoms: &mut Vec<Symptom>) {
    symptoms.extend(scene.world.autoscalers_of(scene.workload).filter_map(|known| limited(scene, known)));
    for (object, service) in scene.world.services_of(scene.workload) {
        symptoms.extend(leads_nowhere(scene, object, service));
    }
}

fn limited(scene: &Scene<'_>, known: &Known) -> Option<Symptom> {
    let StateDetail::Autoscaler(state) = &known.state.detail else { return None };
    if !state.is_limited() {
        return None;
    }
    let since = condition(&state.conditions, "ScalingLimited").and_then(|limited| limited.since);
    let since = since.map_or(known.heard_at, |since| since.min(known.heard_at));
    let text = format!(
        "{} wants more replicas of {} than its most, {}",
        text::name(&known.state.object),
        text::name(scene.workload),
        state.max
    );
    let symptom = Symptom::new(Reason::ScalingLimited, scene.workload, LIMITED_GRACE.after(since), text);
    Some(symptom.severity(Severity::Warning).feature("max_replicas", f64::from(state.max), None))
}

/// Only a Service that was seen leading to this workload's pods, and would lead to them still if it had not been changed.
/// One that selects pods that are not ready yet is on its way to another workload.
fn leads_nowhere(scene: &Scene<'_>, object: &ObjectRef, service: &Service) -> Option<Symptom> {
    let served = service.served.as_ref()?;
    // Without any, what the pods show tells why nothing is served.
    let ready: Vec<&PodState> = ready_pods(scene).collect();
    if served.route == service.route || !ready.iter().any(|pod| served.route.reaches(pod)) {
        return None;
    }
    let pods = scene.world.pods_in(object.namespace_or_empty()).map(|(_, pod)| pod);
    let mut selected = pods.filter(|pod| service.route.selects(pod));
    if selected.any(|pod| !pod.ready || service.route.reaches(pod)) {
        return None;
    }
    let since = service.since?;
    let text = format!(
        "{} leads to none of the {} ready pods of {} any more: it leads {}, and led {} until {:.0}",
        text::name(object),
        ready.len(),
        text::name(scene.workload),
        service.route,
        served.route,
        since
    );
    Some(Symptom::new(Reason::ServiceWithoutEndpoints, object, ROUTE_GRACE.after(since), text))
}

/// Pods of the workload that could serve.
fn ready_pods<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a PodState> {
    let pods = scene.objects.iter().filter(|known| known.state.deleted.is_none());
    pods.filter_map(|known| known.pod()).map(|(pod, _)| pod).filter(|pod| pod.ready)
}
