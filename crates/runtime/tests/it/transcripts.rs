//! Recorded exchanges with an author, replayed without a network: the same incident asks the same, and the same answer
//! leads to the same plan. A changed prompt shows here as what it is, a change for every model that was tried with it.
//!
//! `RECORD_TRANSCRIPTS=1 cargo test -p kubewise-runtime --test it transcripts` writes them anew; read what changed.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kubewise_core::author::{Answer, Prompt};
use kubewise_core::plan::{Author, Mode};
use kubewise_core::port::PlanAuthor;
use kubewise_core::{Failure, Period, Rejection};
use kubewise_sim::{Change, Workload};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::pipeline::{Scene, cart};
use crate::scripted::{Said, Scripted, offers, proposal};

#[derive(Debug, Serialize, Deserialize)]
struct Transcript {
    exchanges: Vec<Exchange>,
    /// What came of it: the plan's author, its actions and its root cause.
    plan: serde_json::Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Exchange {
    prompt: Prompt,
    answer: Answer,
}

/// Answers what was answered, if it is asked what was asked.
struct Replayed {
    left: Mutex<VecDeque<Exchange>>,
    differs: Mutex<Option<String>>,
}

#[async_trait]
impl PlanAuthor for Replayed {
    async fn answer(&self, prompt: &Prompt) -> Result<Answer, Failure> {
        let recorded = self.left.lock().unwrap().pop_front();
        match recorded {
            Some(exchange) if exchange.prompt == *prompt => Ok(exchange.answer),
            recorded => {
                let recorded = recorded.map(|exchange| exchange.prompt);
                let told = |prompt: &Prompt| format!("{}\n{:?}", prompt.case, prompt.refused);
                let recorded = recorded.as_ref().map(told).unwrap_or_default();
                let message = format!("asked:\n{}\nrecorded:\n{recorded}", told(prompt));
                *self.differs.lock().unwrap() = Some(message.clone());
                Err(Failure::Rejected { reason: Rejection::Invalid, message })
            }
        }
    }

    fn name(&self) -> &'static str {
        "test/scripted"
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/transcripts/{name}.json"))
}

/// Lives through an incident with this author, until its plan.
fn live(trouble: &Change, author: impl FnOnce(&Scene) -> Arc<dyn PlanAuthor>) -> Scene {
    let mut scene = Scene::new(Mode::Observe);
    scene.author = Some(author(&scene));
    let _run = scene.start("first");
    scene.pass(Period::from_mins(5));
    scene.change(trouble.clone());
    scene.until("a plan", |scene| !scene.plans().is_empty());
    scene
}

fn told(scene: &Scene) -> serde_json::Value {
    let [plan] = scene.plans().try_into().unwrap();
    assert!(matches!(plan.author, Author::Model { .. }), "{plan:#?}");
    let actions: Vec<_> = plan.actions.iter().map(|step| &step.action).collect();
    json!({ "author": plan.author, "actions": actions, "rootCause": plan.root_cause })
}

fn check(name: &str, trouble: &Change, script: impl FnMut(&Prompt) -> Said + Send + 'static) {
    if std::env::var_os("RECORD_TRANSCRIPTS").is_some() {
        let scripted = |scene: &Scene| -> Arc<dyn PlanAuthor> {
            Arc::new(Scripted::new(scene.world.clock(), Period::from_secs(1), script))
        };
        let scene = live(trouble, scripted);
        let exchange = |call: kubewise_core::author::AuthorCall| Exchange {
            prompt: call.prompt,
            answer: call.answer.unwrap(),
        };
        let transcript =
            Transcript { exchanges: scene.calls().into_iter().map(exchange).collect(), plan: told(&scene) };
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), serde_json::to_string_pretty(&transcript).unwrap() + "\n").unwrap();
    }
    let recorded = fs::read_to_string(path(name)).unwrap();
    let Transcript { exchanges, plan } = serde_json::from_str(&recorded).unwrap();
    let replayed = Arc::new(Replayed { left: Mutex::new(exchanges.into()), differs: Mutex::default() });
    let scene = live(trouble, |_| replayed.clone());
    let differs = replayed.differs.lock().unwrap().take();
    assert_eq!(differs, None, "{name}: another prompt than the recorded one");
    assert!(replayed.left.lock().unwrap().is_empty(), "{name}: less was asked than is recorded");
    assert_eq!(told(&scene), plan, "{name}");
}

fn released(tag: &str) -> Change {
    Change::Image { workload: cart(), image: format!("shop/cart:{tag}") }
}

fn first_offer(prompt: &Prompt) -> String {
    let offered = offers(prompt);
    proposal(prompt, &offered[..offered.len().min(1)]).to_string()
}

#[test]
fn a_crash_loop_is_undone_as_recorded() {
    check("crash-loop", &released("2-crash"), |prompt| Said::Text(first_offer(prompt)));
}

#[test]
fn a_refused_answer_is_mended_as_recorded() {
    check("image-pull-at-the-second-try", &released("2-missing"), |prompt| {
        let answer = first_offer(prompt);
        Said::Text(if prompt.refused.is_none() { answer.replace("RolloutUndo", "DeletePod") } else { answer })
    });
}

#[test]
fn what_nobody_can_repair_is_handed_over_as_recorded() {
    let thumbnails = Workload::deployment("shop", "thumbnails").image("shop/thumbnails:1-crash");
    check("hand-over", &Change::Create(thumbnails), |prompt| Said::Text(proposal(prompt, &[]).to_string()));
}
