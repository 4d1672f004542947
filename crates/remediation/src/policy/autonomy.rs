//! Earned autonomy: an action type acts by itself on a class of workloads only after it has proven there that it helps.
//!
//! The only witness is the record of what was done: how each act ended, whoever had let it begin. A *success* is an act
//! that was verified to have helped and to have stayed so. What did not help is a *failure*. A *regression* is an act
//! that did harm, or was put back: by its own saga, or later by somebody else. From these a level follows:
//!
//! - It begins at `propose`. The first success leads to `approve`.
//! - `auto` needs `minimum` successes, and the lower confidence bound of the rate of success at `bound` or above: ten
//!   out of ten say more than one out of one. It holds only as long as they do.
//! - One regression leads one step back, and the counting begins anew with that failure. What fell to `observe` has
//!   nothing left to be judged by, so it is proposed again after `rest`.
//!
//! A level only lowers what policy allows. It is computed anew from the records each time it is asked for, so a restart
//! changes nothing, and what is no longer kept no longer counts.

use std::collections::BTreeMap;

use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use kubewise_core::autonomy::{AutonomyReport, Level, Trust, WorkloadClass};
use kubewise_core::guard::Guard;
use kubewise_core::id::SagaId;
use kubewise_core::journal::Outcome;
use kubewise_core::plan::{Mode, PlanStep, SafetyConstraint, Verdict};
use kubewise_core::record::MAX_PAGE;
use kubewise_core::{Period, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::{ActionType, Risk};
use crate::evidence::Evidence;

/// The newest records of a namespace that count: one page, which is years of repairs where all is well.
pub const RECORDS: usize = MAX_PAGE;
/// How surely the rate of success lies above its bound: 95 %, one-sided.
const QUANTILE: f64 = 1.645;
/// Beyond this many successes that are still missing, nobody waits for them.
const FAR_AWAY: u32 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Otherwise the mode alone decides.
    pub enabled: bool,
    /// Verified successes before an action acts by itself on a class of workloads.
    pub minimum: u32,
    /// The rate of success must lie above this, by its lower confidence bound (95 %).
    pub bound: f64,
    /// How long an action that fell to observe is not proposed.
    pub rest: Period,
}

impl Default for Options {
    fn default() -> Self {
        Options { enabled: false, minimum: 10, bound: 0.75, rest: Period::from_mins(7 * 24 * 60) }
    }
}

/// The mode for these steps: the given one, lowered to what the least trusted of their actions has earned, with the
/// finding that a plan keeps of it. `None` for the finding where autonomy is given, not earned.
pub(crate) fn lowered(
    mode: Mode,
    steps: &[PlanStep],
    evidence: &Evidence,
    options: &super::Options,
    now: Timestamp,
) -> (Mode, Option<SafetyConstraint>) {
    if !options.autonomy.enabled || !options.guards.stands(Guard::EarnedAutonomy) {
        return (mode, None);
    }
    let class = WorkloadClass::of(&evidence.incident.workload);
    let acts = steps.iter().map(|step| step.action.name.as_str()).filter(|name| changes_something(name));
    let of = |action| standing(action, &class, &evidence.precedents, &options.autonomy, now);
    let standings = acts.map(|action| (action, of(action)));
    let Some((action, least)) = standings.min_by_key(|(_, standing)| standing.level) else {
        return (mode, None);
    };
    let Standing { level, successes, failures, bound, .. } = least;
    let finding = format!(
        "{action} on a {class} has earned {level}: {successes} successes and {failures} failures, bound {bound:.2}"
    );
    let rule = Guard::EarnedAutonomy.to_string();
    (mode.min(level.mode()), Some(SafetyConstraint { rule, finding }))
}

/// How far every action type that was done is trusted, by action and class; from the newest record to the oldest.
pub fn report(records: &[ExecutedActionRecord], options: &super::Options, now: Timestamp) -> AutonomyReport {
    let mut namespaces: BTreeMap<_, Vec<&ExecutedActionRecord>> = BTreeMap::new();
    for record in records {
        let of_namespace = namespaces.entry(&record.workload.namespace).or_default();
        // As many as count when a plan is made.
        if of_namespace.len() < RECORDS {
            of_namespace.push(record);
        }
    }
    let mut items = BTreeMap::new();
    for records in namespaces.values() {
        for record in records.iter().filter(|record| changes_something(&record.action.name)) {
            let (action, class) = (record.action.name.as_str(), WorkloadClass::of(&record.workload));
            let item = items.entry((action, class.clone()));
            item.or_insert_with(|| trust(action, class, records.iter().copied(), options, now));
        }
    }
    AutonomyReport { enabled: options.autonomy.enabled, items: items.into_values().collect() }
}

fn trust<'a>(
    action: &str,
    class: WorkloadClass,
    records: impl IntoIterator<Item = &'a ExecutedActionRecord>,
    options: &super::Options,
    now: Timestamp,
) -> Trust {
    let standing = standing(action, &class, records, &options.autonomy, now);
    let configured = class.namespace.as_deref().and_then(|namespace| options.modes.get(namespace));
    let configured = configured.copied().unwrap_or(options.mode);
    let earned = if options.autonomy.enabled { standing.level.mode() } else { Mode::Auto };
    Trust {
        action: action.into(),
        class,
        level: standing.level,
        mode: configured.min(earned),
        successes: standing.successes,
        failures: standing.failures,
        bound: standing.bound,
        set_back_at: standing.set_back_at,
        next: standing.next(&options.autonomy),
    }
}

/// What the records say of one action type in one class.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    level: Level,
    successes: u32,
    failures: u32,
    bound: f64,
    set_back_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Success,
    Failure,
    Regression,
}

/// Lives through what was done in a class, in whatever order the records are given.
fn standing<'a>(
    action: &str,
    class: &WorkloadClass,
    records: impl IntoIterator<Item = &'a ExecutedActionRecord>,
    options: &Options,
    now: Timestamp,
) -> Standing {
    let of_class = records.into_iter().filter(|done| WorkloadClass::of(&done.workload) == *class);
    let of_class: Vec<&ExecutedActionRecord> = of_class.collect();
    let mut repairs: BTreeMap<&SagaId, Vec<&ExecutedActionRecord>> = BTreeMap::new();
    for done in of_class.iter().filter(|done| done.action.name == action) {
        repairs.entry(&done.saga).or_default().push(done);
    }
    let mut marks: Vec<_> = repairs.values().flat_map(|acts| marks(acts, &of_class)).collect();
    marks.sort_unstable();
    let mut standing =
        Standing { level: Level::Propose, successes: 0, failures: 0, bound: 0.0, set_back_at: None };
    for (time, mark) in marks {
        standing.rest(options, time);
        standing.take(mark, time);
        standing.settle(options);
    }
    standing.rest(options, now);
    standing
}

/// What the acts of one repair count for together: the worst of them once, however many pods a drain evicted; and a
/// regression more when somebody puts back what helped.
fn marks(acts: &[&ExecutedActionRecord], records: &[&ExecutedActionRecord]) -> Vec<(Timestamp, Mark)> {
    let each =
        acts.iter().filter_map(|done| Some((mark(done)?, done.finished_at.unwrap_or(done.started_at))));
    let Some((mark, time)) = each.max() else { return Vec::new() };
    let put_back = acts.iter().filter_map(|done| put_back(done, records)).min();
    let put_back = put_back.filter(|_| mark == Mark::Success).map(|time| (time, Mark::Regression));
    [(time, mark)].into_iter().chain(put_back).collect()
}

/// Nothing yet while its saga runs, unless harm was seen already.
fn mark(done: &ExecutedActionRecord) -> Option<Mark> {
    if done.direction != Direction::Act || done.status != ActionStatus::Succeeded {
        return None;
    }
    match done.outcome {
        _ if done.verdict == Some(Verdict::Worse) => Some(Mark::Regression),
        None | Some(Outcome::Aborted) => None,
        Some(Outcome::RolledBack | Outcome::Stuck) => Some(Mark::Regression),
        Some(Outcome::HandedOver) => Some(Mark::Failure),
        Some(Outcome::Succeeded) => Some(Mark::Success),
    }
}

/// When it was seen that somebody had put a field back that this act had set: KubeWise set it once more, from the same
/// value as before.
fn put_back(done: &ExecutedActionRecord, records: &[&ExecutedActionRecord]) -> Option<Timestamp> {
    let again = records.iter().filter(|later| {
        later.workload == done.workload
            && later.saga != done.saga
            && later.started_at > done.started_at
            && later.direction == Direction::Act
            && later.status == ActionStatus::Succeeded
            && later
                .changes
                .iter()
                .any(|change| change.before != change.after && done.changes.contains(change))
    });
    again.map(|later| later.started_at).min()
}

/// What only tells people needs no trust. A name that this version does not know does.
fn changes_something(action: &str) -> bool {
    ActionType::named(action).is_none_or(|known| known.risk != Risk::None)
}

impl Standing {
    fn take(&mut self, mark: Mark, time: Timestamp) {
        match mark {
            Mark::Success => self.successes += 1,
            Mark::Failure => self.failures += 1,
            Mark::Regression => {
                self.level = self.level.below();
                self.set_back_at = Some(time);
                (self.successes, self.failures) = (0, 1);
            }
        }
        self.bound = lower_bound(self.successes, self.failures);
    }

    /// Goes up as far as the counts lead, and gives up `auto` where they do not lead any more.
    fn settle(&mut self, options: &Options) {
        if self.level == Level::Propose && self.successes > 0 {
            self.level = Level::Approve;
        }
        if self.level >= Level::Approve {
            let proven = is_proven(self.successes, self.failures, options);
            self.level = if proven { Level::Auto } else { Level::Approve };
        }
    }

    fn rest(&mut self, options: &Options, now: Timestamp) {
        if self.level == Level::Observe && self.proposed_again(options) <= now {
            self.level = Level::Propose;
        }
    }

    fn proposed_again(&self, options: &Options) -> Timestamp {
        self.set_back_at.map_or(Timestamp::MIN, |since| options.rest.after(since))
    }

    fn next(&self, options: &Options) -> String {
        match self.level {
            Level::Observe => format!("proposed again from {:.0} on", self.proposed_again(options)),
            Level::Propose => "one verified success of a plan that a person approved".into(),
            Level::Approve => {
                let missing =
                    (1..=FAR_AWAY).find(|more| is_proven(self.successes + more, self.failures, options));
                match missing {
                    Some(1) => "one more verified success".into(),
                    Some(missing) => format!("{missing} more verified successes"),
                    None => format!("more than {FAR_AWAY} verified successes"),
                }
            }
            Level::Auto => "nothing; one regression leads back to approve".into(),
        }
    }
}

fn is_proven(successes: u32, failures: u32, options: &Options) -> bool {
    successes >= options.minimum.max(1) && lower_bound(successes, failures) >= options.bound
}

/// The lower end of Wilson's score interval: what the rate of success surely is at least, from so few trials.
fn lower_bound(successes: u32, failures: u32) -> f64 {
    let trials = f64::from(successes) + f64::from(failures);
    if trials == 0.0 {
        return 0.0;
    }
    let (rate, square) = (f64::from(successes) / trials, QUANTILE * QUANTILE);
    let spread = QUANTILE * (rate * (1.0 - rate) / trials + square / (4.0 * trials * trials)).sqrt();
    ((rate + square / (2.0 * trials) - spread) / (1.0 + square / trials)).max(0.0)
}
