//! Identity of Kubernetes objects.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares every kind once: the variant, its API group and version, its plural, and whether it is namespaced.
macro_rules! kinds {
    ($($variant:ident $group:literal $version:literal $plural:literal $namespaced:literal;)*) => {
        /// A kind of object. `Other` holds kinds that KubeWise meets (as an owner, say) but does not work with.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(from = "String", into = "String")]
        #[schemars(with = "String")]
        pub enum Kind { $($variant,)* Other(Arc<str>) }

        impl Kind {
            /// Every kind that KubeWise knows.
            pub const KNOWN: &[Kind] = &[$(Kind::$variant,)*];

            pub fn as_str(&self) -> &str {
                match self { $(Kind::$variant => stringify!($variant),)* Kind::Other(name) => name }
            }

            /// Where the API server serves the kind; `None` for kinds KubeWise does not work with.
            pub fn api(&self) -> Option<ApiPath> {
                match self {
                    $(Kind::$variant => Some(ApiPath {
                        group: $group, version: $version, plural: $plural, namespaced: $namespaced,
                    }),)*
                    Kind::Other(_) => None,
                }
            }
        }

        impl From<&str> for Kind {
            fn from(name: &str) -> Self {
                match name { $(stringify!($variant) => Kind::$variant,)* other => Kind::Other(other.into()) }
            }
        }
    };
}

impl Kind {
    /// What is watched by default, besides Events; owners before what they own.
    pub const WATCHED: [Kind; 12] = [
        Kind::Namespace,
        Kind::Node,
        Kind::Deployment,
        Kind::ReplicaSet,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::CronJob,
        Kind::Job,
        Kind::Pod,
        Kind::HorizontalPodAutoscaler,
        Kind::PodDisruptionBudget,
        Kind::Service,
    ];
}

kinds! {
    Pod "" "v1" "pods" true;
    Deployment "apps" "v1" "deployments" true;
    ReplicaSet "apps" "v1" "replicasets" true;
    StatefulSet "apps" "v1" "statefulsets" true;
    DaemonSet "apps" "v1" "daemonsets" true;
    ControllerRevision "apps" "v1" "controllerrevisions" true;
    Job "batch" "v1" "jobs" true;
    CronJob "batch" "v1" "cronjobs" true;
    Node "" "v1" "nodes" false;
    Namespace "" "v1" "namespaces" false;
    HorizontalPodAutoscaler "autoscaling" "v2" "horizontalpodautoscalers" true;
    VerticalPodAutoscaler "autoscaling.k8s.io" "v1" "verticalpodautoscalers" true;
    ScaledObject "keda.sh" "v1alpha1" "scaledobjects" true;
    PodDisruptionBudget "policy" "v1" "poddisruptionbudgets" true;
    Service "" "v1" "services" true;
    PersistentVolumeClaim "" "v1" "persistentvolumeclaims" true;
    ResourceQuota "" "v1" "resourcequotas" true;
    LimitRange "" "v1" "limitranges" true;
    NetworkPolicy "networking.k8s.io" "v1" "networkpolicies" true;
    Event "" "v1" "events" true;
    Lease "coordination.k8s.io" "v1" "leases" true;
}

/// Group, version and plural under which the API server serves a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiPath {
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
}

impl ApiPath {
    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl Kind {
    /// Kinds that a cluster has only if somebody installed them.
    pub fn is_extension(&self) -> bool {
        matches!(self, Kind::VerticalPodAutoscaler | Kind::ScaledObject)
    }

    /// Kinds that own pods and give them their identity.
    pub fn is_workload(&self) -> bool {
        matches!(
            self,
            Kind::Deployment
                | Kind::StatefulSet
                | Kind::DaemonSet
                | Kind::ReplicaSet
                | Kind::Job
                | Kind::CronJob
        )
    }
}

impl From<String> for Kind {
    fn from(name: String) -> Self {
        Kind::from(name.as_str())
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.as_str().into()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The uid that the API server gave an object; a new object of the same name has another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Uid(pub Arc<str>);

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Uid(text.into())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Kind, namespace and name. Cheap to clone. Ordered, so that maps of it iterate the same way each time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ObjectRef {
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
}

impl ObjectRef {
    pub fn namespaced(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        ObjectRef { kind, namespace: Some(namespace.into()), name: name.into() }
    }

    pub fn cluster_scoped(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        ObjectRef { kind, namespace: None, name: name.into() }
    }

    /// The namespace, or the empty string for a cluster-scoped object.
    pub fn namespace_or_empty(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }
}

/// `Deployment shop/cart`, `Node n1`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
