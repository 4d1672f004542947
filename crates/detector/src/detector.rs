//! The detector: what is known, what is looked at next, and what follows from it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kubewise_core::anomaly::{AnomalyRecord, Reason};
use kubewise_core::event::EventRecord;
use kubewise_core::incident::Incident;
use kubewise_core::metric::NormalizedMetric;
use kubewise_core::port::WatchItem;
use kubewise_core::service::ServingService;
use kubewise_core::state::{ObjectState, StateDetail};
use kubewise_core::{Kind, ObjectRef, Period};

use crate::agenda::Agenda;
use crate::anomalies::{Anomalies, Bench};
use crate::causes::{self, Cause};
use crate::events::Events;
use crate::exhaustion::Exhaustion;
use crate::options::Options;
use crate::prelude::Prelude;
use crate::records;
use crate::rules::{self, workloads::FAILED_CREATE_COUNTS};
use crate::samples::CLOCK_SKEW;
use crate::series::SeriesKey;
use crate::series_book::{Place, SeriesBook};
use crate::suppressions::Suppressions;
use crate::telemetry::Telemetry;
use crate::world::{Known, World};
use crate::{Change, Observation, healthy, samples, serving};

/// Housekeeping is not urgent.
const SWEEP: Period = Period::from_mins(1);

/// Turns observations into anomalies and incidents. Holds one entry for each object of the cluster and one for
/// each series, within the bounds of its options.
#[derive(Debug)]
pub struct Detector {
    options: Options,
    world: World,
    telemetry: Telemetry,
    series: SeriesBook,
    exhaustion: Exhaustion,
    events: Events,
    anomalies: Anomalies,
    suppressions: Suppressions,
    agenda: Agenda,
    unidentified: u64,
    ignored: u64,
    misdated: u64,
    missing: Vec<String>,
    /// The latest that it was told.
    now: Timestamp,
    swept_at: Option<Timestamp>,
}

/// Numbers about the detector itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series that are followed.
    pub series: usize,
    /// Workloads that no other workload owns; nodes are not among them.
    pub workloads: usize,
    pub objects: usize,
    /// Anomalies that fire.
    pub firing: usize,
    /// Incidents that are not quiet.
    pub open_incidents: usize,
    /// Of `workloads`, those with an incident that is not quiet. A deviation or a standstill alone does not count.
    pub workloads_with_incident: usize,
    /// Samples so far of objects that were not known: not learnt.
    pub unidentified: u64,
    /// Samples so far that were not finite, or not newer than the last of their series.
    pub ignored: u64,
    /// Samples so far that were dated later than now, or were older than any source calls fresh: not learnt.
    pub misdated: u64,
    /// Series so far that began anew: their unit changed, their counter was reset, or the clock was put back.
    pub begun_anew: u64,
    /// Series so far that gave way.
    pub evicted: u64,
    /// Deviations so far that were held back because of what people said of others like them.
    pub held_back: u64,
    /// Watches, queries and metric types that spoke before and are silent now (a type also if its values stand still
    /// everywhere). While it is not empty, what rests on them is
    /// unknown: nothing of it resolves.
    pub missing: Vec<String>,
}

impl Detector {
    pub fn new(options: Options) -> Self {
        Detector {
            world: World::default(),
            telemetry: Telemetry::default(),
            series: SeriesBook::new(options.deviation.clone(), options.bounds.series),
            exhaustion: Exhaustion::new(options.exhaustion.clone()),
            events: Events::new(options.bounds.events),
            anomalies: Anomalies::default(),
            suppressions: Suppressions::default(),
            agenda: Agenda::default(),
            unidentified: 0,
            ignored: 0,
            misdated: 0,
            now: Timestamp::MIN,
            missing: Vec::new(),
            swept_at: None,
            options,
        }
    }

    /// Takes up what an earlier process left: firing anomalies and incidents that were not quiet. They go on
    /// under their ids. To be called before the first observation.
    pub fn restore(&mut self, firing: Vec<AnomalyRecord>, open: Vec<Incident>) {
        self.anomalies.restore(firing, open);
        for workload in self.anomalies.open() {
            self.agenda.look_at(workload, Timestamp::MIN);
        }
    }

    /// Takes up where Services led when an earlier process last saw them lead somewhere. To be called before the first
    /// observation.
    pub fn recall(&mut self, serving: Vec<ServingService>) {
        for served in serving {
            self.world.services_mut().recall(served);
        }
    }

    /// Takes in what was seen. Should `now` go backwards, since a clock was put back, all goes on from there.
    pub fn observe(&mut self, observation: &Observation, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        self.keep_time(now);
        match observation {
            Observation::Metric(sample) => self.sample(sample, now, &mut changes),
            Observation::Watch(item) => self.watched(item, now, &mut changes),
            Observation::Query { name, answered } => self.telemetry.query(name, *answered, now),
            Observation::Feedback { feedback, anomalies } => {
                self.suppressions.learn(feedback);
                self.series.learn(feedback.label, anomalies);
                self.agenda.look_at(&feedback.workload, now);
            }
        }
        changes
    }

    /// Takes in that time has passed; to be called about each second.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        self.keep_time(now);
        for workload in self.agenda.due(now) {
            self.judge(&workload, now, &mut changes);
        }
        if self.swept_at.is_none_or(|at| SWEEP.after(at) <= now) {
            self.swept_at = Some(now);
            self.events.sweep(now);
            self.series.sweep(now, |object| self.world.is_running(object));
            self.exhaustion.sweep();
            self.tell_unseen(now, &mut changes);
        }
        self.missing = self.telemetry.missing(self.options.bounds.query_missing_after, now);
        self.missing.extend(self.series.missing.iter().cloned());
        changes
    }

    /// The workload (or node) under which what happens to an object is told; `None` while it is not known. Volume claims
    /// and quotas have no owner and are not watched: each stands for itself. An autoscaler stands for what it scales.
    pub fn workload_of(&self, object: &ObjectRef) -> Option<ObjectRef> {
        if matches!(object.kind, Kind::PersistentVolumeClaim | Kind::ResourceQuota) {
            return Some(object.clone());
        }
        if let StateDetail::Autoscaler(autoscaler) = &self.world.get(object)?.state.detail {
            return Some(autoscaler.target.clone());
        }
        self.world.workload_of(object)
    }

    /// The last known state of an object.
    pub fn state(&self, object: &ObjectRef) -> Option<&ObjectState> {
        self.world.get(object).map(|known| &known.state)
    }

    /// The last known states of a workload and of all that it controls, in order of name.
    pub fn objects_of(&self, workload: &ObjectRef) -> Vec<&ObjectState> {
        self.world.objects_of(workload).into_iter().map(|known| &known.state).collect()
    }

    pub fn stats(&self) -> Stats {
        let grave: BTreeSet<&ObjectRef> = self
            .anomalies
            .firing()
            .filter(|one| !matches!(one.reason, Reason::Deviation | Reason::Flatline))
            .filter(|one| one.workload.kind != Kind::Node)
            .map(|one| &one.workload)
            .collect();
        Stats {
            series: self.series.len(),
            workloads: self.world.workloads(),
            objects: self.world.objects(),
            firing: self.anomalies.firing().count(),
            open_incidents: self.anomalies.open().count(),
            workloads_with_incident: grave.len(),
            unidentified: self.unidentified,
            ignored: self.ignored + self.series.ignored,
            misdated: self.misdated,
            begun_anew: self.series.begun_anew + self.exhaustion.begun_anew,
            evicted: self.series.evicted,
            held_back: self.series.held_back,
            missing: self.missing.clone(),
        }
    }

    fn sample(&mut self, sample: &NormalizedMetric, now: Timestamp, changes: &mut Vec<Change>) {
        if !sample.value.is_finite() {
            self.ignored += 1;
            return;
        }
        if !samples::is_dated_well(sample, now) {
            self.misdated += 1;
            return;
        }
        if samples::is_state(&sample.metric_type) {
            self.state_sample(sample, now, changes);
            return;
        }
        let (deviates, fills) =
            (self.series.follows(&sample.metric_type), self.exhaustion.follows(&sample.metric_type));
        if !deviates && !fills {
            return;
        }
        let Some(workload) = self.workload_of(&sample.object) else {
            self.unidentified += 1;
            return;
        };
        let key = SeriesKey::of(sample, workload);
        let workload = &key.workload;
        let mut news = fills && self.exhaustion.observe(sample, &key, now);
        let (known, owner) = (self.world.get(&sample.object), self.world.get(workload));
        let changed_at = changed_at(known, owner);
        let place = Place {
            template: known.and_then(|known| known.pod()?.0.template.as_ref()),
            is_changing: self.is_changing(known, owner, changed_at, now),
            changed_at,
            serves: owner.is_some_and(|owner| owner.workload().is_some()),
            events: self.events.count(workload, now),
            now,
        };
        news |= deviates && self.series.observe(sample, &key, &place);
        self.tell_unseen(now, changes);
        if news {
            self.judge(&key.workload, now, changes);
        }
    }

    /// A pod that starts or is on a node that is emptied, or a workload whose template or size was just changed: another
    /// level is expected.
    fn is_changing(
        &self,
        known: Option<&Known>,
        owner: Option<&Known>,
        changed_at: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let quiet = self.options.deviation.quiet_after_change;
        let is_rolling = |owner: &Known| {
            owner.workload().is_some_and(|(state, _)| rules::workloads::is_rolling(&owner.state, state))
        };
        let node = known.and_then(|known| known.pod()?.0.node.as_ref());
        changed_at.is_some_and(|at| quiet.after(at) > now)
            || owner.is_some_and(is_rolling)
            || node.is_some_and(|node| self.world.is_cordoned(node))
    }

    /// What was put off until some moment would wait for it twice if the clock was put back.
    fn keep_time(&mut self, now: Timestamp) {
        if CLOCK_SKEW.after(now) < self.now {
            self.agenda.bring_forward(now);
            self.swept_at = None;
        }
        self.now = now;
    }

    /// Tells deviations that labels held back until they were over.
    fn tell_unseen(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        let unseen = self.series.take_unseen().into_iter();
        changes.extend(unseen.map(|(workload, symptom)| {
            Change::HeldBack(Box::new(records::held_back(&workload, symptom, now)))
        }));
    }

    fn state_sample(&mut self, sample: &NormalizedMetric, now: Timestamp, changes: &mut Vec<Change>) {
        let Some(known) = self.world.get(&sample.object) else {
            self.unidentified += 1;
            return;
        };
        let watched = self.telemetry.is_whole(&sample.object.kind);
        if watched && samples::LAG.after(known.heard_at) > now {
            return; // the watch knows better
        }
        let window = self.options.rules.restart_window;
        let changed =
            self.world.change(&sample.object, window, now, |known| samples::stand_in(known, sample));
        if changed && let Some(workload) = self.world.workload_of(&sample.object) {
            self.judge(&workload, now, changes);
        }
    }

    fn watched(&mut self, item: &WatchItem, now: Timestamp, changes: &mut Vec<Change>) {
        self.telemetry.watched(item);
        match item {
            WatchItem::Applied(state) => {
                let window = self.options.rules.restart_window;
                self.world.apply(state, window, now);
                if let Some(before) = self.anomalies.scaled_from(&state.object) {
                    self.world.change(&state.object, window, now, |known| {
                        if let Some(history) = known.workload_history() {
                            history.scaled_earlier(state, before, now);
                        }
                        false
                    });
                }
                self.changed(state, now, changes);
            }
            WatchItem::Deleted { object, uid } => {
                let workload = self.world.workload_of(object);
                self.world.remove(object, uid);
                for workload in workload.into_iter().chain([object.clone()]).collect::<BTreeSet<_>>() {
                    self.series.object_gone(&workload, object);
                    self.exhaustion.object_gone(&workload, object);
                    self.tell_unseen(now, changes);
                    if self.anomalies.is_open(&workload) || self.world.get(&workload).is_some() {
                        self.judge(&workload, now, changes);
                    }
                }
            }
            WatchItem::Event(event) => self.event(event, now, changes),
            WatchItem::Synced(_) | WatchItem::Interrupted { .. } => {}
        }
    }

    /// An object changed, so its workload may show something else. While pods are still being listed, judging can
    /// wait for the next tick: else a workload of many pods would be judged for each of them.
    fn changed(&mut self, state: &ObjectState, now: Timestamp, changes: &mut Vec<Change>) {
        let served = self.world.services().get(&state.object).and_then(|service| service.served.as_ref());
        if let Some(workload) = served.map(|served| served.workload.clone()) {
            self.agenda.look_at(&workload, now);
        }
        let Some(workload) = self.workload_of(&state.object) else { return };
        if workload.kind == Kind::Node || self.telemetry.is_whole(&Kind::Pod) {
            self.judge(&workload, now, changes);
        } else {
            self.agenda.look_at(&workload, now);
        }
    }

    fn event(&mut self, event: &EventRecord, now: Timestamp, changes: &mut Vec<Change>) {
        if !self.events.is_new(event, now) {
            return;
        }
        let workload = self.world.workload_of(&event.object);
        let record = EventRecord { workload: workload.clone(), ..event.clone() };
        changes.push(Change::Event(Box::new(record)));
        let Some(workload) = workload else { return };
        if event.reason == "FailedCreate" {
            let window = self.options.rules.restart_window;
            let at = event.last_seen.min(now);
            self.world.change(&workload, window, now, |known| {
                if let Some(history) = known.workload_history() {
                    history.create_failed(at, FAILED_CREATE_COUNTS, &event.message);
                }
                false
            });
            self.judge(&workload, now, changes);
        }
        if self.events.keep(&workload, event, now) {
            self.anomalies.link(&workload, &event.id(), changes);
        }
    }

    fn expire_samples(&mut self, workload: &ObjectRef, now: Timestamp) {
        let pods: Vec<ObjectRef> = self
            .world
            .objects_of(workload)
            .into_iter()
            .filter(|known| samples::stood_in(known))
            .map(|known| known.state.object.clone())
            .collect();
        for pod in pods {
            let window = self.options.rules.restart_window;
            self.world.change(&pod, window, now, |known| samples::expire(known, now));
        }
    }

    /// Reads the symptoms of a workload, lets anomalies follow, and notes when to look again.
    fn judge(&mut self, workload: &ObjectRef, now: Timestamp, changes: &mut Vec<Change>) {
        if self.telemetry.all_answered() {
            self.expire_samples(workload, now);
        }
        let options = &self.options.rules;
        let mut symptoms = rules::symptoms(&self.world, workload, options, now);
        symptoms.extend(self.series.symptoms(workload));
        symptoms.extend(self.exhaustion.symptoms(workload));
        let expected_until = self.suppressions.apply(workload, &mut symptoms, now);
        let shows = !symptoms.is_empty();
        // An old pod that leaves says nothing of those that stay.
        let is_well = symptoms.iter().all(|symptom| symptom.reason == Reason::Terminating);
        let root = if self.anomalies.is_open(workload) {
            None
        } else {
            match causes::find(&self.world, &self.anomalies, workload, &symptoms, options, now) {
                Cause::Own => None,
                Cause::Of(root) => Some(root),
                Cause::Unclear { until } => {
                    for symptom in &mut symptoms {
                        symptom.ripe_at = symptom.ripe_at.max(until);
                    }
                    None
                }
            }
        };
        let bench = Bench {
            root: root.as_ref(),
            options,
            is_whole: &|kind| self.telemetry.is_whole(kind),
            events: &|| self.events.related(workload, now),
            dependants: &|workload| self.world.dependants(workload),
            prelude: &|reason| Prelude::of(&self.events, &self.world, workload, reason, now),
            now,
        };
        self.anomalies.judge(workload, symptoms, &bench, changes);
        let is_restless = shows || self.anomalies.is_open(workload);
        let is_quiet = is_well && !self.anomalies.is_open(workload);
        let verdict = healthy::judge(&mut self.world, workload, is_quiet, options, now);
        changes.extend(verdict.revision.map(|revision| Change::Healthy(Box::new(revision))));
        let mut service = serving::Verdict::default();
        if workload.kind == Kind::Service {
            service = serving::judge(&mut self.world, workload, &self.options.rules, now);
            changes.extend(service.serving.take().map(|serving| Change::Serving(Box::new(serving))));
        }
        // A restless workload is looked at in every tick.
        let next = if is_restless {
            Some(now)
        } else {
            [verdict.look_at, service.look_at, expected_until].into_iter().flatten().min()
        };
        match next {
            Some(at) => self.agenda.look_at(workload, at),
            None => self.agenda.strike(workload),
        }
    }
}

/// When a pod was created or its workload last changed, whichever is later.
fn changed_at(known: Option<&Known>, owner: Option<&Known>) -> Option<Timestamp> {
    let pod = known.filter(|known| known.pod().is_some());
    let workload = owner.and_then(Known::workload);
    pod.and_then(|pod| pod.state.created).max(workload.and_then(|(_, history)| history.changed_at))
}
