//! Deployments: revisions, rollouts, progress.

use std::collections::BTreeMap;

use kubewise_core::document::Document;
use kubewise_core::event::EventType;
use kubewise_core::{Kind, ObjectRef, Period};
use serde_json::{Value, json};

use super::rollout::{Set, next, with_label};
use super::{bare_template, controlled_by, now_of, set_condition, template_hash};
use crate::cluster::{Cluster, Task};
use crate::read::count;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The API server's defaults.
const PROGRESS_DEADLINE: u64 = 600;
const HISTORY_LIMIT: u64 = 10;

impl Cluster {
    pub(crate) fn deployment(&mut self, object: &ObjectRef) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let Ok(uid) = document.uid() else { return };
        let paused = document.0.pointer("/spec/paused").and_then(Value::as_bool) == Some(true);
        let template = bare_template(&document);
        let is_current = |cluster: &Cluster, set: &Set| {
            cluster.store.get(&set.object).is_some_and(|set| bare_template(set) == template)
        };
        let mut sets = self.sets(&uid);
        if !paused && !sets.iter().any(|set| is_current(self, set)) {
            self.create_set(object, &document, &template, &sets);
            sets = self.sets(&uid);
        }
        let new = sets.iter().position(|set| is_current(self, set)).map(|index| sets.remove(index));
        if let Some(new) = new.as_ref().filter(|_| !paused) {
            self.number(object, new, &sets);
        }
        let desired = document.number("/spec/replicas").unwrap_or(1) as u32;
        // While it is paused no set gives way to another.
        let between = sets.iter().chain(&new).filter(|set| set.wanted > 0).count() > 1;
        let next =
            if paused && between { BTreeMap::new() } else { next(&document, desired, new.as_ref(), &sets) };
        for (set, replicas) in next {
            let set = sets.iter().chain(&new).find(|candidate| candidate.object == set).cloned();
            if let Some(set) = set {
                self.scale_set(object, &set, replicas);
            }
        }
        self.deployment_status(object, new.as_ref().map(|new| &new.object), paused);
        self.forget_old(&document, &sets);
    }

    /// By creation, oldest first.
    fn sets(&self, uid: &kubewise_core::Uid) -> Vec<Set> {
        let names = self.store.children(uid, &Kind::ReplicaSet);
        let mut sets: Vec<Set> =
            names.iter().filter_map(|name| Some(Set::of(name, self.store.get(name)?))).collect();
        sets.sort_by(|a, b| (a.created, a.revision, &a.object).cmp(&(b.created, b.revision, &b.object)));
        sets
    }

    fn create_set(&mut self, object: &ObjectRef, document: &Document, template: &Value, sets: &[Set]) {
        const LABEL: &str = "pod-template-hash";
        let hash = template_hash(template);
        let revision = sets.iter().map(|set| set.revision).max().unwrap_or(0) + 1;
        let template = with_label(Some(template), "/metadata/labels", LABEL, &hash);
        let selector = with_label(document.0.pointer("/spec/selector"), "/matchLabels", LABEL, &hash);
        let name = format!("{}-{hash}", object.name);
        let set = json!({
            "kind": "ReplicaSet",
            "metadata": {
                "namespace": object.namespace, "name": name, "labels": template["metadata"]["labels"],
                "annotations": { REVISION: revision.to_string() },
                "ownerReferences": controlled_by(object, document),
            },
            "spec": {
                "replicas": 0, "selector": selector, "template": template,
                "minReadySeconds": document.number("/spec/minReadySeconds").unwrap_or(0),
            },
        });
        // The name is taken only if this very template is there already; then nothing is to be made.
        if self.store.create(set, "kube-controller-manager", self.now).is_ok() {
            let message = format!("Created new replica set \"{name}\"");
            self.note_progress(object, "NewReplicaSetCreated", &message);
        }
    }

    /// A template that is taken up again gets the next number.
    fn number(&mut self, object: &ObjectRef, new: &Set, old: &[Set]) {
        let highest = old.iter().map(|set| set.revision).max().unwrap_or(0);
        let mut revision = new.revision;
        if revision <= highest {
            self.store.update(&new.object, |set| {
                let annotations = &mut set["metadata"]["annotations"];
                let history = annotations.get(HISTORY).and_then(Value::as_str).map(|past| format!("{past},"));
                annotations[HISTORY] = json!(format!("{}{revision}", history.unwrap_or_default()));
                annotations[REVISION] = json!((highest + 1).to_string());
            });
            revision = highest + 1;
            let message = format!("Found new replica set \"{}\"", new.object.name);
            self.note_progress(object, "FoundNewReplicaSet", &message);
        }
        let revision = revision.to_string();
        if self.store.get(object).is_some_and(|document| document.annotation(REVISION) != Some(&revision)) {
            self.store.update(object, |document| {
                let annotations = &mut document["metadata"]["annotations"];
                if !annotations.is_object() {
                    *annotations = json!({});
                }
                annotations[REVISION] = json!(revision);
            });
        }
    }

    /// The deadline of a rollout counts from its newest progress.
    fn note_progress(&mut self, object: &ObjectRef, reason: &str, message: &str) {
        let (now, at) = (now_of(self), self.now);
        self.store.update(object, |document| {
            let mut conditions = conditions(document);
            conditions.retain(|condition| condition["type"] != "Progressing");
            set_condition(&mut conditions, "Progressing", "True", reason, message, &now);
            document["status"]["conditions"] = json!(conditions);
        });
        if let Some(deadline) = self.store.get(object).map(deadline) {
            self.at(deadline.after(at), Task::Reconcile(object.clone()));
        }
    }

    fn deployment_status(&mut self, object: &ObjectRef, new: Option<&ObjectRef>, paused: bool) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let Ok(uid) = document.uid() else { return };
        let sets = self.sets(&uid);
        let sum = |of: fn(&Set) -> u32| sets.iter().map(of).sum::<u32>();
        let desired = document.number("/spec/replicas").unwrap_or(1) as u32;
        let (replicas, ready, available) =
            (sum(|set| set.replicas), sum(|set| set.ready), sum(|set| set.available));
        let updated = sets.iter().find(|set| Some(&set.object) == new).map_or(0, |set| set.replicas);
        let now = now_of(self);
        let mut conditions = conditions(&document.0);
        let (_, unavailable) = super::rollout::bounds(&document, desired);
        if available + unavailable >= desired {
            let message = "Deployment has minimum availability.";
            set_condition(&mut conditions, "Available", "True", "MinimumReplicasAvailable", message, &now);
        } else {
            let message = "Deployment does not have minimum availability.";
            set_condition(&mut conditions, "Available", "False", "MinimumReplicasUnavailable", message, &now);
        }
        let before = |field: &str| count(&document, &format!("/status/{field}"));
        let old_left = replicas.saturating_sub(updated);
        let moved = updated > before("updatedReplicas")
            || old_left < before("replicas").saturating_sub(before("updatedReplicas"))
            || ready > before("readyReplicas")
            || available > before("availableReplicas");
        let complete = new.is_some() && updated == desired && replicas == desired && available >= desired;
        let name = new.map(|new| new.name.to_string()).unwrap_or_default();
        let progressing = conditions.iter().find(|condition| condition["type"] == "Progressing").cloned();
        let settled = progressing.as_ref().is_some_and(|old| old["reason"] == "NewReplicaSetAvailable");
        let mut deadline_at = None;
        if paused {
            let message = "Deployment is paused";
            set_condition(&mut conditions, "Progressing", "Unknown", "DeploymentPaused", message, &now);
        } else if complete {
            let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
            set_condition(&mut conditions, "Progressing", "True", "NewReplicaSetAvailable", &message, &now);
        } else if moved && !settled {
            let message = format!("ReplicaSet \"{name}\" is progressing.");
            conditions.retain(|condition| condition["type"] != "Progressing");
            set_condition(&mut conditions, "Progressing", "True", "ReplicaSetUpdated", &message, &now);
            if let Some(old) = progressing.filter(|old| old["status"] == "True") {
                conditions.iter_mut().filter(|condition| condition["type"] == "Progressing").for_each(
                    |condition| {
                        condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
                    },
                );
            }
            deadline_at = Some(deadline(&document).after(self.now));
        } else if !settled {
            let since =
                progressing.and_then(|old| old["lastUpdateTime"].as_str().and_then(|text| text.parse().ok()));
            if since.is_some_and(|since| deadline(&document).after(since) <= self.now) {
                let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
                set_condition(
                    &mut conditions,
                    "Progressing",
                    "False",
                    "ProgressDeadlineExceeded",
                    &message,
                    &now,
                );
            }
        }
        let failures = sets.iter().filter_map(|set| self.store.get(&set.object));
        let failure = failures
            .flat_map(|set| set.list("/status/conditions"))
            .find(|condition| condition["type"] == "ReplicaFailure");
        conditions.retain(|condition| condition["type"] != "ReplicaFailure");
        conditions.extend(failure.cloned());
        let status = json!({
            "observedGeneration": document.number("/metadata/generation"), "replicas": replicas,
            "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": available,
            "unavailableReplicas": desired.saturating_sub(available), "conditions": conditions,
        });
        self.store.set_status(object, status);
        if let Some(time) = deadline_at {
            self.at(time, Task::Reconcile(object.clone()));
        }
    }

    fn forget_old(&mut self, document: &Document, old: &[Set]) {
        let limit = document.number("/spec/revisionHistoryLimit").unwrap_or(HISTORY_LIMIT) as usize;
        let mut idle: Vec<&Set> = old.iter().filter(|set| set.wanted == 0 && set.replicas == 0).collect();
        idle.sort_by_key(|set| set.revision);
        for set in idle.iter().take(idle.len().saturating_sub(limit)) {
            self.store.remove(&set.object);
        }
    }

    /// Sets what a Deployment, StatefulSet or ReplicaSet wants, as an autoscaler does.
    pub(super) fn scale(&mut self, object: &ObjectRef, replicas: u32, told: (&ObjectRef, String)) {
        self.store.update(object, |document| document["spec"]["replicas"] = json!(replicas));
        self.tell(told.0, EventType::Normal, "SuccessfulRescale", told.1, "horizontal-pod-autoscaler");
    }
}

fn conditions(document: &Value) -> Vec<Value> {
    document.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn deadline(document: &Document) -> Period {
    Period::from_secs(document.number("/spec/progressDeadlineSeconds").unwrap_or(PROGRESS_DEADLINE))
}
