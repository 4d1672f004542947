//! NetworkPolicies that may have cut a workload off: made or changed shortly before its trouble.

use std::collections::BTreeSet;
use std::fmt;

use kubewise_core::anomaly::Reason;
use kubewise_core::document::Document;
use kubewise_core::service::Route;
use kubewise_core::{ObjectRef, Period, Timestamp};
use serde_json::Value;

use crate::evidence::Evidence;
use crate::selector::selects;

/// What came longer before the trouble is not taken for its cause; as for a new revision.
const SHORTLY: Period = Period::from_mins(30);
/// Within this time after it was made, a write is still part of the making.
const MAKING: Period = Period::from_secs(2);

/// Trouble that pods have when they do not reach others, or others do not reach them.
const CUT_OFF: [Reason; 6] = [
    Reason::CrashLoopBackOff,
    Reason::ProgressDeadlineExceeded,
    Reason::BackoffLimitExceeded,
    Reason::Unavailable,
    Reason::Flatline,
    Reason::Deviation,
];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Suspect {
    pub(crate) policy: ObjectRef,
    /// When it was made or last changed.
    pub(crate) since: Timestamp,
    is_new: bool,
    /// The field manager that wrote it last.
    by: Option<String>,
    selects: Selected,
    ahead: Period,
}

/// Whose pods a policy selects.
#[derive(Clone, Debug, PartialEq)]
enum Selected {
    Own,
    /// Of a Service that the workload is told of.
    Needed(String),
}

/// The newest policy that selects the workload's pods, or those of a Service that it needs, and came shortly before a
/// trouble that it may explain.
pub(crate) fn suspect(evidence: &Evidence) -> Option<Suspect> {
    if !evidence.reasons().iter().any(|reason| CUT_OFF.contains(reason)) {
        return None;
    }
    let trouble = evidence.trouble_since();
    let found = evidence.policies.iter().filter(|policy| restricts(policy)).filter_map(|policy| {
        let created = policy.time("/metadata/creationTimestamp")?;
        let (since, by) = last_write(policy).unwrap_or((created, None));
        let since = since.max(created);
        if since > trouble || SHORTLY.after(since) < trouble {
            return None;
        }
        Some(Suspect {
            selects: selected(evidence, policy)?,
            policy: policy.object().ok()?,
            is_new: MAKING.after(created) >= since,
            ahead: Period::from_secs(Period::between(since, trouble).as_duration().as_secs()),
            since,
            by,
        })
    });
    found.max_by_key(|suspect| (suspect.since, suspect.policy.clone()))
}

impl Suspect {
    /// How a person takes it back.
    pub(crate) fn undo(&self) -> String {
        let (name, namespace) = (&self.policy.name, self.policy.namespace_or_empty());
        match &self.by {
            _ if self.is_new => format!("`kubectl delete networkpolicy {name} -n {namespace}` takes it back"),
            Some(by) => format!("{by} has to put back what it was before"),
            None => "it has to be put back to what it was before".into(),
        }
    }
}

/// `NetworkPolicy shop/deny-all, which selects its pods, was made by kubectl 1m 5s before the trouble began`.
impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which selects ", self.policy)?;
        match &self.selects {
            Selected::Own => f.write_str("its pods")?,
            Selected::Needed(service) => write!(f, "the pods of Service {service} that it needs")?,
        }
        write!(f, ", was {}", if self.is_new { "made" } else { "changed" })?;
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        write!(f, " {} before the trouble began", self.ahead)
    }
}

/// A policy that allows everything in each of its directions cuts nobody off.
fn restricts(policy: &Document) -> bool {
    let is_open = |rules: &str| {
        let allows_all = |rule: &Value| rule.as_object().is_some_and(serde_json::Map::is_empty);
        policy.list(rules).iter().any(allows_all)
    };
    // The API server writes the types down.
    policy.list("/spec/policyTypes").iter().filter_map(Value::as_str).any(|direction| match direction {
        "Ingress" => !is_open("/spec/ingress"),
        "Egress" => !is_open("/spec/egress"),
        _ => false,
    })
}

fn last_write(policy: &Document) -> Option<(Timestamp, Option<String>)> {
    let entries = policy.list("/metadata/managedFields").iter();
    let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let writes =
        entries.filter_map(|entry| Some((text(entry, "time")?.parse().ok()?, text(entry, "manager"))));
    writes.max()
}

fn selected(evidence: &Evidence, policy: &Document) -> Option<Selected> {
    let selector = policy.0.pointer("/spec/podSelector")?;
    if evidence.pods.iter().any(|pod| selects(selector, pod)) {
        return Some(Selected::Own);
    }
    let namespace = evidence.incident.workload.namespace_or_empty();
    let states: Vec<_> = evidence.pod_states().collect();
    let hosts: BTreeSet<&str> = states
        .iter()
        .filter_map(|state| state.pod())
        .flat_map(|pod| &pod.hosts)
        .map(|host| &**host)
        .collect();
    let needed = evidence.services.iter().filter(|service| {
        let name = service.text("/metadata/name").unwrap_or_default();
        hosts.iter().any(|host| leads_to(host, name, namespace))
    });
    let pods = || {
        evidence
            .every_pod()
            .filter(|pod| pod.text("/metadata/namespace") == Some(namespace) && selects(selector, pod))
    };
    needed
        .filter(|service| {
            let route = Route::of(service);
            pods().any(|pod| pod.state().is_ok_and(|state| state.pod().is_some_and(|pod| route.selects(pod))))
        })
        .find_map(|service| Some(Selected::Needed(service.text("/metadata/name")?.to_owned())))
}

/// `cart`, `cart.shop` or `cart.shop.svc…`.
fn leads_to(host: &str, service: &str, namespace: &str) -> bool {
    let mut labels = host.split('.');
    labels.next() == Some(service) && labels.next().is_none_or(|label| label == namespace)
}
