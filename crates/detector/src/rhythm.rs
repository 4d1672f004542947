//! Restarts that come as regularly as a clock, too slowly for a crash loop: a leak that meets its limit every three
//! hours, a certificate that is read once an hour, a probe that times out with each backup. Each alone is nothing.

use jiff::Timestamp;
use kubewise_core::Period;

/// Fewer intervals are alike by chance: of three the other two are as near to the middle one in 1 of 29 cases.
const BEATS: usize = 3;
/// An interval may differ from the middle one by this share of it.
const TOLERANCE: f64 = 0.25;
/// What comes more seldom than every second day is no rhythm that anybody would wait for.
const LONGEST: Period = Period::from_mins(2 * 24 * 60);
/// The next restart may be this much late, in intervals, before the rhythm is over.
const LATE: f64 = 1.5;

/// The regular end of a row of restarts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rhythm {
    /// Intervals that are alike.
    pub(crate) beats: usize,
    /// The middle one.
    pub(crate) interval: Period,
    pub(crate) shortest: Period,
    pub(crate) longest: Period,
}

impl Rhythm {
    /// Of these restarts, oldest first. Intervals up to `fast` belong to a crash loop.
    pub(crate) fn of(restarts: &[Timestamp], fast: Period) -> Option<Self> {
        let pairs =
            restarts.windows(2).filter_map(|pair| Some(Period::between(*pair.first()?, *pair.last()?)));
        let intervals: Vec<Period> = pairs.collect();
        // The longest end of the row that is regular: what was before may have been something else.
        (0..intervals.len()).find_map(|from| regular(intervals.get(from..)?, fast))
    }

    pub(crate) fn is_over(&self, last: Timestamp, now: Timestamp) -> bool {
        Period::between(last, now).as_secs_f64() > LATE * self.interval.as_secs_f64()
    }

    /// Between the longest and the shortest interval, in intervals. Of restarts at random it is about 1 and more.
    pub(crate) fn spread(&self) -> f64 {
        (self.longest.as_secs_f64() - self.shortest.as_secs_f64()) / self.interval.as_secs_f64()
    }

    /// How likely restarts at random (exponential intervals) lie all within the tolerance of their middle one.
    pub(crate) fn chance(&self) -> f64 {
        let one = (TOLERANCE - 1.0).exp() - (-TOLERANCE - 1.0).exp();
        one.powi(self.beats.saturating_sub(1) as i32)
    }
}

fn regular(intervals: &[Period], fast: Period) -> Option<Rhythm> {
    if intervals.len() < BEATS {
        return None;
    }
    let mut sorted = intervals.to_vec();
    sorted.sort_unstable();
    let (shortest, interval, longest) = (*sorted.first()?, *sorted.get(sorted.len() / 2)?, *sorted.last()?);
    let middle = interval.as_secs_f64();
    let is_alike = |one: Period| (one.as_secs_f64() - middle).abs() <= TOLERANCE * middle;
    (shortest > fast && longest <= LONGEST && is_alike(shortest) && is_alike(longest)).then_some(Rhythm {
        beats: intervals.len(),
        interval,
        shortest,
        longest,
    })
}
