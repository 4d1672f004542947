//! Requests and limits within bounds.

use kubewise_core::action::{ActionStatus, Direction};
use kubewise_core::document::Document;
use kubewise_core::guard::Guard;
use kubewise_core::metric::MetricType;
use kubewise_core::plan::Operation;
use kubewise_core::{Kind, quantity};
use serde_json::Value;

use super::scale::{most_replicas, replicas};
use super::{Case, Finding, Options, claims, never, room};
use crate::action::{Rounding, TEMPLATE, share};
use crate::evidence::Evidence;
use crate::evidence::amounts::{Amounts, RESOURCES, amounts, limits, others, requests, whole};

/// Quotas of these scopes do not count the pods of a workload that serves.
const OTHER_SCOPES: [&str; 2] = ["BestEffort", "Terminating"];

type Bound = fn(&Case<'_>, &Growth) -> Finding;

/// What bounds the amounts of pods that are given others, or become more; each a guard by itself.
const BOUNDS: &[(Guard, Bound)] = &[
    (Guard::AboveUse, above_use),
    (Guard::BelowCap, below_cap),
    (Guard::LimitRanges, limit_ranges),
    (Guard::Quotas, quotas),
    (Guard::NodeRoom, node_room),
];

pub(super) fn limit_bounds(case: &Case<'_>) -> Finding {
    let mut told = Vec::new();
    for growth in resized(case).chain(rolled_out(case)) {
        for (_, bound) in BOUNDS.iter().filter(|(guard, _)| case.options.guards.stands(*guard)) {
            told.push(bound(case, &growth)?);
        }
    }
    for claim in claims::grown(case) {
        for (_, bound) in claims::BOUNDS.iter().filter(|(guard, _)| case.options.guards.stands(*guard)) {
            told.push(bound(case, &claim)?);
        }
    }
    told.retain(|finding| !finding.is_empty());
    if told.is_empty() {
        return Ok("no limit is changed, and nothing is scaled up or grows".into());
    }
    Ok(told.join("; "))
}

/// The pods of the workload, if they are given other resources, or more of them are made or may be.
fn rolled_out(case: &Case<'_>) -> Option<Growth> {
    let after = case.after();
    let ranges = &case.evidence.limit_ranges;
    let growth = Growth {
        before: Pod::of(case.workload.0.pointer(TEMPLATE), ranges),
        after: Pod::of(after.pointer(TEMPLATE), ranges),
        replicas_before: replicas(&case.workload.0),
        replicas_after: replicas(&after).max(most_replicas(case)),
        surge: surge(case),
        in_place: None,
    };
    // An earlier template that is put back as a whole ran within its bounds before.
    let resources =
        case.changes().any(|change| change.path.starts_with(TEMPLATE) && change.path.contains("/resources"));
    (resources || growth.replicas_after > growth.replicas_before).then_some(growth)
}

/// Pods that are given other resources where they run.
fn resized(case: &Case<'_>) -> impl Iterator<Item = Growth> {
    case.steps.iter().filter_map(move |step| {
        let Operation::Write { object, changes, .. } = &step.operation else { return None };
        let pod = case.evidence.document(object).filter(|_| object.kind == Kind::Pod)?;
        let mut after = pod.0.clone();
        for change in changes {
            crate::field::set(&mut after, &change.path, change.after.clone());
        }
        Some(Growth {
            before: Pod::of(Some(&pod.0), &[]),
            after: Pod::of(Some(&after), &[]),
            replicas_before: 1,
            replicas_after: 1,
            surge: 0,
            in_place: Some(pod.text("/spec/nodeName").unwrap_or_default().into()),
        })
    })
}

/// What one pod of the workload asks for before and after, and how many there are.
#[derive(Debug)]
pub(super) struct Growth {
    pub(super) before: Pod,
    pub(super) after: Pod,
    pub(super) replicas_before: u32,
    pub(super) replicas_after: u32,
    /// Pods that are made before old ones go.
    pub(super) surge: u32,
    /// The node that the pod stays on, if it stays where it runs.
    in_place: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Pod {
    containers: Vec<Container>,
    /// What the scheduler sets aside.
    pub(super) requests: Amounts,
    limits: Amounts,
    /// What it asks for besides memory and CPU.
    pub(super) others: Vec<(String, f64)>,
}

/// Amounts in the order of [`RESOURCES`]; bytes and cores.
#[derive(Debug)]
struct Container {
    name: String,
    limits: [Option<f64>; 2],
    requests: [Option<f64>; 2],
}

impl Pod {
    /// From a pod, or from a pod template that limit ranges complete.
    fn of(pod: Option<&Value>, ranges: &[Document]) -> Self {
        let Some(pod) = pod else { return Pod::default() };
        let of = |spec: &Value| Container::of(spec, ranges);
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
        Pod {
            containers: containers.into_iter().flatten().map(of).collect(),
            requests: whole(pod, requests, |spec| of(spec).requests),
            limits: whole(pod, limits, |spec| of(spec).limits),
            others: others(pod).into_iter().map(|(resource, amount)| (resource.to_owned(), amount)).collect(),
        }
    }
}

impl Container {
    fn of(spec: &Value, ranges: &[Document]) -> Self {
        let name = spec.get("name").and_then(Value::as_str).unwrap_or_default().into();
        let usual = |kind: &str| {
            let items = ranges.iter().flat_map(|range| range.list("/spec/limits"));
            let mut of_containers =
                items.filter(|item| item.get("type").and_then(Value::as_str) == Some("Container"));
            of_containers.find_map(|item| item.get(kind)).map(amounts).unwrap_or_default()
        };
        let filled = |stated: [Option<f64>; 2], usual: [Option<f64>; 2]| {
            [0, 1].map(|index| stated[index].or(usual[index]))
        };
        Container {
            name,
            limits: filled(limits(spec), usual("default")),
            requests: filled(requests(spec), usual("defaultRequest")),
        }
    }
}

fn surge(case: &Case<'_>) -> u32 {
    let recreate = case.workload.text("/spec/strategy/type") == Some("Recreate");
    if !case.changes_template() || case.object.kind != Kind::Deployment || recreate {
        return 0;
    }
    let surge = case.workload.0.pointer("/spec/strategy/rollingUpdate/maxSurge");
    share(surge, "25%", replicas(&case.workload.0), Rounding::Up)
}

/// The highest memory limit that KubeWise may set for a container; bytes.
pub(crate) fn memory_cap(evidence: &Evidence, options: &Options, container: &str, limit: f64) -> f64 {
    let first = before_first_raise(evidence, "memory", container).unwrap_or(limit);
    (first * options.memory_limit_cap_factor).min(options.memory_limit_cap_bytes as f64)
}

fn cpu_cap(evidence: &Evidence, options: &Options, container: &str, limit: f64) -> f64 {
    before_first_raise(evidence, "cpu", container).unwrap_or(limit) * options.cpu_limit_cap_factor
}

/// The limit of a container before KubeWise first raised it, if it did.
fn before_first_raise(evidence: &Evidence, resource: &str, container: &str) -> Option<f64> {
    let place = format!("/resources/limits/{resource}");
    let raised = evidence.history.iter().rev().filter(|done| {
        done.direction == Direction::Act
            && done.status == ActionStatus::Succeeded
            && done.action.parameters.get("container").and_then(Value::as_str) == Some(container)
    });
    raised.flat_map(|done| &done.changes).find_map(|change| {
        let limit = change.path.ends_with(&place);
        change.before.as_ref().filter(|_| limit)?.as_str().and_then(quantity::parse)
    })
}

/// A limit that becomes another one.
struct NewLimit<'a> {
    container: &'a Container,
    index: usize,
    old: Option<f64>,
    new: Option<f64>,
}

fn new_limits(growth: &Growth) -> impl Iterator<Item = NewLimit<'_>> {
    let containers = growth.before.containers.iter().zip(&growth.after.containers);
    let limits = containers.flat_map(|(before, container)| {
        [0, 1].map(|index| NewLimit {
            container,
            index,
            old: before.limits[index],
            new: container.limits[index],
        })
    });
    limits.filter(|limit| limit.old != limit.new)
}

fn above_use(case: &Case<'_>, growth: &Growth) -> Finding {
    let mut told = Vec::new();
    for NewLimit { container, index, old, new } in new_limits(growth) {
        let (name, resource, Some(new)) = (&container.name, RESOURCES[index], new) else { continue };
        match used(case.evidence, resource, name) {
            Some(used) if new < used => {
                let (used, new) = (show(resource, used), show(resource, new));
                return never(format!("{name} uses {used} of {resource}, more than {new}"));
            }
            None if old.is_none_or(|old| new < old) => {
                return never(format!("the {resource} use of {name} is not known"));
            }
            Some(_) | None => {
                told.push(format!("{resource} limit {} of {name} is above use", show(resource, new)));
            }
        }
    }
    Ok(told.join("; "))
}

fn below_cap(case: &Case<'_>, growth: &Growth) -> Finding {
    // The API server refuses this too; here it is told before.
    for container in &growth.after.containers {
        for (index, resource) in RESOURCES.into_iter().enumerate() {
            if let (Some(limit), Some(request)) = (container.limits[index], container.requests[index])
                && request > limit
            {
                return never(format!(
                    "the {resource} request {} of {} would be above its limit {}",
                    show(resource, request),
                    container.name,
                    show(resource, limit)
                ));
            }
        }
    }
    let mut told = Vec::new();
    for NewLimit { container, index, old, new } in new_limits(growth) {
        let (name, resource) = (&container.name, RESOURCES[index]);
        let Some(new) = new else { return never(format!("{name} would have no {resource} limit")) };
        // Limits are written in whole mebibytes and millicores, rounded up.
        let (cap, unit) = if resource == "memory" {
            (memory_cap(case.evidence, case.options, name, old.unwrap_or(new)), 1_048_576.0)
        } else {
            (cpu_cap(case.evidence, case.options, name, old.unwrap_or(new)), 0.001)
        };
        if old.is_none_or(|old| new > old) && new > ((cap / unit).ceil() + 0.5) * unit {
            return never(format!("{} is above the cap of {}", show(resource, new), show(resource, cap)));
        }
        told.push(format!("{resource} limit {} of {name} is below the cap", show(resource, new)));
    }
    Ok(told.join("; "))
}

/// The newest use of a container, the largest of the pods'.
fn used(evidence: &Evidence, resource: &str, container: &str) -> Option<f64> {
    let wanted = if resource == "memory" { MetricType::MemoryWorkingSet } else { MetricType::CpuUsage };
    let mut newest = std::collections::BTreeMap::new();
    for sample in &evidence.samples {
        if sample.metric_type == wanted && sample.container.as_deref() == Some(container) {
            newest.insert(&sample.object, sample.value);
        }
    }
    newest.into_values().reduce(f64::max)
}

fn limit_ranges(case: &Case<'_>, growth: &Growth) -> Finding {
    for range in &case.evidence.limit_ranges {
        let name = range.text("/metadata/name").unwrap_or_default();
        for item in range.list("/spec/limits") {
            let bound = |kind: &str, resource: &str| {
                quantity::parse(item.pointer(&format!("/{kind}/{resource}"))?.as_str()?)
            };
            for (index, resource) in RESOURCES.into_iter().enumerate() {
                let asked: Vec<(&str, f64, f64)> = match item.get("type").and_then(Value::as_str) {
                    Some("Container") => growth
                        .after
                        .containers
                        .iter()
                        .map(|container| {
                            let limit = container.limits[index].unwrap_or(0.0);
                            (container.name.as_str(), limit, container.requests[index].unwrap_or(limit))
                        })
                        .collect(),
                    Some("Pod") => {
                        vec![("the pod", growth.after.limits[index], growth.after.requests[index])]
                    }
                    _ => continue,
                };
                for (whose, limit, request) in asked {
                    let shown = show(resource, limit);
                    if bound("max", resource).is_some_and(|max| limit > max) {
                        return never(format!(
                            "LimitRange {name} allows less {resource} than {shown} for {whose}"
                        ));
                    }
                    if request > 0.0 && bound("min", resource).is_some_and(|min| request < min) {
                        return never(format!("LimitRange {name} demands more {resource} for {whose}"));
                    }
                    let ratio = bound("maxLimitRequestRatio", resource);
                    if request > 0.0 && ratio.is_some_and(|ratio| limit / request > ratio) {
                        return never(format!(
                            "LimitRange {name} allows no such distance of request and limit for {whose}"
                        ));
                    }
                }
            }
        }
    }
    Ok(match case.evidence.limit_ranges.len() {
        0 => String::new(),
        count => format!("within {count} limit ranges"),
    })
}

fn quotas(case: &Case<'_>, growth: &Growth) -> Finding {
    let limits = more(growth, growth.before.limits, growth.after.limits);
    let requests = more(growth, growth.before.requests, growth.after.requests);
    let pods =
        f64::from(growth.surge) + f64::from(growth.replicas_after.saturating_sub(growth.replicas_before));
    let named = [
        ("limits.memory", limits[0]),
        ("requests.memory", requests[0]),
        ("memory", requests[0]),
        ("limits.cpu", limits[1]),
        ("requests.cpu", requests[1]),
        ("cpu", requests[1]),
        ("pods", pods),
        ("count/pods", pods),
    ];
    let named = named.into_iter().map(|(key, more)| (key.to_owned(), more));
    let others = growth.after.others.iter().map(|(key, each)| (format!("requests.{key}"), pods * each));
    let wanted: Vec<(String, f64)> = named.chain(others).collect();
    within_quotas(case.evidence.quotas.iter().filter(|quota| counts_these_pods(quota)), &wanted)
}

/// Whether these quotas have room for so much more.
pub(super) fn within_quotas<'q>(
    quotas: impl Iterator<Item = &'q Document>,
    wanted: &[(String, f64)],
) -> Finding {
    let mut told = String::new();
    for quota in quotas {
        let name = quota.text("/metadata/name").unwrap_or_default();
        told = "within the quotas".into();
        for (key, more) in wanted {
            let amount = |place: &str| {
                let value = quota.0.pointer(place)?.get(key)?;
                value.as_f64().or_else(|| quantity::parse(value.as_str()?))
            };
            let Some(hard) = amount("/status/hard").or_else(|| amount("/spec/hard")) else { continue };
            let Some(used) = amount("/status/used") else {
                return never(format!("what quota {name} has left of {key} is not known"));
            };
            if *more > 0.0 && used + more > hard {
                let [more, used, hard] = [*more, used, hard].map(|amount| counted(key, amount));
                return never(format!(
                    "quota {name} has no room for {more} more of {key} ({used} of {hard} used)"
                ));
            }
        }
    }
    Ok(told)
}

/// An amount of what a quota counts.
fn counted(key: &str, amount: f64) -> String {
    let resource = key.rsplit(['.', '/']).next().unwrap_or_default();
    match resource {
        "cpu" | "memory" | "storage" | "ephemeral-storage" => show(resource, amount),
        _ => format!("{amount}"),
    }
}

fn counts_these_pods(quota: &Document) -> bool {
    let scopes = quota.list("/spec/scopes").iter();
    !scopes.filter_map(Value::as_str).any(|scope| OTHER_SCOPES.contains(&scope))
}

/// What is used more at the peak of the rollout: surge pods, grown pods and added pods.
fn more(growth: &Growth, before: Amounts, after: Amounts) -> Amounts {
    let (surge, old) = (f64::from(growth.surge), f64::from(growth.replicas_before));
    let added = f64::from(growth.replicas_after.saturating_sub(growth.replicas_before));
    [0, 1].map(|index| (surge + added) * after[index] + old * (after[index] - before[index]).max(0.0))
}

fn node_room(case: &Case<'_>, growth: &Growth) -> Finding {
    match &growth.in_place {
        Some(node) => room::in_place(case, node, growth),
        None => room::room(case, growth),
    }
}

pub(super) fn show(resource: &str, amount: f64) -> String {
    if resource == "cpu" { quantity::millicores(amount) } else { quantity::mebibytes(amount) }
}
