//! Answers: what is refused and why, what is taken, and what a proposal can never bring about.

use std::collections::BTreeSet;

use kubewise_core::anomaly::Severity;
use kubewise_core::author::Ending;
use kubewise_core::plan::{Author, Mode, PlanStatus};
use kubewise_core::{Kind, ObjectRef, Period};
use kubewise_remediation::author::{Draft, Parameter, Proposal, ProposedAction, RootCause};
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    MODEL, action, complete, decide, draft, hand_over, ids, offers, planned, proposing, rules, sent,
};
use crate::fixture::{World, at, crash_loop, line, now, out_of_memory, scaled_to_zero, stateful_set};

const CART: &str = "Deployment shop/cart";

/// An answer to a crash loop that is taken as it is.
fn good(draft: &Draft) -> Value {
    serde_json::to_value(proposing(&draft.prompt, offers(&draft.prompt))).unwrap()
}

fn refused(draft: &Draft, answer: &Value) -> String {
    draft.read(&complete(answer.to_string())).unwrap_err().to_string()
}

#[test]
fn an_offer_that_is_copied_becomes_the_plan_that_its_playbook_would_make() {
    for world in [crash_loop(), out_of_memory(), scaled_to_zero(), stateful_set()] {
        let draft = draft(&world);
        let proposal = draft.read(&complete(good(&draft).to_string())).unwrap();
        let (ours, theirs) = (world.plan(), planned(decide(&world, &proposal)));
        let operations = |plan: &kubewise_core::plan::RemediationPlan| {
            plan.actions.iter().map(|step| step.operation.clone()).collect::<Vec<_>>()
        };
        assert_eq!(operations(&theirs), operations(&ours));
        assert_eq!((theirs.mode, theirs.status), (ours.mode, ours.status));
        assert_eq!(theirs.author.cause(), ours.author.cause());
        assert_eq!(theirs.author.to_string(), format!("model {MODEL} for {}", ours.author));
        assert_eq!(theirs.safety_constraints.len(), ours.safety_constraints.len());
        assert!(theirs.evidence.iter().any(|item| item.id == proposal.root_cause.evidence[0]));
        assert!(theirs.verification.checks.contains(&"it runs".to_owned()));
        assert_ne!(theirs.id, ours.id);
    }
}

#[test]
fn settings_that_changed_shortly_before_the_trouble_can_be_cited() {
    let mut world = crash_loop();
    let settings = |kind: &str, name: &str| ObjectRef::namespaced(Kind::from(kind), "shop", name);
    let days_ago = Period::from_mins(3 * 24 * 60).before(now());
    world.evidence.settings =
        vec![(settings("ConfigMap", "cart"), at("11:51:00")), (settings("Secret", "cart-db"), days_ago)];
    let draft = draft(&world);
    assert!(!sent(&draft.prompt).contains("cart-db"), "what changed days ago is no news");
    let mut proposal = proposing(&draft.prompt, offers(&draft.prompt));
    proposal.root_cause.evidence = vec!["change:cart".into()];
    let read = draft.read(&complete(serde_json::to_string(&proposal).unwrap())).unwrap();
    let plan = planned(decide(&world, &read));
    let told = "ConfigMap shop/cart changed at 2026-03-01T11:51:00Z, 4m before the trouble";
    assert_eq!(plan.evidence.iter().find(|item| item.id == "change:cart").unwrap().text, told);
    let by_playbook = world.plan();
    assert!(by_playbook.evidence.iter().any(|item| item.text == told), "{:#?}", by_playbook.evidence);
}

#[test]
fn the_settings_of_a_workload_are_all_that_its_template_names() {
    let mut world = crash_loop();
    let container = json!({
        "name": "app", "image": "cart:2",
        "env": [{ "name": "A", "valueFrom": { "configMapKeyRef": { "name": "by-key", "key": "a" } } },
                { "name": "B", "valueFrom": { "secretKeyRef": { "name": "by-key", "key": "b" } } }],
        "envFrom": [{ "configMapRef": { "name": "whole" } }, { "secretRef": { "name": "whole" } }],
    });
    let beside =
        json!({ "name": "proxy", "image": "proxy:1", "envFrom": [{ "configMapRef": { "name": "whole" } }] });
    let volumes = json!([
        { "name": "a", "configMap": { "name": "volume" } }, { "name": "b", "secret": { "secretName": "volume" } },
        { "name": "c", "projected": { "sources": [
            { "configMap": { "name": "projected" } }, { "secret": { "name": "projected" } },
        ] } },
        { "name": "d", "persistentVolumeClaim": { "claimName": "data" } },
    ]);
    let spec = json!({ "containers": [container], "initContainers": [beside], "volumes": volumes,
        "imagePullSecrets": [{ "name": "registry" }], "serviceAccountName": "cart" });
    world.set("/spec/template/spec", spec);
    let wanted: Vec<String> = world.evidence.wanted_settings().iter().map(ToString::to_string).collect();
    let of = |kind: &'static str, names: &[&str]| {
        names.iter().map(move |name| format!("{kind} shop/{name}")).collect::<Vec<_>>()
    };
    let names = ["by-key", "projected", "volume", "whole"];
    let secrets = ["by-key", "projected", "registry", "volume", "whole"];
    assert_eq!(wanted, [of("ConfigMap", &names), of("Secret", &secrets)].concat());
}

#[test]
fn an_answer_in_a_code_fence_is_read() {
    let draft = draft(&crash_loop());
    let text = format!("\n```json\n{}\n```\n", good(&draft));
    assert!(draft.read(&complete(text)).is_ok());
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_refused_with_the_reason() {
    let draft = draft(&crash_loop());
    let good = good(&draft);
    let with = |pointer: &str, value: Value| {
        let mut answer = good.clone();
        *answer.pointer_mut(pointer).unwrap() = value;
        answer
    };
    let mut more = good.clone();
    more["force"] = json!(true);
    let mut less = good.clone();
    less.as_object_mut().unwrap().remove("confidence");
    let mut deeper = good.clone();
    deeper["actions"][0]["override"] = json!("all");
    let undo = good["actions"][0].clone();
    let cases = [
        (json!("just do it"), "Answer: the answer is not the JSON object"),
        (json!({}), "missing field"),
        (more, "unknown field `force`"),
        (less, "missing field `confidence`"),
        (deeper, "unknown field `override`"),
        (with("/confidence", json!(1.5)), "confidence is 1.5, not from 0 to 1"),
        (with("/priority", json!("Apocalyptic")), "unknown variant `Apocalyptic`"),
        (with("/reasoning", json!("")), "must say something"),
        (with("/reasoning", json!("x".repeat(5_000))), "reasoning has 5000 characters"),
        (with("/rootCause/text", json!("x".repeat(700))), "rootCause.text has 700 characters"),
        (with("/rootCause/evidence", json!([])), "CitedEvidence: the root cause cites no evidence"),
        (with("/rootCause/evidence", json!(["event:Made-Up"])), "no evidence with the id event:Made-Up"),
        (with("/rootCause/evidence", json!(vec!["x"; 17])), "rootCause.evidence has 17 ids"),
        (with("/verification", json!(vec!["ok"; 9])), "verification has 9 checks"),
        (with("/actions", json!([])), "actions names repairs, or HandOver alone"),
        (with("/actions", json!([undo, hand_over("r")])), "actions names repairs, or HandOver alone"),
        (with("/actions", json!(vec![undo; 11])), "actions has 11 steps"),
        (with("/actions/0/action", json!("DeleteNamespace")), "OfferedOnly: DeleteNamespace on"),
        (with("/actions/0/action", json!("RolloutRestart")), "is not offered; offered are RolloutUndo on"),
        (
            with("/actions/0/target", json!("Deployment kube-system/dns")),
            "on Deployment kube-system/dns is not offered",
        ),
        (with("/actions/0/parameters", json!([])), "RolloutUndo needs the parameter revision, once"),
        (
            with("/actions/0/parameters/0/value", json!("bad")),
            "revision of RolloutUndo is offered as good, not bad",
        ),
        (with("/actions/0/parameters/0/value", json!(7)), "expected a string"),
    ];
    for (answer, expected) in cases {
        let found = refused(&draft, &answer);
        assert!(found.contains(expected), "{found}\nis not: {expected}\nfor {answer}");
        assert!(found.chars().count() < 600, "{found}");
    }
    let mut doubled = good.clone();
    let parameter = doubled["actions"][0]["parameters"][0].clone();
    doubled["actions"][0]["parameters"] = json!([parameter, parameter]);
    assert!(refused(&draft, &doubled).contains("needs the parameter revision, once"));
    doubled["actions"][0]["parameters"] = json!([parameter, { "name": "force", "value": "true" }]);
    assert!(refused(&draft, &doubled).contains("not offered with a parameter force"));
}

#[test]
fn a_model_chooses_and_orders_what_is_offered() {
    let text = "{name: test, description: d, reasons: [CrashLoopBackOff], rootCause: r, reasoning: r, candidates: [\
        {action: ScaleWorkload, parameters: {replicas: 3}}, {action: RolloutUndo, parameters: {revision: good}}, \
        {action: EvictPod, parameters: {pod: cart-bad-1}}, {action: ScaleWorkload, parameters: {replicas: 0}}]}";
    let playbooks = Playbooks::load(&[("test.yaml", text)]).unwrap();
    let World { evidence, options, surroundings } = crash_loop();
    let settings = kubewise_remediation::author::Options::default();
    let drafted =
        kubewise_remediation::author::draft(&evidence, &playbooks, &options, &surroundings, &settings, now())
            .unwrap();
    let offers = offers(&drafted.prompt);
    let names: Vec<_> = offers.iter().map(|offer| offer.action.as_str()).collect();
    assert_eq!(names, ["ScaleWorkload", "RolloutUndo", "EvictPod"], "what policy refuses is not offered");
    let chosen = |order: &[usize]| {
        let actions = order.iter().map(|index| offers[*index].clone()).collect();
        let proposal = proposing(&drafted.prompt, actions);
        drafted.read(&complete(serde_json::to_string(&proposal).unwrap())).unwrap();
        line(&planner::plan_proposed(&evidence, &playbooks, &options, &surroundings, &proposal, MODEL, now()))
    };
    assert_eq!(chosen(&[1]), "act RolloutUndo as Approved");
    assert_eq!(chosen(&[1, 0]), "act RolloutUndo, ScaleWorkload as Approved");
    assert_eq!(chosen(&[0, 1, 2]), "act ScaleWorkload, RolloutUndo, EvictPod as Approved");
    // What cannot be undone is not done first: the playbook decides.
    assert_eq!(chosen(&[2, 1]), "act ScaleWorkload as Approved");
}

#[test]
fn two_offers_that_change_the_same_field_are_not_one_plan() {
    let world = crash_loop();
    let draft = draft(&world);
    let both = offers(&draft.prompt).into_iter().cycle().take(2).collect();
    let proposal = proposing(&draft.prompt, both);
    let found = draft.read(&complete(serde_json::to_string(&proposal).unwrap())).unwrap_err();
    assert_eq!(found.finding, "two of the actions change /spec/template of Deployment shop/cart: choose one");
    assert_eq!(planned(decide(&world, &proposal)).actions, world.plan().actions);
}

#[test]
fn what_is_no_whole_answer_is_refused_unread() {
    let draft = draft(&crash_loop());
    let good = good(&draft).to_string();
    let mut answer = complete(good.clone());
    answer.ending = Ending::Truncated;
    assert!(draft.read(&answer).unwrap_err().to_string().contains("cut off"));
    answer.ending = Ending::Withheld;
    assert!(draft.read(&answer).unwrap_err().to_string().contains("withheld"));
    let huge = complete(format!("{good}{}", " ".repeat(10 << 20)));
    assert!(draft.read(&huge).unwrap_err().to_string().contains("more than the 65536 that are read"));
    for end in (0..good.len()).filter(|end| good.is_char_boundary(*end)) {
        assert!(draft.read(&complete(&good[..end])).is_err(), "half an answer: {}", &good[..end]);
    }
    assert!(draft.read(&complete("[".repeat(60_000))).is_err());
}

#[test]
fn a_refused_answer_comes_back_with_what_was_wrong_and_nothing_else_changes() {
    let draft = draft(&crash_loop());
    let answer = complete(format!("\u{1b}[31mI will not{}", "!".repeat(9_000)));
    let objection = draft.read(&answer).unwrap_err();
    let second = draft.second(&answer, &objection);
    let refused = second.refused.clone().unwrap();
    assert!(refused.answer.starts_with("I will not!") && refused.answer.len() <= 1_200);
    assert_eq!(refused.objection, objection.to_string());
    assert_eq!(kubewise_core::author::Prompt { refused: None, ..second }, draft.prompt);
}

#[test]
fn an_amount_may_be_set_otherwise_within_its_range() {
    let world = out_of_memory();
    let draft = draft(&world);
    let limit = |value: &str| {
        let actions = vec![action("SetResources", CART, &[("container", "app"), ("memoryLimit", value)])];
        proposing(&draft.prompt, actions)
    };
    // 128 MiB now, 192 MiB offered: up to 256 MiB.
    assert!(draft.prompt.case.contains("memoryLimit may be 134217728 to 268435456"), "{}", draft.prompt.case);
    for (value, expected) in [("160Mi", "160Mi"), ("201326592", "192Mi"), ("256Mi", "256Mi")] {
        let proposal = draft.read(&complete(serde_json::to_string(&limit(value)).unwrap())).unwrap();
        let plan = planned(decide(&world, &proposal));
        assert_eq!(plan.actions[0].action.parameters["memoryLimit"], expected, "{value}");
        assert!(matches!(plan.author, Author::Model { .. }));
    }
    for value in ["300Mi", "64Mi", "0", "-1", "1e30", "NaN", "inf", "much", ""] {
        let found = draft.read(&complete(serde_json::to_string(&limit(value)).unwrap())).unwrap_err();
        assert_eq!(found.rule, "AmountBounds", "{value}: {found}");
        // Also without having been read, as from a cache.
        let decision = decide(&world, &limit(value));
        assert_eq!(rules(&decision)[0], "AmountBounds", "{value}");
        assert_eq!(planned(decision).actions, world.plan().actions, "{value}");
    }
    // What policy forbids stays forbidden, within the range or not.
    let mut tight = world.clone();
    tight.options.memory_limit_cap_factor = 1.6;
    let decision = decide(&tight, &limit("256Mi"));
    assert_eq!(rules(&decision)[0], "LimitBounds");
    assert_eq!(planned(decision).actions, tight.plan().actions);
}

#[test]
fn a_model_that_hands_over_is_heard_but_does_not_keep_a_playbook_from_repairing() {
    let world = crash_loop();
    let proposal = proposing(&draft(&world).prompt, Vec::new());
    let decision = decide(&world, &proposal);
    assert_eq!(rules(&decision), ["NoVeto"]);
    let plan = planned(decision);
    assert_eq!(plan.actions, world.plan().actions);
    assert!(plan.reasoning.contains("test/scripted-1 would hand over: The evidence shows it."));
    // Where no playbook knows a repair, the model's words are for the person who takes over.
    let mut world = crash_loop();
    world.evidence.revisions.remove(0);
    let drafted = draft(&world);
    assert!(offers(&drafted.prompt).is_empty());
    let plan = planned(decide(&world, &proposing(&drafted.prompt, Vec::new())));
    assert_eq!((plan.hands_over(), plan.status), (true, PlanStatus::HandedOver));
    let reason = "somebody has to look";
    assert_eq!(plan.actions[0].action.parameters, json!({ "reason": reason }), "in the model's words");
    assert!(plan.reasoning.ends_with(&format!("So: hand over to a person: {reason}.")), "{}", plan.reasoning);
    assert_eq!(plan.root_cause, "the new revision");
    assert!(plan.reasoning.starts_with("The evidence shows it."));
    assert_eq!(plan.author.cause(), "crash-loop-unexplained");
}

#[test]
fn a_proposal_keeps_to_the_mode_of_its_playbook_and_waits_where_playbooks_wait() {
    let world = scaled_to_zero();
    let plan = planned(decide(&world, &proposing(&draft(&world).prompt, offers(&draft(&world).prompt))));
    assert_eq!((plan.mode, plan.status), (Mode::Propose, PlanStatus::Proposed));
    let proposal = proposing(&draft(&crash_loop()).prompt, offers(&draft(&crash_loop()).prompt));
    let mut paused = crash_loop();
    paused.surroundings.paused = Some("by ada: the provider moves house".into());
    assert!(super::draft_within(&paused, kubewise_remediation::author::Options::default()).is_none());
    assert!(line(&decide(&paused, &proposal)).starts_with("wait for"));
    let mut gone = crash_loop();
    gone.evidence.workload = None;
    assert!(line(&decide(&gone, &proposal)).starts_with("nothing"));
    assert!(super::draft_within(&gone, kubewise_remediation::author::Options::default()).is_none());
}

#[test]
fn what_policy_refuses_is_told_as_evidence_and_is_no_offer() {
    let mut world = crash_loop();
    let helm = proposing(&draft(&world).prompt, offers(&draft(&world).prompt));
    world.annotate("meta.helm.sh/release-name", "cart");
    let drafted = draft(&world);
    assert!(offers(&drafted.prompt).is_empty());
    assert!(super::data(&drafted.prompt).contains("[refused:RolloutUndo]"), "{}", drafted.prompt.case);
    let decision = decide(&world, &helm);
    assert_eq!(rules(&decision), ["OfferedOnly", "FieldOwnership"]);
    assert_eq!(
        line(&decision),
        "hand over by playbook crash-loop-after-revision for OfferedOnly, FieldOwnership"
    );
}

#[test]
fn cited_evidence_that_is_over_when_it_is_planned_is_not_believed() {
    let world = crash_loop();
    let mut proposal = proposing(&draft(&world).prompt, offers(&draft(&world).prompt));
    proposal.root_cause.evidence = vec!["event:Gone".into()];
    let decision = decide(&world, &proposal);
    assert_eq!(rules(&decision), ["CitedEvidence"]);
    assert_eq!(planned(decision).author.to_string(), "playbook crash-loop-after-revision");
    proposal.root_cause.evidence.push(ids(&draft(&world).prompt)[0].clone());
    assert!(rules(&decide(&world, &proposal)).is_empty(), "one that still stands is enough");
}

fn any_action() -> impl Strategy<Value = ProposedAction> {
    let names: Vec<String> = kubewise_remediation::playbook::actions()
        .into_iter()
        .map(|action| action.name.to_owned())
        .chain(["DeleteNamespace".into(), "rolloutUndo".into(), String::new()])
        .collect();
    let targets: &'static [&str] = &[
        CART,
        "Deployment shop/catalog",
        "Deployment kube-system/dns",
        "Node n1",
        "StatefulSet shop/cart",
        "",
    ];
    let keys: &'static [&str] =
        &["revision", "container", "memoryLimit", "replicas", "pod", "message", "autoscaler", "force"];
    let values: &'static [&str] =
        &["good", "bad", "app", "160Mi", "201326592", "3", "6", "0", "-1", "1e30", "cart-good-1", "true", ""];
    let parameter = (prop::sample::select(keys), prop::sample::select(values));
    let parameters = prop::collection::vec(parameter, 0..3);
    let random = (prop::sample::select(names), prop::sample::select(targets), parameters)
        .prop_map(|(name, target, parameters)| action(&name, target, &parameters));
    // Half of them are near to what is offered.
    let amount = prop::sample::select(values);
    let near = (0_usize..3, amount).prop_map(|(which, value)| match which {
        0 => action("RolloutUndo", CART, &[("revision", value)]),
        1 => action("SetResources", CART, &[("container", "app"), ("memoryLimit", value)]),
        _ => action("ScaleWorkload", CART, &[("replicas", value)]),
    });
    prop_oneof![random, near]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is proposed, what comes of it are actions of offers on their targets, which every rule allows.
    #[test]
    fn a_proposal_never_widens_what_is_done(
        actions in prop::collection::vec(any_action(), 0..4),
        which in 0_usize..3,
        confidence in prop::num::f64::ANY,
    ) {
        let world: World = [crash_loop, out_of_memory, scaled_to_zero][which]();
        let drafted = draft(&world);
        let offered: BTreeSet<(String, String)> =
            offers(&drafted.prompt).into_iter().map(|offer| (offer.action, offer.target)).collect();
        let proposal = Proposal {
            reasoning: "because".into(),
            root_cause: RootCause { text: "cause".into(), evidence: ids(&drafted.prompt) [..1].to_vec() },
            actions,
            priority: Severity::Info,
            verification: Vec::new(),
            confidence,
        };
        let decision = decide(&world, &proposal);
        prop_assert!(matches!(decision, Decision::Plan { .. }), "{:?}", decision);
        let plan = planned(decision);
        for (number, step) in plan.actions.iter().enumerate() {
            prop_assert!(offered.contains(&(step.action.name.clone(), step.action.target.to_string())), "{:?}", step);
            let mut approved = plan.clone();
            approved.decided_by = Some("ada".into());
            let World { evidence, options, surroundings } = &world;
            let checked = planner::recheck(&approved, number, evidence, options, surroundings, now());
            prop_assert!(checked.is_ok(), "{:?}", checked);
        }
        prop_assert!(!plan.hands_over(), "a playbook knows a repair");
    }
}

#[test]
fn the_schema_holds_only_what_every_provider_takes() {
    fn walk(schema: &Value) {
        let Value::Object(fields) = schema else { return };
        for key in fields.keys() {
            let known =
                ["type", "description", "properties", "required", "additionalProperties", "items", "enum"];
            assert!(known.contains(&key.as_str()), "{key} in {schema}");
        }
        if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
            assert_eq!(fields["additionalProperties"], json!(false), "{schema}");
            let names: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
            let required = fields["required"].as_array().unwrap().iter().filter_map(Value::as_str);
            assert_eq!(names, required.collect(), "{schema}");
            properties.values().for_each(walk);
        }
        fields.get("items").into_iter().for_each(walk);
    }
    let schema = draft(&crash_loop()).prompt.schema.unwrap();
    assert_eq!(schema["type"], json!("object"));
    walk(&schema);
    assert_eq!(schema["properties"]["priority"]["enum"], json!(["Info", "Warning", "Critical"]));
    let parameter = Parameter { name: "n".into(), value: "v".into() };
    assert_eq!(serde_json::to_value(parameter).unwrap(), json!({ "name": "n", "value": "v" }));
}
