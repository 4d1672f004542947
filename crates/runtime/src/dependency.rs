//! Circuit breaker and retry, put around a port in the wiring.
//!
//! Reads are tried again; writes to the cluster and appends to the journal never are, since only their caller
//! knows what an unknown outcome means.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use kubewise_core::author::{Answer, Prompt};
use kubewise_core::document::Document;
use kubewise_core::failure::{Failure, Rejection};
use kubewise_core::health::{BreakerState, ComponentHealth, HealthStatus};
use kubewise_core::id::SagaId;
use kubewise_core::journal::JournalEntry;
use kubewise_core::metric::{MetricAnswer, MetricQuery};
use kubewise_core::port::{
    Clock, ClusterActor, ClusterReader, Journal, MetricSource, PlanAuthor, RecordStore,
};
use kubewise_core::record::{Page, Record, RecordKind, RecordQuery};
use kubewise_core::request::{ClusterRequest, Performed};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::breaker::{Breaker, Permit};
use crate::options::ResilienceOptions;
use crate::telemetry::Telemetry;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryOptions {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// The wait before the second try is random between zero and this; it doubles with each further try, …
    pub base: Period,
    /// … up to this.
    pub cap: Period,
}

impl Default for RetryOptions {
    fn default() -> Self {
        RetryOptions { attempts: 3, base: Period::from_millis(200), cap: Period::from_secs(5) }
    }
}

impl RetryOptions {
    /// The longest wait before try `attempt` (2 for the first retry).
    fn ceiling(&self, attempt: u32) -> Period {
        let doubled = self.base.as_secs_f64() * 2_f64.powi(attempt.saturating_sub(2).min(30) as i32);
        Period::from_millis((doubled.min(self.cap.as_secs_f64()) * 1000.0) as u64)
    }
}

/// Breaker, retry and health of one outside system. Cheap to clone; clones share the state.
#[derive(Clone)]
pub struct Dependency {
    inner: Arc<Inner>,
}

struct Inner {
    name: &'static str,
    retry: RetryOptions,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
    state: Mutex<State>,
}

struct State {
    breaker: Breaker,
    random: fastrand::Rng,
    status: HealthStatus,
    message: String,
    since: Timestamp,
    last_success: Option<Timestamp>,
}

impl fmt::Debug for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dependency").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Dependency {
    /// `seed` decides the jitter of the waits.
    pub fn new(
        name: &'static str,
        options: &ResilienceOptions,
        clock: Arc<dyn Clock>,
        telemetry: Telemetry,
        seed: u64,
    ) -> Self {
        let state = Mutex::new(State {
            breaker: Breaker::new(options.breaker),
            random: fastrand::Rng::with_seed(seed),
            status: HealthStatus::Unknown,
            message: "nothing was asked yet".into(),
            since: clock.now(),
            last_success: None,
        });
        Dependency { inner: Arc::new(Inner { name, retry: options.retry, clock, telemetry, state }) }
    }

    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    pub(crate) fn health(&self) -> ComponentHealth {
        let now = self.inner.clock.now();
        let state = self.lock();
        ComponentHealth {
            status: state.status,
            message: state.message.clone(),
            since: state.since,
            last_success: state.last_success,
            breaker: Some(state.breaker.state(now)),
        }
    }

    /// One try: refused by an open breaker, or made and accounted for.
    pub(crate) async fn once<T, F>(&self, call: F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        // A refusal is an answer: the other side works.
        self.judged(call, Failure::is_transient).await
    }

    /// The same, where `down` says which failure speaks against the other side.
    async fn judged<T, F>(&self, call: F, down: impl Fn(&Failure) -> bool) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let admitted = self.lock().breaker.admit(self.inner.clock.now());
        let permit = admitted.map_err(|until| Failure::Unavailable {
            message: format!(
                "{}: circuit breaker open until {until}: {}",
                self.inner.name,
                self.lock().message
            ),
        })?;
        let mut trial = Trial { dependency: self, permit: Some(permit) };
        let started = self.inner.clock.now();
        let result = call.await;
        trial.permit = None;
        let now = self.inner.clock.now();
        self.account(permit, result.as_ref().err(), result.as_ref().is_err_and(down), now);
        self.inner.telemetry.dependency_call(
            self.inner.name,
            result.as_ref().err(),
            Period::between(started, now),
        );
        result
    }

    /// Tries until it succeeds, is rejected, or the tries are used up. For reads only. The failure is the last
    /// one, with the number of tries.
    pub(crate) async fn retrying<T, F, C>(&self, call: C) -> Result<T, Failure>
    where
        C: Fn() -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempt = 1;
        loop {
            let failure = match self.once(call()).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let open = self.lock().breaker.state(self.inner.clock.now()) == BreakerState::Open;
            if !failure.is_transient() || attempt >= self.inner.retry.attempts || open {
                return Err(failure);
            }
            attempt += 1;
            let ceiling = self.inner.retry.ceiling(attempt);
            let jittered =
                Period::from_millis((ceiling.as_secs_f64() * 1000.0 * self.lock().random.f64()) as u64);
            let asked = match &failure {
                Failure::RateLimited { retry_after: Some(wait), .. } => {
                    Period::from(*wait).min(self.inner.retry.cap)
                }
                Failure::RateLimited { .. }
                | Failure::Rejected { .. }
                | Failure::Unknown { .. }
                | Failure::Unavailable { .. } => Period::ZERO,
            };
            let now = self.inner.clock.now();
            self.inner.clock.sleep_until(jittered.max(asked).after(now)).await;
        }
    }

    fn account(&self, permit: Permit, failure: Option<&Failure>, down: bool, now: Timestamp) {
        let mut state = self.lock();
        if down {
            state.breaker.failed(permit, now);
        } else {
            state.breaker.succeeded(permit);
        }
        if !down {
            state.last_success = Some(now);
        }
        let status = match failure {
            Some(_) if down => HealthStatus::Unhealthy,
            Some(failure) if failure.is(Rejection::Forbidden) => HealthStatus::Degraded,
            Some(_) | None => HealthStatus::Healthy,
        };
        if status != state.status {
            state.status = status;
            state.since = now;
        }
        state.message = match failure {
            Some(failure) if status != HealthStatus::Healthy => failure.to_string(),
            Some(_) | None => String::new(),
        };
        let breaker = state.breaker.state(now);
        drop(state);
        self.inner.telemetry.breaker(self.inner.name, breaker);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a half-open trial's place back if the call is dropped before it ends.
struct Trial<'a> {
    dependency: &'a Dependency,
    permit: Option<Permit>,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit {
            self.dependency.lock().breaker.abandoned(permit);
        }
    }
}

/// A metric source with retry and breaker.
#[derive(Debug)]
pub struct GuardedMetrics<P: ?Sized>(pub Arc<P>, pub Dependency);

#[async_trait]
impl<P: MetricSource + ?Sized> MetricSource for GuardedMetrics<P> {
    async fn sample(&self, query: &MetricQuery, now: Timestamp) -> Result<MetricAnswer, Failure> {
        self.1.retrying(|| self.0.sample(query, now)).await
    }
}

/// Reader and actor with one breaker: they speak to one API server. Reads are retried, writes never.
#[derive(Debug)]
pub struct GuardedCluster<P: ?Sized>(pub Arc<P>, pub Dependency);

#[async_trait]
impl<P: ClusterReader + ?Sized> ClusterReader for GuardedCluster<P> {
    async fn get(&self, object: &ObjectRef) -> Result<Option<Document>, Failure> {
        self.1.retrying(|| self.0.get(object)).await
    }

    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
        self.1.retrying(|| self.0.list(kind, namespace)).await
    }

    async fn pods_on(&self, node: &str) -> Result<Vec<Document>, Failure> {
        self.1.retrying(|| self.0.pods_on(node)).await
    }

    async fn logs(&self, pod: &ObjectRef, container: &str, previous: bool) -> Result<String, Failure> {
        self.1.once(self.0.logs(pod, container, previous)).await
    }

    async fn last_changed(&self, settings: &ObjectRef) -> Result<Option<Timestamp>, Failure> {
        self.1.once(self.0.last_changed(settings)).await
    }
}

#[async_trait]
impl<P: ClusterActor + ?Sized> ClusterActor for GuardedCluster<P> {
    async fn perform(&self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        // 429 is also what a disruption budget answers.
        let evicts = matches!(request, ClusterRequest::Evict { .. });
        let held = |failure: &Failure| evicts && matches!(failure, Failure::RateLimited { .. });
        let down = |failure: &Failure| failure.is_transient() && !held(failure);
        self.1.judged(self.0.perform(request, dry_run), down).await
    }
}

/// A record store with retry (saving by id may be repeated) and breaker.
#[derive(Debug)]
pub struct GuardedStore<P: ?Sized>(pub Arc<P>, pub Dependency);

#[async_trait]
impl<P: RecordStore + ?Sized> RecordStore for GuardedStore<P> {
    async fn save(&self, records: &[Record]) -> Result<(), Failure> {
        self.1.retrying(|| self.0.save(records)).await
    }

    async fn get(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, Failure> {
        self.1.retrying(|| self.0.get(kind, id)).await
    }

    async fn find(&self, query: &RecordQuery) -> Result<Page, Failure> {
        self.1.retrying(|| self.0.find(query)).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, Failure> {
        self.1.once(self.0.purge(before)).await
    }
}

/// A journal with breaker; the saga itself repeats an append whose outcome is unknown.
#[derive(Debug)]
pub struct GuardedJournal<P: ?Sized>(pub Arc<P>, pub Dependency);

#[async_trait]
impl<P: Journal + ?Sized> Journal for GuardedJournal<P> {
    async fn append(&self, entry: &JournalEntry) -> Result<(), Failure> {
        self.1.once(self.0.append(entry)).await
    }

    async fn unfinished(&self) -> Result<Vec<SagaId>, Failure> {
        self.1.retrying(|| self.0.unfinished()).await
    }

    async fn read(&self, saga: &SagaId) -> Result<Vec<JournalEntry>, Failure> {
        self.1.retrying(|| self.0.read(saga)).await
    }
}

/// An author with breaker. A question is sent again only if the provider asks to wait, which says that it surely was not
/// taken, and only if that wait ends within the given period, after which nobody waits for the answer any more.
#[derive(Debug)]
pub struct GuardedAuthor<P: ?Sized>(pub Arc<P>, pub Dependency, pub Period);

#[async_trait]
impl<P: PlanAuthor + ?Sized> PlanAuthor for GuardedAuthor<P> {
    async fn answer(&self, prompt: &Prompt) -> Result<Answer, Failure> {
        let GuardedAuthor(author, dependency, patience) = self;
        let clock = &dependency.inner.clock;
        let until = patience.after(clock.now());
        let mut attempt = 1;
        loop {
            let answered = dependency.once(author.answer(prompt)).await;
            let Err(Failure::RateLimited { retry_after: Some(wait), .. }) = &answered else {
                return answered;
            };
            let again = Period::from(*wait).after(clock.now());
            if again >= until || attempt >= dependency.inner.retry.attempts {
                return answered;
            }
            attempt += 1;
            clock.sleep_until(again).await;
        }
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

#[cfg(test)]
mod tests;
