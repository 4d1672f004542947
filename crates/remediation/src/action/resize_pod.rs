//! Give a running pod other resources, without a restart. A stopgap: the next pod is made from the template again.

use kubewise_core::plan::{FieldChange, Operation, PlanStep};
use kubewise_core::request::Subresource;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::notify::Notify;
use super::set_resources::{Amount, SetResources, changes, told};
use super::{Lower, Premise, Risk, Unmet, identity};

/// Set requests and limits of one container of a running pod, in place. A stopgap: it is lost with the pod, so people are told what has to be set for good.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ResizePod {
    /// The name of a pod of the workload.
    pod: String,
    container: String,
    #[serde(default)]
    memory_limit: Option<Amount>,
    #[serde(default)]
    memory_request: Option<Amount>,
    #[serde(default)]
    cpu_limit: Option<Amount>,
    #[serde(default)]
    cpu_request: Option<Amount>,
}

impl Lower for ResizePod {
    const NAME: &'static str = "ResizePod";
    const RISK: Risk = Risk::Low;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let (name, container) = (self.pod, self.container);
        let pod = premise.pod(&name)?;
        if pod.text("/status/phase") != Some("Running") {
            return Err(Unmet(format!("pod {name} does not run")));
        }
        let mut containers = pod.list("/spec/containers").iter().enumerate();
        let (index, spec) = containers
            .find(|(_, spec)| spec.get("name").and_then(Value::as_str) == Some(&container))
            .ok_or_else(|| Unmet(format!("pod {name} has no container {container}")))?;
        // The kubelet raises the bounds of a pod's cgroup only for a container that runs: one that waits to be
        // restarted would be told to have its size, and be killed at the old one.
        let mut statuses = pod.list("/status/containerStatuses").iter();
        let status = statuses.find(|status| status.get("name").and_then(Value::as_str) == Some(&container));
        if status.and_then(|status| status.pointer("/state/running")).is_none() {
            return Err(Unmet(format!("container {container} of pod {name} does not run now")));
        }
        let old = spec.get("resources");
        let asked = SetResources {
            container: container.clone(),
            memory_limit: self.memory_limit,
            memory_request: self.memory_request,
            cpu_limit: self.cpu_limit,
            cpu_request: self.cpu_request,
        };
        let wanted = asked.wanted(old)?;
        if wanted.is_empty() {
            return Err(Unmet(format!("container {container} of pod {name} has these resources already")));
        }
        let base = format!("/spec/containers/{index}");
        // The index alone could mean another container by the time of the write.
        let guard = FieldChange {
            path: format!("{base}/name"),
            before: Some(json!(container)),
            after: Some(json!(container)),
        };
        let (told, mut parameters) = told(&container, old, &wanted);
        parameters.insert("pod".into(), json!(name));
        let (object, uid) = identity(pod)?;
        let resize = PlanStep {
            action: premise.action(Self::NAME, Value::Object(parameters)),
            operation: Operation::Write {
                object,
                uid,
                subresource: Some(Subresource::Resize),
                changes: [guard].into_iter().chain(changes(&base, old, &wanted)).collect(),
            },
            description: format!("set {told} for container {container} of pod {name}, in place"),
            reversible: true,
            disruption: u32::from(restarts(spec, &wanted)),
        };
        let message = format!(
            "pod {name} was given {told} in place, which is lost with it; for good it has to be set in the \
             template of {}",
            premise.object
        );
        // A step of its own action: once the pod is resized, the resize means nothing more.
        let tell = Notify { message }.lower(premise)?;
        Ok([resize].into_iter().chain(tell).collect())
    }
}

/// Whether the container wants a restart for a change of one of these resources.
fn restarts(container: &Value, wanted: &[(&str, &str, String)]) -> bool {
    let policies = container.get("resizePolicy").and_then(Value::as_array);
    policies.into_iter().flatten().any(|policy| {
        let text = |key: &str| policy.get(key).and_then(Value::as_str).unwrap_or_default();
        text("restartPolicy") == "RestartContainer"
            && wanted.iter().any(|(_, resource, _)| *resource == text("resourceName"))
    })
}
