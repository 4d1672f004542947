//! The author in the pipeline: what good it does, that it does no harm, and what it is paid.

use std::collections::BTreeSet;
use std::sync::Arc;

use kubewise_core::author::{AuthorCall, CallOutcome, Cap, Prices, Prompt, Purpose};
use kubewise_core::health::HealthStatus;
use kubewise_core::incident::{Chapter, Incident, IncidentStatus};
use kubewise_core::metric::MetricType;
use kubewise_core::money::Money;
use kubewise_core::plan::{Author, Mode, PlanStatus, RemediationPlan};
use kubewise_core::port::{Control, Inquiry, Introspection};
use kubewise_core::{Failure, Kind, ObjectRef, Period, Rejection, Timestamp};
use kubewise_runtime::AuthorOptions;
use kubewise_sim::{Change, Workload};
use serde_json::json;

use crate::pipeline::{Run, Scene, cart, deployment, query};
use crate::scripted::{Said, Scripted, offers, proposal, sound};

pub(crate) const AT_ONCE: Period = Period::ZERO;
const DEADLINE: Period = Period::from_secs(30);

type Script = Box<dyn FnMut(&Prompt) -> Said + Send>;

impl Scene {
    /// A healthy cluster that is watched, with an author who takes so long for each answer.
    pub(crate) fn with_author(
        mode: Mode,
        thinks: Period,
        script: impl FnMut(&Prompt) -> Said + Send + 'static,
    ) -> (Self, Run, Arc<Scripted>) {
        Scene::asking(mode, AuthorOptions::default(), thinks, script)
    }

    fn asking(
        mode: Mode,
        asking: AuthorOptions,
        thinks: Period,
        script: impl FnMut(&Prompt) -> Said + Send + 'static,
    ) -> (Self, Run, Arc<Scripted>) {
        let mut scene = Scene::new(mode);
        let author = Arc::new(Scripted::new(scene.world.clock(), thinks, script));
        scene.author = Some(author.clone());
        scene.asking = asking;
        let run = scene.start("first");
        scene.pass(Period::from_mins(5));
        (scene, run, author)
    }

    fn plan_of(&self, workload: &ObjectRef) -> RemediationPlan {
        self.plans().into_iter().find(|plan| plan.workload == *workload).unwrap()
    }

    fn tells(&self, words: &str) -> bool {
        self.incident().story.iter().any(|entry| entry.text.contains(words))
    }

    /// What a question to the running program gives.
    pub(crate) fn ask<T: 'static>(&mut self, question: impl Future<Output = T> + 'static) -> T {
        let limit = Period::from_mins(2).after(self.world.now());
        self.simulation.complete(limit, question).unwrap()
    }
}

fn by_model(plan: &RemediationPlan) -> bool {
    matches!(&plan.author, Author::Model { name, .. } if name == "test/scripted")
}

fn outcomes(calls: &[AuthorCall]) -> Vec<CallOutcome> {
    calls.iter().map(|call| call.outcome).collect()
}

#[test]
fn a_sound_proposal_becomes_the_plan_and_is_carried_out() {
    let (mut scene, run, author) = Scene::with_author(Mode::Auto, Period::from_secs(4), sound);
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Repaired);
    scene.assert_repaired("by the author");
    let [plan] = scene.plans().try_into().unwrap();
    assert!(by_model(&plan), "{plan:#?}");
    assert!(plan.reasoning.contains("The evidence says so."), "{}", plan.reasoning);

    let [call] = scene.calls().try_into().unwrap();
    assert_eq!((call.outcome, call.purpose, call.attempt), (CallOutcome::Accepted, Purpose::Proposal, 1));
    assert_eq!((&call.incident, &call.plan), (&scene.incident().id, &Some(plan.id.clone())));
    assert_eq!([&call.prompt], author.asked().iter().collect::<Vec<_>>()[..], "exactly what was sent");
    assert_eq!(call.answer.unwrap().model, "scripted-1");
    let spending = run.handle.spending();
    assert_eq!((spending.day.calls, spending.day.tokens, spending.capped), (1, 1_100, None));
    assert!(run.handle.metrics().contains("kubewise_author_calls_total{outcome=\"Accepted\"} 1"));
}

/// From the incident to its plan, with no author at all.
fn alone() -> Period {
    let (mut scene, _run) = Scene::crashing(Mode::Auto);
    scene.until_status(IncidentStatus::Repaired);
    took(&scene)
}

fn took(scene: &Scene) -> Period {
    Period::between(scene.incident().opened_at, scene.plans()[0].created_at)
}

#[test]
fn whatever_an_author_does_wrong_the_playbooks_repair_within_its_deadline() {
    let invented = |prompt: &Prompt| {
        let action = json!({ "action": "RolloutUndo", "target": "Deployment/shop/nobody", "parameters": [] });
        Said::Text(proposal(prompt, &[action]).to_string())
    };
    let half = |prompt: &Prompt| {
        let whole = proposal(prompt, &offers(prompt)[..1]).to_string();
        Said::Cut(whole[..whole.len() / 2].to_owned())
    };
    let failure = |failure: Failure| move |_: &Prompt| Said::Failure(failure.clone());
    let limited = |seconds: Option<u64>| Failure::RateLimited {
        retry_after: seconds.map(|seconds| Period::from_secs(seconds).as_duration()),
        message: "quota exceeded".into(),
    };
    let message = || "the model is overloaded".to_owned();
    let forbidden = Failure::Rejected { reason: Rejection::Forbidden, message: "no such key".into() };
    let cases: Vec<(&str, u64, Script, &str, Vec<CallOutcome>)> = vec![
        (
            "never answers",
            0,
            Box::new(|_| Said::Never),
            "did not answer within 30s",
            vec![CallOutcome::Unknown],
        ),
        ("is late", 31, Box::new(sound), "did not answer within 30s", vec![CallOutcome::Unknown]),
        ("429", 1, Box::new(failure(limited(None))), "cannot be asked now", vec![CallOutcome::Failed]),
        (
            "429 for a minute",
            1,
            Box::new(failure(limited(Some(60)))),
            "cannot be asked now",
            vec![CallOutcome::Failed],
        ),
        (
            "503",
            1,
            Box::new(failure(Failure::Unavailable { message: message() })),
            "cannot be asked now",
            vec![CallOutcome::Failed],
        ),
        (
            "cut off",
            1,
            Box::new(failure(Failure::Unknown { message: message() })),
            "is not known",
            vec![CallOutcome::Unknown],
        ),
        (
            "bad key",
            1,
            Box::new(failure(forbidden)),
            "refuses the question: no such key",
            vec![CallOutcome::Failed],
        ),
        ("half JSON", 1, Box::new(half), "was refused", vec![CallOutcome::Refused; 2]),
        (
            "no JSON",
            1,
            Box::new(|_| Said::Text("Restart it!".into())),
            "was refused",
            vec![CallOutcome::Refused; 2],
        ),
        (
            "wrong schema",
            1,
            Box::new(|_| Said::Text("{\"plan\": []}".into())),
            "was refused",
            vec![CallOutcome::Refused; 2],
        ),
        ("safety", 1, Box::new(|_| Said::Withheld), "was refused", vec![CallOutcome::Refused; 2]),
        ("invented names", 1, Box::new(invented), "was refused", vec![CallOutcome::Refused; 2]),
        (
            "10 MB",
            1,
            Box::new(|_| Said::Text("x".repeat(10_000_000))),
            "was refused",
            vec![CallOutcome::Refused; 2],
        ),
    ];
    let alone = alone();
    for (what, thinks, script, told, calls) in cases {
        let (mut scene, _run, _author) = Scene::with_author(Mode::Auto, Period::from_secs(thinks), script);
        scene.release(&cart(), "2-crash");
        scene.until_status(IncidentStatus::Repaired);
        scene.assert_repaired(what);
        let [plan] = scene.plans().try_into().unwrap();
        assert!(matches!(plan.author, Author::Playbook { .. }), "{what}: {plan:#?}");
        let late = Period::from_millis(500); // records are saved and looked at in steps
        let most = Period::from(alone.as_duration() + DEADLINE.as_duration() + late.as_duration());
        assert!(took(&scene) <= most, "{what}: the plan came after {}", took(&scene));
        assert!(
            scene.tells(told) && scene.tells("the playbooks decide"),
            "{what}: {:#?}",
            scene.incident().story
        );
        assert_eq!(outcomes(&scene.calls()), calls, "{what}: {:#?}", scene.calls());
        for call in scene.calls() {
            assert!(call.answer.is_none_or(|answer| answer.text.len() < 20_000), "{what}: kept whole");
        }
    }
}

#[test]
fn the_author_is_told_what_the_same_trouble_of_others_came_to() {
    let (mut scene, _run, author) = Scene::with_author(Mode::Auto, AT_ONCE, sound);
    for name in ["cart", "catalog"] {
        scene.release(&deployment(name), "2-crash");
        scene.until("the repair", |scene| {
            let repaired =
                |one: &Incident| one.workload == deployment(name) && one.status == IncidentStatus::Repaired;
            scene.incidents().iter().any(repaired)
        });
    }
    let [first, second] = author.asked().try_into().unwrap();
    assert!(!first.case.contains("[precedent:"), "{}", first.case);
    let precedents: Vec<&str> =
        second.case.lines().filter(|line| line.starts_with("[precedent:RolloutUndo] ")).collect();
    let [told] = precedents[..] else { panic!("{}", second.case) };
    for part in ["did RolloutUndo on Deployment shop/cart: Succeeded", "it improved", "ended as Succeeded"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn a_refused_answer_is_sent_back_once_with_the_reason() {
    let mut tries = 0;
    let script = move |prompt: &Prompt| {
        tries += 1;
        if tries == 1 { Said::Text("{}".into()) } else { sound(prompt) }
    };
    let (mut scene, _run, author) = Scene::with_author(Mode::Auto, Period::from_secs(2), script);
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Repaired);
    assert!(by_model(&scene.plans()[0]));
    let [first, second] = author.asked().try_into().unwrap();
    let refused = second.refused.unwrap();
    assert_eq!((first.refused, &*refused.answer, first.case), (None, "{}", second.case));
    assert!(refused.objection.contains("reasoning"), "{}", refused.objection);
    assert_eq!(outcomes(&scene.calls()), [CallOutcome::Refused, CallOutcome::Accepted]);
}

#[test]
fn a_wait_that_the_provider_asks_for_is_kept_if_it_ends_before_the_deadline() {
    let mut limits = 1;
    let script = move |prompt: &Prompt| {
        limits -= 1;
        let retry_after = Some(Period::from_secs(10).as_duration());
        let message = "slow down".into();
        if limits == 0 { Said::Failure(Failure::RateLimited { retry_after, message }) } else { sound(prompt) }
    };
    let (mut scene, run, author) = Scene::with_author(Mode::Auto, AT_ONCE, script);
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Repaired);
    assert!(by_model(&scene.plans()[0]), "{:#?}", scene.incident().story);
    assert_eq!(author.asked().len(), 2, "the very same question again");
    assert_eq!(author.asked()[0], author.asked()[1]);
    assert_eq!(run.handle.spending().day.calls, 1, "what was surely not taken is not paid for");
}

#[test]
fn while_the_author_thinks_about_one_incident_others_are_planned() {
    let about_the_cart = |prompt: &Prompt| prompt.case.contains("Deployment shop/cart shows");
    let script = move |prompt: &Prompt| if about_the_cart(prompt) { Said::Never } else { sound(prompt) };
    let asking = AuthorOptions { deadline: Period::from_mins(10), ..AuthorOptions::default() };
    let (mut scene, _run, _author) = Scene::asking(Mode::Auto, asking, AT_ONCE, script);
    for name in ["cart", "catalog", "checkout", "prices"] {
        scene.release(&deployment(name), "2-crash");
    }
    scene.until("the others to be repaired", |scene| {
        scene.incidents().iter().filter(|one| one.status == IncidentStatus::Repaired).count() == 3
    });
    assert!(scene.plans().iter().all(|plan| plan.workload != cart()), "the cart's plan waits");
    scene.until("the cart", |scene| {
        scene.incidents().iter().all(|one| one.status == IncidentStatus::Repaired)
    });
    assert!(!by_model(&scene.plan_of(&cart())), "beyond its deadline the playbooks decide");
}

#[test]
fn the_same_trouble_is_asked_about_once_also_after_a_restart() {
    let (mut scene, run, author) = Scene::with_author(Mode::Observe, AT_ONCE, sound);
    scene.release(&cart(), "2-crash");
    scene.pass(Period::from_mins(45));
    assert_eq!(author.asked().len(), 1, "planned anew each minute, asked about once");
    let plans = scene.plans();
    assert!(plans.iter().all(|plan| plan.status == PlanStatus::Observed), "{plans:#?}");
    assert!(plans.iter().any(by_model), "{plans:#?}");
    assert_eq!(scene.world.writes(), [], "observing writes nothing");

    run.process.kill();
    let second = scene.start("second");
    scene.pass(Period::from_mins(30));
    assert_eq!(author.asked().len(), 1, "the store remembers");
    assert_eq!(second.handle.spending().month.calls, 1);
}

/// Findings that stay are what makes other tools dear: each is looked at again and again. Here also after a restart each
/// night.
#[test]
fn a_hundred_and_sixty_four_findings_that_stay_for_three_days_are_as_many_calls() {
    const FINDINGS: usize = 164;
    const A_DAY: Period = Period::from_mins(24 * 60);
    let mut scene = Scene::empty(Mode::Observe);
    scene.world.node("sound", 64.0, 256.0 * 1_073_741_824.0).add(Workload::deployment("shop", "cart"));
    scene.pass(Period::from_mins(1));
    for number in 0..FINDINGS {
        scene.world.node(&format!("node-{number}"), 1.0, 1_073_741_824.0);
    }
    // A finding that fires is judged anew in each tick; of three days, in each second, that would be forty million times.
    scene.options.tick = Period::from_secs(20);
    // What stays is told by the watch; so much must be measured that KubeWise does not call itself blind.
    scene.catalogue =
        vec![query(MetricType::ReplicasAvailable, Kind::Deployment, "count", Period::from_secs(60))];
    let author = Arc::new(Scripted::new(scene.world.clock(), Period::from_secs(2), sound));
    scene.author = Some(author.clone());
    scene.asking.caps.day = Cap::default();
    let mut run = scene.start("first");
    for number in 0..FINDINGS {
        scene.change(Change::NodeLost(format!("node-{number}")));
        scene.pass(Period::from_secs(30));
    }
    for day in ["second", "third"] {
        scene.pass(A_DAY);
        run.process.kill();
        run = scene.start(day);
    }
    scene.pass(A_DAY);
    let ill = scene.incidents().into_iter().map(|incident| incident.workload).collect::<BTreeSet<_>>();
    assert_eq!(ill.len(), FINDINGS);
    assert_eq!(author.asked().len(), FINDINGS, "one call each");
    assert_eq!(run.handle.spending().month.calls, FINDINGS as u64);
}

#[test]
fn at_a_cap_the_author_is_not_asked_and_it_says_so() {
    let money = |amount| Money::from_number(amount).unwrap();
    let mut asking = AuthorOptions {
        prices: Prices { input: money(2.0), output: money(10.0) },
        ..AuthorOptions::default()
    };
    asking.caps.day = Cap { tokens: None, cost: Some(money(0.001)) };
    let (mut scene, run, author) = Scene::asking(Mode::Auto, asking, AT_ONCE, sound);
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Repaired);
    scene.assert_repaired("by the playbooks");
    assert_eq!(author.asked(), []);
    assert_eq!(scene.calls(), []);
    assert!(scene.tells("the cap of 0.001 in 24 hours is reached"), "{:#?}", scene.incident().story);
    assert_eq!(run.handle.spending().capped.as_deref(), Some("the cap of 0.001 in 24 hours is reached"));
    assert!(run.handle.metrics().contains("kubewise_author_silent_total{reason=\"capped\"} 1"));
}

#[test]
fn a_call_that_died_with_its_process_counts_as_charged_and_is_not_repeated() {
    let (mut scene, run, author) = Scene::with_author(Mode::Observe, AT_ONCE, |_| Said::Never);
    scene.release(&cart(), "2-crash");
    scene.until("the question", |scene| outcomes(&scene.calls()) == [CallOutcome::Asked]);
    run.process.kill();
    scene.simulation.kill();
    let second = scene.start("second");
    scene.pass(Period::from_mins(10));
    let [call] = scene.calls().try_into().unwrap();
    assert_eq!((call.outcome, call.estimated), (CallOutcome::Unknown, true));
    let estimate = call.prompt.estimate().tokens();
    assert_eq!(second.handle.spending().day.tokens, estimate, "the estimate counts");
    assert_eq!(author.asked().len(), 1);
    assert!(!by_model(&scene.plans()[0]));
}

#[test]
fn an_author_that_nobody_needed_yet_is_no_lack_and_one_that_fails_leaves_kubewise_at_work() {
    let down = |_: &Prompt| Said::Failure(Failure::Unavailable { message: "connection refused".into() });
    let (mut scene, run, _author) = Scene::with_author(Mode::Auto, AT_ONCE, down);
    assert_eq!(run.handle.health().status, HealthStatus::Healthy);
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Repaired);
    let health = run.handle.health();
    assert_eq!(health.status, HealthStatus::Degraded);
    assert_eq!(health.dependencies["author"].message, "unavailable: connection refused");
}

#[test]
fn nobody_is_asked_while_nothing_may_be_done() {
    let (mut scene, run, author) = Scene::with_author(Mode::Auto, AT_ONCE, sound);
    let handle = run.handle.clone();
    scene.ask(async move { handle.pause("ada", "a drill").await }).unwrap();
    scene.release(&cart(), "2-crash");
    scene.pass(Period::from_mins(10));
    assert_eq!(author.asked(), [], "paused");
    let handle = run.handle.clone();
    scene.ask(async move { handle.resume("ada").await }).unwrap();
    scene.until_status(IncidentStatus::Repaired);
    assert_eq!(author.asked().len(), 1);
}

/// The chapters of two stories, which must not differ by more than what the author said.
#[test]
fn in_the_story_stands_what_the_author_had_to_do_with_it() {
    let (mut scene, _run, _author) = Scene::with_author(Mode::Auto, AT_ONCE, sound);
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Repaired);
    let story = scene.incident().story;
    let planned: Vec<_> = story.iter().filter(|entry| entry.chapter == Chapter::Plan).collect();
    assert!(planned.iter().any(|entry| entry.text.contains("model test/scripted")), "{planned:#?}");
    assert!(
        story.is_sorted_by_key(|entry: &kubewise_core::incident::StoryEntry| -> Timestamp { entry.time })
    );
}
