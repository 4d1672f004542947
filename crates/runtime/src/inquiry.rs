//! What people ask about plans and their author.

use async_trait::async_trait;
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::author::{
    AuthorCall, CallOutcome, Ending, Explanation, Purpose, Question, Spending, Trial,
};
use kubewise_core::id::{IncidentId, PlanId};
use kubewise_core::incident::Incident;
use kubewise_core::plan::{RemediationPlan, SafetyConstraint};
use kubewise_core::port::Inquiry;
use kubewise_core::record::{Record, RecordKind, RecordQuery};
use kubewise_core::{Failure, Period, Rejection};
use kubewise_remediation::author as writing;
use kubewise_remediation::evidence::Evidence;
use kubewise_remediation::planner::{self, Decision};

use crate::author::{self, Consulted, Silence};
use crate::feedback::known;
use crate::gather::{self, For};
use crate::runtime::{Handle, Shared};

/// Whoever asks for an explanation waits at a terminal, and the API answers within 30 s.
const EXPLAINED_WITHIN: Period = Period::from_secs(20);
/// What is told of an incident rests on its newest records.
const RECORDS: usize = 50;

#[async_trait]
impl Inquiry for Handle {
    async fn prompt(&self, id: &str) -> Result<Question, Failure> {
        let shared = &*self.shared;
        let (incident, plan) = incident_or_plan(shared, id).await?;
        let sent =
            calls(shared, &incident).await?.into_iter().filter(|call| call.purpose == Purpose::Proposal);
        let sent: Vec<AuthorCall> = sent.collect();
        let of_plan = |call: &&AuthorCall| plan.is_some() && call.plan.as_ref() == plan.as_ref();
        if let Some(call) = sent.iter().find(of_plan).or(sent.first()) {
            return Ok(Question {
                incident,
                author: Some(call.author.clone()),
                sent_at: Some(call.asked_at),
                prompt: call.prompt.clone(),
            });
        }
        let evidence = evidence(shared, &incident).await?;
        let surroundings = gather::surroundings(shared, &evidence.incident.workload);
        let draft = author::draft(shared, &evidence, &surroundings, shared.clock.now());
        let draft = draft.ok_or_else(|| Failure::Rejected {
            reason: Rejection::Conflict,
            message: format!("nothing was asked about incident {incident}, and nothing would be: there is nothing to decide now"),
        })?;
        let author = shared.correspondence.name().map(Into::into);
        Ok(Question { incident, author, sent_at: None, prompt: draft.prompt })
    }

    async fn explain(&self, id: &IncidentId, ask: bool) -> Result<Explanation, Failure> {
        let shared = &*self.shared;
        let (incident, anomalies) = known(shared, id).await?;
        let told = |call: &AuthorCall| {
            (call.outcome == CallOutcome::Accepted && call.asked_at >= incident.updated_at)
                .then(|| call.answer.clone().map(|answer| (call.author.clone(), answer.text)))?
        };
        let earlier =
            calls(shared, id).await?.into_iter().filter(|call| call.purpose == Purpose::Explanation);
        if let Some((author, text)) = earlier.into_iter().find_map(|call| told(&call)) {
            return Ok(Explanation { incident: id.clone(), text, author: Some(author), note: None });
        }
        let plans = plans(shared, id).await?;
        let note = match shared.correspondence.name() {
            Some(author) if ask => match by_author(shared, &incident, &anomalies, plans.first()).await {
                Ok(text) => {
                    let author = Some(author.into());
                    return Ok(Explanation { incident: id.clone(), text, author, note: None });
                }
                Err(why) => why,
            },
            Some(author) => format!("{author} was not asked: that needs the token"),
            None => Silence::Nobody.to_string(),
        };
        let actions = gather::actions(shared, &incident.workload).await?;
        let own: Vec<_> = actions.into_iter().filter(|action| action.incident == *id).collect();
        let text = writing::told(&incident, &anomalies, &plans, &own);
        Ok(Explanation { incident: id.clone(), text, author: None, note: Some(note) })
    }

    async fn try_plan(&self, id: &IncidentId) -> Result<Trial, Failure> {
        let shared = &*self.shared;
        let evidence = evidence(shared, id).await?;
        let now = shared.clock.now();
        let surroundings = gather::surroundings(shared, &evidence.incident.workload);
        let (playbooks, policy) = (&shared.playbooks, &shared.policy);
        let alone = planner::plan(&evidence, playbooks, policy, &surroundings, now);
        let draft = author::draft(shared, &evidence, &surroundings, now);
        let (decision, author) = match (shared.correspondence.name(), draft) {
            (None, _) => (alone, Silence::Nobody.to_string()),
            (Some(name), None) => (alone, format!("{name} would not be asked")),
            (Some(name), Some(draft)) => match shared.correspondence.known(&evidence.incident, &draft, now) {
                Consulted::Proposal { proposal, author, .. } => {
                    let decision = planner::plan_proposed(
                        &evidence,
                        playbooks,
                        policy,
                        &surroundings,
                        &proposal,
                        &author,
                        now,
                    );
                    (decision, format!("{author} was asked about this trouble before"))
                }
                Consulted::Wait(_) => (alone, format!("{name} is being asked")),
                Consulted::Nothing(Some(silence)) => (alone, silence.to_string()),
                Consulted::Nothing(None) => (alone, format!("{name} would be asked first")),
            },
        };
        Ok(trial(id, decision, author))
    }

    fn spending(&self) -> Spending {
        self.shared.correspondence.spending(self.shared.clock.now())
    }
}

/// Has the author explain an incident, or says why it did not.
async fn by_author(
    shared: &Shared,
    incident: &Incident,
    anomalies: &[AnomalyRecord],
    plan: Option<&RemediationPlan>,
) -> Result<String, String> {
    let options = shared.correspondence.options();
    let until = EXPLAINED_WITHIN.min(options.deadline).after(shared.clock.now());
    let evidence = gather::evidence_of(shared, incident.clone(), anomalies.to_vec(), For::Plan).await;
    let evidence = evidence.map_err(|failure| format!("its evidence cannot be gathered: {failure}"))?;
    let question = author::Question {
        incident,
        purpose: Purpose::Explanation,
        fingerprint: None,
        attempt: 1,
        prompt: writing::explanation(&evidence, plan, &options.prompt),
    };
    let (record, answer) =
        author::send(shared, question, until).await.map_err(|silence| silence.to_string())?;
    if answer.ending == Ending::Withheld || answer.text.trim().is_empty() {
        let objection = "it holds no text".to_owned();
        author::close(shared, record, CallOutcome::Refused, objection.clone());
        return Err(Silence::Refused(objection).to_string());
    }
    author::close(shared, record, CallOutcome::Accepted, String::new());
    Ok(answer.text)
}

fn trial(incident: &IncidentId, decision: Decision, author: String) -> Trial {
    let (plan, reason, again_at, refused) = match decision {
        Decision::Plan { plan, refused } => (Some(plan), None, None, refused),
        Decision::Wait { until, reason, refused } => (None, Some(reason), Some(until), refused),
        Decision::Nothing { reason } => (None, Some(reason), None, Vec::new()),
    };
    let refused = refused.into_iter().map(|refusal| SafetyConstraint {
        rule: refusal.rule,
        finding: format!("refused {}: {}", refusal.what, refusal.finding),
    });
    Trial { incident: incident.clone(), plan, reason, again_at, refused: refused.collect(), author }
}

async fn evidence(shared: &Shared, id: &IncidentId) -> Result<Evidence, Failure> {
    let (incident, anomalies) = known(shared, id).await?;
    gather::evidence_of(shared, incident, anomalies, For::Plan).await
}

/// The incident that an id is of, or whose plan it is of.
async fn incident_or_plan(shared: &Shared, id: &str) -> Result<(IncidentId, Option<PlanId>), Failure> {
    if let Some(Record::Plan(plan)) = shared.ports.store.get(RecordKind::Plan, id).await? {
        return Ok((plan.incident, Some(plan.id)));
    }
    let incident = IncidentId::from(id);
    match known(shared, &incident).await {
        Err(unknown) if unknown.is(Rejection::NotFound) => Err(Failure::Rejected {
            reason: Rejection::NotFound,
            message: format!("there is no plan and no incident {id}"),
        }),
        known => known.map(|_| (incident, None)),
    }
}

/// Newest first.
async fn calls(shared: &Shared, incident: &IncidentId) -> Result<Vec<AuthorCall>, Failure> {
    let records = records(shared, RecordKind::Call, incident).await?;
    Ok(records
        .into_iter()
        .filter_map(|record| if let Record::Call(call) = record { Some(call) } else { None })
        .collect())
}

/// Newest first.
async fn plans(shared: &Shared, incident: &IncidentId) -> Result<Vec<RemediationPlan>, Failure> {
    let records = records(shared, RecordKind::Plan, incident).await?;
    Ok(records
        .into_iter()
        .filter_map(|record| if let Record::Plan(plan) = record { Some(plan) } else { None })
        .collect())
}

async fn records(shared: &Shared, kind: RecordKind, incident: &IncidentId) -> Result<Vec<Record>, Failure> {
    let query = RecordQuery { incident: Some(incident.to_string()), limit: RECORDS, ..RecordQuery::of(kind) };
    Ok(shared.ports.store.find(&query).await?.records)
}
