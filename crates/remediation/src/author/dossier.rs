//! The evidence as it is told to a model: one item for each thing that it may cite.
//!
//! Ids are words (`event:BackOff`, `log:app`), without names of pods and counts, so that they mean the same when the
//! evidence is gathered again while the model thinks.

use std::collections::BTreeMap;

use kubewise_core::action::{Direction, ExecutedActionRecord};
use kubewise_core::document::Document;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::metric::MetricType;
use kubewise_core::plan::{EvidenceItem, RemediationPlan, Verdict};
use kubewise_core::state::ObjectState;
use kubewise_core::{Kind, ObjectRef, Timestamp};

use super::egress::{Egress, Line, Shortly};
use super::fields::{AUTOSCALER, BOUNDS, CLAIM, CONTAINER, NODE, POD, WORKLOAD};
use super::offer::Offer;
use super::{change, logs};
use crate::evidence::Evidence;
use crate::revision::{Revisions, template_of};

/// Of one source at most, before the budget: more of one kind tells nothing new.
const MAX_ANOMALIES: usize = 8;
const MAX_CONTAINERS: usize = 12;
const MAX_PODS: usize = 6;
const MAX_WARNINGS: usize = 24;
const MAX_NORMAL: usize = 8;
const MAX_HISTORY: usize = 8;
const MAX_PRECEDENTS: usize = 8;
const MAX_BESIDE: usize = 4;
const MAX_METRICS: usize = 12;
/// Bytes of an Event's message by which it is known to say the same as another.
const MAX_SKELETON: usize = 160;
/// Characters of the part of an id that comes from the cluster.
const MAX_ID: usize = 32;

/// Where an item is from, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Anomalies,
    Changes,
    Containers,
    Warnings,
    Logs,
    History,
    Precedents,
    Refused,
    State,
    Events,
    Metrics,
}

impl Source {
    pub(super) fn heading(self) -> String {
        let title = match self {
            Source::Anomalies => "What was noticed",
            Source::Changes => "What changed",
            Source::Containers => "Containers in trouble, and how they ended",
            Source::Warnings => "Warnings of Kubernetes, in order",
            Source::Logs => "Logs",
            Source::History => "What KubeWise did before, newest first",
            Source::Precedents => {
                "What KubeWise did to other workloads beside it for the same trouble, newest first"
            }
            Source::Refused => "Repairs that a safety rule forbids now",
            Source::State => "The workload and what belongs to it",
            Source::Events => "Other Events, in order",
            Source::Metrics => "Measures",
        };
        format!("## {title}\n")
    }
}

/// One thing that is known, and the id by which it is cited.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) source: Source,
    /// Orders the items of one source when they are told.
    pub(super) place: i64,
    line: Line,
}

impl Item {
    pub(super) fn told(&self) -> String {
        format!("[{}] {}\n", self.id, self.line.as_str())
    }

    pub(super) fn cited(&self) -> EvidenceItem {
        EvidenceItem { id: self.id.clone(), source: "model".into(), text: self.line.as_str().into() }
    }
}

/// Items with ids of their own.
#[derive(Debug)]
pub(super) struct Dossier {
    pub(super) egress: Egress,
    items: Vec<Item>,
    ids: BTreeMap<String, u32>,
}

impl Dossier {
    pub(super) fn add(&mut self, source: Source, kind: &str, about: &str, place: i64, line: Line) {
        let about = about.chars().take(MAX_ID).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        let id: String = kind.chars().chain([':']).chain(about).collect();
        let number = self.ids.entry(id.clone()).or_default();
        *number += 1;
        let id = if *number == 1 { id } else { format!("{id}-{number}") };
        self.items.push(Item { id, source, place, line });
    }
}

/// Everything that is known, the most telling of each source first.
pub(super) fn items(
    evidence: &Evidence,
    revisions: &Revisions,
    offers: &[Offer],
    egress: Egress,
) -> Vec<Item> {
    let mut dossier = Dossier { egress, items: Vec::new(), ids: BTreeMap::new() };
    anomalies(evidence, &mut dossier);
    change::add(evidence, revisions, &mut dossier);
    let states: Vec<_> = evidence.pod_states().collect();
    containers(evidence, &states, &mut dossier);
    events(evidence, &mut dossier);
    logs::add(evidence, &mut dossier);
    history(evidence, &mut dossier);
    precedents(evidence, offers, &mut dossier);
    refused(offers, &mut dossier);
    objects(evidence, &states, &mut dossier);
    metrics(evidence, &mut dossier);
    dossier.items
}

/// What a plan says, for whoever explains it.
pub(super) fn of_plan(plan: &RemediationPlan, egress: Egress) -> Vec<Item> {
    let mut dossier = Dossier { egress, items: Vec::new(), ids: BTreeMap::new() };
    for (place, (about, text)) in (0..).zip([("cause", &plan.root_cause), ("reasoning", &plan.reasoning)]) {
        dossier.add(Source::History, "plan", about, place, egress.line().text(text));
    }
    dossier.items
}

fn anomalies(evidence: &Evidence, dossier: &mut Dossier) {
    let mut firing: Vec<_> = evidence.firing().collect();
    firing.sort_by_key(|anomaly| (std::cmp::Reverse(anomaly.severity), anomaly.time, anomaly.id.clone()));
    for (place, anomaly) in (0..).zip(firing.into_iter().take(MAX_ANOMALIES)) {
        let line = dossier.egress.line().value(anomaly.reason).ours(" since ").value(anomaly.time);
        let line = line.ours(" on ").object(&anomaly.object);
        let line = match &anomaly.container {
            Some(container) => line.ours(" container ").name(container),
            None => line,
        };
        let mut line = line.ours(": ").text(&anomaly.explanation);
        for feature in anomaly.features.iter().take(MAX_BESIDE) {
            line = line.ours("; ").name(&feature.name).ours("=").value(Shortly(feature.value));
            if let Some(expected) = feature.expected {
                line = line.ours(" where ").value(Shortly(expected)).ours(" was expected");
            }
        }
        dossier.add(Source::Anomalies, "anomaly", anomaly.reason.as_str(), place, line);
    }
}

fn containers(evidence: &Evidence, states: &[ObjectState], dossier: &mut Dossier) {
    let mut troubled: Vec<_> = states
        .iter()
        .flat_map(|state| {
            let containers = state.pod().map(|pod| pod.containers.as_slice()).unwrap_or_default();
            containers.iter().map(move |container| (state, container))
        })
        .filter(|(state, container)| evidence.trouble_of(&state.object, container).is_some())
        .collect();
    troubled.sort_by_key(|(state, container)| {
        (container.ready, std::cmp::Reverse(container.restarts), &state.object)
    });
    for (place, (state, container)) in (0..).zip(troubled.into_iter().take(MAX_CONTAINERS)) {
        let status = evidence.document(&state.object).and_then(|pod| {
            let list =
                if container.init { "/status/initContainerStatuses" } else { "/status/containerStatuses" };
            pod.list(list)
                .iter()
                .find(|status| status.get("name").and_then(|name| name.as_str()) == Some(&container.name))
        });
        let line = dossier.egress.line().object(&state.object);
        let line =
            line.ours(if container.init { " init container " } else { " container " }).name(&container.name);
        let line = status.map_or(line.clone(), |status| line.ours(": ").fields(status, CONTAINER));
        dossier.add(Source::Containers, "container", &container.name, place, line);
    }
}

/// Events that say the same are one item: a hundred pods of a workload fail alike.
fn events(evidence: &Evidence, dossier: &mut Dossier) {
    struct Group<'a> {
        newest: &'a EventRecord,
        first_seen: Timestamp,
        count: u64,
        objects: std::collections::BTreeSet<&'a ObjectRef>,
    }
    let mut groups: BTreeMap<(bool, &str, &Kind, String), Group<'_>> = BTreeMap::new();
    for event in &evidence.events {
        let normal = event.event_type == EventType::Normal;
        let key = (normal, event.reason.as_str(), &event.object.kind, skeleton(&event.message));
        let group = groups.entry(key).or_insert_with(|| Group {
            newest: event,
            first_seen: event.first_seen,
            count: 0,
            objects: std::collections::BTreeSet::new(),
        });
        group.count += u64::from(event.count);
        group.first_seen = group.first_seen.min(event.first_seen);
        group.objects.insert(&event.object);
        if (event.last_seen, &event.uid) > (group.newest.last_seen, &group.newest.uid) {
            group.newest = event;
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.newest.last_seen), group.newest.uid.clone()));
    let (normal, warnings): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|group| group.newest.event_type == EventType::Normal);
    let kinds = [(Source::Warnings, warnings, MAX_WARNINGS), (Source::Events, normal, MAX_NORMAL)];
    for (source, groups, most) in kinds {
        for group in groups.into_iter().take(most) {
            let event = group.newest;
            let line = dossier.egress.line().value(event.last_seen).ours(" ").name(&event.reason);
            let line = line.ours(" on ").object(&event.object);
            let line = match group.objects.len() {
                1 => line,
                objects => line.ours(" and ").value(objects - 1).ours(" more"),
            };
            let line = line.ours(", ").value(group.count).ours(" times since ").value(group.first_seen);
            let line = line.ours(": ").text(&event.message);
            dossier.add(source, "event", &event.reason, event.last_seen.as_second(), line);
        }
    }
}

/// The words of a message without names, numbers and hashes.
fn skeleton(message: &str) -> String {
    let start = &message[..message.floor_char_boundary(MAX_SKELETON)];
    let words = start.split_whitespace().filter(|word| !word.bytes().any(|byte| byte.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

fn history(evidence: &Evidence, dossier: &mut Dossier) {
    for (place, done) in (0..).zip(evidence.history.iter().take(MAX_HISTORY)) {
        let line = ended(deed(dossier.egress, done), done);
        dossier.add(Source::History, "history", &done.action.name, place, line);
    }
}

/// What was done to others of the namespace for what a playbook that matches here takes for the cause, and how that ended.
fn precedents(evidence: &Evidence, offers: &[Offer], dossier: &mut Dossier) {
    let workload = &evidence.incident.workload;
    let alike = evidence.precedents.iter().filter(|done| {
        let same_cause = offers.iter().any(|offer| done.cause.as_ref() == Some(&offer.playbook));
        let beside = done.workload != *workload && done.workload.namespace == workload.namespace;
        same_cause && beside && done.direction == Direction::Act
    });
    for (place, done) in (0..).zip(alike.take(MAX_PRECEDENTS)) {
        let line = ended(deed(dossier.egress, done).ours(" on ").object(&done.workload), done);
        dossier.add(Source::Precedents, "precedent", &done.action.name, place, line);
    }
}

fn deed(egress: Egress, done: &ExecutedActionRecord) -> Line {
    let line = egress.line().value(done.started_at).ours(match done.direction {
        Direction::Act => " did ",
        Direction::Undo => " undid ",
    });
    line.name(&done.action.name)
}

fn ended(line: Line, done: &ExecutedActionRecord) -> Line {
    let line = line.ours(": ").name(&done.status.to_string()).ours(match done.verdict {
        Some(Verdict::Improved) => ", it improved",
        Some(Verdict::Worse) => ", it got worse",
        Some(Verdict::Inconclusive) => ", whether it helped is not known",
        None => "",
    });
    let line = match done.outcome {
        Some(outcome) => line.ours(", the repair ended as ").name(&outcome.to_string()),
        None => line,
    };
    line.ours("; ").text(&done.detail)
}

fn refused(offers: &[Offer], dossier: &mut Dossier) {
    for offer in offers {
        for refusal in offer.judged.as_ref().err().into_iter().flatten() {
            let line =
                dossier.egress.line().name(offer.action.name).ours(" of playbook ").name(&offer.playbook);
            let line = line.ours(" is refused by ").name(&refusal.rule).ours(": ").text(&refusal.finding);
            dossier.add(Source::Refused, "refused", offer.action.name, 0, line);
        }
    }
}

fn objects(evidence: &Evidence, states: &[ObjectState], dossier: &mut Dossier) {
    if let Some(workload) = &evidence.workload {
        let line = dossier
            .egress
            .line()
            .object(&evidence.incident.workload)
            .ours(": ")
            .fields(&workload.0, WORKLOAD);
        dossier.add(Source::State, "object", evidence.incident.workload.kind.as_str(), 0, line);
    }
    let ready = |state: &&ObjectState| state.pod().is_some_and(|pod| pod.ready);
    let line = dossier.egress.line().value(states.iter().filter(ready).count()).ours(" of ");
    let mut line = line.value(states.len()).ours(" pods are ready");
    let mut revisions: BTreeMap<&str, u32> = BTreeMap::new();
    for pod in &evidence.pods {
        *revisions.entry(template_of(pod).unwrap_or("none")).or_default() += 1;
    }
    for (revision, pods) in revisions.into_iter().take(MAX_BESIDE) {
        line = line.ours("; ").value(pods).ours(" are of revision ").name(revision);
    }
    dossier.add(Source::State, "object", "pods", 1, line);
    let unready: Vec<_> = states.iter().filter(|state| !ready(state)).take(MAX_PODS).collect();
    for (place, state) in (2..).zip(&unready) {
        if let Some(pod) = evidence.document(&state.object) {
            let line = dossier.egress.line().object(&state.object).ours(": ").fields(&pod.0, POD);
            dossier.add(Source::State, "object", "Pod", place, line);
        }
    }
    let hosts: Vec<&str> = unready.iter().filter_map(|state| state.pod()?.node.as_deref()).collect();
    let is_host = |node: &&Document| node.text("/metadata/name").is_some_and(|name| hosts.contains(&name));
    let ours = |scaler: &&Document| {
        scaler.text("/spec/scaleTargetRef/name") == Some(&*evidence.incident.workload.name)
    };
    let beside = [
        (evidence.autoscalers.iter().filter(ours).collect::<Vec<_>>(), AUTOSCALER),
        (evidence.claims.iter().collect(), CLAIM),
        (evidence.nodes.iter().filter(is_host).collect(), NODE),
        (evidence.quotas.iter().chain(&evidence.limit_ranges).chain(&evidence.budgets).collect(), BOUNDS),
    ];
    for (documents, list) in beside {
        for document in documents.into_iter().take(MAX_BESIDE) {
            let Ok(object) = document.object() else { continue };
            let line = dossier.egress.line().object(&object).ours(": ").fields(&document.0, list);
            dossier.add(Source::State, "object", object.kind.as_str(), i64::MAX, line);
        }
    }
}

/// Measure, container and detail.
type Series<'a> = (&'a MetricType, Option<&'a str>, Option<&'a str>);

/// The newest value of each measure, of the object for which it is highest.
fn metrics(evidence: &Evidence, dossier: &mut Dossier) {
    let mut newest: BTreeMap<(Series<'_>, &ObjectRef), f64> = BTreeMap::new();
    for sample in &evidence.samples {
        let series = (&sample.metric_type, sample.container.as_deref(), sample.detail.as_deref());
        newest.insert((series, &sample.object), sample.value);
    }
    let mut highest: BTreeMap<Series<'_>, (f64, usize)> = BTreeMap::new();
    for ((series, _), value) in newest {
        let (most, objects) = highest.entry(series).or_insert((value, 0));
        (*most, *objects) = (most.max(value), *objects + 1);
    }
    for (place, ((metric_type, container, detail), (value, objects))) in
        (0..).zip(highest.into_iter().take(MAX_METRICS))
    {
        let mut line = dossier.egress.line().metric(metric_type);
        for (what, name) in [(" of container ", container), (" for ", detail)] {
            if let Some(name) = name {
                line = line.ours(what).name(name);
            }
        }
        let line = line.ours(" is ").value(Shortly(value));
        let line = match objects {
            1 => line,
            objects => line.ours(", the highest of ").value(objects).ours(" objects"),
        };
        dossier.add(Source::Metrics, "metric", metric_type.as_str(), place, line);
    }
}
