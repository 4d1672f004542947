//! Put a Service back to where it last led, as KubeWise itself saw it.

use kubewise_core::document::Document;
use kubewise_core::plan::{FieldChange, PlanStep};
use kubewise_core::service::{PortTarget, Route, ServingService};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet, change, write_beside};
use crate::evidence::Evidence;

/// Put the selector and ports of a Service back to what they were when KubeWise last saw it lead to ready pods of the workload.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreService {
    /// The Service's name.
    service: String,
}

impl Lower for RestoreService {
    const NAME: &'static str = "RestoreService";
    const RISK: Risk = Risk::Low;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let name = &self.service;
        let Some((document, served)) =
            astray_of(premise.evidence).find(|(document, _)| document.text("/metadata/name") == Some(name))
        else {
            return Err(Unmet(format!(
                "Service {name} was not seen leading to {}, or leads where it led, or its pods would not serve",
                premise.object
            )));
        };
        let description = format!(
            "put Service {name} back to {}, by which it led to ready pods at {:.0}",
            served.route, served.seen_at
        );
        let action = premise.action(Self::NAME, json!({ "service": name }));
        write_beside(document, action, changes(document, served)?, description).map(|step| vec![step])
    }
}

/// Services of the workload that were changed and lead to none of its ready pods any more, though they would.
pub(crate) fn astray_of(evidence: &Evidence) -> impl Iterator<Item = (&Document, &ServingService)> {
    astray(&evidence.services, &evidence.serving, &evidence.pods)
}

pub(crate) fn astray<'a>(
    services: &'a [Document],
    serving: &'a [ServingService],
    pods: &[Document],
) -> impl Iterator<Item = (&'a Document, &'a ServingService)> {
    let recorded = pods.iter().filter(|_| !serving.is_empty());
    let states: Vec<_> = recorded.filter_map(|pod| pod.state().ok()).collect();
    services.iter().filter_map(move |document| {
        let (object, uid) = (document.object().ok()?, document.uid().ok()?);
        let served = serving.iter().find(|served| served.service == object && served.uid == uid)?;
        let now = Route::of(document);
        let ready = || states.iter().filter_map(|state| state.pod()).filter(|pod| pod.ready);
        let leads = |route: &Route| ready().any(|pod| route.reaches(pod));
        (now != served.route && !leads(&now) && leads(&served.route)).then_some((document, served))
    })
}

/// The whole selector, and of each port its number and target.
fn changes(document: &Document, served: &ServingService) -> Result<Vec<FieldChange>, Unmet> {
    let now = Route::of(document);
    let named = |route: &Route| route.ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    if named(&now) != named(&served.route) || now.ports.len() != document.list("/spec/ports").len() {
        return Err(Unmet(
            "ports were added, removed or renamed: what they were for is a person's to say".into(),
        ));
    }
    let mut changes = Vec::new();
    if now.selector != served.route.selector {
        changes.extend(change(document, "/spec/selector", json!(served.route.selector)));
    }
    for (index, (port, before)) in now.ports.iter().zip(&served.route.ports).enumerate() {
        if port.port != before.port {
            changes.extend(change(document, &format!("/spec/ports/{index}/port"), json!(before.port)));
        }
        if port.target != before.target {
            let target = match &before.target {
                PortTarget::Number(number) => json!(number),
                PortTarget::Name(name) => json!(name),
            };
            changes.extend(change(document, &format!("/spec/ports/{index}/targetPort"), target));
        }
    }
    Ok(changes)
}
