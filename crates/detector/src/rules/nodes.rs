//! What nodes show.

use jiff::Timestamp;
use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::state::{NodeState, condition};
use kubewise_core::{ObjectRef, Period};

use crate::history::{NodeHistory, is_pressure};
use crate::options::RuleOptions;
use crate::rules::MESSAGE;
use crate::symptom::Symptom;
use crate::text;
use crate::world::{Known, World};

/// So many falls within the window are a flapping: a reboot is one, an upgrade that goes wrong may be two.
const FALLS: usize = 3;
const FALL_WINDOW: Period = Period::from_mins(15);

pub(crate) fn symptoms(
    world: &World,
    object: &ObjectRef,
    options: &RuleOptions,
    now: Timestamp,
) -> Vec<Symptom> {
    let Some((state, history)) = world.get(object).and_then(Known::node) else { return Vec::new() };
    let node = Node { object, state, history, options, now };
    [node.unready(), node.flapping(), node.pressed()].into_iter().flatten().collect()
}

struct Node<'a> {
    object: &'a ObjectRef,
    state: &'a NodeState,
    history: &'a NodeHistory,
    options: &'a RuleOptions,
    now: Timestamp,
}

impl Node<'_> {
    fn unready(&self) -> Option<Symptom> {
        let since = self.history.unready_since?;
        let ready = condition(&self.state.conditions, "Ready")?;
        // Who cordons a node and then takes it down means to.
        let maintained = self.history.cordoned_since.is_some_and(|cordoned| cordoned <= since);
        let (grace, planned) = if maintained {
            (self.options.node_maintenance_grace, ", for longer than its maintenance may take")
        } else {
            (self.options.node_grace, "")
        };
        let text = format!(
            "{} is not ready ({}){planned}: {}",
            text::name(self.object),
            if ready.reason.is_empty() { &ready.status } else { &ready.reason },
            text::brief(&ready.message, MESSAGE)
        );
        let ripe_at = grace.after(since);
        Some(Symptom::new(Reason::NodeNotReady, self.object, ripe_at, text).severity(Severity::Critical))
    }

    /// It comes back within the grace each time, and takes its pods down each time.
    fn flapping(&self) -> Option<Symptom> {
        let falls = self.history.falls_since(FALL_WINDOW.before(self.now));
        let (first, last) = (falls.first()?, falls.last()?);
        if falls.len() < FALLS {
            return None;
        }
        let text = format!(
            "{} stopped being ready {} times within {}, and came back in between",
            text::name(self.object),
            falls.len(),
            text::span(*first, *last)
        );
        let symptom = Symptom::new(Reason::NodeFlapping, self.object, *last, text);
        Some(symptom.severity(Severity::Warning).feature("falls", falls.len() as f64, Some(0.0)))
    }

    fn pressed(&self) -> Option<Symptom> {
        let since = self.history.pressed_since?;
        let pressure = self.state.conditions.iter().find(|condition| is_pressure(condition))?;
        let text = format!(
            "{} reports {} ({}): {}",
            text::name(self.object),
            pressure.kind,
            pressure.reason,
            text::brief(&pressure.message, MESSAGE)
        );
        let ripe_at = self.options.node_grace.after(since);
        Some(Symptom::new(Reason::NodePressure, self.object, ripe_at, text).severity(Severity::Warning))
    }
}
