//! Put back the pod template of an earlier revision.

use kubewise_core::Kind;
use kubewise_core::document::Document;
use kubewise_core::plan::{FieldChange, PlanStep};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, TEMPLATE, Unmet, evict_pod};
use crate::revision::{Revision, is_ready, template_of};

/// Put back the pod template of an earlier healthy revision.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RolloutUndo {
    /// The revision to return to, by template hash (Deployment) or name of the ControllerRevision; the last
    /// healthy one if left out.
    #[serde(default)]
    revision: Option<String>,
}

impl Lower for RolloutUndo {
    const NAME: &'static str = "RolloutUndo";
    const RISK: Risk = Risk::Medium;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let template = premise.template()?;
        let current = premise.revisions.current();
        let target = match self.revision.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => premise
                .revisions
                .named(name)
                .ok_or_else(|| Unmet(format!("{} has no revision {name}", premise.object)))?,
            None => premise
                .revisions
                .last_healthy()
                .ok_or_else(|| Unmet(format!("{} has no earlier healthy revision", premise.object)))?,
        };
        if target.template == *template || current.is_some_and(|current| current.name == target.name) {
            return Err(Unmet(format!("revision {} is what runs already", target.title())));
        }
        let change = FieldChange {
            path: TEMPLATE.into(),
            before: Some(template.clone()),
            after: Some(target.template.clone()),
        };
        let from = current.map_or_else(String::new, |current| format!(" from revision {}", current.title()));
        let undo = premise.write(
            premise.action(Self::NAME, json!({ "revision": target.name })),
            vec![change],
            format!("roll {} back{from} to revision {}, {}", premise.object, target.title(), target.proof()),
            premise.rollout_disruption(),
        );
        let stuck = current.and_then(|current| stuck_ordinal(premise, current));
        let evict = stuck.map(|pod| evict_pod::step(premise, pod)).transpose()?;
        Ok([undo].into_iter().chain(evict).collect())
    }
}

/// A StatefulSet that updates in order waits for its broken pod for ever, even after the template is put back:
/// that pod has to go.
fn stuck_ordinal<'a>(premise: &'a Premise<'_>, current: &Revision) -> Option<&'a Document> {
    let in_order = premise.object.kind == Kind::StatefulSet
        && premise.workload.text("/spec/podManagementPolicy") != Some("Parallel");
    let mut stuck: Vec<_> = premise
        .evidence
        .pods
        .iter()
        .filter(|pod| in_order && template_of(pod) == Some(&current.label) && !is_ready(pod))
        .collect();
    stuck.sort_by_key(|pod| pod.text("/metadata/name"));
    stuck.pop()
}
