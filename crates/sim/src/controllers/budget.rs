//! PodDisruptionBudgets, and the evictions that ask them.

use kubewise_core::document::Document;
use kubewise_core::{Failure, Kind, ObjectRef, Rejection, Uid};
use serde_json::json;

use crate::cluster::Cluster;
use crate::read::{count, selects, share};
use crate::store::not_found;

impl Cluster {
    pub(crate) fn budget(&mut self, object: &ObjectRef) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let pods = self.selected(object, &document);
        let expected =
            pods.iter().filter(|pod| self.pods.get(*pod).is_some_and(|pod| !pod.is_over())).count() as u32;
        let healthy = pods
            .iter()
            .filter(|pod| self.pods.get(*pod).is_some_and(|pod| pod.ready && pod.deleted.is_none()))
            .count() as u32;
        let most_missing = share(document.0.pointer("/spec/maxUnavailable"), expected, true);
        let least = share(document.0.pointer("/spec/minAvailable"), expected, true);
        let needed = most_missing.map_or(least.unwrap_or(1), |missing| expected.saturating_sub(missing));
        let status = json!({
            "observedGeneration": document.number("/metadata/generation"), "expectedPods": expected,
            "currentHealthy": healthy, "desiredHealthy": needed,
            "disruptionsAllowed": healthy.saturating_sub(needed),
        });
        self.store.set_status(object, status);
    }

    fn selected(&self, budget: &ObjectRef, document: &Document) -> Vec<ObjectRef> {
        let wanted = document.0.pointer("/spec/selector/matchLabels");
        self.store
            .list(&Kind::Pod, budget.namespace.as_deref())
            .filter(|(_, pod)| selects(wanted, pod.0.pointer("/metadata/labels")))
            .map(|(pod, _)| pod.clone())
            .collect()
    }

    /// An eviction as the API server judges it: the uid must fit, every budget must have room. A pod that does
    /// not work may always go.
    pub(crate) fn evict(&mut self, pod: &ObjectRef, uid: &Uid, dry_run: bool) -> Result<(), Failure> {
        self.settle();
        let Some(run) = self.pods.get(pod) else { return Err(not_found(pod)) };
        if run.uid != *uid {
            let message =
                format!("the UID in the precondition ({uid}) does not match the UID of {pod} ({})", run.uid);
            return Err(Failure::Rejected { reason: Rejection::Superseded, message });
        }
        if run.ready {
            let budgets = self.store.names(&Kind::PodDisruptionBudget, pod.namespace.as_deref());
            for budget in budgets {
                let Some(document) = self.store.get(&budget) else { continue };
                let concerns = self.selected(&budget, document).contains(pod);
                if concerns && count(document, "/status/disruptionsAllowed") == 0 {
                    let (needed, has) = (
                        count(document, "/status/desiredHealthy"),
                        count(document, "/status/currentHealthy"),
                    );
                    let message = format!(
                        "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget {} \
                         needs {needed} healthy pods and has {has} currently",
                        budget.name
                    );
                    return Err(Failure::RateLimited { retry_after: None, message });
                }
            }
        }
        if !dry_run {
            self.delete_pod(pod);
            self.settle();
        }
        Ok(())
    }
}
