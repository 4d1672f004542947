//! One incident for each root: dependants join it, what is unrelated stays its own.

use kubewise_core::Kind;
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::id::IncidentId;
use kubewise_detector::Change;
use serde_json::{Value, json};

use crate::scene::*;

/// `db`, `cart` that needs `db`, `web` that needs `cart`, and `search` that needs nobody; a Service for each.
fn shop() -> Scene {
    let mut scene = Scene::new();
    for (name, needs) in
        [("db", None), ("cart", Some("db:5432")), ("web", Some("http://cart.shop.svc/")), ("search", None)]
    {
        scene.apply(workload(name, 1, 1).into_iter().take(2));
        scene.apply([serving(pod(name, 1, 0), name, needs), service(name)]);
    }
    scene.pass(2_400); // the workloads are old
    scene
}

fn service(name: &str) -> Value {
    json!({
        "kind": "Service", "metadata": { "namespace": "shop", "name": name, "uid": format!("service-{name}") },
        "spec": { "selector": { "app": name } },
    })
}

fn serving(pod: Value, app: &str, needs: Option<&str>) -> Value {
    let pod = pod.with("metadata/labels/app", app);
    match needs {
        Some(address) => pod.with("spec/containers/0/args", json!([address])),
        None => pod,
    }
}

fn crashing(name: &str, needs: Option<&str>, scene: &Scene) -> Vec<Value> {
    let broken = restarted(serving(pod(name, 1, 0), name, needs), 3, "Error", 1, scene.now);
    vec![waiting(broken, "CrashLoopBackOff"), deployment(name, 1, 1, 0)]
}

fn failing(name: &str) -> Vec<Value> {
    vec![
        waiting(serving(pod(name, 1, 0), name, None), "CreateContainerConfigError"),
        deployment(name, 1, 1, 0),
    ]
}

fn healthy(name: &str, needs: Option<&str>) -> Vec<Value> {
    vec![serving(pod(name, 1, 0), name, needs), deployment(name, 1, 1, 1)]
}

/// Workload and incident of everything that fires, in order of workload.
fn firing(scene: &Scene) -> Vec<(String, IncidentId)> {
    let place = |one: AnomalyRecord| (one.workload.name.to_string(), one.incident.unwrap());
    let mut all: Vec<_> = scene.firing().into_iter().map(place).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn dependants_join_the_incident_of_what_they_need() {
    let mut scene = shop();
    scene.apply(failing("db"));
    scene.pass(30);
    scene.apply(crashing("cart", Some("db:5432"), &scene));
    scene.pass(10);
    scene.apply(crashing("web", Some("http://cart.shop.svc/"), &scene));
    scene.pass(10);
    let incidents = scene.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    assert_eq!(incidents[0].workload, reference(Kind::Deployment, "db"));
    let fires = firing(&scene);
    assert_eq!(fires.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["cart", "db", "web"]);
    assert!(fires.iter().all(|(_, incident)| *incident == incidents[0].id), "{fires:?}");
    let told = scene.said.iter().any(
        |change| matches!(change, Change::IncidentJoined { text, .. } if text.ends_with("it needs deployment shop/db")),
    );
    assert!(told, "{:#?}", scene.said);

    // Cured at the root, the others follow; it is quiet when all are well.
    scene.apply(healthy("db", None));
    scene.pass(120);
    assert_eq!(scene.quiet(), 0, "the dependants are not well yet");
    for (name, needs) in [("cart", "db:5432"), ("web", "http://cart.shop.svc/")] {
        scene.apply(healthy(name, Some(needs)));
    }
    scene.pass(300);
    assert_eq!((scene.reasons(), scene.quiet(), scene.incidents().len()), (vec![], 1, 1));
}

#[test]
fn an_incident_names_who_needs_its_workload() {
    let mut scene = shop();
    for (name, needs) in [("cart", "db:5432"), ("web", "http://cart.shop.svc/")] {
        scene.apply(healthy(name, Some(needs)));
    }
    scene.pass(10);
    scene.apply(failing("db"));
    scene.pass(30);
    let incidents = scene.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    assert_eq!(
        incidents[0].dependants,
        [reference(Kind::Deployment, "cart")],
        "and not who needs that in turn"
    );
}

#[test]
fn a_dependant_that_shows_first_waits_for_what_it_needs() {
    let mut scene = shop();
    // A pod that is not ready any more counts only after a minute, a crash loop at once.
    scene.apply([unready(serving(pod("db", 1, 0), "db", None)), deployment("db", 1, 1, 0)]);
    scene.pass(5);
    scene.apply(crashing("cart", Some("db:5432"), &scene));
    scene.pass(30);
    scene.nothing_noticed();
    scene.pass(60);
    let incidents = scene.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    assert_eq!(incidents[0].workload, reference(Kind::Deployment, "db"));
    assert_eq!(firing(&scene).len(), 2);
}

#[test]
fn what_is_unrelated_or_has_a_cause_of_its_own_stays_its_own() {
    let mut scene = shop();
    scene.apply(failing("db"));
    scene.pass(30);
    // Nobody that search needs has failed.
    scene.apply(crashing("search", None, &scene));
    // The cart needs db, but cannot get its own image.
    scene.apply([
        waiting(serving(pod("cart", 1, 0), "cart", Some("db:5432")), "ImagePullBackOff"),
        deployment("cart", 1, 1, 0),
    ]);
    scene.pass(60);
    let mut roots: Vec<_> =
        scene.incidents().iter().map(|incident| incident.workload.name.to_string()).collect();
    roots.sort();
    assert_eq!(roots, ["cart", "db", "search"]);
}

#[test]
fn a_new_revision_is_looked_at_for_itself() {
    let mut scene = shop();
    scene.apply(failing("db"));
    scene.pass(30);
    let broken = serving(pod("cart", 2, 0), "cart", Some("db:5432"));
    let broken = waiting(restarted(broken, 3, "Error", 1, scene.now), "CrashLoopBackOff");
    scene.apply([deployment("cart", 2, 1, 0), replica_set("cart", 2, 1, 0), broken]);
    scene.pass(30);
    assert_eq!(scene.incidents().len(), 2);
}

#[test]
fn who_fires_on_long_after_the_root_is_well_has_an_incident_of_its_own() {
    let mut scene = shop();
    scene.apply(failing("db"));
    scene.pass(30);
    scene.apply(crashing("cart", Some("db:5432"), &scene));
    scene.pass(30);
    assert_eq!(scene.incidents().len(), 1);
    scene.apply(healthy("db", None));
    scene.pass(600);
    assert_eq!(scene.incidents().len(), 1);
    scene.pass(600);
    let incidents = scene.incidents();
    assert_eq!(incidents.len(), 2, "{incidents:#?}");
    assert_eq!(incidents[1].workload, reference(Kind::Deployment, "cart"));
    assert_eq!(firing(&scene), [("cart".to_owned(), incidents[1].id.clone())]);
    assert_eq!(scene.quiet(), 1, "that of db is over");
}

#[test]
fn a_circle_of_needs_ends() {
    let mut scene = Scene::new();
    for (name, needs) in [("a", "b:80"), ("b", "a:80")] {
        scene.apply(workload(name, 1, 1).into_iter().take(2));
        scene.apply([serving(pod(name, 1, 0), name, Some(needs)), service(name)]);
    }
    scene.pass(2_400);
    for (name, needs) in [("a", "b:80"), ("b", "a:80")] {
        scene.apply(crashing(name, Some(needs), &scene));
    }
    scene.pass(180);
    assert_eq!((scene.incidents().len(), firing(&scene).len()), (1, 2));
}
