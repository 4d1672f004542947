//! StatefulSets: named pods in order, updated from the last to the first.

use kubewise_core::document::Document;
use kubewise_core::{Kind, ObjectRef};
use serde_json::{Value, json};

use super::{bare_template, controlled_by, template_hash};
use crate::cluster::Cluster;
use crate::kubelet::PodRun;

const SOURCE: &str = "statefulset-controller";
const LABEL: &str = "controller-revision-hash";

impl Cluster {
    pub(crate) fn stateful_set(&mut self, object: &ObjectRef) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let desired = document.number("/spec/replicas").unwrap_or(1) as usize;
        let update = self.controller_revision(object, &document);
        let named = |ordinal: usize| ObjectRef {
            kind: Kind::Pod,
            namespace: object.namespace.clone(),
            name: format!("{}-{ordinal}", object.name).into(),
        };
        let parallel = document.text("/spec/podManagementPolicy") == Some("Parallel");
        let template = document.0.pointer("/spec/template").cloned().unwrap_or_default();
        let old = document.text("/status/currentRevision").unwrap_or(&update).to_owned();
        for ordinal in 0..desired {
            let pod = named(ordinal);
            if !self.pods.contains_key(&pod) {
                let labels = [(LABEL, update.as_str())];
                if self.create_for(object, &pod.name, &template, &labels, SOURCE).is_err() {
                    break;
                }
            }
            // In order: the next one waits until this one is ready.
            if !parallel && self.pods.get(&pod).is_none_or(|pod| !pod.ready || pod.deleted.is_some()) {
                break;
            }
        }
        let Ok(uid) = document.uid() else { return };
        let mut surplus: Vec<(usize, ObjectRef)> = self
            .pods_of(&uid)
            .into_iter()
            .filter_map(|pod| Some((pod.name.rsplit_once('-')?.1.parse().ok()?, pod)))
            .filter(|(ordinal, _)| *ordinal >= desired)
            .collect();
        surplus.sort();
        if let Some((_, last)) = surplus.pop().filter(|(_, pod)| self.pods[pod].deleted.is_none()) {
            self.delete_for(object, &last, SOURCE);
        }
        if document.text("/spec/updateStrategy/type") != Some("OnDelete") {
            self.update_in_order(object, &(0..desired).rev().map(named).collect::<Vec<_>>(), &update);
        }
        self.stateful_set_status(object, &document, &old, &update);
    }

    /// Replaces the last pod of an old revision, unless a pod after it is not ready yet: one that never gets
    /// ready stops the update, even if its template was put back.
    fn update_in_order(&mut self, object: &ObjectRef, last_first: &[ObjectRef], update: &str) {
        for name in last_first {
            let Some(pod) = self.pods.get(name) else { return };
            if &*pod.template != update {
                if pod.deleted.is_none() && pod.ready {
                    self.delete_for(object, name, SOURCE);
                }
                return;
            }
            if !pod.ready || pod.deleted.is_some() {
                return;
            }
        }
    }

    fn stateful_set_status(&mut self, object: &ObjectRef, document: &Document, old: &str, update: &str) {
        let Ok(uid) = document.uid() else { return };
        let names = self.pods_of(&uid);
        let pods: Vec<&PodRun> =
            names.iter().filter_map(|pod| self.pods.get(pod)).filter(|pod| pod.is_active()).collect();
        let of = |revision: &str| pods.iter().filter(|pod| &*pod.template == revision).count();
        let ready = pods.iter().filter(|pod| pod.ready).count();
        let desired = document.number("/spec/replicas").unwrap_or(1) as usize;
        let done = of(update) == desired && ready == desired;
        let status = json!({
            "observedGeneration": document.number("/metadata/generation"), "replicas": pods.len(),
            "readyReplicas": ready, "availableReplicas": ready, "updatedReplicas": of(update),
            "currentReplicas": of(old), "updateRevision": update, "currentRevision": if done { update } else { old },
        });
        self.store.set_status(object, status);
    }

    /// The ControllerRevision of the template, made or numbered anew if need be; its name.
    pub(super) fn controller_revision(&mut self, object: &ObjectRef, document: &Document) -> String {
        let template = bare_template(document);
        let name = format!("{}-{}", object.name, template_hash(&template));
        let revision = ObjectRef {
            kind: Kind::ControllerRevision,
            namespace: object.namespace.clone(),
            name: name.as_str().into(),
        };
        let Ok(uid) = document.uid() else { return name };
        let others = self.store.children(&uid, &Kind::ControllerRevision);
        let number = |cluster: &Cluster, name: &ObjectRef| {
            cluster.store.get(name).and_then(|revision| revision.number("/revision")).unwrap_or(0)
        };
        let highest = others
            .iter()
            .filter(|other| **other != revision)
            .map(|other| number(self, other))
            .max()
            .unwrap_or(0);
        if self.store.get(&revision).is_some() {
            if number(self, &revision) <= highest {
                self.store.update(&revision, |document| document["revision"] = json!(highest + 1));
            }
            return name;
        }
        let label = if object.kind == Kind::DaemonSet { template_hash(&template) } else { name.clone() };
        let mut kept = template;
        kept["$patch"] = Value::from("replace");
        let made = json!({
            "kind": "ControllerRevision",
            "metadata": {
                "namespace": object.namespace, "name": name, "labels": { LABEL: label },
                "ownerReferences": controlled_by(object, document),
            },
            "data": { "spec": { "template": kept } }, "revision": highest + 1,
        });
        // It was looked for just now, so it cannot be there already.
        let created = self.store.create(made, "kube-controller-manager", self.now);
        debug_assert!(created.is_ok(), "{created:?}");
        name
    }
}
