//! A history that was read once: checked, its span and objects known.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubewise_core::metric::{DroppedSamples, MetricQuery, MetricType, NormalizedMetric};
use kubewise_core::port::Clock;
use kubewise_core::{Kind, ObjectRef, Timestamp};

use crate::csv::Csv;
use crate::error::Error;
use crate::files::{self, Format};
use crate::objects::{Objects, Told};
use crate::openmetrics::OpenMetrics;
use crate::owners::{MAX_OBJECTS, Owners, Shadow};
use crate::replay::Replay;
use crate::rules::{Kitchen, Raw, Rules};

/// What may be held in memory to be sorted, in samples of about 150 bytes: 1.5 GB.
const MAX_HELD: usize = 10_000_000;
/// A document of a few kilobytes takes as much as so many samples, …
const DOCUMENT: usize = 60;
/// … and an Event as so many.
const EVENT: usize = 5;
/// The metric of CSV lines that say whose a pod is: `detail` is `Kind/name`.
const OWNER: &str = "owner";

/// What a history holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub files: u64,
    pub samples: u64,
    pub states: u64,
    pub events: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Samples that are no number.
    pub dropped: DroppedSamples,
    /// Samples that no query of the catalogue asks for, by metric.
    pub unasked: BTreeMap<String, u64>,
    /// Pods whose workload was guessed from their name.
    pub guessed_owners: u64,
}

/// Files that were read once and found good.
#[derive(Debug)]
pub struct History {
    pub(crate) catalogue: Vec<MetricQuery>,
    samples: Vec<Feed<NormalizedMetric>>,
    told: Vec<Feed<Told>>,
    shadows: Vec<(Timestamp, Shadow)>,
    owners: Owners,
    summary: Summary,
}

/// Something of a history in order of time: a file to be read again, or what had to be sorted.
#[derive(Debug)]
enum Feed<T> {
    File(PathBuf),
    Held(Arc<Vec<(Timestamp, T)>>),
}

impl History {
    /// Reads all files. What is wrong is told with file and line; a sample that is no number, or that no query of
    /// the catalogue asks for, is counted.
    pub fn open(paths: &[PathBuf], catalogue: &[MetricQuery]) -> Result<Self, Error> {
        let asked = catalogue.iter().map(|query| (query.metric_type.clone(), query.labels.kind.clone()));
        let mut survey = Survey {
            asked: asked.collect(),
            owners: Owners::default(),
            summary: Summary::default(),
            held: 0,
        };
        let mut rules = Rules::new(catalogue);
        let (mut samples, mut told, mut raw) = (Vec::new(), Vec::new(), Vec::new());
        for (path, format) in files::find(paths)? {
            survey.summary.files += 1;
            match format {
                Format::Csv => samples.push(survey.csv(&path)?),
                Format::OpenMetrics => survey.openmetrics(&path, &mut rules, &mut raw)?,
                Format::Json => told.push(survey.objects(&path)?),
            }
        }
        let cooked = survey.cook(&rules, raw);
        if !cooked.is_empty() {
            samples.push(Feed::Held(Arc::new(cooked)));
        }
        let Survey { owners, mut summary, .. } = survey;
        let (shadows, guessed) = owners.shadows();
        summary.guessed_owners = guessed;
        Ok(History { catalogue: catalogue.to_vec(), samples, told, shadows, owners, summary })
    }

    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether the history holds a state of the object at any time.
    pub fn tells_of(&self, object: &ObjectRef) -> bool {
        self.owners.is_told(object)
    }

    /// The ports, from `from` on by this clock. What was told of objects before is told as their present state.
    pub fn replay(self: &Arc<Self>, clock: Arc<dyn Clock>, from: Timestamp) -> Result<Arc<Replay>, Error> {
        Replay::new(self.clone(), clock, from)
    }

    /// Every sample in order of time, until `each` says that it is enough.
    pub fn each_sample(&self, mut each: impl FnMut(&NormalizedMetric) -> bool) -> Result<(), Error> {
        let mut samples = self.samples()?;
        while let Some((_, sample)) = samples.next()? {
            if !each(&sample) {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn samples(&self) -> Result<Merged<NormalizedMetric>, Error> {
        Merged::new(&self.samples, |path| Ok(Box::new(Samples(Csv::open(path)?))))
    }

    pub(crate) fn told(&self) -> Result<Merged<Told>, Error> {
        Merged::new(&self.told, |path| Ok(Box::new(Objects::open(path)?)))
    }

    pub(crate) fn shadows(&self) -> &[(Timestamp, Shadow)] {
        &self.shadows
    }
}

/// The first reading.
struct Survey {
    asked: BTreeSet<(MetricType, Kind)>,
    owners: Owners,
    summary: Summary,
    held: usize,
}

impl Survey {
    /// Whether the sample is one that is replayed.
    fn sample(&mut self, sample: &NormalizedMetric) -> Result<bool, Error> {
        let metric = sample.metric_type.as_str();
        if metric == OWNER {
            return Ok(false);
        }
        if !is_good(sample) {
            let dropped = &mut self.summary.dropped;
            if sample.value.is_nan() {
                dropped.not_a_number += 1;
            } else {
                dropped.infinite += 1;
            }
            return Ok(false);
        }
        if !self.asked.contains(&(sample.metric_type.clone(), sample.object.kind.clone())) {
            let name = format!("{metric} of {}", sample.object.kind);
            let known = self.summary.unasked.len();
            // The names are for people; thousands of them would say no more.
            if known < 100 || self.summary.unasked.contains_key(&name) {
                *self.summary.unasked.entry(name).or_default() += 1;
            } else {
                *self.summary.unasked.entry("others".into()).or_default() += 1;
            }
            return Ok(false);
        }
        self.summary.samples += 1;
        self.seen_at(sample.time);
        self.owners.sampled(sample);
        self.bounded()?;
        Ok(true)
    }

    fn seen_at(&mut self, time: Timestamp) {
        self.summary.first = Some(self.summary.first.map_or(time, |first| first.min(time)));
        self.summary.last = Some(self.summary.last.map_or(time, |last| last.max(time)));
    }

    fn bounded(&self) -> Result<(), Error> {
        if self.owners.len() > MAX_OBJECTS {
            Err(Error::TooManyObjects { limit: MAX_OBJECTS })
        } else {
            Ok(())
        }
    }

    fn hold(&mut self, path: &Path, weight: usize) -> Result<(), Error> {
        self.held += weight;
        if self.held > MAX_HELD {
            return Err(Error::TooMany { path: path.to_owned(), limit: MAX_HELD });
        }
        Ok(())
    }

    fn csv(&mut self, path: &Path) -> Result<Feed<NormalizedMetric>, Error> {
        let mut csv = Csv::open(path)?;
        let mut ordered = true;
        let mut before = Timestamp::MIN;
        while let Some(sample) = csv.next()? {
            if sample.metric_type.as_str() == OWNER
                && let Some(owner) = owner(&sample)
            {
                self.owners.own(sample.object.clone(), owner);
            }
            self.sample(&sample)?;
            ordered &= before <= sample.time;
            before = sample.time;
        }
        if ordered {
            return Ok(Feed::File(path.to_owned()));
        }
        let mut held = Vec::new();
        let mut csv = Csv::open(path)?;
        while let Some(sample) = csv.next()? {
            if is_good(&sample) {
                self.hold(path, 1)?;
                held.push((sample.time, sample));
            }
        }
        held.sort_by_key(|(time, _)| *time);
        Ok(Feed::Held(Arc::new(held)))
    }

    /// A dump goes series by series, so it is held as a rule.
    fn openmetrics(&mut self, path: &Path, rules: &mut Rules, raw: &mut Vec<Raw>) -> Result<(), Error> {
        let mut file = OpenMetrics::open(path)?;
        while let Some(point) = file.next()? {
            match rules.points(&point.name, &point.labels, point.value, point.time) {
                Some(points) => {
                    if points.is_empty() {
                        self.summary.dropped.unidentified += 1;
                    }
                    self.hold(path, points.len())?;
                    raw.extend(points);
                }
                None if point.name == "kube_pod_owner" || point.name == "kube_replicaset_owner" => {
                    if let Some((object, owner)) = labelled_owner(&point.labels) {
                        self.owners.own(object, owner);
                    }
                }
                None => {
                    let known =
                        self.summary.unasked.len() < 100 || self.summary.unasked.contains_key(&point.name);
                    let name = if known { point.name } else { "others".into() };
                    *self.summary.unasked.entry(name).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    /// Two scrapers of one target tell a thing twice; the larger counts, as the catalogue's `max by` has it.
    fn cook(&mut self, rules: &Rules, mut raw: Vec<Raw>) -> Vec<(Timestamp, NormalizedMetric)> {
        raw.sort_by_key(Raw::order);
        let mut kitchen = Kitchen::default();
        let mut cooked: Vec<_> = raw.iter().filter_map(|point| kitchen.cook(rules, point)).collect();
        cooked.sort_by(|a, b| series(a).cmp(&series(b)).then(b.value.total_cmp(&a.value)));
        cooked.dedup_by(|next, kept| {
            let again = series(next) == series(kept);
            self.summary.dropped.duplicate += u64::from(again);
            again
        });
        cooked.retain(|sample| matches!(self.sample(sample), Ok(true)));
        cooked.into_iter().map(|sample| (sample.time, sample)).collect()
    }

    fn objects(&mut self, path: &Path) -> Result<Feed<Told>, Error> {
        let mut objects = Objects::open(path)?;
        let mut ordered = true;
        let mut before = Timestamp::MIN;
        while let Some((time, told)) = objects.next()? {
            ordered &= before <= time;
            before = time;
            self.seen_at(time);
            match told {
                Told::Event(_) => self.summary.events += 1,
                Told::Deleted(_) => self.summary.states += 1,
                Told::Applied(document) => {
                    self.summary.states += 1;
                    let Ok(state) = document.state() else { continue };
                    if let Some(owner) = state.owner {
                        self.owners.own(state.object.clone(), owner.object);
                    }
                    self.owners.told(state.object, time);
                }
            }
            self.bounded()?;
        }
        if ordered {
            return Ok(Feed::File(path.to_owned()));
        }
        let mut held = Vec::new();
        let mut objects = Objects::open(path)?;
        while let Some(told) = objects.next()? {
            self.hold(path, if matches!(told.1, Told::Event(_)) { EVENT } else { DOCUMENT })?;
            held.push(told);
        }
        held.sort_by_key(|(time, _)| *time);
        Ok(Feed::Held(Arc::new(held)))
    }
}

fn is_good(sample: &NormalizedMetric) -> bool {
    sample.value.is_finite()
}

/// A moment of a series; by time first.
fn series(sample: &NormalizedMetric) -> impl Ord + use<'_> {
    (sample.time, &sample.metric_type, &sample.object, &sample.container, &sample.detail)
}

/// The owner that a CSV line names as `Kind/name`.
fn owner(sample: &NormalizedMetric) -> Option<ObjectRef> {
    let (kind, name) = sample.detail.as_deref()?.split_once('/')?;
    Some(ObjectRef { kind: Kind::from(kind), namespace: sample.object.namespace.clone(), name: name.into() })
}

/// The owner that kube-state-metrics names.
fn labelled_owner(labels: &[(String, String)]) -> Option<(ObjectRef, ObjectRef)> {
    let label =
        |wanted: &str| labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let namespace = label("namespace")?;
    let (kind, name) = label("replicaset")
        .map(|name| (Kind::ReplicaSet, name))
        .or_else(|| Some((Kind::Pod, label("pod")?)))?;
    let (owner_kind, owner_name) = (label("owner_kind")?, label("owner_name")?);
    let is_owned = !matches!(owner_kind, "" | "<none>") && !matches!(owner_name, "" | "<none>");
    is_owned.then(|| {
        let owner = ObjectRef::namespaced(Kind::from(owner_kind), namespace, owner_name);
        (ObjectRef::namespaced(kind, namespace, name), owner)
    })
}

/// One feed, read on.
pub(crate) trait Next<T> {
    fn next(&mut self) -> Result<Option<(Timestamp, T)>, Error>;
}

struct Samples(Csv);

impl Next<NormalizedMetric> for Samples {
    fn next(&mut self) -> Result<Option<(Timestamp, NormalizedMetric)>, Error> {
        while let Some(sample) = self.0.next()? {
            if is_good(&sample) {
                return Ok(Some((sample.time, sample)));
            }
        }
        Ok(None)
    }
}

impl Next<Told> for Objects {
    fn next(&mut self) -> Result<Option<(Timestamp, Told)>, Error> {
        Objects::next(self)
    }
}

struct Held<T> {
    held: Arc<Vec<(Timestamp, T)>>,
    place: usize,
}

impl<T: Clone> Next<T> for Held<T> {
    fn next(&mut self) -> Result<Option<(Timestamp, T)>, Error> {
        let next = self.held.get(self.place).cloned();
        self.place += 1;
        Ok(next)
    }
}

type AnyFeed<T> = Box<dyn Next<T> + Send>;
/// A feed, and what comes next of it.
type Open<T> = (AnyFeed<T>, Option<(Timestamp, T)>);

/// Several feeds as one, in order of time; at one time, in order of the feeds.
pub(crate) struct Merged<T> {
    feeds: Vec<Open<T>>,
    heads: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl<T: Clone + Send + Sync + 'static> Merged<T> {
    fn new(feeds: &[Feed<T>], open: impl Fn(&Path) -> Result<AnyFeed<T>, Error>) -> Result<Self, Error> {
        let mut merged = Merged { feeds: Vec::new(), heads: BinaryHeap::new() };
        for feed in feeds {
            let mut feed = match feed {
                Feed::File(path) => open(path)?,
                Feed::Held(held) => Box::new(Held { held: held.clone(), place: 0 }),
            };
            let head = feed.next()?;
            merged.heads.extend(head.as_ref().map(|(time, _)| Reverse((*time, merged.feeds.len()))));
            merged.feeds.push((feed, head));
        }
        Ok(merged)
    }
}

impl<T> Merged<T> {
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.heads.peek().map(|Reverse((time, _))| *time)
    }

    pub(crate) fn next(&mut self) -> Result<Option<(Timestamp, T)>, Error> {
        let Some(Reverse((_, index))) = self.heads.pop() else { return Ok(None) };
        let (feed, head) = &mut self.feeds[index];
        let next = feed.next()?;
        self.heads.extend(next.as_ref().map(|(time, _)| Reverse((*time, index))));
        Ok(std::mem::replace(head, next))
    }
}
