//! An API over a store in memory, and how to ask it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use kubewise_api::{Api, Options, router};
use kubewise_core::author::{Caps, Explanation, Question, Spending, Spent, Trial};
use kubewise_core::autonomy::AutonomyReport;
use kubewise_core::feedback::{Feedback, Said};
use kubewise_core::health::{
    ComponentHealth, HealthReport, HealthStatus, LeadershipStatus, QueryStatus, Status,
};
use kubewise_core::id::{FeedbackId, IncidentId, PlanId};
use kubewise_core::incident::{Incident, IncidentStatus};
use kubewise_core::pause::Pause;
use kubewise_core::plan::{Mode, PlanStatus, RemediationPlan};
use kubewise_core::port::{Control, Inquiry, Introspection, RecordStore};
use kubewise_core::record::{Cursor, Page, Record, RecordKind, RecordQuery};
use kubewise_core::{Failure, Kind, ObjectRef, Rejection, Timestamp};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const TOKEN: &str = "a-token-for-tests";

/// Seconds after some morning; the API's own now is `at(10_000)`.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn record(kind: RecordKind, document: &Value) -> Record {
    Record::from_document(kind, &document.to_string()).unwrap()
}

pub(crate) fn incident(id: &str, opened: i64, workload: &ObjectRef, status: &str) -> Record {
    record(
        RecordKind::Incident,
        &json!({
            "id": id, "workload": workload, "reason": "CrashLoopBackOff", "severity": "Critical",
            "status": status, "summary": "", "openedAt": at(opened), "updatedAt": at(opened), "anomalies": [],
        }),
    )
}

pub(crate) fn plan(id: &str, status: &str) -> Record {
    let workload = ObjectRef::namespaced(Kind::Deployment, "shop", "cart");
    record(
        RecordKind::Plan,
        &json!({
            "id": id, "incident": "i-1", "workload": workload, "attempt": 1,
            "author": { "kind": "playbook", "name": "crash-loop" }, "reasoning": "", "rootCause": "",
            "evidence": [], "priority": "Critical", "actions": [],
            "safetyConstraints": [],
            "verification": {
                "checks": [], "provisionalAfter": "30s", "settle": "10m", "deadline": "30m",
                "baseline": {
                    "desired": 3, "available": 0, "rolledOut": false, "restarts": {}, "failing": [],
                    "newestSample": null, "takenAt": at(0),
                },
            },
            "mode": "propose", "status": status, "createdAt": at(0), "updatedAt": at(0),
        }),
    )
}

/// What the API stands on in these tests; each part can be made to misbehave.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) records: Mutex<BTreeMap<(RecordKind, String), Record>>,
    pub(crate) store_failure: Mutex<Option<Failure>>,
    pub(crate) health: Mutex<Option<HealthStatus>>,
    pub(crate) pause: Mutex<Option<Pause>>,
    pub(crate) panics: bool,
    pub(crate) silent: bool,
}

impl World {
    pub(crate) fn with(records: impl IntoIterator<Item = Record>) -> Self {
        let records = records.into_iter().map(|record| {
            let index = record.index();
            ((index.kind, index.id), record)
        });
        World { records: Mutex::new(records.collect()), ..World::default() }
    }

    /// As it listens by default, on loopback.
    pub(crate) fn local(self, token: Option<&str>) -> Face {
        self.listening("127.0.0.1:8470", token)
    }

    pub(crate) fn listening(self, listen: &str, token: Option<&str>) -> Face {
        let options =
            Options { listen: listen.parse().unwrap(), token: token.map(Into::into), token_file: None };
        let world = Arc::new(self);
        let router = router(Api {
            store: world.clone(),
            control: world.clone(),
            inquiry: world.clone(),
            introspection: world.clone(),
            access: options.access().unwrap(),
        });
        Face { router, world }
    }

    async fn answer(&self) -> Result<(), Failure> {
        if self.silent {
            std::future::pending::<()>().await;
        }
        assert!(!self.panics, "the store's secret is swordfish");
        self.store_failure.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn decide(
        &self,
        id: &PlanId,
        status: PlanStatus,
        by: &str,
        reason: Option<&str>,
    ) -> Result<RemediationPlan, Failure> {
        let mut records = self.records.lock().unwrap();
        let key = (RecordKind::Plan, id.to_string());
        let rejected = |reason, message: &str| Failure::Rejected { reason, message: message.into() };
        let Some(Record::Plan(plan)) = records.get_mut(&key) else {
            return Err(rejected(Rejection::NotFound, "no such plan"));
        };
        if plan.status != PlanStatus::Proposed {
            return Err(rejected(Rejection::Conflict, "the plan no longer waits"));
        }
        plan.status = status;
        plan.decided_by = Some(by.into());
        plan.decision = reason.map(Into::into);
        Ok(plan.clone())
    }
}

#[async_trait]
impl RecordStore for World {
    async fn save(&self, _: &[Record]) -> Result<(), Failure> {
        Err(Failure::Unavailable { message: "the API saves nothing".into() })
    }

    async fn get(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, Failure> {
        self.answer().await?;
        Ok(self.records.lock().unwrap().get(&(kind, id.into())).cloned())
    }

    async fn find(&self, query: &RecordQuery) -> Result<Page, Failure> {
        self.answer().await?;
        let records = self.records.lock().unwrap();
        let place = |record: &Record| {
            let index = record.index();
            Cursor { time: index.time, id: index.id }
        };
        let mut found: Vec<Record> = records
            .values()
            .filter(|record| query.admits(&record.index()))
            .filter(|record| query.cursor.as_ref().is_none_or(|cursor| place(record) < *cursor))
            .cloned()
            .collect();
        found.sort_by_key(|record| std::cmp::Reverse(place(record)));
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more).map(place);
        Ok(Page { records: found, next })
    }

    async fn purge(&self, _: Timestamp) -> Result<u64, Failure> {
        Ok(0)
    }
}

#[async_trait]
impl Control for World {
    async fn approve(&self, plan: &PlanId, by: &str) -> Result<RemediationPlan, Failure> {
        self.decide(plan, PlanStatus::Approved, by, None)
    }

    async fn reject(&self, plan: &PlanId, by: &str, reason: &str) -> Result<RemediationPlan, Failure> {
        self.decide(plan, PlanStatus::Rejected, by, Some(reason))
    }

    async fn say(&self, incident: &IncidentId, said: Said) -> Result<Feedback, Failure> {
        self.answer().await?;
        let Some(Record::Incident(incident)) = self.get(RecordKind::Incident, incident.as_str()).await?
        else {
            return Err(Failure::Rejected {
                reason: Rejection::NotFound,
                message: "no such incident".into(),
            });
        };
        let feedback = json!({
            "id": "f-1", "incident": incident.id, "workload": incident.workload, "label": said.label,
            "anomalies": [], "about": [], "by": said.by, "reason": said.reason, "time": at(10_000),
            "until": said.until,
        });
        Ok(serde_json::from_value(feedback).unwrap())
    }

    async fn release(&self, id: &IncidentId, by: &str, reason: &str) -> Result<Incident, Failure> {
        let Some(Record::Incident(mut incident)) = self.get(RecordKind::Incident, id.as_str()).await? else {
            return Err(Failure::Rejected {
                reason: Rejection::NotFound,
                message: "no such incident".into(),
            });
        };
        if incident.status != IncidentStatus::Stuck {
            let message = "it is not stuck".into();
            return Err(Failure::Rejected { reason: Rejection::Conflict, message });
        }
        incident.summary = format!("released by {by}: {reason}");
        Ok(incident)
    }

    async fn end_suppression(&self, id: &FeedbackId, by: &str) -> Result<Feedback, Failure> {
        let Some(Record::Feedback(mut feedback)) = self.get(RecordKind::Feedback, id.as_str()).await? else {
            return Err(Failure::Rejected {
                reason: Rejection::NotFound,
                message: "no such feedback".into(),
            });
        };
        feedback.reason = format!("ended by {by}");
        Ok(feedback)
    }

    async fn pause(&self, by: &str, reason: &str) -> Result<Pause, Failure> {
        let pause = json!({ "by": by, "reason": reason, "since": at(0) });
        let pause: Pause = serde_json::from_value(pause).unwrap();
        let mut held = self.pause.lock().unwrap();
        if held.is_some() {
            return Err(Failure::Rejected { reason: Rejection::Conflict, message: "paused already".into() });
        }
        *held = Some(pause.clone());
        Ok(pause)
    }

    async fn resume(&self, by: &str) -> Result<Pause, Failure> {
        let held = self.pause.lock().unwrap().take();
        let Some(pause) = held else {
            return Err(Failure::Rejected {
                reason: Rejection::Conflict,
                message: "it is not paused".into(),
            });
        };
        Ok(Pause { ended_at: Some(at(60)), ended_by: Some(by.into()), ..pause })
    }
}

#[async_trait]
impl Inquiry for World {
    async fn prompt(&self, id: &str) -> Result<Question, Failure> {
        self.answer().await?;
        let question = json!({
            "incident": id, "author": "fake/one",
            "prompt": { "instructions": "Help.", "case": "The cart crashes.", "maxAnswerTokens": 100 },
        });
        Ok(serde_json::from_value(question).unwrap())
    }

    async fn explain(&self, incident: &IncidentId, ask: bool) -> Result<Explanation, Failure> {
        let (incident, text) = (incident.clone(), "The cart crashes.".into());
        let (author, note) =
            if ask { (Some("fake/one".into()), None) } else { (None, Some("not asked".into())) };
        Ok(Explanation { incident, text, author, note })
    }

    async fn try_plan(&self, incident: &IncidentId) -> Result<Trial, Failure> {
        if self.get(RecordKind::Incident, incident.as_str()).await?.is_none() {
            return Err(Failure::Rejected {
                reason: Rejection::NotFound,
                message: "no such incident".into(),
            });
        }
        let reason = Some("nothing fires any more".into());
        let (incident, author) = (incident.clone(), "no author is configured".into());
        Ok(Trial { incident, plan: None, reason, again_at: None, refused: Vec::new(), author })
    }

    fn spending(&self) -> Spending {
        let (day, month) = (Spent::default(), Spent { calls: 1, tokens: 900, ..Spent::default() });
        Spending { author: None, day, month, caps: Caps::default(), capped: None, incidents: Vec::new() }
    }
}

#[async_trait]
impl Introspection for World {
    fn health(&self) -> HealthReport {
        let status = self.health.lock().unwrap().unwrap_or(HealthStatus::Healthy);
        let part = |status, message: &str| ComponentHealth {
            status,
            message: message.into(),
            since: at(0),
            last_success: None,
            breaker: None,
        };
        HealthReport {
            status,
            components: [("detect".into(), part(HealthStatus::Healthy, ""))].into(),
            dependencies: [("prometheus".into(), part(status, "connection refused"))].into(),
        }
    }

    fn status(&self) -> Status {
        Status {
            version: "0.0.0".into(),
            started_at: at(0),
            now: at(10_000),
            mode: Mode::Observe,
            paused: self.pause.lock().unwrap().clone(),
            blind: None,
            leadership: LeadershipStatus::NotSought,
            health: self.health(),
            queries: vec![QueryStatus {
                name: "restarts".into(),
                last_success: Some(at(9_990)),
                samples: 200,
                dropped: 0,
                error: None,
                warnings: Vec::new(),
            }],
            queues: Vec::new(),
            series: 200,
            workloads: 20,
            open_incidents: 1,
            running_sagas: 0,
        }
    }

    fn metrics(&self) -> String {
        "# EOF\n".into()
    }

    fn configuration(&self) -> Value {
        json!({ "api": { "token": "***" } })
    }

    async fn autonomy(&self) -> Result<AutonomyReport, Failure> {
        self.answer().await?;
        let trust = json!({
            "action": "RolloutUndo", "class": { "kind": "Deployment", "namespace": "shop" }, "level": "approve",
            "mode": "propose", "successes": 4, "failures": 0, "bound": 0.6, "next": "6 more verified successes",
        });
        Ok(AutonomyReport { enabled: true, items: vec![serde_json::from_value(trust).unwrap()] })
    }
}

#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) router: Router,
    pub(crate) world: Arc<World>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect(&self.text)
    }

    /// The `detail` of a well-formed problem with this status.
    pub(crate) fn problem(&self, status: u16) -> String {
        let problem = self.json();
        assert_eq!(self.status.as_u16(), status, "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["type"].as_str().unwrap().starts_with("urn:kubewise:problem:"), "{problem}");
        assert!(!problem["title"].as_str().unwrap().is_empty(), "{problem}");
        problem["detail"].as_str().unwrap().into()
    }
}

impl Face {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send("POST", path, &headers, &body.to_string()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response =
            self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 1 << 22).await.unwrap().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }
}
