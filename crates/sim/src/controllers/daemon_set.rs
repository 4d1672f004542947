//! DaemonSets: one pod on every node that takes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubewise_core::{Kind, ObjectRef};
use serde_json::{Value, json};

use super::{bare_template, template_hash};
use crate::cluster::Cluster;
use crate::scheduler::tolerates;

const SOURCE: &str = "daemonset-controller";

impl Cluster {
    pub(crate) fn daemon_set(&mut self, object: &ObjectRef) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let Ok(uid) = document.uid() else { return };
        self.controller_revision(object, &document);
        let hash = template_hash(&bare_template(&document));
        let tolerations = document.list("/spec/template/spec/tolerations").to_vec();
        let nodes: Vec<Arc<str>> = self
            .store
            .list(&Kind::Node, None)
            .filter(|(_, node)| {
                // A DaemonSet tolerates what the node lifecycle puts on a node.
                node.list("/spec/taints").iter().all(|taint| {
                    taint["key"].as_str().is_some_and(|key| key.starts_with("node.kubernetes.io/"))
                        || tolerations.iter().any(|toleration| tolerates(toleration, taint))
                })
            })
            .map(|(node, _)| node.name.clone())
            .collect();
        let there: BTreeMap<Arc<str>, ObjectRef> = self
            .pods_of(&uid)
            .into_iter()
            .filter_map(|pod| Some((self.pods[&pod].node.clone()?, pod)))
            .collect();
        for (node, pod) in &there {
            if !nodes.contains(node) && self.pods[pod].deleted.is_none() {
                self.delete_for(object, pod, SOURCE);
            }
        }
        for node in nodes.iter().filter(|node| !there.contains_key(*node)) {
            let name = format!("{}-{}", object.name, self.suffix());
            let mut template = document.0.pointer("/spec/template").cloned().unwrap_or_default();
            template["spec"]["nodeName"] = json!(node);
            let labels = [("controller-revision-hash", hash.as_str())];
            if self.create_for(object, &name, &template, &labels, SOURCE).is_err() {
                break;
            }
        }
        // One old pod at a time, and only while all nodes are served; what does not work may always go.
        let pods: Vec<_> = there.values().filter_map(|name| Some((name, self.pods.get(name)?))).collect();
        let served = pods.iter().filter(|(_, pod)| pod.ready && pod.deleted.is_none()).count() == nodes.len();
        let old = |ready: bool| {
            pods.iter().find(|(_, pod)| *pod.template != *hash && pod.deleted.is_none() && pod.ready == ready)
        };
        let rolling = document.text("/spec/updateStrategy/type") != Some("OnDelete");
        let next = old(false).or_else(|| old(true).filter(|_| served)).filter(|_| rolling);
        if let Some(name) = next.map(|(name, _)| (*name).clone()) {
            self.delete_for(object, &name, SOURCE);
        }
        self.daemon_set_status(object, nodes.len(), &hash);
    }

    fn daemon_set_status(&mut self, object: &ObjectRef, desired: usize, hash: &str) {
        let Some(document) = self.store.get(object) else { return };
        let generation = document.number("/metadata/generation");
        let Ok(uid) = document.uid() else { return };
        let pods: Vec<_> = self.pods_of(&uid).iter().filter_map(|pod| self.pods.get(pod)).cloned().collect();
        let count = |of: &dyn Fn(&crate::kubelet::PodRun) -> bool| {
            pods.iter().filter(|pod| pod.is_active() && of(pod)).count()
        };
        let ready = count(&|pod| pod.ready);
        let status: Value = json!({
            "observedGeneration": generation, "desiredNumberScheduled": desired,
            "currentNumberScheduled": count(&|_| true), "numberMisscheduled": 0, "numberReady": ready,
            "numberAvailable": ready, "numberUnavailable": desired.saturating_sub(ready),
            "updatedNumberScheduled": count(&|pod| *pod.template == *hash),
        });
        self.store.set_status(object, status);
    }
}
