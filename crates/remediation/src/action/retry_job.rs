//! Try a Job that gave up once more.
//!
//! A Job that has failed stays so: its controller looks at no finished Job again, so that a higher `backoffLimit` does
//! nothing, and its template, selector and conditions cannot be changed. What is left, and what people do, is a new Job
//! of the same template. It must come about once, ever: first the failed Job is marked with the name of the new one, by
//! a guarded write of which only one can come about, and only then is it made. What bears a mark, or is such a Job itself,
//! is never tried again.

use kubewise_core::document::Document;
use kubewise_core::plan::{Operation, PlanStep};
use kubewise_core::request::{RETRIED_AS_ANNOTATION, RETRY_OF_ANNOTATION, pointer};
use kubewise_core::state::{ANNOTATION_PREFIX, StateDetail, condition};
use kubewise_core::{Kind, ObjectRef};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Lower, Premise, Risk, Unmet, change};

/// A Job's name becomes a label of its pods, which has at most 63 characters.
const LONGEST_NAME: usize = 63;
/// Characters of the plan's id within the name.
const TAIL: usize = 8;
/// What the Job controller gives a Job and its pods; the new one is given its own.
const OF_CONTROLLER: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

/// Run a Job that gave up once more, as a new Job of the same template. Once, and never again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryJob {}

impl Lower for RetryJob {
    const NAME: &'static str = "RetryJob";
    const RISK: Risk = Risk::Medium;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let job = premise.workload;
        let object = retry_of(premise);
        gave_up(premise)?;
        let mark = job.annotation(RETRIED_AS_ANNOTATION);
        if let Some(other) = mark.filter(|mark| *mark != &*object.name) {
            return Err(Unmet(format!("{} was tried once more already, as {other}", premise.object)));
        }
        let action = || premise.action(Self::NAME, json!({}));
        let path = pointer(&["metadata", "annotations", RETRIED_AS_ANNOTATION]);
        let marking = change(job, &path, json!(&*object.name)).map(|change| {
            let description = format!("mark {} as tried once more", premise.object);
            premise.write(action(), vec![change], description, 0)
        });
        let making = PlanStep {
            action: action(),
            description: format!("run it once more as Job {}", object.name),
            operation: Operation::Create { body: body(premise, &object), object },
            reversible: false,
            disruption: 0,
        };
        Ok(marking.into_iter().chain([making]).collect())
    }
}

/// Where a Job was tried once more, that Job tells how it goes on.
pub fn successor(job: &Document) -> Option<ObjectRef> {
    let object = job.object().ok().filter(|object| object.kind == Kind::Job)?;
    Some(ObjectRef { name: job.annotation(RETRIED_AS_ANNOTATION)?.into(), ..object })
}

/// The name is of this plan alone: what another plan marked is never taken for this one's.
fn retry_of(premise: &Premise<'_>) -> ObjectRef {
    let plan: String = premise.plan.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
    let tail = format!("-retry-{}", plan[plan.len().saturating_sub(TAIL)..].to_ascii_lowercase());
    let name: String = premise.object.name.chars().take(LONGEST_NAME - tail.len()).collect();
    let name = name.trim_end_matches(|end: char| !end.is_ascii_alphanumeric());
    ObjectRef { name: format!("{name}{tail}").into(), ..premise.object.clone() }
}

fn gave_up(premise: &Premise<'_>) -> Result<(), Unmet> {
    let (job, object) = (premise.workload, premise.object);
    let Ok(StateDetail::Job(state)) = job.state().map(|state| state.detail) else {
        return Err(Unmet(format!("{object} is not a Job")));
    };
    let failed = condition(&state.conditions, "Failed").filter(|failed| &*failed.status == "True");
    if failed.is_none_or(|failed| &*failed.reason != "BackoffLimitExceeded") {
        return Err(Unmet(format!("{object} did not give up after its last try")));
    }
    if let Some(owner) = job.owners().into_iter().find(|owner| owner.controller) {
        return Err(Unmet(format!("{} makes the next {object}", owner.object)));
    }
    if job.annotation(RETRY_OF_ANNOTATION).is_some() {
        return Err(Unmet(format!("{object} is itself a Job that was tried once more")));
    }
    if job.0.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
        return Err(Unmet(format!("{object} selects its pods by hand: another would take them over")));
    }
    Ok(())
}

fn body(premise: &Premise<'_>, object: &ObjectRef) -> Value {
    let job = &premise.workload.0;
    let mut spec = job.get("spec").cloned().unwrap_or_default();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("selector");
        spec.remove("manualSelector");
    }
    if let Some(labels) = spec.pointer_mut("/template/metadata/labels").and_then(Value::as_object_mut) {
        labels.retain(|label, _| !OF_CONTROLLER.contains(&label.as_str()));
    }
    // What marks the first Job for other tools, or for KubeWise, does not hold of this one.
    let of_job = |place: &str| job.pointer(place).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut labels: Map<String, Value> = of_job("/metadata/labels");
    labels.retain(|label, _| !OF_CONTROLLER.contains(&label.as_str()));
    let mut annotations = of_job("/metadata/annotations");
    annotations
        .retain(|key, _| !key.starts_with(ANNOTATION_PREFIX) && !key.starts_with("kubectl.kubernetes.io/"));
    annotations.insert(RETRY_OF_ANNOTATION.into(), json!(premise.uid));
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": object.name, "namespace": object.namespace, "labels": labels, "annotations": annotations,
        },
        "spec": spec,
    })
}
