//! What one scenario works with: a namespace of a real cluster, and the KubeWise that watches it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kubewise_testbed::{Behaviour, Cluster, Workload};
use serde_json::Value;

use crate::installation::{Process, poll};

/// From the fault to the end of its incident: two crashes, a minute and a half of verification, and as much again
/// for a busy machine.
pub(crate) const REPAIR: Duration = Duration::from_mins(4);
/// What a healthy cluster does in a few seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Statuses with which KubeWise is done.
const CLOSED: [&str; 4] = ["Repaired", "Resolved", "HandedOver", "Stuck"];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) kubewise: &'a Process,
    pub(crate) namespace: &'a str,
}

/// The cluster, as kubectl sees it.
impl Stage<'_> {
    pub(crate) fn workload(&self, name: &str) -> Workload {
        Workload::new(self.namespace, name)
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[&["-n", self.namespace], arguments].concat())
    }

    pub(crate) fn deploy(&self, workload: &Workload) -> Result<()> {
        self.deploy_as(workload, |_| ())
    }

    /// With changes to the manifest.
    pub(crate) fn deploy_as(&self, workload: &Workload, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut manifest = workload.manifest(self.cluster.image());
        change(&mut manifest);
        self.cluster.apply(&manifest.to_string())
    }

    /// Waits without asking again and again, as many scenarios run at once.
    pub(crate) fn rolled_out(&self, workload: &Workload) -> Result<()> {
        let limit = format!("--timeout={}s", PATIENCE.as_secs());
        self.kubectl(&["rollout", "status", &format!("deployment/{}", workload.name), &limit]).map(drop)
    }

    /// Waits until KubeWise has recorded the newest revision as healthy.
    pub(crate) fn known_healthy(&self, workload: &Workload) -> Result<()> {
        self.rolled_out(workload)?;
        let name = format!("{}/{} ", workload.namespace, workload.name);
        self.kubewise.await_log(&["revision seen healthy", &name], PATIENCE)
    }

    /// A Deployment that was healthy, known as such, and whose new revision crashes.
    pub(crate) fn broken(&self, name: &str) -> Result<Workload> {
        let good = self.workload(name);
        self.deploy(&good)?;
        self.known_healthy(&good)?;
        let bad = Workload { behaviour: Behaviour::Crash, ..good };
        self.deploy(&bad)?;
        Ok(bad)
    }

    /// With its managed fields, which kubectl hides.
    pub(crate) fn deployment(&self, workload: &Workload) -> Result<Value> {
        let name = &workload.name;
        let shown = self.kubectl(&["get", "deployment", name, "--show-managed-fields", "-o", "json"])?;
        let deployment: Value = serde_json::from_str(&shown)?;
        ensure!(!list(&deployment["metadata"]["managedFields"]).is_empty(), "nobody manages {name}");
        Ok(deployment)
    }

    /// Reasons of the Events that KubeWise wrote about a workload.
    pub(crate) fn told(&self, workload: &Workload) -> Result<Vec<String>> {
        let events: Value = serde_json::from_str(&self.kubectl(&["get", "events", "-o", "json"])?)?;
        let ours = |event: &&Value| {
            (event["source"]["component"] == "kubewise" || event["reportingComponent"] == "kubewise")
                && event["involvedObject"]["kind"] == "Deployment"
                && event["involvedObject"]["name"] == *workload.name
        };
        Ok(list(&events["items"]).iter().filter(ours).map(|event| text(&event["reason"])).collect())
    }

    /// Nothing of the workload is KubeWise's: no field, no annotation, no Event.
    pub(crate) fn untouched(&self, workload: &Workload, generation: u64) -> Result<()> {
        let deployment = self.deployment(workload)?;
        ensure!(deployment["metadata"]["generation"] == generation, "{}", deployment["metadata"]);
        ensure!(!wrote(&deployment), "kubewise is a manager of {}", deployment["metadata"]["managedFields"]);
        Ok(())
    }
}

/// What KubeWise knows, as its users see it.
impl Stage<'_> {
    /// Records of a workload, newest first.
    pub(crate) fn records(&self, collection: &str, workload: &Workload) -> Result<Vec<Value>> {
        let Workload { namespace, name, .. } = workload;
        let path = format!("/api/v1/{collection}?workload=deployment/{namespace}/{name}&limit=200");
        let (status, body) = self.kubewise.get(&path)?;
        ensure!(status == 200, "{path}: {status}: {body}");
        Ok(list(&body["items"]).to_vec())
    }

    /// The workload's only incident, once it has this status.
    pub(crate) fn incident(&self, workload: &Workload, status: &str) -> Result<Value> {
        self.incident_if(workload, status, |incident| incident["status"] == status)
    }

    /// The workload's only incident, once it is as wanted.
    pub(crate) fn incident_if(
        &self,
        workload: &Workload,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let found = poll(&format!("an incident that is {what}"), REPAIR, || {
            let incidents = self.records("incidents", workload)?;
            ensure!(incidents.len() < 2, "more than one incident: {incidents:#?}");
            let Some(incident) = incidents.into_iter().next() else { return Ok(None) };
            if wanted(&incident) {
                return Ok(Some(incident));
            }
            let status = text(&incident["status"]);
            last = incident;
            if CLOSED.contains(&status.as_str()) {
                bail!("it is {status}");
            }
            Ok(None)
        });
        found.with_context(|| format!("the story so far:\n{}", told(&last)))
    }

    /// The newest plan of an incident.
    pub(crate) fn plan(&self, incident: &Value) -> Result<Value> {
        let id = list(&incident["plans"]).last().map(text).context("the incident has no plan")?;
        self.kubewise.ask(&["plans", "show", &id])
    }

    /// The newest plan, once it has this status.
    pub(crate) fn plan_with(&self, workload: &Workload, status: &str) -> Result<Value> {
        poll(&format!("a plan that is {status}"), REPAIR, || {
            let plan = self.records("plans", workload)?.into_iter().next();
            Ok(plan.filter(|plan| plan["status"] == status))
        })
    }

    /// The incident is repaired by exactly one action, and everything that tells of it is complete.
    pub(crate) fn repaired(&self, workload: &Workload, action: &str) -> Result<Value> {
        let incident = self.incident(workload, "Repaired")?;
        check_story(&incident, &["Seen", "Evidence", "Plan", "Acted", "Verified", "Closed"])?;
        for (chapter, count) in [("Acted", 1), ("Verified", 2), ("Undone", 0), ("Closed", 1)] {
            let found = chapters(&incident, chapter);
            ensure!(found.len() == count, "{} × {chapter}:\n{}", found.len(), told(&incident));
        }
        ensure!(incident["closedAt"].is_string(), "no end: {incident:#}");

        let plan = self.plan(&incident)?;
        ensure!(plan["status"] == "Succeeded", "{plan:#}");
        ensure!(!list(&plan["safetyConstraints"]).is_empty(), "no rule was asked: {plan:#}");

        let actions = self.records("actions", workload)?;
        let [done] = actions.as_slice() else { bail!("not one action: {actions:#?}") };
        for (field, value) in [("direction", "Act"), ("status", "Succeeded"), ("verdict", "Improved")] {
            ensure!(done[field] == value, "{field}: {done:#}");
        }
        ensure!(done["action"]["name"] == action, "{done:#}");
        ensure!(done["plan"] == plan["id"] && done["incident"] == incident["id"], "{done:#}");

        let anomalies = self.records("anomalies", workload)?;
        ensure!(!anomalies.is_empty(), "no anomaly");
        let planned: Vec<&Value> = anomalies.iter().filter(|one| one["plan"] == plan["id"]).collect();
        ensure!(!planned.is_empty(), "no anomaly names the plan: {anomalies:#?}");
        for anomaly in planned {
            ensure!(anomaly["remediationStatus"] == "Repaired", "{anomaly:#}");
        }

        let reasons = self.told(workload)?;
        for reason in ["Acted", "Repaired"] {
            ensure!(reasons.iter().any(|told| told == reason), "no Event {reason}: {reasons:?}");
        }
        let deployment = self.deployment(workload)?;
        ensure!(wrote(&deployment), "kubewise is no manager: {}", deployment["metadata"]["managedFields"]);
        self.rolled_out(workload)?;
        Ok(incident)
    }
}

/// Whether KubeWise ever wrote the object.
pub(crate) fn wrote(object: &Value) -> bool {
    list(&object["metadata"]["managedFields"]).iter().any(|entry| entry["manager"] == "kubewise")
}

/// The chapters occur, and begin in this order.
pub(crate) fn check_story(incident: &Value, order: &[&str]) -> Result<()> {
    let story = list(&incident["story"]);
    let begins = |chapter: &&str| story.iter().position(|entry| entry["chapter"] == **chapter);
    let places: Option<Vec<usize>> = order.iter().map(begins).collect();
    let ordered = places.as_ref().is_some_and(|places| places.is_sorted());
    ensure!(ordered, "{order:?} begin at {places:?} in\n{}", told(incident));
    Ok(())
}

/// Texts of one chapter of an incident's story.
pub(crate) fn chapters(incident: &Value, chapter: &str) -> Vec<String> {
    let story = list(&incident["story"]).iter();
    story.filter(|entry| entry["chapter"] == chapter).map(|entry| text(&entry["text"])).collect()
}

/// The story, to be read in a failure.
pub(crate) fn told(incident: &Value) -> String {
    let line = |entry: &Value| {
        format!("  {} {}: {}", text(&entry["time"]), text(&entry["chapter"]), text(&entry["text"]))
    };
    let story: Vec<String> = list(&incident["story"]).iter().map(line).collect();
    format!("{} {}\n{}", text(&incident["id"]), text(&incident["status"]), story.join("\n"))
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
