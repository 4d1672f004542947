//! What people can ask about plans and their author.

use kubewise_core::author::Prompt;
use kubewise_core::incident::IncidentStatus;
use kubewise_core::plan::Mode;
use kubewise_core::port::Inquiry;
use kubewise_core::request::PatchOperation;
use kubewise_core::{Period, Rejection};
use kubewise_sim::{Change, Workload};
use serde_json::json;

use crate::author::AT_ONCE;
use crate::pipeline::{Scene, cart};
use crate::scripted::{Said, offers, sound};

#[test]
fn people_see_what_was_sent_what_would_be_and_what_would_be_planned() {
    let (mut scene, run, author) = Scene::with_author(Mode::Propose, AT_ONCE, sound);
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Proposed);
    let [plan] = scene.plans().try_into().unwrap();
    let sent = author.asked();
    for id in [plan.id.to_string(), plan.incident.to_string()] {
        let handle = run.handle.clone();
        let question = scene.ask(async move { handle.prompt(&id).await }).unwrap();
        assert_eq!((&question.prompt, question.author.as_deref()), (&sent[0], Some("test/scripted")));
        assert_eq!(question.sent_at, Some(scene.calls()[0].asked_at));
    }
    let before = scene.documents();
    let (handle, incident) = (run.handle.clone(), plan.incident.clone());
    let trial = scene.ask(async move { handle.try_plan(&incident).await }).unwrap();
    let tried = trial.plan.unwrap();
    assert_eq!((&tried.author, &tried.actions), (&plan.author, &plan.actions));
    assert_eq!(scene.documents(), before, "nothing is kept of a trial");

    let handle = run.handle.clone();
    let unknown = scene.ask(async move { handle.prompt("p-none").await }).unwrap_err();
    assert!(unknown.is(Rejection::NotFound), "{unknown}");
}

#[test]
fn without_an_author_people_see_what_one_would_be_asked() {
    let (mut scene, run) = Scene::crashing(Mode::Propose);
    scene.until_status(IncidentStatus::Proposed);
    let (handle, id) = (run.handle.clone(), scene.incident().id.to_string());
    let question = scene.ask(async move { handle.prompt(&id).await }).unwrap();
    assert_eq!((question.author, question.sent_at), (None, None));
    assert!(offers(&question.prompt).iter().any(|offer| offer["action"] == "RolloutUndo"));
    let (handle, id) = (run.handle.clone(), scene.incident().id);
    let told = scene.ask(async move { handle.explain(&id, true).await }).unwrap();
    assert_eq!((told.author, told.note.as_deref()), (None, Some("no author is configured")));
    assert!(told.text.contains("cart"), "{}", told.text);
}

#[test]
fn people_see_when_settings_changed_before_the_trouble_and_never_what_they_hold() {
    let (mut scene, run) = Scene::warm(Mode::Propose);
    let metadata = json!({ "namespace": "shop", "name": "cart" });
    let settings = json!({ "kind": "ConfigMap", "metadata": metadata, "data": { "phrase": "swordfish" } });
    let config_map = scene.world.create(settings).unwrap();
    let edit = |object, path: &str, value| Change::Edit {
        object,
        manager: "kubectl-edit".into(),
        operations: vec![PatchOperation::Add { path: path.into(), value }],
    };
    let reads = json!([{ "configMapRef": { "name": "cart" } }, { "secretRef": { "name": "cart", "optional": true } }]);
    scene.change(edit(cart(), "/spec/template/spec/containers/0/envFrom", reads));
    scene.pass(Period::from_mins(10));
    scene.change(edit(config_map, "/data/phrase", json!("marlin")));
    let changed = format!("ConfigMap shop/cart changed at {:.0}, ", scene.world.now());
    scene.pass(Period::from_mins(4));
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Proposed);
    let id = scene.incident().id;
    let (handle, of) = (run.handle.clone(), id.to_string());
    let prompt = scene.ask(async move { handle.prompt(&of).await }).unwrap().prompt.case;
    let handle = run.handle.clone();
    let told = scene.ask(async move { handle.explain(&id, true).await }).unwrap().text;
    for text in [&prompt, &told] {
        let (_, distance) = text.split_once(&changed).unwrap_or_else(|| panic!("not told in {text}"));
        let distance = distance.split('\n').next().unwrap();
        assert!(distance.starts_with("4m") && distance.contains("before the trouble"), "{distance}");
        assert!(!text.contains("swordfish") && !text.contains("marlin"), "{text}");
    }
    assert!(prompt.contains("Secret cart (when it changed is not known)"), "there is none: {prompt}");
}

/// A message of the cluster is told before anybody plans or asks.
#[test]
fn what_the_cluster_says_is_kept_without_its_secrets() {
    let (mut scene, _run) = Scene::warm(Mode::Observe);
    let ill = Workload::deployment("shop", "ill").image("shop/ill:never-ready");
    let object = ill.object();
    scene.world.add(ill);
    scene.pass(Period::from_mins(1));
    let message = "webhook said: password=xk3q9zt2mv".to_owned();
    scene.change(Change::Warning { object, reason: "FailedCreate".into(), message });
    scene.pass(Period::from_mins(1));
    let kept = scene.documents().concat();
    assert!(kept.contains("cannot create pods: webhook said: password=[redacted]"), "{kept}");
    assert!(!kept.contains("xk3q9zt2mv"), "{kept}");
}

#[test]
fn an_incident_is_explained_by_the_author_once_for_each_state_of_it_and_else_from_a_template() {
    let script = |prompt: &Prompt| {
        if prompt.schema.is_some() { sound(prompt) } else { Said::Text("The new cart cannot start.".into()) }
    };
    let (mut scene, run, author) = Scene::with_author(Mode::Propose, AT_ONCE, script);
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Proposed);
    scene.pass(Period::from_mins(12)); // until its story stands still
    let id = scene.incident().id;
    let mut explain = |ask: bool| {
        let (handle, id) = (run.handle.clone(), id.clone());
        scene.ask(async move { handle.explain(&id, ask).await }).unwrap()
    };
    let template = explain(false);
    assert_eq!(template.author, None);
    assert!(template.note.unwrap().contains("needs the token"), "{}", template.text);
    for ask in [true, true, false] {
        let told = explain(ask);
        let by = told.author.as_deref();
        assert_eq!((by, &*told.text), (Some("test/scripted"), "The new cart cannot start."), "{ask}");
    }
    assert_eq!(author.asked().iter().filter(|prompt| prompt.schema.is_none()).count(), 1, "paid once");
    assert_eq!(run.handle.spending().incidents[0].spent.calls, 2);
}
