//! What only a measure of work tells: that suddenly far less is done, and that nothing moves any more.
//!
//! Less of most measures is no failure. But who works, with the replicas and the revision that it had, and from one
//! minute to the next does far less, has lost those who ask it, or hangs.
//!
//! *A fall* is from a height at which the series stood since its object or workload last changed, and from what is
//! expected at this hour, whichever is lower: so neither the night is one (it comes over hours, and the height comes
//! down with it), nor a weekend (what is expected is high, the series was not), nor a new size of the workload (it
//! has not stood anywhere since). Whether a fall is also news, the scorer says: who often falls is known for it.
//!
//! *A standstill* is the same value, bit for bit, for much longer than the series ever stood. What lives wavers, so it
//! says that the process does not, or that what is measured is not the process; missing samples are no standstill.
//!
//! *A counter* only ever grows: no height of it is news, but a standstill is. Its fall is a reset: it begins anew.

use jiff::Timestamp;
use kubewise_core::Period;

/// A fall ends below this share of the height; a young series has not shown all of its lows, so it must fall deeper.
const FALLEN: f64 = 0.4;
/// Points at a height before it is one: ten minutes at one in 30 s.
const STOOD: u8 = 20;
/// The height follows with a quarter of an hour's memory at most: more slowly than a five minutes' rate falls, faster
/// than an evening.
const FOLLOWS: f64 = 1.0 / 8.0;
/// A fall that is no news for so many points is how the series is.
const FORGIVEN: u8 = 30;
/// No standstill is shorter: a source may go on telling the last value for the five minutes of its staleness.
const STILL: Period = Period::from_mins(15);
/// Nor one of fewer points.
const STILL_POINTS: u32 = 20;
/// Nor one shorter than this many times the longest so far.
const STILL_TIMES: f64 = 4.0;
/// From here on a series counts as stuck with others, which makes it their source's trouble.
const STUCK: Period = Period::from_mins(8);
/// Rises, and falls, of what lives. The start of a container that idles ever after shows fewer.
const LIVED: u8 = 10;
/// Rises without any fall that make a counter.
const COUNTS: u8 = 100;

/// What a series of work did so far, for these series only.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    value: f64,
    still_since: Timestamp,
    last: Timestamp,
    /// Samples of the same value in a row.
    same: u32,
    /// The longest that it stood, standstills that were told left out: trouble is no habit.
    longest: Period,
    height: f64,
    stood: u8,
    low: u8,
    /// Times that it rose and fell, as far as it matters.
    ups: u8,
    downs: u8,
    is_still: bool,
}

/// A value and what surrounds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) time: Timestamp,
    pub(crate) value: f64,
    pub(crate) expected: f64,
    /// The least height from which a fall means anything.
    pub(crate) least: f64,
    /// 1 for a grown series, more for a young one.
    pub(crate) youth: f64,
    /// Whether it may be judged: grown enough, not changing.
    pub(crate) is_judged: bool,
    /// A fall of this series is being told.
    pub(crate) is_told: bool,
    /// What stands for so long is how it is.
    pub(crate) accept_after: Period,
}

/// How long a series stands still, and the longest that it stood before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standstill {
    pub(crate) since: Timestamp,
    pub(crate) longest: Period,
}

/// What a point showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) falls: bool,
    pub(crate) still: Option<Standstill>,
    /// It only ever grows, which is no news.
    pub(crate) is_counter: bool,
    pub(crate) was_reset: bool,
}

impl Work {
    pub(crate) fn new() -> Self {
        Work {
            value: f64::NAN,
            still_since: Timestamp::MIN,
            last: Timestamp::MIN,
            same: 0,
            longest: Period::ZERO,
            height: 0.0,
            stood: 0,
            low: 0,
            ups: 0,
            downs: 0,
            is_still: false,
        }
    }

    /// For a successor: how long the elder stood, not where.
    pub(crate) fn heir(&self) -> Self {
        Work { longest: self.longest, ups: self.ups, downs: self.downs, ..Work::new() }
    }

    pub(crate) fn observe(&mut self, point: &Point) -> Shown {
        let is_counter = self.ups == COUNTS && self.downs == 0;
        let was_reset = is_counter && point.value < self.value;
        if was_reset {
            *self = self.heir();
        }
        let shown = Shown { falls: self.falls(point), still: self.stands(point), is_counter, was_reset };
        self.last = point.time;
        shown
    }

    /// The points to come are no neighbours of the last. What is told goes on: silence is no health.
    pub(crate) fn gap(&mut self, is_told: bool) {
        if !is_told {
            (self.height, self.stood, self.low) = (0.0, 0, 0);
        }
        if !self.is_still {
            (self.value, self.same) = (f64::NAN, 0);
        }
    }

    /// Whether it stands for longer than it ever did, though not yet for long enough to be told.
    pub(crate) fn is_stuck(&self) -> bool {
        self.lived()
            && self.same > 1
            && Period::between(self.still_since, self.last) >= STUCK.max(self.longest)
    }

    fn falls(&mut self, point: &Point) -> bool {
        if !point.is_judged {
            (self.height, self.stood, self.low) = (0.0, 0, 0);
            return false;
        }
        let from = self.height.min(point.expected);
        let is_low = self.stood >= STOOD && from >= point.least && point.value * point.youth <= FALLEN * from;
        if is_low && (self.low < FORGIVEN || point.is_told) {
            self.low = self.low.saturating_add(1);
            return true;
        }
        if is_low || self.stood == 0 {
            (self.height, self.stood, self.low) = (point.value, 1, 0);
            return false;
        }
        (self.stood, self.low) = (self.stood.saturating_add(1), 0);
        self.height += FOLLOWS * (point.value - self.height);
        false
    }

    fn stands(&mut self, point: &Point) -> Option<Standstill> {
        if point.value.to_bits() != self.value.to_bits() {
            if self.same > 1 && !self.is_still {
                self.longest = self.longest.max(Period::between(self.still_since, self.last));
            }
            self.ups = (self.ups + u8::from(point.value > self.value)).min(COUNTS);
            self.downs = self.downs.saturating_add(u8::from(point.value < self.value));
            (self.value, self.still_since, self.same, self.is_still) = (point.value, point.time, 1, false);
            return None;
        }
        self.same = self.same.saturating_add(1);
        let stood = Period::between(self.still_since, point.time).as_secs_f64();
        let least = STILL.as_secs_f64().max(STILL_TIMES * self.longest.as_secs_f64());
        let begins =
            point.is_judged && self.lived() && self.same >= STILL_POINTS && stood >= least * point.youth;
        self.is_still |= begins;
        if stood > point.accept_after.as_secs_f64() {
            self.is_still = false;
            self.longest = Period::between(self.still_since, point.time);
        }
        self.is_still.then_some(Standstill { since: self.still_since, longest: self.longest })
    }

    /// What never moved, or only when it started, has nothing to stand still from.
    fn lived(&self) -> bool {
        self.ups >= LIVED && self.downs >= LIVED || self.ups == COUNTS
    }
}

#[cfg(test)]
mod tests {
    use super::Work;

    #[test]
    fn the_past_of_work_is_compact() {
        assert!(size_of::<Work>() <= 96);
    }
}
