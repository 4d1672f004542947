//! From symptoms that come and go to anomalies that fire and resolve, and from these to incidents.
//!
//! An anomaly is one reason of one workload, whatever the number of pods that show it. It fires when a symptom is
//! ripe, is held by any symptom, and resolves when none has been there for its settle time. A workload has at
//! most one open incident; all anomalies that fire meanwhile belong to it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus, FAILURE_INTERVAL, Feature, Reason};
use kubewise_core::id::{AnomalyId, EventId, IncidentId};
use kubewise_core::incident::Incident;
use kubewise_core::{Kind, ObjectRef, Period};

use crate::Change;
use crate::events::{LINKED, Warnings};
use crate::options::RuleOptions;
use crate::prelude::Prelude;
use crate::records;
use crate::rules::{precedence, rests_on, stops};
use crate::symptom::Symptom;
use crate::text;

/// A firing anomaly is told anew at most this often.
const UPDATE: Period = Period::from_secs(30);

/// The anomaly that names the incident: firing before resolved, the nearest to the cause, the earliest.
pub fn leading(anomalies: &[AnomalyRecord]) -> Option<&AnomalyRecord> {
    anomalies.iter().min_by_key(|one| {
        (one.status != AnomalyStatus::Firing, precedence(one.reason), one.time, one.id.clone())
    })
}

#[derive(Debug, Default)]
pub(crate) struct Anomalies {
    /// Reasons of a workload that fire.
    firing: BTreeMap<ObjectRef, BTreeMap<Reason, Firing>>,
    open: BTreeMap<ObjectRef, Open>,
}

#[derive(Debug)]
struct Firing {
    record: AnomalyRecord,
    /// Who shows it.
    shown: BTreeSet<(ObjectRef, Option<String>)>,
    interval: Option<Period>,
    /// What led up to it: once known it stays, though the Events go.
    order: Option<String>,
    /// Since when nothing shows it, on telemetry that is whole.
    clear_since: Option<Timestamp>,
}

#[derive(Debug)]
struct Open {
    incident: IncidentId,
    /// Whose incident it is, if it is another's that the workload joined.
    root: Option<ObjectRef>,
    /// Since when the root has no part in it any more while this one still fires.
    alone_since: Option<Timestamp>,
    /// Since when none of its anomalies is shown.
    clear_since: Option<Timestamp>,
}

/// What judging needs beside the symptoms.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a RuleOptions,
    pub(crate) is_whole: &'a dyn Fn(&Kind) -> bool,
    pub(crate) events: &'a dyn Fn() -> Vec<EventId>,
    /// What led up to it.
    pub(crate) prelude: &'a dyn Fn(Reason) -> Prelude,
    /// Who needs a workload.
    pub(crate) dependants: &'a dyn Fn(&ObjectRef) -> Vec<ObjectRef>,
    /// Whose incident a new anomaly joins, if the workload has none.
    pub(crate) root: Option<&'a ObjectRef>,
    pub(crate) now: Timestamp,
}

impl Anomalies {
    /// Takes up what fired and was open in an earlier process. If a workload has several open incidents, the one
    /// whose anomalies fire goes on, else the newest.
    pub(crate) fn restore(&mut self, firing: Vec<AnomalyRecord>, mut open: Vec<Incident>) {
        open.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        let fires =
            |incident: &Incident| firing.iter().any(|one| one.incident.as_ref() == Some(&incident.id));
        let (alive, quiet): (Vec<_>, Vec<_>) = open.into_iter().partition(fires);
        let mut roots = BTreeMap::new();
        for incident in quiet.into_iter().chain(alive) {
            roots.insert(incident.id.clone(), incident.workload.clone());
            self.open.insert(incident.workload, Open::of(incident.id, None));
        }
        for record in firing.into_iter().filter(|one| one.status == AnomalyStatus::Firing) {
            let interval = record.features.iter().find(|feature| feature.name == FAILURE_INTERVAL);
            let interval = interval.map(|feature| Period::from_millis((feature.value * 1000.0) as u64));
            let shown = BTreeSet::from([(record.object.clone(), record.container.clone())]);
            if let (false, Some(incident)) = (self.open.contains_key(&record.workload), &record.incident) {
                let root = roots.get(incident).filter(|root| **root != record.workload).cloned();
                self.open.insert(record.workload.clone(), Open::of(incident.clone(), root));
            }
            let reasons = self.firing.entry(record.workload.clone()).or_default();
            let firing = Firing { shown, interval, order: None, clear_since: None, record };
            reasons.insert(firing.record.reason, firing);
        }
    }

    /// Judges what a workload shows now.
    pub(crate) fn judge(
        &mut self,
        workload: &ObjectRef,
        symptoms: Vec<Symptom>,
        bench: &Bench<'_>,
        changes: &mut Vec<Change>,
    ) {
        let mut by_reason: BTreeMap<Reason, Vec<Symptom>> = BTreeMap::new();
        for symptom in symptoms {
            by_reason.entry(symptom.reason).or_default().push(symptom);
        }
        let present: BTreeSet<Reason> = by_reason.keys().copied().collect();
        let mut new = Vec::new();
        for (reason, mut shown) in by_reason {
            shown.sort_by(|a, b| a.rank().cmp(&b.rank()));
            if let Some(firing) = self.firing.get_mut(workload).and_then(|reasons| reasons.get_mut(&reason)) {
                firing.hold(&shown, bench, changes);
            } else if shown.iter().any(|symptom| symptom.ripe_at <= bench.now) {
                new.push((reason, shown));
            } else {
                continue;
            }
            if let Some(open) = self.open.get_mut(workload) {
                open.clear_since = None;
            }
        }
        new.sort_by_key(|(reason, _)| precedence(*reason));
        for (reason, symptoms) in new {
            self.fire(workload, reason, &symptoms, bench, changes);
        }
        self.settle(workload, &present, bench, changes);
    }

    fn fire(
        &mut self,
        workload: &ObjectRef,
        reason: Reason,
        symptoms: &[Symptom],
        bench: &Bench<'_>,
        changes: &mut Vec<Change>,
    ) {
        let now = bench.now;
        let id = AnomalyId::derive(&[workload, &reason, &now]);
        let Some(mut firing) = Firing::new(workload, id.clone(), symptoms, bench) else { return };
        firing.record.events = (bench.events)();
        if let Some(open) = self.open.get_mut(workload) {
            open.clear_since = None;
            let (incident, text) = (open.incident.clone(), firing.record.explanation.clone());
            changes.push(Change::IncidentJoined { incident, anomaly: id, text });
        } else if let Some((root, incident)) = self.incident_of(bench.root) {
            let text = format!("{}; it needs {}", firing.record.explanation, text::name(&root));
            self.open.insert(workload.clone(), Open::of(incident.clone(), Some(root)));
            changes.push(Change::IncidentJoined { incident, anomaly: id, text });
        } else {
            self.begin(workload, &firing.record, bench, changes);
        }
        firing.record.incident = self.open.get(workload).map(|open| open.incident.clone());
        changes.push(Change::Anomaly(Box::new(firing.record.clone())));
        self.firing.entry(workload.clone()).or_default().insert(reason, firing);
    }

    /// Opens an incident of the workload's own.
    fn begin(
        &mut self,
        workload: &ObjectRef,
        first: &AnomalyRecord,
        bench: &Bench<'_>,
        changes: &mut Vec<Change>,
    ) {
        let incident = records::incident(first, (bench.dependants)(workload), bench.now);
        self.open.insert(workload.clone(), Open::of(incident.id.clone(), None));
        changes.push(Change::IncidentOpened(Box::new(incident)));
    }

    /// The open incident that a workload is part of, with the workload whose it is.
    fn incident_of(&self, workload: Option<&ObjectRef>) -> Option<(ObjectRef, IncidentId)> {
        let open = self.open.get(workload?)?;
        Some((open.root.as_ref().or(workload)?.clone(), open.incident.clone()))
    }

    /// A workload that fires on long after the root of its incident is well has trouble of its own.
    fn part(&mut self, workload: &ObjectRef, bench: &Bench<'_>, changes: &mut Vec<Change>) {
        let Some(open) = self.open.get(workload) else { return };
        let Some(root) = &open.root else { return };
        let incident = open.incident.clone();
        let is_whole = self.open.get(root).is_some_and(|of_root| of_root.incident == incident);
        let Some(open) = self.open.get_mut(workload) else { return };
        if is_whole {
            open.alone_since = None;
            return;
        }
        let since = *open.alone_since.get_or_insert(bench.now);
        if bench.options.settle_max.after(since) > bench.now {
            return;
        }
        let reasons = self.firing.remove(workload).unwrap_or_default();
        if let Some(lead) = reasons.values().min_by_key(|firing| precedence(firing.record.reason)) {
            self.begin(workload, &lead.record.clone(), bench, changes);
            let own = self.open.get(workload).map(|open| open.incident.clone());
            let mut reasons = reasons;
            for firing in reasons.values_mut() {
                firing.record.incident.clone_from(&own);
                firing.record.updated_at = bench.now;
                changes.push(Change::Anomaly(Box::new(firing.record.clone())));
            }
            self.firing.insert(workload.clone(), reasons);
            self.quiet_if_last(incident, bench.now, changes);
        }
    }

    /// An incident is quiet when nobody that is part of it shows anything any more.
    fn quiet_if_last(&self, incident: IncidentId, since: Timestamp, changes: &mut Vec<Change>) {
        if self.open.values().all(|open| open.incident != incident) {
            changes.push(Change::IncidentQuiet { incident, since });
        }
    }

    /// Resolves what has not been shown for long enough, and tells when nothing is left.
    fn settle(
        &mut self,
        workload: &ObjectRef,
        present: &BTreeSet<Reason>,
        bench: &Bench<'_>,
        changes: &mut Vec<Change>,
    ) {
        let Some(open) = self.open.get_mut(workload) else { return };
        let reasons = self.firing.entry(workload.clone()).or_default();
        let had_any = !reasons.is_empty();
        let resolved = reasons.extract_if(.., |reason, firing| {
            let whole = rests_on(*reason, workload).iter().all(bench.is_whole);
            firing.is_over(!present.contains(reason) && whole, bench)
        });
        for (_, mut firing) in resolved {
            open.clear_since = open.clear_since.max(firing.clear_since);
            firing.record.status = AnomalyStatus::Resolved;
            firing.record.resolved_at = Some(bench.now);
            firing.record.updated_at = bench.now;
            changes.push(Change::Anomaly(Box::new(firing.record)));
        }
        if !reasons.is_empty() {
            self.part(workload, bench, changes);
            return;
        }
        self.firing.remove(workload);
        // An incident without anomalies comes from an earlier process: what it rests on must be seen first.
        let whole = || [workload.kind.clone(), pods_of(workload)].iter().all(bench.is_whole);
        if !had_any && open.clear_since.is_none() && whole() {
            open.clear_since = Some(bench.now);
        }
        let Some(since) = open.clear_since else { return };
        if had_any || bench.options.settle.after(since) <= bench.now {
            let incident = open.incident.clone();
            self.open.remove(workload);
            self.quiet_if_last(incident, since, changes);
        }
    }

    /// Links an Event to the firing anomalies of its workload.
    pub(crate) fn link(&mut self, workload: &ObjectRef, event: &EventId, changes: &mut Vec<Change>) {
        for firing in self.firing.get_mut(workload).into_iter().flat_map(BTreeMap::values_mut) {
            if firing.record.events.len() < LINKED && !firing.record.events.contains(event) {
                firing.record.events.push(event.clone());
                changes.push(Change::Anomaly(Box::new(firing.record.clone())));
            }
        }
    }

    /// The replicas from which a workload was scaled to zero, while that anomaly fires.
    pub(crate) fn scaled_from(&self, workload: &ObjectRef) -> Option<u32> {
        let firing = self.firing.get(workload)?.get(&Reason::ScaledToZero)?;
        firing.record.features.iter().find_map(|feature| feature.expected).map(|replicas| replicas as u32)
    }

    /// Whether it fires something that keeps it from serving those that need it. A claim that fires is full.
    pub(crate) fn is_stopped(&self, workload: &ObjectRef) -> bool {
        let mut reasons = self.firing.get(workload).into_iter().flat_map(BTreeMap::keys);
        reasons.any(|reason| stops(*reason) || workload.kind == Kind::PersistentVolumeClaim)
    }

    /// Workloads, nodes and claims that do not serve those that need them.
    pub(crate) fn stopped(&self) -> impl Iterator<Item = &ObjectRef> {
        self.firing.keys().filter(|workload| self.is_stopped(workload))
    }

    pub(crate) fn is_open(&self, workload: &ObjectRef) -> bool {
        self.open.contains_key(workload)
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &ObjectRef> {
        self.open.keys()
    }

    pub(crate) fn firing(&self) -> impl Iterator<Item = &AnomalyRecord> {
        self.firing.values().flat_map(BTreeMap::values).map(|firing| &firing.record)
    }
}

/// The pods of a node are none of its own.
fn pods_of(workload: &ObjectRef) -> Kind {
    if workload.kind == Kind::Node { Kind::Node } else { Kind::Pod }
}

impl Open {
    fn of(incident: IncidentId, root: Option<ObjectRef>) -> Self {
        Open { incident, root, alone_since: None, clear_since: None }
    }
}

impl Firing {
    /// `symptoms` is not empty and sorted by rank.
    fn new(workload: &ObjectRef, id: AnomalyId, symptoms: &[Symptom], bench: &Bench<'_>) -> Option<Self> {
        let lead = symptoms.first()?;
        let mut firing = Firing {
            record: records::anomaly(workload, id, lead, bench.now),
            shown: BTreeSet::new(),
            interval: None,
            order: None,
            clear_since: None,
        };
        firing.describe(symptoms, bench);
        Some(firing)
    }

    /// Brings the record up to date with what is shown now.
    fn describe(&mut self, symptoms: &[Symptom], bench: &Bench<'_>) {
        let Some(lead) = symptoms.first() else { return };
        self.shown = shown(symptoms);
        self.interval = symptoms.iter().filter_map(|symptom| symptom.interval).chain(self.interval).max();
        self.record.severity = symptoms.iter().map(|symptom| symptom.severity).max().unwrap_or(lead.severity);
        self.record.score = lead.measure.as_ref().map_or(1.0, |measure| measure.score);
        self.record.features.clone_from(&lead.features);
        let objects: BTreeSet<&ObjectRef> = symptoms.iter().map(|symptom| &symptom.object).collect();
        self.record.explanation.clone_from(&lead.text);
        if objects.len() > 1 {
            let others = objects.len() - 1;
            let plural = if others == 1 { "" } else { "s" };
            let kind = text::name(&lead.object);
            let kind = kind.split(' ').next().unwrap_or("object");
            self.record.explanation = format!("{}; {others} more {kind}{plural} alike", lead.text);
        }
        let mut also = BTreeSet::new();
        for measure in symptoms.iter().filter_map(Symptom::leading_feature) {
            if self.record.features.iter().all(|known| known.name != measure.name) {
                also.insert(measure.name.replace('_', " "));
                self.record.features.push(measure.clone());
            }
        }
        if !also.is_empty() {
            let also = also.into_iter().collect::<Vec<_>>().join(", ");
            self.record.explanation = format!("{}; also {also}", self.record.explanation);
        }
        let mut add = |name: &str, value| {
            self.record.features.push(Feature { name: name.into(), value, expected: None });
        };
        add("afflicted", objects.len() as f64);
        if let Some(interval) = self.interval {
            add(FAILURE_INTERVAL, interval.as_secs_f64());
        }
        let prelude = (bench.prelude)(self.record.reason);
        if let Some(Warnings { count, expected, chance }) = prelude.warnings {
            let warnings =
                Feature { name: "warning_events".into(), value: count as f64, expected: Some(expected) };
            let chance = Feature { name: "warning_events_chance".into(), value: chance, expected: None };
            self.record.features.extend([warnings, chance]);
        }
        self.order = self.order.take().or(prelude.order);
        if let Some(order) = &self.order {
            self.record.explanation = format!("{}; {order}", self.record.explanation);
        }
    }

    /// It is still shown. What changed is told, but not at every turn.
    fn hold(&mut self, symptoms: &[Symptom], bench: &Bench<'_>, changes: &mut Vec<Change>) {
        let now = bench.now;
        self.clear_since = None;
        if UPDATE.after(self.record.updated_at) > now {
            return;
        }
        let (features, severity) = (self.record.features.clone(), self.record.severity);
        let (others, order) = (self.shown != shown(symptoms), self.order.clone());
        self.describe(symptoms, bench);
        if others
            || order != self.order
            || features != self.record.features
            || severity != self.record.severity
        {
            self.record.updated_at = now;
            changes.push(Change::Anomaly(Box::new(self.record.clone())));
        }
    }

    /// Counts the time for which it is surely not shown; over when that was long enough.
    fn is_over(&mut self, is_clear: bool, bench: &Bench<'_>) -> bool {
        if !is_clear {
            self.clear_since = None;
            return false;
        }
        let since = *self.clear_since.get_or_insert(bench.now);
        let twice = self.interval.map_or(Period::ZERO, |interval| Period::from(interval.as_duration() * 2));
        let settle = bench.options.settle.max(twice.min(bench.options.settle_max));
        settle.after(since) <= bench.now
    }
}

fn shown(symptoms: &[Symptom]) -> BTreeSet<(ObjectRef, Option<String>)> {
    symptoms.iter().map(|symptom| (symptom.object.clone(), symptom.container.clone())).collect()
}
