//! Gathering evidence: what remediation asks for, read through the ports.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;

use futures::future::{join_all, try_join, try_join_all};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kubewise_core::action::ExecutedActionRecord;
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::document::Document;
use kubewise_core::event::EventRecord;
use kubewise_core::id::IncidentId;
use kubewise_core::incident::Incident;
use kubewise_core::plan::{Dependant, Indicators, Measurement, RemediationPlan};
use kubewise_core::port::ClusterReader;
use kubewise_core::record::{HealthyRevision, MAX_PAGE, Record, RecordKind, RecordQuery};
use kubewise_core::request::FIELD_MANAGER;
use kubewise_core::service::ServingService;
use kubewise_core::{Failure, Kind, ObjectRef, Period, Rejection, Timestamp};
use kubewise_remediation::action::successor;
use kubewise_remediation::evidence::{self, Evidence, LogExcerpt, Room, taken_by};
use kubewise_remediation::policy::{Surroundings, autonomy, nodes_to_look_at};
use kubewise_remediation::verify;
use tokio::sync::Mutex;

use crate::feedback;
use crate::runtime::Shared;

/// The newest Events and records of a workload that evidence may hold.
const RECORDS: usize = 100;
/// Of what was done to it. A drain leaves a record for each pod, and attempts are counted beyond several.
const HISTORY: usize = MAX_PAGE;
/// Of action records in the report on autonomy: 10,000, of which each is about 2 KB.
const MOST_PAGES: usize = 20;

/// Of nodes, where the pods are listed node by node: quick, and no more than a few users' worth of load.
const LISTS_AT_ONCE: usize = 8;

/// While plans are made, one list of every pod and of every node of the cluster serves for this long.
const SAME_LISTS: Period = Period::from_secs(5);

/// What evidence is gathered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// A plan, or something to read: with logs, the times of settings and what was done to others.
    Plan,
    /// A last look: nothing that was read before counts.
    Act,
}

/// The newest list of every object of a kind in the cluster, and when it was asked for.
#[derive(Debug)]
pub(crate) struct WholeList<T>(Mutex<Option<(Timestamp, T)>>);

impl<T> Default for WholeList<T> {
    fn default() -> Self {
        WholeList(Mutex::default())
    }
}

impl<T: From<Vec<Document>> + Clone> WholeList<T> {
    /// As of `since` or later; who asks meanwhile waits for the same answer.
    async fn since(
        &self,
        reader: &dyn ClusterReader,
        kind: &Kind,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<T, Failure> {
        let mut newest = self.0.lock().await;
        if let Some((_, list)) = newest.as_ref().filter(|(asked, _)| *asked >= since) {
            return Ok(list.clone());
        }
        let list = T::from(reader.list(kind, None).await?);
        *newest = Some((now, list.clone()));
        Ok(list)
    }

    /// It is large, so it is kept no longer than it serves.
    pub(crate) fn forget_old(&self, now: Timestamp) {
        if let Ok(mut newest) = self.0.try_lock() {
            newest.take_if(|(asked, _)| *asked < SAME_LISTS.before(now));
        }
    }
}

/// Everything known about an incident now.
pub(crate) async fn evidence(
    shared: &Shared,
    id: &IncidentId,
    purpose: For,
) -> Result<Option<Evidence>, Failure> {
    let Some(entry) = shared.incidents.get(id) else { return Ok(None) };
    let anomalies = entry.anomalies.into_values().collect();
    evidence_of(shared, entry.incident, anomalies, purpose).await.map(Some)
}

/// The same about an incident that need not be open any more.
pub(crate) async fn evidence_of(
    shared: &Shared,
    incident: Incident,
    mut anomalies: Vec<AnomalyRecord>,
    purpose: For,
) -> Result<Evidence, Failure> {
    let workload = incident.workload.clone();
    let reader = &shared.ports.reader;
    let document = reader.get(&workload).await?;
    let lists = evidence::lists(&workload);
    let lists = lists.iter().map(|(kind, namespace)| reader.list(kind, namespace.as_deref()));
    let mut documents: Vec<Document> = try_join_all(lists).await?.into_iter().flatten().collect();
    if let Some(namespace) = &workload.namespace {
        let namespace = ObjectRef::cluster_scoped(Kind::Namespace, namespace.clone());
        documents.extend(reader.get(&namespace).await?);
        let policies = reader.list(&Kind::NetworkPolicy, workload.namespace.as_deref()).await;
        documents.extend(lasting(policies)?.unwrap_or_default());
    }
    let now = shared.clock.now();
    let since = if purpose == For::Plan { SAME_LISTS.before(now) } else { now };
    let nodes = shared.nodes.since(reader.as_ref(), &Kind::Node, since, now).await?;
    let all_pods = shared.all_pods.since(reader.as_ref(), &Kind::Pod, since, now).await;
    // Those of dependants tell nothing about the root; what is planned is for the root alone.
    anomalies.retain(|anomaly| anomaly.workload == workload);
    let mut evidence = Evidence::assemble(incident, anomalies, document, documents, shared.clock.now());
    evidence.nodes = nodes;
    // Room on a node is judged only if everything that takes room there is known.
    match all_pods {
        Ok(pods) => evidence.all_pods = Some(pods),
        Err(failure) if failure.is(Rejection::Invalid) => {
            evidence.looked_at = look_at(reader.as_ref(), nodes_to_look_at(&evidence)).await?;
        }
        others => evidence.all_pods = lasting(others)?,
    }
    if purpose == For::Plan {
        let needing = evidence.incident.dependants.iter();
        let needing = needing.map(|workload| async { lasting(dependant(shared, workload).await) });
        evidence.dependants = try_join_all(needing).await?.into_iter().flatten().collect();
    }
    evidence.events = events(shared, &workload).await?;
    evidence.healthy = revisions(shared, &workload).await?;
    evidence.serving = serving(shared, &workload).await?;
    evidence.history = actions(shared, &workload).await?;
    if purpose == For::Plan || shared.policy.autonomy.enabled {
        evidence.precedents = precedents(shared, &workload).await?;
    }
    evidence.samples = shared.recent.of(&workload);
    if purpose == For::Plan {
        for (pod, container, previous) in evidence.wanted_logs() {
            // A log that cannot be had is no reason not to plan.
            if let Ok(text) = reader.logs(&pod, &container, previous).await {
                evidence.logs.push(LogExcerpt { pod, container, previous, text });
            }
        }
        let settings = evidence.wanted_settings();
        let times = join_all(settings.iter().map(|one| reader.last_changed(one))).await;
        evidence.settings =
            settings.into_iter().zip(times).filter_map(|(one, time)| Some((one, time.ok()??))).collect();
    }
    Ok(evidence)
}

/// What pods take of these nodes, as far as it can be known.
async fn look_at(
    reader: &dyn ClusterReader,
    nodes: BTreeSet<String>,
) -> Result<BTreeMap<String, Room>, Failure> {
    let look = |node: String| async move {
        let pods = lasting(reader.pods_on(&node).await)?;
        Ok(pods.map(|pods| (node, taken_by(&pods))))
    };
    let looks = stream::iter(nodes).map(look).buffer_unordered(LISTS_AT_ONCE);
    looks.try_filter_map(|found| ready(Ok(found))).try_collect().await
}

/// What may not be read is done without; what cannot be read just now is asked for again.
fn lasting<T>(read: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_transient() => Err(failure),
        Err(_) => Ok(None),
    }
}

/// How a plan's workload and those that need it fare now.
pub(crate) async fn measure(shared: &Shared, plan: &RemediationPlan) -> Result<Measurement, Failure> {
    // Where not even the store knows what was wrong, nobody can tell that it is gone.
    let (_, mut anomalies) = feedback::known(shared, &plan.incident).await?;
    anomalies.retain(|anomaly| anomaly.workload == plan.workload);
    let needing = plan.verification.dependants.iter().map(|one| dependant(shared, &one.workload));
    let (own, dependants) =
        try_join(fares(shared, &plan.workload, &anomalies), try_join_all(needing)).await?;
    Ok(Measurement { own, dependants })
}

async fn dependant(shared: &Shared, workload: &ObjectRef) -> Result<Dependant, Failure> {
    Ok(Dependant { workload: workload.clone(), indicators: fares(shared, workload, &[]).await? })
}

/// The guarded indicators of a workload now, and which of these anomalies of it are not gone.
async fn fares(
    shared: &Shared,
    workload: &ObjectRef,
    anomalies: &[AnomalyRecord],
) -> Result<Indicators, Failure> {
    let mut document = shared.ports.reader.get(workload).await?;
    if let Some(successor) = document.as_ref().and_then(successor) {
        document = shared.ports.reader.get(&successor).await?.or(document);
    }
    let namespace = workload.namespace.as_deref();
    let documents = try_join_all(
        evidence::lists(workload)
            .iter()
            .filter(|(kind, _)| matches!(kind, Kind::Pod | Kind::ReplicaSet | Kind::Job))
            .map(|(kind, _)| shared.ports.reader.list(kind, namespace)),
    )
    .await?;
    let pods = evidence::pods_of(document.as_ref(), &documents.concat());
    let now = shared.clock.now();
    let samples = shared.recent.of(workload);
    let mut indicators = verify::indicators(document.as_ref(), &pods, &samples, now);
    indicators.firing = verify::firing(anomalies, &samples, &pods, now);
    let serving = serving(shared, workload).await?;
    if !serving.is_empty() {
        let services = shared.ports.reader.list(&Kind::Service, namespace).await?;
        verify::services(&services, &serving, &pods, &mut indicators);
    }
    Ok(indicators)
}

/// What goes on beside the incident of `workload`.
pub(crate) fn surroundings(shared: &Shared, workload: &ObjectRef) -> Surroundings {
    let running = shared.running();
    let others: Vec<_> = running.iter().filter(|saga| saga.workload != *workload).collect();
    Surroundings {
        locked: others.iter().flat_map(|saga| saga.locks.clone()).collect(),
        running_sagas: others.len() as u32,
        disruption_in_use: others.iter().map(|saga| saga.disruption).sum(),
        workloads: shared.health.workloads() as u32,
        workloads_with_incident: shared.health.workloads_with_incident() as u32,
        other_openings: shared.incidents.openings_besides(workload),
        own_namespace: shared.own_namespace.clone(),
        paused: shared.paused().map(|pause| format!("by {}: {}", pause.by, pause.reason)),
        blind: shared.health.blind(shared.clock.now()),
    }
}

/// What Kubernetes said, not what KubeWise told there itself.
async fn events(shared: &Shared, workload: &ObjectRef) -> Result<Vec<EventRecord>, Failure> {
    let records = records(shared, RecordKind::Event, workload, RECORDS).await?;
    Ok(records
        .into_iter()
        .filter_map(|record| if let Record::Event(event) = record { Some(event) } else { None })
        .filter(|event| event.source != FIELD_MANAGER)
        .collect())
}

async fn revisions(shared: &Shared, workload: &ObjectRef) -> Result<Vec<HealthyRevision>, Failure> {
    let of = |record| if let Record::Revision(seen) = record { Some(seen) } else { None };
    Ok(records(shared, RecordKind::Revision, workload, RECORDS).await?.into_iter().filter_map(of).collect())
}

async fn serving(shared: &Shared, workload: &ObjectRef) -> Result<Vec<ServingService>, Failure> {
    let of = |record| if let Record::Service(serving) = record { Some(serving) } else { None };
    Ok(records(shared, RecordKind::Service, workload, RECORDS).await?.into_iter().filter_map(of).collect())
}

pub(crate) async fn actions(
    shared: &Shared,
    workload: &ObjectRef,
) -> Result<Vec<ExecutedActionRecord>, Failure> {
    Ok(acts_among(records(shared, RecordKind::Action, workload, HISTORY).await?).collect())
}

/// What was done in the workload's namespace, as far as trust counts it.
async fn precedents(shared: &Shared, workload: &ObjectRef) -> Result<Vec<ExecutedActionRecord>, Failure> {
    let namespace = workload.namespace.as_deref().map(Into::into);
    let query = RecordQuery { namespace, limit: autonomy::RECORDS, ..RecordQuery::of(RecordKind::Action) };
    Ok(acts_among(shared.ports.store.find(&query).await?.records).collect())
}

/// Every act that trust is computed from, newest first; at most so many that a person waits for it no longer than for
/// any other answer.
pub(crate) async fn acts(shared: &Shared) -> Result<Vec<ExecutedActionRecord>, Failure> {
    let mut query = RecordQuery::of(RecordKind::Action);
    let mut acts = Vec::new();
    for _ in 0..MOST_PAGES {
        let page = shared.ports.store.find(&query).await?;
        acts.extend(acts_among(page.records));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    Ok(acts)
}

fn acts_among(records: Vec<Record>) -> impl Iterator<Item = ExecutedActionRecord> {
    records.into_iter().filter_map(|record| if let Record::Action(done) = record { Some(done) } else { None })
}

async fn records(
    shared: &Shared,
    kind: RecordKind,
    workload: &ObjectRef,
    limit: usize,
) -> Result<Vec<Record>, Failure> {
    let query = RecordQuery { workload: Some(workload.clone()), limit, ..RecordQuery::of(kind) };
    Ok(shared.ports.store.find(&query).await?.records)
}

#[cfg(test)]
mod tests;
