//! Builders and readers that the tests share.

use kubewise_core::document::Document;
use kubewise_core::{Kind, ObjectRef, Period};
use kubewise_sim::{Change, Workload, World};

pub(crate) const MIB: f64 = 1_048_576.0;

/// Two nodes and one workload that is up.
pub(crate) fn world_with(workload: Workload) -> (World, ObjectRef) {
    let world = World::new(7);
    world.node("n1", 4.0, 8192.0 * MIB).node("n2", 4.0, 8192.0 * MIB);
    let object = workload.object();
    world.add(workload).pass(Period::from_secs(60));
    (world, object)
}

pub(crate) fn cart() -> Workload {
    Workload::deployment("shop", "cart").replicas(3)
}

pub(crate) fn roll(world: &World, workload: &ObjectRef, tag: &str) {
    let image = format!("{}/{}:{tag}", workload.namespace_or_empty(), workload.name);
    world.change(Change::Image { workload: workload.clone(), image }).unwrap();
}

pub(crate) fn get(world: &World, object: &ObjectRef) -> Document {
    world.get(object).unwrap_or_else(|| panic!("{object} is not there"))
}

pub(crate) fn number(world: &World, object: &ObjectRef, pointer: &str) -> u64 {
    get(world, object).number(pointer).unwrap_or(0)
}

/// Status and reason of a condition.
pub(crate) fn condition(world: &World, object: &ObjectRef, kind: &str) -> Option<(String, String)> {
    let document = get(world, object);
    let found = document.list("/status/conditions").iter().find(|condition| condition["type"] == kind)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason")))
}

/// Reasons of the Events on objects whose name starts so, oldest first.
pub(crate) fn reasons(world: &World, name: &str) -> Vec<String> {
    let events = world.events().into_iter();
    events.filter(|event| event.object.name.starts_with(name)).map(|event| event.reason).collect()
}

/// Why the containers of a workload's pods wait.
pub(crate) fn waiting(world: &World, workload: &ObjectRef) -> Vec<String> {
    let mut reasons: Vec<String> = world
        .pods_of(workload)
        .iter()
        .filter_map(|pod| pod.text("/status/containerStatuses/0/state/waiting/reason").map(Into::into))
        .collect();
    reasons.sort();
    reasons
}

pub(crate) fn revisions(world: &World, namespace: &str) -> Vec<(u64, u64)> {
    let mut sets: Vec<(u64, u64)> = world
        .list(&Kind::ReplicaSet, Some(namespace))
        .iter()
        .map(|set| {
            let revision = set.annotation("deployment.kubernetes.io/revision").unwrap().parse().unwrap();
            (revision, set.number("/spec/replicas").unwrap())
        })
        .collect();
    sets.sort_unstable();
    sets
}
