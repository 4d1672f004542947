//! What led up to trouble: orders of Events that are known to tell why.
//!
//! Each workload has a trail of the last telling Events, a run of one reason being one mark; the changes of its spec
//! and the trails of its nodes join it. A pattern is an order of marks with one sentence for people; which reasons it
//! explains stands beside it. An order counts from the *first* mark of what it ends in: trouble that was there before
//! its supposed cause has another one.

use std::collections::VecDeque;

use jiff::Timestamp;
use kubewise_core::Period;
use kubewise_core::anomaly::Reason;

/// Marks of one trail: some rounds of the longest pattern, and what began it.
const MARKS: usize = 16;
/// An order is not longer than this: half an hour is three of Kubernetes' progress deadlines.
const WINDOW: Period = Period::from_mins(30);

/// Marks that no Event makes: the workload's spec was changed, or asks for more replicas.
pub(crate) const REVISED: &str = "SpecChanged";
pub(crate) const SCALED_UP: &str = "ScaledUp";

struct Pattern {
    /// Each step is one of these reasons.
    steps: &'static [&'static [&'static str]],
    explains: &'static [Reason],
    says: &'static str,
}

const UPWARD: &[&str] = &[SCALED_UP, "SuccessfulRescale"];
const PRESSURE: &[&str] = &[
    "EvictionThresholdMet",
    "NodeHasMemoryPressure",
    "NodeHasInsufficientMemory",
    "NodeHasDiskPressure",
    "FreeDiskSpaceFailed",
    "NodeHasInsufficientPID",
];
const NO_ROOM: &[Reason] = &[Reason::FailedScheduling, Reason::Unavailable, Reason::ProgressDeadlineExceeded];
const FEWER: &[Reason] =
    &[Reason::Unavailable, Reason::FailedScheduling, Reason::CrashLoopBackOff, Reason::Deviation];
const BROKEN: &[Reason] = &[
    Reason::CrashLoopBackOff,
    Reason::OomKilled,
    Reason::ImagePullBackOff,
    Reason::CreateContainerConfigError,
    Reason::Evicted,
    Reason::ProgressDeadlineExceeded,
    Reason::FailedCreate,
    Reason::FailedScheduling,
    Reason::Unavailable,
];

/// Of several that fit, the one with the most steps is told, and of these the first.
const PATTERNS: &[Pattern] = &[
    Pattern {
        steps: &[&["Unhealthy"], &["Killing"], &["BackOff"]],
        explains: &[Reason::CrashLoopBackOff, Reason::Unavailable, Reason::RestartRhythm],
        says: "its probe failed, so the kubelet ended the container, again and again",
    },
    Pattern {
        steps: &[PRESSURE, &["Evicted"], &["FailedScheduling"]],
        explains: FEWER,
        says: "its node ran short and evicted it, and no other has room",
    },
    Pattern {
        steps: &[
            &["NodeNotReady"],
            &["TaintManagerEviction"],
            &["FailedScheduling", "FailedAttachVolume", "FailedMount"],
        ],
        explains: FEWER,
        says: "its node was lost, and elsewhere there is no room or not its volume",
    },
    Pattern { steps: &[PRESSURE, &["Evicted"]], explains: FEWER, says: "its node ran short and evicted it" },
    Pattern {
        steps: &[UPWARD, &["FailedScheduling"]],
        explains: NO_ROOM,
        says: "it was scaled up, and there is no node for the new pods",
    },
    Pattern {
        steps: &[UPWARD, &["FailedCreate"]],
        explains: &[Reason::FailedCreate, Reason::Unavailable],
        says: "it was scaled up, and the new pods may not be created",
    },
    Pattern {
        steps: &[&["NodeNotSchedulable"], &["FailedScheduling"]],
        explains: NO_ROOM,
        says: "its node was cordoned, and no other has room for what left it",
    },
    Pattern {
        steps: &[&["Preempted", "Preempting"], &["FailedScheduling"]],
        explains: NO_ROOM,
        says: "it gave way to a pod of higher priority, and no other node has room",
    },
    Pattern {
        steps: &[&["SystemOOM"], &["BackOff", "Evicted"]],
        explains: &[Reason::CrashLoopBackOff, Reason::OomKilled, Reason::Unavailable],
        says: "its node as a whole ran out of memory",
    },
    Pattern {
        steps: &[
            &[REVISED],
            &["BackOff", "Failed", "FailedMount", "FailedCreate", "FailedScheduling", "Unhealthy", "Evicted"],
        ],
        explains: BROKEN,
        says: "it fails since its spec was changed",
    },
    Pattern {
        steps: &[&["Unhealthy"], &["Killing"]],
        explains: &[Reason::Unavailable, Reason::RestartRhythm],
        says: "its probe failed, so the kubelet ended the container",
    },
];

/// One reason, once or some times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) reason: &'static str,
}

/// The marks of one workload or node, in order of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail(VecDeque<Mark>);

impl Mark {
    pub(crate) fn of(reason: &'static str, at: Timestamp) -> Self {
        Mark { first: at, last: at, reason }
    }
}

impl Trail {
    /// Takes in an Event, if any pattern knows its reason.
    pub(crate) fn note(&mut self, reason: &str, at: Timestamp) {
        let steps = PATTERNS.iter().flat_map(|pattern| pattern.steps).copied().flatten();
        let Some(reason) = steps.copied().find(|known| *known == reason) else { return };
        let place = self.0.partition_point(|mark| mark.first <= at);
        match place.checked_sub(1).and_then(|before| self.0.get_mut(before)) {
            Some(before) if before.reason == reason => before.last = before.last.max(at),
            _ => self.0.insert(place, Mark::of(reason, at)),
        }
        if self.0.len() > MARKS {
            self.0.pop_front();
        }
    }

    /// Forgets what is out of any order by now. Returns whether anything is left.
    pub(crate) fn sweep(&mut self, now: Timestamp) -> bool {
        self.0.retain(|mark| WINDOW.after(mark.last) >= now);
        !self.0.is_empty()
    }

    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> {
        self.0.iter().copied()
    }
}

/// The order in these marks that explains a reason, as a clause for people.
pub(crate) fn recognise(mut marks: Vec<Mark>, reason: Reason, now: Timestamp) -> Option<String> {
    marks.retain(|mark| mark.first <= now && WINDOW.after(mark.last) >= now);
    marks.sort_unstable();
    let fitting = PATTERNS.iter().filter(|pattern| pattern.explains.contains(&reason));
    let found = fitting.filter_map(|pattern| Some((pattern, steps(&marks, pattern)?)));
    // The first of the longest: `max_by_key` would take the last.
    let (pattern, steps) = found.min_by_key(|(pattern, _)| std::cmp::Reverse(pattern.steps.len()))?;
    let told: Vec<String> =
        steps.iter().map(|mark| format!("{} at {}", mark.reason, mark.first.strftime("%H:%M:%S"))).collect();
    Some(format!("{} ({})", pattern.says, told.join(", then ")))
}

/// The marks that make a pattern: the first of what it ends in, and before it the latest of each step.
fn steps(marks: &[Mark], pattern: &Pattern) -> Option<Vec<Mark>> {
    let (last, before) = pattern.steps.split_last()?;
    let mut place = marks.iter().position(|mark| last.contains(&mark.reason))?;
    let mut found = vec![*marks.get(place)?];
    for step in before.iter().rev() {
        place = marks.get(..place)?.iter().rposition(|mark| step.contains(&mark.reason))?;
        found.push(*marks.get(place)?);
    }
    found.reverse();
    Some(found)
}
