//! Pods with their owners, told to a detector; and samples of them.

use jiff::Timestamp;
use kubewise_core::document::Document;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::port::WatchItem;
use kubewise_core::record::SchemaVersion;
use kubewise_core::unit::Unit;
use kubewise_core::{Kind, ObjectRef};
use kubewise_detector::{Detector, Observation};
use serde_json::json;

/// Type, unit and usual value of a measure.
pub(crate) type Kept = (MetricType, Unit, f64);

/// A pod of a Deployment of five.
pub(crate) fn add(detector: &mut Detector, number: usize, now: Timestamp) {
    let (workload, set) = (format!("w{}", number / 5), format!("w{}-7d9f", number / 5));
    let owned = |kind: &str, name: &str, owner: &str, of: &str| {
        Document(json!({ "kind": kind, "metadata": {
            "name": name, "namespace": "shop", "uid": name,
            "ownerReferences": [{ "kind": owner, "name": of, "uid": of, "controller": true }],
        }}))
    };
    let pod = owned("Pod", &format!("{set}-{number}"), "ReplicaSet", &set);
    for document in [owned("ReplicaSet", &set, "Deployment", &workload), pod] {
        let state = Box::new(document.state().expect("an object"));
        let _ = detector.observe(&Observation::Watch(WatchItem::Applied(state)), now);
    }
}

/// A value that wavers by a few percent around the usual one.
pub(crate) fn sample(number: usize, measure: &Kept, round: u32, time: Timestamp) -> Observation {
    let (metric_type, unit, value) = measure;
    Observation::Metric(NormalizedMetric {
        version: SchemaVersion::CURRENT,
        object: ObjectRef::namespaced(Kind::Pod, "shop", format!("w{}-7d9f-{number}", number / 5)),
        container: Some("app".into()),
        detail: None,
        metric_type: metric_type.clone(),
        unit: *unit,
        value: value * (1.0 + 0.01 * ((number + round as usize * 7) % 13) as f64),
        time,
    })
}
