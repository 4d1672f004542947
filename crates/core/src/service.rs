//! Where a Service leads: its selector and ports, and whether a pod is what they mean.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Document;
use crate::object::{ObjectRef, Uid};
use crate::record::{Extra, SchemaVersion};
use crate::state::PodState;

/// What of a Service's spec decides where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Empty if it selects nothing.
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Empty where there is only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub port: u16,
    pub target: PortTarget,
}

/// A port of a pod, as a Service names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PortTarget {
    Number(u16),
    Name(String),
}

/// A port that a container says it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    pub name: Option<String>,
    pub number: u16,
}

impl Route {
    /// The route of a Service; a port that is no number is left out.
    pub fn of(service: &Document) -> Self {
        let selector = service.0.pointer("/spec/selector").and_then(Value::as_object);
        let selector = selector.into_iter().flatten();
        Route {
            selector: selector
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.into())))
                .collect(),
            ports: service.list("/spec/ports").iter().filter_map(ServicePort::of).collect(),
        }
    }

    pub fn selects(&self, pod: &PodState) -> bool {
        !self.selector.is_empty()
            && self.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    }

    /// Whether every port of the Service is one that the pod listens on, as far as its containers say. One that says
    /// nothing of its ports may listen on any number.
    pub fn reaches(&self, pod: &PodState) -> bool {
        self.selects(pod) && self.ports.iter().all(|port| port.target.is_of(&pod.ports))
    }
}

impl ServicePort {
    fn of(port: &Value) -> Option<Self> {
        let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
        let own = number(port.get("port")?)?;
        let target = match port.get("targetPort") {
            Some(Value::String(name)) => PortTarget::Name(name.clone()),
            Some(value) => PortTarget::Number(number(value)?),
            None => PortTarget::Number(own), // the API server's default
        };
        let name = port.get("name").and_then(Value::as_str).unwrap_or_default().into();
        Some(ServicePort { name, port: own, target })
    }
}

impl PortTarget {
    fn is_of(&self, ports: &[ContainerPort]) -> bool {
        match self {
            PortTarget::Number(number) => ports.is_empty() || ports.iter().any(|port| port.number == *number),
            PortTarget::Name(name) => ports.iter().any(|port| port.name.as_deref() == Some(name)),
        }
    }
}

/// `app=cart to http` or `app=cart to 8080, 9090`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let ports: Vec<_> = self
            .ports
            .iter()
            .map(|port| match &port.target {
                PortTarget::Number(number) => number.to_string(),
                PortTarget::Name(name) => name.clone(),
            })
            .collect();
        write!(f, "{} to {}", labels.join(","), ports.join(", "))
    }
}

/// A Service as it was when it last led to ready pods of a workload; what it may be put back to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServingService {
    #[serde(default)]
    pub version: SchemaVersion,
    pub workload: ObjectRef,
    pub service: ObjectRef,
    pub uid: Uid,
    pub route: Route,
    pub seen_at: Timestamp,
    #[serde(flatten)]
    pub extra: Extra,
}

impl ServingService {
    /// One for each Service: only the latest counts.
    pub fn id(&self) -> String {
        self.service.to_string()
    }
}
