//! What pods ask for and may use, as the scheduler and quotas count it.

use std::collections::BTreeMap;

use kubewise_core::document::Document;
use kubewise_core::quantity;
use serde_json::Value;

/// In the order of [`Amounts`] and [`Room`].
pub(crate) const RESOURCES: [&str; 2] = ["memory", "cpu"];
/// Memory in bytes, CPU in cores.
pub(crate) type Amounts = [f64; 2];
/// Memory in bytes, CPU in cores, pods.
pub type Room = [f64; 3];

/// What a container asks for; where it does not say, the API server takes its limit.
pub(crate) fn requests(container: &Value) -> [Option<f64>; 2] {
    let amount = |section, resource| amount(container.get("resources")?.get(section)?, resource);
    RESOURCES.map(|resource| amount("requests", resource).or_else(|| amount("limits", resource)))
}

pub(crate) fn limits(container: &Value) -> [Option<f64>; 2] {
    container.get("resources").and_then(|resources| resources.get("limits")).map(amounts).unwrap_or_default()
}

/// Of a pod or a pod template, with what each of its containers counts for: all that run at once, or an init container
/// that takes more before, beside the sidecars that were started earlier; in both cases with what the runtime takes. What
/// is `stated` for all containers together stands in their place.
pub(crate) fn whole(
    pod: &Value,
    stated: fn(&Value) -> [Option<f64>; 2],
    of: impl Fn(&Value) -> [Option<f64>; 2],
) -> Amounts {
    let Some(spec) = pod.get("spec") else { return Amounts::default() };
    let listed = |kind: &str| spec.get(kind).and_then(Value::as_array).into_iter().flatten();
    let (mut running, mut most) = ([0.0; 2], [0.0; 2]);
    for container in listed("initContainers") {
        let with = sum(running, of(container));
        most = [0, 1].map(|index| f64::max(most[index], with[index]));
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            running = with;
        }
    }
    running = listed("containers").fold(running, |running, container| sum(running, of(container)));
    let together = stated(spec);
    let overhead = spec.get("overhead").map(amounts).unwrap_or_default();
    let most = [0, 1].map(|index| together[index].unwrap_or(f64::max(most[index], running[index])));
    sum(most, overhead)
}

/// What a pod or a pod template asks for besides, all its containers together: devices, scratch space, huge pages.
pub(crate) fn others(pod: &Value) -> BTreeMap<&str, f64> {
    let mut others = BTreeMap::new();
    let containers = |kind| pod.get("spec").and_then(|spec| spec.get(kind)?.as_array()).into_iter().flatten();
    for container in containers("containers").chain(containers("initContainers")) {
        let stated = |section| {
            let resources =
                container.get("resources").and_then(|resources| resources.get(section)?.as_object());
            resources.into_iter().flatten().filter(|(resource, _)| !RESOURCES.contains(&resource.as_str()))
        };
        // Where both are stated, the request counts.
        let asked: BTreeMap<&str, f64> = stated("limits")
            .chain(stated("requests"))
            .filter_map(|(resource, value)| Some((resource.as_str(), read(value)?)))
            .collect();
        for (resource, amount) in asked {
            *others.entry(resource).or_insert(0.0) += amount;
        }
    }
    others
}

/// What the scheduler sets aside for a pod. One that is being resized takes the most that it asks for, was granted or has.
pub(crate) fn set_aside(pod: &Document) -> Room {
    let [memory, cpu] = whole(&pod.0, requests, |container| {
        let asks = requests(container);
        let Some(status) = status_of(pod, container) else { return asks };

        let others = [status.get("allocatedResources"), requested(status)];
        // They differ only while it is being resized.
        let others =
            others.into_iter().flatten().filter(|other| Some(*other) != requested(container)).map(amounts);
        // An amount that is not stated is less than any.
        others.fold(asks, |most, other| {
            [0, 1].map(|index| most[index].into_iter().chain(other[index]).reduce(f64::max))
        })
    });
    [memory, cpu, 1.0]
}

fn requested(of: &Value) -> Option<&Value> {
    of.get("resources")?.get("requests")
}

fn status_of<'a>(pod: &'a Document, container: &Value) -> Option<&'a Value> {
    let name = container.get("name")?;
    let mut statuses = ["/status/containerStatuses", "/status/initContainerStatuses"]
        .into_iter()
        .flat_map(|place| pod.list(place));
    statuses.find(|status| status.get("name") == Some(name))
}

fn sum(amounts: Amounts, more: [Option<f64>; 2]) -> Amounts {
    [0, 1].map(|index| amounts[index] + more[index].unwrap_or(0.0))
}

/// What a list of resources says; `None` for what it does not.
pub(crate) fn amounts(section: &Value) -> [Option<f64>; 2] {
    RESOURCES.map(|resource| amount(section, resource))
}

pub(crate) fn amount(section: &Value, resource: &str) -> Option<f64> {
    section.get(resource).and_then(read)
}

fn read(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| quantity::parse(value.as_str()?))
}
