//! What pods ask for and may use, as the scheduler and quotas count it.

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
    let (asked, limits) = (stated(container, "requests"), limits(container));
    [0, 1].map(|index| asked[index].or(limits[index]))
}

pub(crate) fn limits(container: &Value) -> [Option<f64>; 2] {
    stated(container, "limits")
}

/// Of a pod or a pod template, with what each of its containers counts for: all that run at once, or an init container
/// that takes more before, beside the sidecars that were started earlier; in both cases with what the runtime takes. What
/// is `stated` for all containers together stands in their place.
pub(crate) fn whole(
    pod: &Value,
    stated: fn(&Value) -> [Option<f64>; 2],
    of: impl Fn(&Value) -> [Option<f64>; 2],
) -> Amounts {
    let listed = |place: &str| pod.pointer(place).and_then(Value::as_array).into_iter().flatten();
    let (mut running, mut most) = ([0.0; 2], [0.0; 2]);
    for container in listed("/spec/initContainers") {
        let with = sum(running, of(container));
        most = [0, 1].map(|index| f64::max(most[index], with[index]));
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            running = with;
        }
    }
    running = listed("/spec/containers").fold(running, |running, container| sum(running, of(container)));
    let together = pod.get("spec").map(stated).unwrap_or_default();
    let overhead = pod.pointer("/spec/overhead").map(amounts).unwrap_or_default();
    let most = [0, 1].map(|index| together[index].unwrap_or(f64::max(most[index], running[index])));
    sum(most, overhead)
}

/// What the scheduler sets aside for a pod. One that is being resized takes the most that it asks for, was granted or has.
pub(crate) fn set_aside(pod: &Document) -> Room {
    let statuses =
        ["/status/initContainerStatuses", "/status/containerStatuses"].map(|place| pod.list(place));
    let [memory, cpu] = whole(&pod.0, requests, |container| {
        let name = container.get("name");
        let status = statuses.iter().copied().flatten().find(|status| status.get("name") == name);
        let granted =
            status.and_then(|status| status.get("allocatedResources")).map(amounts).unwrap_or_default();
        let has = status.map(|status| stated(status, "requests")).unwrap_or_default();
        let asks = requests(container);
        // An amount that is not stated is less than any.
        [0, 1].map(|index| [asks, granted, has].map(|all| all[index]).into_iter().flatten().reduce(f64::max))
    });
    [memory, cpu, 1.0]
}

fn sum(amounts: Amounts, more: [Option<f64>; 2]) -> Amounts {
    [0, 1].map(|index| amounts[index] + more[index].unwrap_or(0.0))
}

fn stated(container: &Value, section: &str) -> [Option<f64>; 2] {
    container.get("resources").and_then(|resources| resources.get(section)).map(amounts).unwrap_or_default()
}

/// What a list of resources says; `None` for what it does not.
pub(crate) fn amounts(section: &Value) -> [Option<f64>; 2] {
    RESOURCES.map(|resource| {
        let value = section.get(resource)?;
        value.as_f64().or_else(|| quantity::parse(value.as_str()?))
    })
}
