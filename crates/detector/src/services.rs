//! Services and the workloads behind them: what a host name stands for.

use std::collections::{BTreeMap, BTreeSet};

use kubewise_core::ObjectRef;
use kubewise_core::state::{PodState, ServiceState};

#[derive(Debug, Default)]
pub(crate) struct Services {
    /// By namespace and name.
    known: BTreeMap<String, BTreeMap<String, Service>>,
}

#[derive(Debug, Default)]
struct Service {
    selector: BTreeMap<String, String>,
    /// Whose pods it selected and that are gone: what has no pods left still stands behind its name.
    past: BTreeSet<ObjectRef>,
}

impl Services {
    pub(crate) fn apply(&mut self, object: &ObjectRef, state: &ServiceState) {
        let services = self.known.entry(object.namespace_or_empty().into()).or_default();
        let service = services.entry(object.name.to_string()).or_default();
        if service.selector != state.selector {
            *service = Service { selector: state.selector.clone(), past: BTreeSet::new() };
        }
    }

    pub(crate) fn remove(&mut self, object: &ObjectRef) {
        if let Some(services) = self.known.get_mut(object.namespace_or_empty()) {
            services.remove(&*object.name);
            if services.is_empty() {
                self.known.remove(object.namespace_or_empty());
            }
        }
    }

    /// A pod is gone: its workload stays behind the services that selected it.
    pub(crate) fn pod_gone(&mut self, namespace: &str, pod: &PodState, workload: &ObjectRef) {
        for service in self.known.get_mut(namespace).into_iter().flat_map(BTreeMap::values_mut) {
            if service.selects(pod) {
                service.past.insert(workload.clone());
            }
        }
    }

    /// The Service that a host is the name of, seen from a namespace: `cart`, `cart.shop`, `cart.shop.svc…`, or a
    /// pod's own `kafka-0.kafka`.
    pub(crate) fn find(&self, host: &str, namespace: &str) -> Option<(&str, Selection<'_>)> {
        let labels: Vec<&str> = host.split('.').collect();
        let label = |at: usize| labels.get(at).copied();
        let here = [
            (label(0), label(1)),
            (label(0), Some(namespace)),
            (label(1), label(2)),
            (label(1), Some(namespace)),
        ];
        here.into_iter().find_map(|(name, namespace)| {
            let (known, service) = (self.known.get_key_value(namespace?)?, name?);
            let service = known.1.get(service)?;
            (!service.selector.is_empty()).then_some((known.0.as_str(), Selection(service)))
        })
    }
}

/// What a Service selects.
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a>(&'a Service);

impl<'a> Selection<'a> {
    pub(crate) fn selects(self, pod: &PodState) -> bool {
        self.0.selects(pod)
    }

    pub(crate) fn past(self) -> impl Iterator<Item = &'a ObjectRef> {
        self.0.past.iter()
    }
}

impl Service {
    fn selects(&self, pod: &PodState) -> bool {
        !self.selector.is_empty()
            && self.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    }
}
