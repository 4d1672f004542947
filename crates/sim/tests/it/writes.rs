use futures::executor::block_on;
use kubewise_core::port::ClusterActor;
use kubewise_core::request::{ClusterRequest, PatchOperation, Performed, Subresource};
use kubewise_core::{Failure, ObjectRef, Period, Rejection};
use kubewise_sim::{Change, MemoryStore, PerformFault, World};
use serde_json::{Value, json};

use crate::cluster::{cart, get, number, world_with};

fn perform(world: &World, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
    block_on(world.process("test", &MemoryStore::default()).perform(request, dry_run))
}

fn patch(object: &ObjectRef, subresource: Option<Subresource>, operations: Value) -> ClusterRequest {
    let operations: Vec<PatchOperation> = serde_json::from_value(operations).unwrap();
    ClusterRequest::Patch { object: object.clone(), subresource, operations }
}

/// What became of a patch: the rejection, or that it was applied.
fn outcome(result: &Result<Performed, Failure>) -> Option<Rejection> {
    match result {
        Ok(_) => None,
        Err(Failure::Rejected { reason, .. }) => Some(*reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn patches_are_judged_as_the_api_server_judges_them() {
    let replicas = "/spec/replicas";
    for (why, operations, expected) in [
        ("a test that holds", json!([{ "op": "test", "path": replicas, "value": 3 }]), None),
        (
            "a test that fails",
            json!([{ "op": "test", "path": replicas, "value": 4 }]),
            Some(Rejection::Superseded),
        ),
        (
            "null equals absent",
            json!([{ "op": "test", "path": "/metadata/annotations/none", "value": null }]),
            None,
        ),
        (
            "null below nothing",
            json!([{ "op": "test", "path": "/none/none", "value": null }]),
            Some(Rejection::Superseded),
        ),
        (
            "a value at nothing",
            json!([{ "op": "test", "path": "/spec/none", "value": 1 }]),
            Some(Rejection::Superseded),
        ),
        ("removing nothing", json!([{ "op": "remove", "path": "/spec/none" }]), Some(Rejection::Invalid)),
        (
            "replacing nothing",
            json!([{ "op": "replace", "path": "/spec/none", "value": 1 }]),
            Some(Rejection::Invalid),
        ),
        (
            "adding below nothing",
            json!([{ "op": "add", "path": "/none/none", "value": 1 }]),
            Some(Rejection::Invalid),
        ),
        (
            "replicas below zero",
            json!([{ "op": "replace", "path": replicas, "value": -1 }]),
            Some(Rejection::Invalid),
        ),
        (
            "another name",
            json!([{ "op": "replace", "path": "/metadata/name", "value": "x" }]),
            Some(Rejection::Invalid),
        ),
        (
            "a request above its limit",
            json!([{ "op": "add", "path": "/spec/template/spec/containers/0/resources/requests/memory", "value": "9Gi" }]),
            Some(Rejection::Invalid),
        ),
        (
            "the first passes, the last does not",
            json!([
                { "op": "replace", "path": replicas, "value": 9 },
                { "op": "test", "path": "/metadata/uid", "value": "another" },
            ]),
            Some(Rejection::Superseded),
        ),
    ] {
        let (world, cart) = world_with(cart());
        let before = get(&world, &cart);
        let result = perform(&world, &patch(&cart, None, operations), false);
        assert_eq!(outcome(&result), expected, "{why}: {result:?}");
        if expected.is_some() {
            assert_eq!(get(&world, &cart), before, "{why}: all or nothing");
        }
    }
    let (world, _) = world_with(cart());
    let none = ObjectRef { name: "none".into(), ..cart().object() };
    assert_eq!(outcome(&perform(&world, &patch(&none, None, json!([])), false)), Some(Rejection::NotFound));
}

#[test]
fn a_spec_change_raises_the_generation_and_changes_hands() {
    let (world, cart) = world_with(cart());
    let generation = number(&world, &cart, "/metadata/generation");
    let change = json!([
        { "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop/cart:2" },
        { "op": "add", "path": "/metadata/annotations/kubewise.dev~1fence", "value": "1" },
    ]);
    perform(&world, &patch(&cart, None, change), false).unwrap();
    let document = get(&world, &cart);
    assert_eq!(document.number("/metadata/generation"), Some(generation + 1));
    assert_eq!(document.annotation("kubewise.dev/fence"), Some("1"));
    let owners: Vec<_> = document
        .list("/metadata/managedFields")
        .iter()
        .filter(|entry| {
            let container = r#"/fieldsV1/f:spec/f:template/f:spec/f:containers/k:{"name":"app"}"#;
            entry.pointer(container).is_some_and(|fields| fields.get("f:image").is_some())
        })
        .map(|entry| entry["manager"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(owners, ["kubewise"]);
}

#[test]
fn a_dry_run_judges_and_keeps_nothing() {
    let (world, cart) = world_with(cart());
    let before = (get(&world, &cart), world.writes());
    let good = json!([{ "op": "replace", "path": "/spec/replicas", "value": 5 }]);
    let Performed::Patched(shown) = perform(&world, &patch(&cart, None, good), true).unwrap() else {
        panic!()
    };
    assert_eq!(shown.number("/spec/replicas"), Some(5));
    let bad = json!([{ "op": "replace", "path": "/spec/replicas", "value": -5 }]);
    assert_eq!(outcome(&perform(&world, &patch(&cart, None, bad), true)), Some(Rejection::Invalid));
    assert_eq!((get(&world, &cart), world.writes()), before);
}

#[test]
fn scale_and_resize_are_subresources_of_their_own() {
    let (world, cart) = world_with(cart());
    let scale = json!([
        { "op": "test", "path": "/spec/replicas", "value": 3 },
        { "op": "replace", "path": "/spec/replicas", "value": 4 },
    ]);
    let request = patch(&cart, Some(Subresource::Scale), scale);
    let Performed::Patched(scale) = perform(&world, &request, false).unwrap() else { panic!() };
    assert_eq!((scale.text("/kind"), number(&world, &cart, "/spec/replicas")), (Some("Scale"), 4));
    assert_eq!(outcome(&perform(&world, &request, false)), Some(Rejection::Superseded));

    let pod = world.pods_of(&cart)[0].object().unwrap();
    let more =
        json!([{ "op": "replace", "path": "/spec/containers/0/resources/limits/memory", "value": "1Gi" }]);
    assert_eq!(outcome(&perform(&world, &patch(&pod, None, more.clone()), false)), Some(Rejection::Invalid));
    perform(&world, &patch(&pod, Some(Subresource::Resize), more), false).unwrap();
    assert_eq!(get(&world, &pod).text("/spec/containers/0/resources/limits/memory"), Some("1Gi"));
}

#[test]
fn an_eviction_asks_the_budget_and_the_uid() {
    let (world, cart) = world_with(cart());
    world.budget(&cart, 3);
    let pod = world.pods_of(&cart)[0].clone();
    let evict = |uid: &str| ClusterRequest::Evict { pod: pod.object().unwrap(), uid: uid.into() };
    let uid = pod.uid().unwrap();
    assert!(matches!(perform(&world, &evict(&uid.0), false), Err(Failure::RateLimited { .. })));
    world.change(Change::Scale { workload: cart.clone(), replicas: 4 }).unwrap();
    world.pass(Period::from_secs(30));
    assert_eq!(outcome(&perform(&world, &evict("another"), false)), Some(Rejection::Superseded));
    assert_eq!(perform(&world, &evict(&uid.0), false), Ok(Performed::Evicted));
    world.pass(Period::from_secs(30));
    assert_eq!(outcome(&perform(&world, &evict(&uid.0), false)), Some(Rejection::NotFound));
    assert_eq!(number(&world, &cart, "/status/availableReplicas"), 4, "another took its place");
}

#[test]
fn faults_of_a_request_tell_what_may_be_concluded() {
    for (fault, applied) in [
        (PerformFault::UnknownApplied, true),
        (PerformFault::UnknownNotApplied, false),
        (PerformFault::RateLimited, false),
        (PerformFault::Unavailable, false),
    ] {
        let (world, cart) = world_with(cart());
        world.fail_next_perform(fault);
        let request = patch(&cart, None, json!([{ "op": "replace", "path": "/spec/replicas", "value": 5 }]));
        perform(&world, &request, false).unwrap_err();
        assert_eq!(number(&world, &cart, "/spec/replicas") == 5, applied, "{fault:?}");
        perform(&world, &request, false).unwrap();
    }
}

#[test]
fn somebody_else_may_be_just_in_time() {
    let scale = |replicas: u32| {
        json!([
            { "op": "test", "path": "/spec/replicas", "value": 3 },
            { "op": "replace", "path": "/spec/replicas", "value": replicas },
        ])
    };
    let (world, cart) = world_with(cart());
    world.before_perform(1, Change::Scale { workload: cart.clone(), replicas: 7 });
    assert_eq!(outcome(&perform(&world, &patch(&cart, None, scale(5)), false)), Some(Rejection::Superseded));
    let (world, cart) = world_with(crate::cluster::cart());
    world.after_perform(1, Change::Scale { workload: cart.clone(), replicas: 7 });
    assert_eq!(outcome(&perform(&world, &patch(&cart, None, scale(5)), false)), None);
    assert_eq!(number(&world, &cart, "/spec/replicas"), 7);
    assert!(world.mishaps().is_empty());
}
