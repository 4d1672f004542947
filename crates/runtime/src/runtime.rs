//! The runtime: what the loops share, and the handle by which it is looked at and ended.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use kubewise_core::anomaly::AnomalyStatus;
use kubewise_core::autonomy::AutonomyReport;
use kubewise_core::document::Document;
use kubewise_core::failure::{Failure, Rejection};
use kubewise_core::feedback::{Feedback, Said};
use kubewise_core::health::{HealthReport, QueueStatus, Status};
use kubewise_core::id::{FeedbackId, IncidentId, PlanId, SagaId};
use kubewise_core::incident::Incident;
use kubewise_core::metric::MetricQuery;
use kubewise_core::pause::Pause;
use kubewise_core::plan::RemediationPlan;
use kubewise_core::port::{
    Clock, ClusterActor, ClusterReader, Control, EventSource, Introspection, Journal, Leadership,
    MetricSource, Notifier, PlanAuthor, RecordStore,
};
use kubewise_core::record::{Record, RecordKind, RecordQuery};
use kubewise_core::service::ServingService;
use kubewise_core::{ObjectRef, Period, Timestamp};
use kubewise_detector::{Detector, Observation};
use kubewise_remediation::evidence::AllPods;
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy;
use tokio::sync::mpsc;

use crate::author::Correspondence;
use crate::dependency::Dependency;
use crate::gather::WholeList;
use crate::health::Health;
use crate::incidents::Incidents;
use crate::leader::Leader;
use crate::options::{AuthorOptions, Options};
use crate::outbox::Outbox;
use crate::pause::Pauses;
use crate::queue::SampleQueue;
use crate::recent::Recent;
use crate::shutdown::Phases;
use crate::telemetry::Telemetry;
use crate::{author, collect, detect, execute, feedback, gather, plan, release};

/// Between removals of what is older than the retention.
const PURGE_EVERY: Period = Period::from_mins(60);

/// Everything outside, decorated as the wiring wants it.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "ports are opaque")]
pub struct Ports {
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn MetricSource>,
    pub events: Arc<dyn EventSource>,
    pub reader: Arc<dyn ClusterReader>,
    pub actor: Arc<dyn ClusterActor>,
    pub store: Arc<dyn RecordStore>,
    pub journal: Arc<dyn Journal>,
    pub notifier: Arc<dyn Notifier>,
    pub leadership: Arc<dyn Leadership>,
    /// A language model, if there is one.
    pub author: Option<Arc<dyn PlanAuthor>>,
    /// What the ports above depend on, for health.
    pub dependencies: Vec<Dependency>,
}

/// What the loops are set to do.
#[derive(Debug)]
pub struct Setup {
    pub options: Options,
    pub author: AuthorOptions,
    pub policy: policy::Options,
    pub playbooks: Playbooks,
    pub catalogue: Vec<MetricQuery>,
    pub detector: kubewise_detector::Options,
    /// How long closed records are kept.
    pub retention: Period,
    pub own_namespace: Option<String>,
    /// The effective configuration with secrets masked, for people.
    pub configuration: serde_json::Value,
    /// Decides jitter, nothing else.
    pub seed: u64,
}

/// One loop: its name, and the future that runs it until its phase ends.
pub type Loop = (&'static str, BoxFuture<'static, ()>);

pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) policy: policy::Options,
    pub(crate) playbooks: Playbooks,
    pub(crate) own_namespace: Option<String>,
    pub(crate) seed: u64,
    pub(crate) telemetry: Telemetry,
    pub(crate) health: Health,
    pub(crate) samples: SampleQueue,
    pub(crate) recent: Recent,
    pub(crate) all_pods: WholeList<AllPods>,
    pub(crate) nodes: WholeList<Arc<[Document]>>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) incidents: Incidents,
    pub(crate) correspondence: Correspondence,
    pub(crate) leader: Leader,
    /// To the detector.
    pub(crate) lessons: mpsc::Sender<Observation>,
    running: Mutex<Vec<Running>>,
    pub(crate) pauses: Pauses,
    configuration: serde_json::Value,
    started_at: Timestamp,
    phases: Phases,
}

/// A saga that is being driven.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) saga: SagaId,
    pub(crate) workload: ObjectRef,
    pub(crate) locks: Vec<ObjectRef>,
    /// Pods it may make unavailable.
    pub(crate) disruption: u32,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn running(&self) -> Vec<Running> {
        self.sagas().clone()
    }

    pub(crate) fn paused(&self) -> Option<Pause> {
        self.pauses.in_force()
    }

    pub(crate) fn run_saga(&self, saga: Running) {
        self.sagas().push(saga);
    }

    pub(crate) fn saga_ended(&self, saga: &SagaId) {
        self.sagas().retain(|running| running.saga != *saga);
    }

    fn sagas(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runtime that has taken up where the store left off and whose loops wait to be spawned.
#[derive(Debug)]
pub struct Runtime {
    shared: Arc<Shared>,
    detector: Detector,
    lessons: mpsc::Receiver<Observation>,
    catalogue: Vec<MetricQuery>,
    retention: Period,
}

/// To look at a running runtime, decide about plans, and end it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Runtime {
    /// Reads what is open in the store. Fails if the store cannot be read: starting blind would forget
    /// cooldowns and open incidents.
    pub async fn new(ports: Ports, setup: Setup, telemetry: Telemetry) -> Result<Self, Failure> {
        let clock = ports.clock.clone();
        let now = clock.now();
        let mut detector = Detector::new(setup.detector);
        let open = open_records(&ports).await?;
        let firing = open.anomalies.iter().filter(|anomaly| anomaly.status == AnomalyStatus::Firing);
        detector.restore(firing.cloned().collect(), open.incidents.clone());
        detector.recall(open.serving);
        for lesson in feedback::recall(&ports).await? {
            detector.observe(&lesson, now);
        }
        let (teacher, lessons) = mpsc::channel(feedback::QUEUE);
        let outbox = Arc::new(Outbox::new(setup.options.queues.records, telemetry.clone()));
        let incidents = Incidents::new(outbox.clone(), telemetry.clone(), setup.policy.max_attempts);
        incidents.restore(open.incidents, open.anomalies, open.plans, now);
        let correspondence =
            Correspondence::restored(&ports, setup.author, &outbox, telemetry.clone(), now).await?;
        let shared = Shared {
            health: Health::new(ports.dependencies.clone(), &setup.catalogue, now),
            samples: SampleQueue::new(setup.options.queues.samples),
            recent: Recent::default(),
            all_pods: WholeList::default(),
            nodes: WholeList::default(),
            leader: Leader::new(ports.leadership.clone(), clock.clone(), telemetry.clone()),
            lessons: teacher,
            outbox,
            incidents,
            correspondence,
            running: Mutex::default(),
            pauses: Pauses::restored(open.pause),
            phases: Phases::default(),
            configuration: setup.configuration,
            started_at: now,
            own_namespace: setup.own_namespace,
            seed: setup.seed,
            options: setup.options,
            policy: setup.policy,
            playbooks: setup.playbooks,
            telemetry,
            clock,
            ports,
        };
        let shared = Arc::new(shared);
        Ok(Runtime { shared, detector, lessons, catalogue: setup.catalogue, retention: setup.retention })
    }

    pub fn handle(&self) -> Handle {
        Handle { shared: self.shared.clone() }
    }

    /// All loops. Whoever spawns them decides on which executor; they end when [`Handle::shutdown`] is called.
    pub fn loops(self) -> Vec<Loop> {
        let Runtime { shared, detector, lessons, catalogue, retention } = self;
        let inputs = |watch| detect::Inputs { watch, lessons };
        let phases = shared.phases.clone();
        let (to_detect, watched) = mpsc::channel(shared.options.queues.watch.max(1));
        let source = shared.ports.events.clone();
        let outbox = {
            let (shared, phase) = (shared.clone(), phases.save.clone());
            async move {
                let (store, clock) = (shared.ports.store.clone(), shared.clock.clone());
                shared.outbox.run(store, clock, shared.options.batches.records, phase.stop).await;
                phase.stopped.cancel();
            }
        };
        let leader = {
            let (shared, phase) = (shared.clone(), phases.lead.clone());
            async move {
                shared.leader.run(phase.stop).await;
                phase.stopped.cancel();
            }
        };
        vec![
            ("poll", collect::poll(shared.clone(), catalogue, phases.collect.clone()).boxed()),
            ("watch", collect::watch(shared.clone(), source, to_detect, phases.collect.clone()).boxed()),
            ("detect", detect::run(shared.clone(), detector, inputs(watched), phases.detect.clone()).boxed()),
            ("plan", plan::run(shared.clone(), phases.plan.clone()).boxed()),
            ("author", author::run(shared.clone(), phases.plan.clone()).boxed()),
            ("execute", execute::run(shared.clone(), phases.execute.clone()).boxed()),
            ("lead", leader.boxed()),
            ("purge", purge(shared, retention, phases.save.clone()).boxed()),
            ("save", outbox.boxed()),
        ]
    }
}

impl Handle {
    /// Ends all loops in order and returns the phases that did not end in time.
    pub async fn shutdown(&self) -> Vec<&'static str> {
        self.shared.phases.end(&self.shared.options.shutdown, &self.shared.clock).await
    }

    async fn decide(
        &self,
        plan: &PlanId,
        approve: bool,
        by: &str,
        reason: Option<&str>,
    ) -> Result<RemediationPlan, Failure> {
        let shared = &self.shared;
        match shared.incidents.decide(plan, approve, by, reason, shared.clock.now()) {
            // The plan of an incident that is over is in the store alone.
            Err(unknown) if unknown.is(Rejection::NotFound) => {
                match shared.ports.store.get(RecordKind::Plan, plan.as_str()).await? {
                    Some(_) => {
                        let message = format!("plan {plan} does not wait any more: its incident is over");
                        Err(Failure::Rejected { reason: Rejection::Conflict, message })
                    }
                    None => Err(unknown),
                }
            }
            decided => decided,
        }
    }
}

#[async_trait]
impl Control for Handle {
    async fn approve(&self, plan: &PlanId, by: &str) -> Result<RemediationPlan, Failure> {
        self.decide(plan, true, by, None).await
    }

    async fn reject(&self, plan: &PlanId, by: &str, reason: &str) -> Result<RemediationPlan, Failure> {
        self.decide(plan, false, by, Some(reason)).await
    }

    async fn say(&self, incident: &IncidentId, said: Said) -> Result<Feedback, Failure> {
        feedback::say(&self.shared, incident, said).await
    }

    async fn release(&self, incident: &IncidentId, by: &str, reason: &str) -> Result<Incident, Failure> {
        release::release(&self.shared, incident, by, reason).await
    }

    async fn end_suppression(&self, feedback: &FeedbackId, by: &str) -> Result<Feedback, Failure> {
        feedback::end_suppression(&self.shared, feedback, by).await
    }

    async fn pause(&self, by: &str, reason: &str) -> Result<Pause, Failure> {
        let shared = &self.shared;
        shared.pauses.pause(&*shared.ports.store, by, reason, shared.clock.now()).await
    }

    async fn resume(&self, by: &str) -> Result<Pause, Failure> {
        let shared = &self.shared;
        let pause = shared.pauses.resume(&*shared.ports.store, by, shared.clock.now()).await?;
        shared.incidents.to_plan.notify_one();
        Ok(pause)
    }
}

#[async_trait]
impl Introspection for Handle {
    fn health(&self) -> HealthReport {
        self.shared.health.report(self.shared.clock.now())
    }

    fn status(&self) -> Status {
        let shared = &self.shared;
        let now = shared.clock.now();
        let samples = &shared.samples;
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: shared.started_at,
            now,
            mode: shared.policy.mode,
            paused: shared.paused(),
            blind: shared.health.blind(now),
            leadership: shared.leader.status(),
            health: shared.health.report(now),
            queries: shared.health.queries(),
            queues: vec![
                QueueStatus {
                    name: "samples".into(),
                    length: samples.len() as u64,
                    capacity: samples.capacity() as u64,
                    displaced: samples.displaced(),
                },
                QueueStatus {
                    name: "records".into(),
                    length: shared.outbox.len() as u64,
                    capacity: shared.outbox.capacity() as u64,
                    displaced: 0,
                },
            ],
            series: shared.health.series() as u64,
            workloads: shared.health.workloads() as u64,
            open_incidents: shared.incidents.open() as u64,
            running_sagas: shared.running().len() as u64,
        }
    }

    fn metrics(&self) -> String {
        self.shared.telemetry.encode()
    }

    fn configuration(&self) -> serde_json::Value {
        self.shared.configuration.clone()
    }

    async fn autonomy(&self) -> Result<AutonomyReport, Failure> {
        let shared = &self.shared;
        let acts = gather::acts(shared).await?;
        Ok(policy::autonomy::report(&acts, &shared.policy, shared.clock.now()))
    }
}

async fn purge(shared: Arc<Shared>, retention: Period, phase: crate::shutdown::Phase) {
    while !phase.stop.is_cancelled() {
        tokio::select! {
            biased;
            () = phase.stop.cancelled() => return,
            () = shared.clock.sleep_until(PURGE_EVERY.after(shared.clock.now())) => {}
        }
        match shared.ports.store.purge(retention.before(shared.clock.now())).await {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, "records older than the retention removed"),
            Err(failure) => tracing::warn!(%failure, "old records could not be removed"),
        }
    }
}

#[derive(Default)]
struct OpenRecords {
    incidents: Vec<kubewise_core::incident::Incident>,
    anomalies: Vec<kubewise_core::anomaly::AnomalyRecord>,
    plans: Vec<RemediationPlan>,
    pause: Option<Pause>,
    serving: Vec<ServingService>,
}

/// Everything that was not over when the last process ended.
async fn open_records(ports: &Ports) -> Result<OpenRecords, Failure> {
    let mut open = OpenRecords::default();
    let unfinished = [
        (RecordKind::Incident, &["Open", "Proposed", "Repairing"][..]),
        (RecordKind::Anomaly, &["Firing"][..]),
        (RecordKind::Plan, &["Proposed", "Approved", "Executing"][..]),
        (RecordKind::Pause, &["Paused"][..]),
        (RecordKind::Service, &["Serving"][..]),
    ];
    for (kind, statuses) in unfinished {
        for status in statuses {
            let mut query = RecordQuery { status: Some((*status).into()), ..RecordQuery::of(kind) };
            loop {
                let page = ports.store.find(&query).await?;
                for record in page.records {
                    match record {
                        Record::Incident(incident) => open.incidents.push(incident),
                        Record::Anomaly(anomaly) => open.anomalies.push(anomaly),
                        Record::Plan(plan) => open.plans.push(plan),
                        Record::Pause(pause) => open.pause = open.pause.or(Some(pause)),
                        Record::Service(serving) => open.serving.push(serving),
                        Record::Event(_)
                        | Record::Action(_)
                        | Record::Capture(_)
                        | Record::Revision(_)
                        | Record::Feedback(_)
                        | Record::Call(_) => {}
                    }
                }
                let Some(next) = page.next else { break };
                query.cursor = Some(next);
            }
        }
    }
    // An incident that is over for KubeWise goes on while its trouble does; else it is history.
    for id in open.anomalies.iter().filter_map(|anomaly| anomaly.incident.as_ref()) {
        if open.incidents.iter().all(|known| known.id != *id)
            && let Some(Record::Incident(incident)) =
                ports.store.get(RecordKind::Incident, id.as_str()).await?
        {
            open.incidents.push(incident);
        }
    }
    // An anomaly that is over while its incident is not is still to be told how that ends.
    for id in open.incidents.iter().flat_map(|incident| &incident.anomalies) {
        if open.anomalies.iter().all(|known| known.id != *id)
            && let Some(Record::Anomaly(anomaly)) = ports.store.get(RecordKind::Anomaly, id.as_str()).await?
        {
            open.anomalies.push(anomaly);
        }
    }
    Ok(open)
}
