//! The revisions of a workload: which one runs, which one was healthy before it.

use kubewise_core::Timestamp;
use kubewise_core::document::Document;
use serde_json::Value;

use crate::evidence::Evidence;

/// One revision: a ReplicaSet of a Deployment, a ControllerRevision of a StatefulSet or DaemonSet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Revision {
    /// The `pod-template-hash` (Deployment) or the ControllerRevision's name; how it is recorded as healthy.
    pub(crate) name: String,
    /// The value of the label by which its pods are known.
    pub(crate) label: String,
    pub(crate) number: u64,
    /// The pod template, without the label that the controller adds.
    pub(crate) template: Value,
    /// Since when the workload runs it.
    pub(crate) began: Option<Timestamp>,
    /// Pods of it that are available now.
    available: u64,
    recorded: Option<Timestamp>,
}

impl Revision {
    /// Whether KubeWise saw it available, or it has available pods now.
    pub(crate) fn is_healthy(&self) -> bool {
        self.recorded.is_some() || self.available > 0
    }

    pub(crate) fn was_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    pub(crate) fn title(&self) -> String {
        format!("{} ({})", self.number, self.name)
    }

    /// Why it counts as healthy.
    pub(crate) fn proof(&self) -> String {
        match self.recorded {
            Some(seen) => format!("seen available at {seen:.0}"),
            None => format!("{} of its pods are available now", self.available),
        }
    }
}

/// The revisions of one workload, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Revisions {
    all: Vec<Revision>,
    current: Option<usize>,
}

impl Revisions {
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let Some(workload) = &evidence.workload else { return Revisions::default() };
        let mut all: Vec<_> =
            evidence.revisions.iter().filter_map(|document| revision(document, evidence)).collect();
        all.sort_by(|a, b| (b.number, &b.name).cmp(&(a.number, &a.name)));
        let current = match workload.text("/kind") {
            Some("StatefulSet") => {
                let name = workload.text("/status/updateRevision").unwrap_or_default();
                all.iter().position(|revision| revision.name == name)
            }
            // The newest ControllerRevision is the one that is rolled out; a revision that is taken up again
            // gets the next number. So does a ReplicaSet.
            _ => (!all.is_empty()).then_some(0),
        };
        Revisions { all, current }
    }

    pub(crate) fn current(&self) -> Option<&Revision> {
        self.all.get(self.current?)
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Revision> {
        self.all.iter().find(|revision| revision.name == name)
    }

    /// The newest one before the current one that is known to be healthy and differs from it.
    pub(crate) fn last_healthy(&self) -> Option<&Revision> {
        let current = self.current()?;
        self.all.iter().find(|revision| {
            revision.number < current.number && revision.is_healthy() && revision.template != current.template
        })
    }

    /// The newest one before the current one.
    pub(crate) fn previous(&self) -> Option<&Revision> {
        let current = self.current()?;
        self.all.iter().find(|revision| revision.number < current.number)
    }

    pub(crate) fn count(&self) -> i64 {
        i64::try_from(self.all.len()).unwrap_or(i64::MAX)
    }
}

fn revision(document: &Document, evidence: &Evidence) -> Option<Revision> {
    let name = document.text("/metadata/name")?.to_owned();
    let (name, label, number, mut template, available) = match document.text("/kind")? {
        "ReplicaSet" => {
            let hash = document.label("pod-template-hash")?.to_owned();
            let number = document.annotation("deployment.kubernetes.io/revision")?.parse().ok()?;
            let available = document.number("/status/availableReplicas").unwrap_or(0);
            (hash.clone(), hash, number, document.0.pointer("/spec/template")?.clone(), available)
        }
        "ControllerRevision" => {
            // A DaemonSet labels its pods with the hash alone, a StatefulSet with the revision's name.
            let hash = document.label("controller-revision-hash").unwrap_or(&name).to_owned();
            let available = ready_pods(evidence, &[&name, &hash]);
            let template = document.0.pointer("/data/spec/template")?.clone();
            (name, hash, document.number("/revision")?, template, available)
        }
        _ => return None,
    };
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove("pod-template-hash");
    }
    let recorded =
        evidence.healthy.iter().find(|healthy| healthy.template == name || healthy.template == label);
    Some(Revision {
        began: began(document, evidence, &label),
        recorded: recorded.map(|healthy| healthy.seen_at),
        name,
        label,
        number,
        template,
        available,
    })
}

/// Since when a revision runs: when it was made or, if it was taken up again later, when its oldest pod was.
fn began(document: &Document, evidence: &Evidence, label: &str) -> Option<Timestamp> {
    let made = document.time("/metadata/creationTimestamp")?;
    if document.annotation("deployment.kubernetes.io/revision-history").is_none() {
        return Some(made);
    }
    let pods = evidence.pods.iter().filter(|pod| template_of(pod) == Some(label));
    pods.filter_map(|pod| pod.time("/metadata/creationTimestamp"))
        .min()
        .map(|oldest| oldest.max(made))
        .or(Some(made))
}

/// The label that says which revision a pod is of.
pub(crate) fn template_of(pod: &Document) -> Option<&str> {
    pod.label("pod-template-hash").or_else(|| pod.label("controller-revision-hash"))
}

pub(crate) fn is_ready(pod: &Document) -> bool {
    pod.condition("Ready") == Some("True")
}

fn ready_pods(evidence: &Evidence, labels: &[&str]) -> u64 {
    let of_it = |pod: &&Document| template_of(pod).is_some_and(|label| labels.contains(&label));
    evidence.pods.iter().filter(of_it).filter(|pod| is_ready(pod)).count() as u64
}
