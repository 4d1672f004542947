//! What a model may choose among: what playbooks would do here and now, with what policy says of it.

use std::fmt::Write as _;

use kubewise_core::guard::{Guard, Guards};
use kubewise_core::plan::{FieldChange, Mode, Operation, PlanStep};
use kubewise_core::{ObjectRef, quantity};
use serde_json::{Map, Value, json};

use super::proposal::{Objection, Parameter, ProposedAction};
use crate::action::ActionType;
use crate::policy::Refusal;

/// An amount may go this many times as far as the offered one, and the same way: an author that knows the case better
/// than a playbook is off by no more.
const LEEWAY: f64 = 2.0;
/// Stands where an author writes its own words.
const OWN_WORDS: &str = "…";
/// Amounts that differ by no more than this share are the same, written in whole units.
const ROUNDING: f64 = 0.01;

/// One candidate of one playbook.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) playbook: String,
    pub(crate) max_mode: Mode,
    pub(crate) action: &'static ActionType,
    pub(crate) target: ObjectRef,
    pub(crate) parameters: Map<String, Value>,
    /// What it would do, or which rules forbid it.
    pub(crate) judged: Result<Vec<PlanStep>, Vec<Refusal>>,
}

impl Offer {
    /// As an author names it; copied, it is the offer, but for the words that the author has to find.
    pub(crate) fn named(&self) -> ProposedAction {
        let parameter = |(name, value): (&String, &Value)| {
            let value = if self.is_words(name) { OWN_WORDS.into() } else { written(value) };
            Parameter { name: name.clone(), value }
        };
        ProposedAction {
            action: self.action.name.into(),
            target: self.target.to_string(),
            parameters: self.parameters.iter().map(parameter).collect(),
        }
    }

    /// Whether it can be told without telling free text: what is told of its parameters are names and amounts.
    pub(super) fn is_tellable(&self) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '-');
        let mut told = self.parameters.iter().filter(|(name, _)| !self.is_words(name));
        told.all(|(_, value)| written(value).chars().all(is_plain))
    }

    /// Its amounts, each with the least and the most that it may be: from what the field holds now to [`LEEWAY`] times
    /// as far as is offered. Where the field is not there yet, that many times less and more.
    pub(super) fn amounts(&self) -> impl Iterator<Item = (&str, f64, f64)> {
        self.parameters.iter().filter_map(|(name, value)| {
            let offered = self.is_amount(name).then(|| amount(&written(value)))??;
            let same = |after: f64| (after - offered).abs() <= offered.abs() * ROUNDING;
            let steps = self.judged.as_deref().unwrap_or_default();
            let nows = changes(steps).filter_map(|change| {
                let now = amount(&written(change.before.as_ref()?))?;
                same(amount(&written(change.after.as_ref()?))?).then_some(now)
            });
            let ranges = nows.map(|now| (now, now + (offered - now) * LEEWAY));
            let range = ranges.map(|(one, other)| (one.min(other), one.max(other)));
            let both = range.reduce(|a, b| (a.0.max(b.0), a.1.min(b.1)));
            let (least, most) = both.unwrap_or((offered / LEEWAY, offered * LEEWAY));
            Some((name.as_str(), least, most))
        })
    }

    /// A field that another offer writes as well, or a field within one.
    pub(super) fn meets(&self, other: &Offer) -> Option<String> {
        let within = |one: &str, of: &str| {
            one.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let theirs: Vec<_> = writes(other).collect();
        let mut ours = writes(self);
        let met = ours.find(|(object, path)| {
            theirs
                .iter()
                .any(|(other, field)| other == object && (within(path, field) || within(field, path)))
        });
        met.map(|(object, path)| format!("{path} of {object}"))
    }

    fn is_words(&self, name: &str) -> bool {
        self.action.words.contains(&name)
    }

    fn is_amount(&self, name: &str) -> bool {
        self.action.amounts.contains(&name)
    }

    /// The parameters with the proposed amounts, or what is wrong with them.
    fn accept(&self, proposed: &ProposedAction, guards: Guards) -> Result<Value, Objection> {
        let not_offered = |finding: String| Err(Objection::new(Guard::OfferedOnly, finding));
        let action = self.action.name;
        let given = |name: &str| proposed.parameters.iter().filter(|one| one.name == name).count();
        if let Some(name) = self.parameters.keys().find(|name| given(name) != 1) {
            return not_offered(format!("{action} needs the parameter {name}, once"));
        }
        let mut parameters = Map::new();
        for Parameter { name, value } in &proposed.parameters {
            let Some(offered) = self.parameters.get(name) else {
                return not_offered(format!("{action} is not offered with a parameter {name}"));
            };
            if self.is_amount(name) {
                self.hold_amount(name, value, guards)?;
            } else if !self.is_words(name) && *value != written(offered) && guards.stands(Guard::OfferedOnly)
            {
                return not_offered(format!(
                    "{name} of {action} is offered as {}, not {value}",
                    written(offered)
                ));
            }
            parameters.insert(name.clone(), typed(value, offered));
        }
        Ok(Value::Object(parameters))
    }

    fn hold_amount(&self, name: &str, value: &str, guards: Guards) -> Result<(), Objection> {
        let objection = |finding| Err(Objection::new(Guard::AmountBounds, finding));
        let Some(wanted) = amount(value) else {
            return objection(format!("{name} of {} is {value}, which is not an amount", self.action.name));
        };
        let range = self.amounts().find(|(amount, ..)| *amount == name);
        match range.filter(|_| guards.stands(Guard::AmountBounds)) {
            Some((_, least, most)) if !(least..=most).contains(&wanted) => {
                objection(format!("{name} of {} may be {least} to {most}, not {value}", self.action.name))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The offer that is meant, with the parameters to lower it with.
pub(crate) fn find<'o>(
    offers: &'o [Offer],
    proposed: &ProposedAction,
    guards: Guards,
) -> Result<(&'o Offer, Value), Objection> {
    let meant =
        |offer: &&Offer| offer.action.name == proposed.action && offer.target.to_string() == proposed.target;
    let mut objection = None;
    for offer in offers.iter().filter(meant) {
        let parameters = match offer.accept(proposed, guards) {
            Ok(parameters) => parameters,
            Err(wrong) => {
                objection.get_or_insert(wrong);
                continue;
            }
        };
        match &offer.judged {
            Ok(_) => return Ok((offer, parameters)),
            Err(refusals) => {
                let why = refusals.first().map_or_else(String::new, |refusal| refusal.finding.clone());
                let finding = format!("{} is refused: {why}", proposed.action);
                objection.get_or_insert(Objection::new(Guard::OfferedOnly, finding));
            }
        }
    }
    Err(objection.unwrap_or_else(|| {
        let mut finding = format!("{} on {} is not offered; offered", proposed.action, proposed.target);
        let allowed: Vec<_> = offers.iter().filter(|offer| offer.judged.is_ok()).collect();
        for (number, offer) in allowed.iter().enumerate() {
            let begin = if number == 0 { " are" } else { "," };
            let _ = write!(finding, "{begin} {} on {}", offer.action.name, offer.target); // to a String: cannot fail
        }
        Objection::new(Guard::OfferedOnly, finding)
    }))
}

/// The object and path of everything that an offer would write; what is evicted or made is written as a whole. Fields
/// that are only tested do not count.
fn writes(offer: &Offer) -> impl Iterator<Item = (&ObjectRef, &str)> {
    offer.judged.as_deref().unwrap_or_default().iter().flat_map(|step| {
        let fields: Vec<(&ObjectRef, &str)> = match &step.operation {
            Operation::Write { object, changes, .. } => {
                let written = changes.iter().filter(|change| change.before != change.after);
                written.map(|change| (object, change.path.as_str())).collect()
            }
            Operation::Evict { pod: object, .. } | Operation::Create { object, .. } => vec![(object, "")],
            Operation::Notify { .. } => Vec::new(),
        };
        fields
    })
}

/// Every field that steps write.
fn changes(steps: &[PlanStep]) -> impl Iterator<Item = &FieldChange> {
    steps.iter().flat_map(|step| match &step.operation {
        Operation::Write { changes, .. } => changes.iter(),
        Operation::Evict { .. } | Operation::Create { .. } | Operation::Notify { .. } => [].iter(),
    })
}

/// A parameter's value as text.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => format!("{whole:.0}"),
            Some(_) | None => number.to_string(),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The text as a value of the offered one's type.
fn typed(text: &str, offered: &Value) -> Value {
    match (offered, amount(text)) {
        (Value::Number(_), Some(whole)) if whole.fract() == 0.0 && whole.abs() < 1e15 => json!(whole as i64),
        (Value::Number(_), Some(number)) => json!(number),
        _ if text == written(offered) => offered.clone(),
        _ => json!(text),
    }
}

fn amount(text: &str) -> Option<f64> {
    quantity::parse(text)
}
