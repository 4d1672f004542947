//! Manifests of workloads and what stands beside them.

use kubewise_core::{Kind, ObjectRef, Period};
use serde_json::{Map, Value, json};

use crate::behaviour::Behaviour;

/// The name of the one container of a [`Workload`].
pub const CONTAINER: &str = "app";

/// A Deployment, StatefulSet, DaemonSet or Job with one container, and how it behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    object: ObjectRef,
    replicas: u32,
    image: String,
    resources: Map<String, Value>,
    env: Vec<Value>,
    annotations: Map<String, Value>,
    spec: Map<String, Value>,
    pub(crate) behaviour: Behaviour,
}

impl Workload {
    /// Two replicas of image `NAMESPACE/NAME:1`, 100m CPU and 128Mi memory asked for, at most 500m and 256Mi.
    pub fn deployment(namespace: &str, name: &str) -> Self {
        let spec = json!({
            "strategy": {
                "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" },
            },
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        });
        Workload::new(Kind::Deployment, namespace, name, &spec)
    }

    pub fn stateful_set(namespace: &str, name: &str) -> Self {
        let spec =
            json!({ "podManagementPolicy": "OrderedReady", "updateStrategy": { "type": "RollingUpdate" } });
        Workload::new(Kind::StatefulSet, namespace, name, &spec)
    }

    pub fn daemon_set(namespace: &str, name: &str) -> Self {
        let spec = json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } } });
        Workload::new(Kind::DaemonSet, namespace, name, &spec)
    }

    /// Ends by itself after a minute.
    pub fn job(namespace: &str, name: &str) -> Self {
        let mut job = Workload::new(Kind::Job, namespace, name, &json!({ "backoffLimit": 6 }));
        job.replicas = 1;
        job.behaviour.runs_for = Some(Period::from_secs(60));
        job
    }

    fn new(kind: Kind, namespace: &str, name: &str, spec: &Value) -> Self {
        Workload {
            object: ObjectRef::namespaced(kind, namespace, name),
            replicas: 2,
            image: format!("{namespace}/{name}:1"),
            resources: Map::new(),
            env: Vec::new(),
            annotations: Map::new(),
            spec: spec.as_object().cloned().unwrap_or_default(),
            behaviour: Behaviour::default(),
        }
        .cpu("100m", "500m")
        .memory("128Mi", "256Mi")
    }

    pub fn object(&self) -> ObjectRef {
        self.object.clone()
    }

    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.image = image.into();
        self
    }

    /// Request and limit; an empty text leaves one out.
    #[must_use]
    pub fn memory(self, request: &str, limit: &str) -> Self {
        self.resource("memory", request, limit)
    }

    /// Request and limit; an empty text leaves one out.
    #[must_use]
    pub fn cpu(self, request: &str, limit: &str) -> Self {
        self.resource("cpu", request, limit)
    }

    fn resource(mut self, resource: &str, request: &str, limit: &str) -> Self {
        for (section, quantity) in [("requests", request), ("limits", limit)] {
            let amounts = self.resources.entry(section).or_insert_with(|| json!({}));
            if let Some(amounts) = amounts.as_object_mut() {
                amounts.remove(resource);
                if !quantity.is_empty() {
                    amounts.insert(resource.into(), json!(quantity));
                }
            }
        }
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(json!({ "name": name, "value": value }));
        self
    }

    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.into(), json!(value));
        self
    }

    /// A field of the spec, such as `progressDeadlineSeconds` or `strategy`.
    #[must_use]
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.spec.insert(field.into(), value);
        self
    }

    #[must_use]
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    pub(crate) fn nominal_replicas(&self) -> u32 {
        self.replicas
    }

    pub fn manifest(&self) -> Value {
        let labels = json!({ "app": self.object.name });
        let mut spec = self.spec.clone();
        let mut pod = json!({
            "containers": [{
                "name": CONTAINER, "image": self.image, "resources": self.resources, "env": self.env,
            }],
        });
        match self.object.kind.as_str() {
            "Job" => {
                pod["restartPolicy"] = json!("Never");
                spec.insert("parallelism".into(), json!(self.replicas));
                spec.insert("completions".into(), json!(self.replicas));
            }
            "DaemonSet" => {}
            _ => {
                spec.insert("replicas".into(), json!(self.replicas));
            }
        }
        spec.insert("selector".into(), json!({ "matchLabels": labels }));
        spec.insert("template".into(), json!({ "metadata": { "labels": labels }, "spec": pod }));
        let mut metadata = json!({
            "namespace": self.object.namespace, "name": self.object.name, "labels": labels,
        });
        if !self.annotations.is_empty() {
            metadata["annotations"] = json!(self.annotations);
        }
        json!({ "kind": self.object.kind, "metadata": metadata, "spec": spec })
    }
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({
        "kind": "Namespace", "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
        "spec": {}, "status": { "phase": "Active" },
    })
}

pub(crate) fn node(name: &str, cores: f64, bytes: f64) -> Value {
    let amounts = json!({
        "cpu": kubewise_core::quantity::millicores(cores),
        "memory": kubewise_core::quantity::mebibytes(bytes), "pods": "110",
    });
    json!({
        "kind": "Node", "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": {}, "status": { "capacity": amounts, "allocatable": amounts },
    })
}

/// Scales to keep CPU use near `utilization` percent of what is requested.
pub(crate) fn autoscaler(target: &ObjectRef, min: u32, max: u32, utilization: u32) -> Value {
    json!({
        "kind": "HorizontalPodAutoscaler",
        "metadata": { "namespace": target.namespace, "name": target.name },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": target.kind, "name": target.name },
            "minReplicas": min, "maxReplicas": max,
            "metrics": [{ "type": "Resource", "resource": {
                "name": "cpu", "target": { "type": "Utilization", "averageUtilization": utilization },
            } }],
        },
    })
}

/// Keeps at least `min_available` (a number or `50%`) of a workload's pods.
pub(crate) fn budget(target: &ObjectRef, min_available: &Value) -> Value {
    json!({
        "kind": "PodDisruptionBudget",
        "metadata": { "namespace": target.namespace, "name": target.name },
        "spec": { "minAvailable": min_available, "selector": { "matchLabels": { "app": target.name } } },
    })
}

/// Selects the pods of a workload, under its name.
pub(crate) fn service(target: &ObjectRef) -> Value {
    json!({
        "kind": "Service", "metadata": { "namespace": target.namespace, "name": target.name },
        "spec": { "selector": { "app": target.name }, "ports": [{ "port": 80 }] },
    })
}

pub(crate) fn quota(namespace: &str, name: &str, hard: &[(&str, &str)]) -> Value {
    let hard: Map<String, Value> = hard.iter().map(|(key, value)| ((*key).into(), json!(value))).collect();
    json!({
        "kind": "ResourceQuota", "metadata": { "namespace": namespace, "name": name }, "spec": { "hard": hard },
    })
}
