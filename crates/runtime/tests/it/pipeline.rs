//! The whole pipeline on a small simulated cluster, in virtual time: what every test here starts from.

use std::sync::Arc;

use futures::FutureExt;
use kubewise_core::action::ExecutedActionRecord;
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::author::AuthorCall;
use kubewise_core::incident::{Chapter, Incident, IncidentStatus};
use kubewise_core::journal::JournalBody;
use kubewise_core::metric::{MetricQuery, MetricType, ObjectLabels};
use kubewise_core::plan::{Mode, RemediationPlan};
use kubewise_core::port::{Clock, PlanAuthor, RecordStore};
use kubewise_core::record::{MAX_PAGE, Record, RecordKind, RecordQuery};
use kubewise_core::{Kind, ObjectRef, Period};
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy;
use kubewise_runtime::{
    AuthorOptions, Dependency, GuardedAuthor, GuardedCluster, GuardedJournal, GuardedMetrics, GuardedStore,
    Handle, Options, Ports, Runtime, Setup, Telemetry,
};
use kubewise_sim::{Change, CrashPoint, MemoryStore, Process, Simulation, Workload, World, Write, WriteKind};

use crate::weather::{Weather, Weathered};

const GIB: f64 = 1_073_741_824.0;
/// How long the cluster lives in health first, so that its revisions are known to be healthy.
const WARM_UP: Period = Period::from_mins(5);
/// In which every trouble here is over, if it ends at all.
pub(crate) const LONG: Period = Period::from_mins(60);
/// The services of the cluster besides the cart, which gets into trouble.
pub(crate) const OTHERS: [&str; 5] = ["catalog", "checkout", "prices", "search", "stock"];

/// A cluster with its store, and the processes that watch over it.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) store: MemoryStore,
    pub(crate) policy: policy::Options,
    pub(crate) catalogue: Vec<MetricQuery>,
    pub(crate) options: Options,
    /// Instead of the built-in playbooks.
    pub(crate) playbook: Option<String>,
    /// Writes plans, if there is one.
    pub(crate) author: Option<Arc<dyn PlanAuthor>>,
    pub(crate) asking: AuthorOptions,
    pub(crate) simulation: Simulation,
}

/// One KubeWise process.
pub(crate) struct Run {
    pub(crate) process: Arc<Process>,
    pub(crate) weathered: Arc<Weathered>,
    pub(crate) handle: Handle,
}

impl Run {
    pub(crate) fn weather(&self, change: impl FnOnce(&mut Weather)) {
        self.weathered.set(change);
    }
}

pub(crate) fn deployment(name: &str) -> ObjectRef {
    Workload::deployment("shop", name).object()
}

pub(crate) fn cart() -> ObjectRef {
    deployment("cart")
}

impl Scene {
    /// The cart and five other services of two pods each on two nodes.
    pub(crate) fn new(mode: Mode) -> Self {
        let scene = Scene::empty(mode);
        scene.world.node("node-1", 16.0, 32.0 * GIB).node("node-2", 16.0, 32.0 * GIB);
        for name in ["cart"].into_iter().chain(OTHERS) {
            scene.world.add(Workload::deployment("shop", name));
        }
        scene
    }

    /// No node, no workload.
    pub(crate) fn empty(mode: Mode) -> Self {
        let world = World::new(7);
        let policy = policy::Options { mode, ..policy::Options::default() };
        let simulation = Simulation::new(world.clone());
        Scene {
            world,
            store: MemoryStore::default(),
            policy,
            catalogue: catalogue(),
            options: Options::default(),
            playbook: None,
            author: None,
            asking: AuthorOptions::default(),
            simulation,
        }
    }

    /// A process that has watched the healthy cluster for a while.
    pub(crate) fn warm(mode: Mode) -> (Self, Run) {
        let mut scene = Scene::new(mode);
        let run = scene.start("first");
        scene.pass(WARM_UP);
        assert_eq!(scene.incidents(), [], "a healthy cluster has no incident");
        (scene, run)
    }

    /// As [`Scene::warm`], then the cart crashes after a new revision.
    pub(crate) fn crashing(mode: Mode) -> (Self, Run) {
        let (scene, run) = Scene::warm(mode);
        scene.release(&cart(), "2-crash");
        (scene, run)
    }

    /// A new revision of a workload.
    pub(crate) fn release(&self, workload: &ObjectRef, tag: &str) {
        self.change(Change::Image {
            workload: workload.clone(),
            image: format!("shop/{}:{tag}", workload.name),
        });
    }

    pub(crate) fn change(&self, change: Change) {
        self.world.change(change).unwrap();
    }

    pub(crate) fn start(&mut self, identity: &str) -> Run {
        self.start_to_crash(identity, None)
    }

    pub(crate) fn start_to_crash(&mut self, identity: &str, crash: Option<CrashPoint>) -> Run {
        let process = self.world.process(identity, &self.store);
        if let Some(point) = crash {
            process.crash_at(point);
        }
        let clock: Arc<dyn Clock> = Arc::new(self.world.clock());
        let telemetry = Telemetry::new();
        let options = self.options.clone();
        let dependency =
            |name| Dependency::new(name, &options.resilience, clock.clone(), telemetry.clone(), 1);
        let (to_prometheus, to_kubernetes, to_store) =
            (dependency("prometheus"), dependency("kubernetes"), dependency("store"));
        let to_author = dependency("author");
        let weathered = Arc::new(Weathered {
            process: process.clone(),
            clock: self.world.clock(),
            weather: std::sync::Mutex::default(),
        });
        let ports = Ports {
            clock: clock.clone(),
            metrics: Arc::new(GuardedMetrics(process.clone(), to_prometheus.clone())),
            events: process.clone(),
            reader: Arc::new(GuardedCluster(weathered.clone(), to_kubernetes.clone())),
            actor: Arc::new(GuardedCluster(weathered.clone(), to_kubernetes.clone())),
            store: Arc::new(GuardedStore(weathered.clone(), to_store.clone())),
            journal: Arc::new(GuardedJournal(weathered.clone(), to_store.clone())),
            notifier: process.clone(),
            leadership: process.clone(),
            author: self.author.clone().map(|author| -> Arc<dyn PlanAuthor> {
                Arc::new(GuardedAuthor(author, to_author.clone(), self.asking.deadline))
            }),
            dependencies: vec![to_prometheus, to_kubernetes, to_store, to_author],
        };
        let setup = Setup {
            options,
            author: self.asking,
            policy: self.policy.clone(),
            playbooks: self
                .playbook
                .as_ref()
                .map_or_else(Playbooks::builtin, |text| Playbooks::load(&[("test.yaml", text)]).unwrap()),
            catalogue: self.catalogue.clone(),
            detector: kubewise_detector::Options::default(),
            retention: Period::from_mins(30 * 24 * 60),
            own_namespace: None,
            configuration: serde_json::Value::Null,
            seed: 1,
        };
        let limit = LONG.after(self.world.now());
        let runtime =
            self.simulation.complete(limit, Runtime::new(ports, setup, telemetry)).unwrap().unwrap();
        let handle = runtime.handle();
        for (_, future) in runtime.loops() {
            self.simulation.spawn(future);
        }
        Run { process, weathered, handle }
    }

    pub(crate) fn pass(&mut self, period: Period) {
        self.simulation.run(period.after(self.world.now()), None);
    }

    /// Lives until `reached`, and a moment more in which records are saved; panics if that takes too long.
    pub(crate) fn until(&mut self, what: &str, mut reached: impl FnMut(&Self) -> bool) {
        let limit = LONG.after(self.world.now());
        while !reached(self) {
            assert!(self.world.now() < limit, "not reached: {what}; {:#?}", self.incidents());
            self.pass(Period::from_secs(1));
        }
    }

    pub(crate) fn until_status(&mut self, status: IncidentStatus) {
        self.until(&format!("an incident that is {status}"), |scene| {
            scene.incidents().iter().any(|incident| incident.status == status)
        });
    }

    /// Lives until the journal holds an entry of this kind.
    pub(crate) fn until_entry(&mut self, what: &str, of: fn(&JournalBody) -> bool) {
        self.until(what, |scene| scene.store.journal().iter().any(|entry| of(&entry.body)));
    }

    pub(crate) fn records(&self, kind: RecordKind) -> Vec<Record> {
        let query = RecordQuery { limit: MAX_PAGE, ..RecordQuery::of(kind) };
        let page = self.store.find(&query).now_or_never().unwrap().unwrap();
        assert_eq!(page.next, None, "one page holds all");
        page.records
    }

    /// The records of one kind, oldest first.
    fn each<T>(&self, kind: RecordKind, as_one: fn(Record) -> Option<T>) -> Vec<T> {
        self.records(kind).into_iter().rev().filter_map(as_one).collect()
    }

    pub(crate) fn incidents(&self) -> Vec<Incident> {
        self.each(
            RecordKind::Incident,
            |record| if let Record::Incident(one) = record { Some(one) } else { None },
        )
    }

    /// The only incident there is.
    pub(crate) fn incident(&self) -> Incident {
        let [incident] = self.incidents().try_into().unwrap();
        incident
    }

    pub(crate) fn plans(&self) -> Vec<RemediationPlan> {
        self.each(RecordKind::Plan, |record| if let Record::Plan(one) = record { Some(one) } else { None })
    }

    pub(crate) fn actions(&self) -> Vec<ExecutedActionRecord> {
        self.each(
            RecordKind::Action,
            |record| if let Record::Action(one) = record { Some(one) } else { None },
        )
    }

    pub(crate) fn anomalies(&self) -> Vec<AnomalyRecord> {
        self.each(
            RecordKind::Anomaly,
            |record| if let Record::Anomaly(one) = record { Some(one) } else { None },
        )
    }

    pub(crate) fn calls(&self) -> Vec<AuthorCall> {
        self.each(RecordKind::Call, |record| if let Record::Call(one) = record { Some(one) } else { None })
    }

    /// Everything that is kept, as text.
    pub(crate) fn documents(&self) -> Vec<String> {
        let records = RecordKind::ALL.into_iter().flat_map(|kind| self.records(kind));
        records.map(|record| record.to_document().unwrap().to_string()).collect()
    }

    pub(crate) fn image(&self, workload: &ObjectRef) -> String {
        let document = self.world.get(workload).unwrap();
        document.text("/spec/template/spec/containers/0/image").unwrap().to_owned()
    }

    /// How often the spec was changed, its creation included; annotations do not count.
    pub(crate) fn generation(&self, workload: &ObjectRef) -> u64 {
        self.world.get(workload).unwrap().number("/metadata/generation").unwrap()
    }

    /// Patches and evictions that the cluster accepted.
    pub(crate) fn changes(&self) -> Vec<Write> {
        let mut writes = self.world.writes();
        writes.retain(|write| matches!(write.kind, WriteKind::Patch | WriteKind::Evict | WriteKind::Create));
        writes
    }

    pub(crate) fn chapters(&self) -> Vec<Chapter> {
        self.incident().story.iter().map(|entry| entry.chapter).collect()
    }

    /// The crash loop was undone, by exactly one write of the template, and the whole of it is told.
    pub(crate) fn assert_repaired(&self, context: &str) {
        let incident = self.incident();
        assert_eq!(incident.status, IncidentStatus::Repaired, "{context}: {incident:#?}");
        assert_eq!(self.image(&cart()), "shop/cart:1", "{context}");
        assert_eq!(self.generation(&cart()), 3, "{context}: created, released, undone once");
        let ready = self.world.get(&cart()).unwrap().number("/status/availableReplicas");
        assert_eq!(ready, Some(2), "{context}");
        for chapter in [Chapter::Seen, Chapter::Plan, Chapter::Acted, Chapter::Verified, Chapter::Closed] {
            assert!(self.chapters().contains(&chapter), "{context}: no {chapter} in {:#?}", incident.story);
        }
        let journal = self.store.journal();
        assert!(
            matches!(&journal.last().unwrap().body, JournalBody::Closed { .. }),
            "{context}: a lock is left: {journal:#?}"
        );
        let acted =
            journal.iter().filter(|entry| matches!(entry.body, JournalBody::Succeeded { .. })).count();
        assert_eq!(acted, 1, "{context}");
    }
}

pub(crate) fn query(metric_type: MetricType, kind: Kind, unit: &str, interval: Period) -> MetricQuery {
    MetricQuery {
        name: format!("{metric_type} of {kind}"),
        promql: metric_type.to_string(), // the simulation answers by type and kind
        unit: unit.parse().unwrap(),
        interval,
        labels: ObjectLabels {
            kind,
            namespace: Some("namespace".into()),
            name: "name".into(),
            container: None,
            detail: None,
        },
        metric_type,
    }
}

/// What the rules and the verification need of the default catalogue.
fn catalogue() -> Vec<MetricQuery> {
    let interval = Period::from_secs(15);
    let query = |metric_type, kind, unit| query(metric_type, kind, unit, interval);
    vec![
        query(MetricType::Restarts, Kind::Pod, "count"),
        query(MetricType::Waiting, Kind::Pod, "count"),
        query(MetricType::Terminated, Kind::Pod, "count"),
        query(MetricType::Ready, Kind::Pod, "count"),
        query(MetricType::MemoryWorkingSet, Kind::Pod, "bytes"),
        query(MetricType::ReplicasDesired, Kind::Deployment, "count"),
        query(MetricType::ReplicasAvailable, Kind::Deployment, "count"),
    ]
}
