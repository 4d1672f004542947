//! The fields of objects that may leave for a model. What is not here does not.

/// How a listed field is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// A number, a switch, or a name that Kubernetes checked.
    Name,
    /// Free text.
    Text,
    /// Arguments: the names of flags, without their values.
    Flags,
    /// Only that it is there, and whether it changed.
    Hidden,
}

/// Fields of an object by path; `*` is any key or any element.
pub(super) type List = &'static [(&'static str, Show)];

pub(super) const WORKLOAD: List = &[
    ("metadata/generation", Show::Name),
    ("spec/replicas", Show::Name),
    ("spec/paused", Show::Name),
    ("spec/suspend", Show::Name),
    ("spec/schedule", Show::Text),
    ("spec/unschedulable", Show::Name),
    ("spec/strategy/type", Show::Name),
    ("spec/strategy/rollingUpdate/*", Show::Name),
    ("spec/updateStrategy/type", Show::Name),
    ("spec/progressDeadlineSeconds", Show::Name),
    ("spec/backoffLimit", Show::Name),
    ("status/replicas", Show::Name),
    ("status/updatedReplicas", Show::Name),
    ("status/readyReplicas", Show::Name),
    ("status/availableReplicas", Show::Name),
    ("status/unavailableReplicas", Show::Name),
    ("status/desiredNumberScheduled", Show::Name),
    ("status/numberReady", Show::Name),
    ("status/active", Show::Name),
    ("status/succeeded", Show::Name),
    ("status/failed", Show::Name),
    ("status/conditions/*/status", Show::Name),
    ("status/conditions/*/reason", Show::Name),
    ("status/conditions/*/message", Show::Text),
];
pub(super) const POD: List = &[
    ("spec/nodeName", Show::Name),
    ("status/phase", Show::Name),
    ("status/reason", Show::Name),
    ("status/message", Show::Text),
    ("status/conditions/*/status", Show::Name),
    ("status/conditions/*/reason", Show::Name),
    ("status/conditions/*/message", Show::Text),
];
/// Of an entry of `containerStatuses`.
pub(super) const CONTAINER: List = &[
    ("image", Show::Name),
    ("ready", Show::Name),
    ("restartCount", Show::Name),
    ("state/waiting/reason", Show::Name),
    ("state/waiting/message", Show::Text),
    ("state/running/startedAt", Show::Name),
    ("state/terminated/reason", Show::Name),
    ("state/terminated/exitCode", Show::Name),
    ("state/terminated/signal", Show::Name),
    ("state/terminated/message", Show::Text),
    ("state/terminated/finishedAt", Show::Name),
    ("lastState/terminated/reason", Show::Name),
    ("lastState/terminated/exitCode", Show::Name),
    ("lastState/terminated/signal", Show::Name),
    ("lastState/terminated/message", Show::Text),
    ("lastState/terminated/startedAt", Show::Name),
    ("lastState/terminated/finishedAt", Show::Name),
];
pub(super) const AUTOSCALER: List = &[
    ("spec/minReplicas", Show::Name),
    ("spec/maxReplicas", Show::Name),
    ("status/currentReplicas", Show::Name),
    ("status/desiredReplicas", Show::Name),
    ("status/conditions/*/status", Show::Name),
    ("status/conditions/*/reason", Show::Name),
];
pub(super) const CLAIM: List = &[
    ("spec/resources/requests/storage", Show::Name),
    ("spec/storageClassName", Show::Name),
    ("status/phase", Show::Name),
    ("status/capacity/storage", Show::Name),
];
pub(super) const NODE: List = &[
    ("spec/unschedulable", Show::Name),
    ("status/allocatable/cpu", Show::Name),
    ("status/allocatable/memory", Show::Name),
    ("status/conditions/*/status", Show::Name),
    ("status/conditions/*/reason", Show::Name),
];
/// Of quotas, limit ranges and disruption budgets.
pub(super) const BOUNDS: List = &[
    ("status/hard/*", Show::Name),
    ("status/used/*", Show::Name),
    ("status/disruptionsAllowed", Show::Name),
    ("status/currentHealthy", Show::Name),
    ("status/desiredHealthy", Show::Name),
    ("spec/limits/*/max/*", Show::Name),
    ("spec/limits/*/min/*", Show::Name),
    ("spec/limits/*/default/*", Show::Name),
];
/// What a pod template refers to by name.
pub(super) const REFERENCES: List = &[
    ("spec/*/*/env/*/valueFrom/configMapKeyRef/name", Show::Name),
    ("spec/*/*/env/*/valueFrom/secretKeyRef/name", Show::Name),
    ("spec/*/*/envFrom/*/configMapRef/name", Show::Name),
    ("spec/*/*/envFrom/*/secretRef/name", Show::Name),
    ("spec/volumes/*/configMap/name", Show::Name),
    ("spec/volumes/*/secret/secretName", Show::Name),
    ("spec/volumes/*/projected/sources/*/configMap/name", Show::Name),
    ("spec/volumes/*/projected/sources/*/secret/name", Show::Name),
    ("spec/volumes/*/persistentVolumeClaim/claimName", Show::Name),
    ("spec/imagePullSecrets/*/name", Show::Name),
    ("spec/serviceAccountName", Show::Name),
];
/// Of a pod template, beside its references. `*/*` after `spec` is a container of any sort.
pub(super) const TEMPLATE: List = &[
    ("metadata/labels/*", Show::Hidden),
    ("metadata/annotations/*", Show::Hidden),
    ("spec/*/*/image", Show::Name),
    ("spec/*/*/imagePullPolicy", Show::Name),
    ("spec/*/*/command", Show::Flags),
    ("spec/*/*/args", Show::Flags),
    ("spec/*/*/env/*/value", Show::Hidden),
    ("spec/*/*/env/*/valueFrom/configMapKeyRef/key", Show::Name),
    ("spec/*/*/env/*/valueFrom/secretKeyRef/key", Show::Name),
    ("spec/*/*/resources/limits/*", Show::Name),
    ("spec/*/*/resources/requests/*", Show::Name),
    ("spec/*/*/ports/*/containerPort", Show::Name),
    ("spec/*/*/volumeMounts/*/mountPath", Show::Text),
    ("spec/*/*/livenessProbe/*", Show::Name),
    ("spec/*/*/readinessProbe/*", Show::Name),
    ("spec/*/*/startupProbe/*", Show::Name),
    ("spec/*/*/livenessProbe/httpGet/port", Show::Name),
    ("spec/*/*/readinessProbe/httpGet/port", Show::Name),
    ("spec/*/*/startupProbe/httpGet/port", Show::Name),
    ("spec/*/*/livenessProbe/exec/command", Show::Hidden),
    ("spec/*/*/readinessProbe/exec/command", Show::Hidden),
    ("spec/*/*/startupProbe/exec/command", Show::Hidden),
    ("spec/nodeSelector/*", Show::Hidden),
    ("spec/priorityClassName", Show::Name),
    ("spec/restartPolicy", Show::Name),
    ("spec/terminationGracePeriodSeconds", Show::Name),
];
