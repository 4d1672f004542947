//! Services that lead somewhere: what a Service that was changed may be put back to.

use jiff::Timestamp;
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::service::{Route, ServingService};
use kubewise_core::{ObjectRef, Period};

use crate::options::RuleOptions;
use crate::world::World;

/// A Service that goes on leading to its pods is told again, so that its record does not age away.
const TELL_AGAIN: Period = Period::from_mins(60);
/// One that leads to no ready pod may do so later; pods come without its being told.
const LOOK_AGAIN: Period = Period::from_mins(5);

/// When to look at a Service again, and what there is to tell.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) serving: Option<ServingService>,
    pub(crate) look_at: Option<Timestamp>,
}

/// Judges whether a Service leads to ready pods. What it led to by another route stays known until it has done so by
/// this one for as long as a revision takes to count as healthy.
pub(crate) fn judge(world: &mut World, object: &ObjectRef, options: &RuleOptions, now: Timestamp) -> Verdict {
    let Some(service) = world.services().get(object).filter(|service| service.since.is_some()) else {
        return Verdict::default();
    };
    let (uid, route) = (service.uid.clone(), service.route.clone());
    let workload = workload_behind(world, object, &route);
    let services = world.services_mut();
    let Some(service) = services.get_mut(object) else { return Verdict::default() };
    let Some(workload) = workload else {
        service.serves_since = None;
        return Verdict { serving: None, look_at: Some(LOOK_AGAIN.after(now)) };
    };
    let proven_at = options.healthy_after.after(*service.serves_since.get_or_insert(now));
    if proven_at > now {
        return Verdict { serving: None, look_at: Some(proven_at) };
    }
    let serving = ServingService {
        version: SchemaVersion::CURRENT,
        workload,
        service: object.clone(),
        uid,
        route,
        seen_at: now,
        extra: Extra::default(),
    };
    services.serves(serving.clone());
    Verdict { serving: Some(serving), look_at: Some(TELL_AGAIN.after(now)) }
}

fn workload_behind(world: &World, object: &ObjectRef, route: &Route) -> Option<ObjectRef> {
    let mut pods = world.pods_in(object.namespace_or_empty());
    let (pod, _) = pods.find(|(_, pod)| pod.ready && route.reaches(pod))?;
    world.workload_of(pod)
}
