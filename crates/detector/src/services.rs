//! Services and the workloads behind them: what a host name stands for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kubewise_core::service::{Route, ServingService};
use kubewise_core::state::PodState;
use kubewise_core::{ObjectRef, Uid};

#[derive(Debug, Default)]
pub(crate) struct Services {
    /// By namespace and name.
    known: BTreeMap<String, BTreeMap<String, Service>>,
    /// Those that were seen leading to a workload, by workload.
    of_workload: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
}

#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) uid: Uid,
    pub(crate) route: Route,
    /// Since when it has this route, as far as is known.
    pub(crate) since: Option<Timestamp>,
    /// Since when it has been seen leading to ready pods by it.
    pub(crate) serves_since: Option<Timestamp>,
    /// How it was when it last led to ready pods for long enough.
    pub(crate) served: Option<ServingService>,
    /// Whose pods it selected and that are gone: what has no pods left still stands behind its name.
    past: BTreeSet<ObjectRef>,
}

impl Services {
    pub(crate) fn apply(&mut self, object: &ObjectRef, uid: &Uid, route: &Route, now: Timestamp) {
        let services = self.known.entry(object.namespace_or_empty().into()).or_default();
        let service = services.entry(object.name.to_string()).or_default();
        if service.uid != *uid {
            *service = Service { uid: uid.clone(), ..Service::default() };
        }
        if service.since.is_none() || service.route != *route {
            if service.route.selector != route.selector {
                service.past.clear();
            }
            service.route = route.clone();
            service.since = Some(now);
            service.serves_since = None;
        }
    }

    /// An earlier process saw it lead to ready pods.
    pub(crate) fn recall(&mut self, served: ServingService) {
        let services = self.known.entry(served.service.namespace_or_empty().into()).or_default();
        let service = services.entry(served.service.name.to_string()).or_default();
        service.uid = served.uid.clone();
        self.serves(served);
    }

    /// It leads to ready pods, and has for long enough.
    pub(crate) fn serves(&mut self, served: ServingService) {
        let object = served.service.clone();
        let Some(service) = self.known.get_mut(object.namespace_or_empty()) else { return };
        let Some(service) = service.get_mut(&*object.name) else { return };
        if let Some(before) = &service.served
            && let Some(services) = self.of_workload.get_mut(&before.workload)
        {
            services.remove(&object);
        }
        self.of_workload.entry(served.workload.clone()).or_default().insert(object);
        service.served = Some(served);
    }

    /// Those that were seen leading to a workload and exist.
    pub(crate) fn of(&self, workload: &ObjectRef) -> impl Iterator<Item = (&ObjectRef, &Service)> {
        let names = self.of_workload.get(workload).into_iter().flatten();
        let known = names.filter_map(|object| Some((object, self.get(object)?)));
        known.filter(|(_, service)| service.since.is_some() && service.served.is_some())
    }

    /// Namespaces and names of those that stand for a workload of these pods.
    pub(crate) fn standing_for<'a>(
        &'a self,
        workload: &'a ObjectRef,
        pods: &'a [&PodState],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let namespace = workload.namespace_or_empty();
        let here = self.known.get(namespace).into_iter().flatten();
        here.filter(move |(_, service)| {
            pods.iter().any(|pod| service.route.selects(pod)) || service.past.contains(workload)
        })
        .map(move |(name, _)| (namespace, name.as_str()))
    }

    pub(crate) fn get(&self, object: &ObjectRef) -> Option<&Service> {
        self.known.get(object.namespace_or_empty())?.get(&*object.name)
    }

    pub(crate) fn get_mut(&mut self, object: &ObjectRef) -> Option<&mut Service> {
        self.known.get_mut(object.namespace_or_empty())?.get_mut(&*object.name)
    }

    pub(crate) fn remove(&mut self, object: &ObjectRef) {
        if let Some(services) = self.known.get_mut(object.namespace_or_empty()) {
            let served = services.remove(&*object.name).and_then(|service| service.served);
            if let Some(of_workload) = served.and_then(|served| self.of_workload.get_mut(&served.workload)) {
                of_workload.remove(object);
            }
            if services.is_empty() {
                self.known.remove(object.namespace_or_empty());
            }
        }
    }

    /// A pod is gone: its workload stays behind the services that selected it.
    pub(crate) fn pod_gone(&mut self, namespace: &str, pod: &PodState, workload: &ObjectRef) {
        for service in self.known.get_mut(namespace).into_iter().flat_map(BTreeMap::values_mut) {
            if service.route.selects(pod) {
                service.past.insert(workload.clone());
            }
        }
    }

    /// The Service that a host is the name of, seen from a namespace: `cart`, `cart.shop`, `cart.shop.svc…`, or a
    /// pod's own `kafka-0.kafka`; its namespace and name, and what it selects.
    pub(crate) fn find(&self, host: &str, namespace: &str) -> Option<(&str, &str, Selection<'_>)> {
        let labels: Vec<&str> = host.split('.').collect();
        let label = |at: usize| labels.get(at).copied();
        let here = [
            (label(0), label(1)),
            (label(0), Some(namespace)),
            (label(1), label(2)),
            (label(1), Some(namespace)),
        ];
        here.into_iter().find_map(|(name, namespace)| {
            let (namespace, services) = self.known.get_key_value(namespace?)?;
            let (name, service) = services.get_key_value(name?)?;
            let found = (namespace.as_str(), name.as_str(), Selection(service));
            (!service.route.selector.is_empty()).then_some(found)
        })
    }
}

/// What a Service selects.
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a>(&'a Service);

impl<'a> Selection<'a> {
    pub(crate) fn selects(self, pod: &PodState) -> bool {
        self.0.route.selects(pod)
    }

    pub(crate) fn past(self) -> impl Iterator<Item = &'a ObjectRef> {
        self.0.past.iter()
    }
}
