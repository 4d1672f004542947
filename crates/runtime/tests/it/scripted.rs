//! Authors that say what a script says, in virtual time, and remember what they were asked.

use std::sync::Mutex;

use async_trait::async_trait;
use kubewise_core::author::{Answer, Ending, Prompt, Usage};
use kubewise_core::plan::HAND_OVER;
use kubewise_core::port::{Clock, PlanAuthor};
use kubewise_core::{Failure, Period};
use kubewise_sim::VirtualClock;
use serde_json::{Value, json};

/// What an author does with a prompt.
#[derive(Clone)]
pub(crate) enum Said {
    Text(String),
    Cut(String),
    Withheld,
    Failure(Failure),
    Never,
}

type Script = dyn FnMut(&Prompt) -> Said + Send;

pub(crate) struct Scripted {
    clock: VirtualClock,
    /// From the question to the answer.
    thinks: Period,
    script: Mutex<Box<Script>>,
    asked: Mutex<Vec<Prompt>>,
}

impl Scripted {
    pub(crate) fn new(
        clock: VirtualClock,
        thinks: Period,
        script: impl FnMut(&Prompt) -> Said + Send + 'static,
    ) -> Self {
        Scripted { clock, thinks, script: Mutex::new(Box::new(script)), asked: Mutex::default() }
    }

    pub(crate) fn asked(&self) -> Vec<Prompt> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl PlanAuthor for Scripted {
    async fn answer(&self, prompt: &Prompt) -> Result<Answer, Failure> {
        self.asked.lock().unwrap().push(prompt.clone());
        let said = (self.script.lock().unwrap())(prompt);
        self.clock.sleep_until(self.thinks.after(self.clock.now())).await;
        let (text, ending) = match said {
            Said::Text(text) => (text, Ending::Complete),
            Said::Cut(text) => (text, Ending::Truncated),
            Said::Withheld => (String::new(), Ending::Withheld),
            Said::Failure(failure) => return Err(failure),
            Said::Never => return futures::future::pending().await,
        };
        let usage = Some(Usage { input_tokens: 1_000, output_tokens: 100 });
        Ok(Answer { text, ending, usage, model: "scripted-1".into() })
    }

    fn name(&self) -> &'static str {
        "test/scripted"
    }
}

/// The repairs that a prompt offers, as the author is to name them.
pub(crate) fn offers(prompt: &Prompt) -> Vec<Value> {
    named(prompt).filter(|offer| offer["action"] != HAND_OVER).collect()
}

fn named(prompt: &Prompt) -> impl Iterator<Item = Value> {
    let offered = prompt.case.lines().filter_map(|line| line.strip_prefix("- {"));
    offered.map(|rest| serde_json::from_str(&format!("{{{rest}")).unwrap())
}

/// Ids of the evidence in a prompt.
pub(crate) fn evidence(prompt: &Prompt) -> Vec<String> {
    let ids = prompt.case.lines().filter_map(|line| line.strip_prefix('[')?.split_once(']'));
    ids.map(|(id, _)| id.to_owned()).collect()
}

/// A whole proposal of these offers; of none it hands over.
pub(crate) fn proposal(prompt: &Prompt, actions: &[Value]) -> Value {
    let cited: Vec<String> = evidence(prompt).into_iter().take(1).collect();
    let hand_over = || named(prompt).filter(|offer| offer["action"] == HAND_OVER).collect();
    let actions = if actions.is_empty() { hand_over() } else { actions.to_vec() };
    json!({
        "reasoning": "The evidence says so.",
        "rootCause": { "text": "A revision that does not work.", "evidence": cited },
        "actions": actions, "priority": "Critical",
        "verification": ["every replica is ready"], "confidence": 0.9,
    })
}

/// Does the first thing that is offered; playbooks offer the best first.
pub(crate) fn sound(prompt: &Prompt) -> Said {
    let first: Vec<Value> = offers(prompt).into_iter().take(1).collect();
    Said::Text(proposal(prompt, &first).to_string())
}
