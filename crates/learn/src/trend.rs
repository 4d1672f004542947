//! Where a series is going, and when it will be there.
//!
//! Two ways to a straight line. [`Holt`] smooths level and slope exponentially, in 48 bytes (C. C. Holt, 1957).
//! [`TheilSen`] keeps the last points and takes the median of the slopes of all pairs, which up to a quarter of
//! outliers hardly move (H. Theil 1950; P. K. Sen, JASA 1968). Both give a [`Line`], which says when it reaches a
//! level: when the disk is full.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot, ensure};
use crate::value::{Refused, accept};

/// Points that [`TheilSen`] keeps, at most: 128 have 8,128 pairs.
pub const MAX_POINTS: u8 = 128;
/// Nothing is foretold beyond: in seconds, some thirty years.
pub const MAX_WAIT: f64 = 1e9;

/// A straight line through a point; times and values in the caller's units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    pub at: f64,
    pub value: f64,
    /// Change of the value in one unit of time.
    pub slope: f64,
}

/// Level and slope, exponentially smoothed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holt {
    level_weight: f64,
    slope_weight: f64,
    /// Time and level of the last value, and the slope once there were two.
    last: Option<(f64, f64, Option<f64>)>,
}

/// The last points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TheilSen {
    length: u8,
    points: VecDeque<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("weight {0} is not above 0 and at most 1")]
    Weight(f64),
    #[error("{0} points; write 3 to {MAX_POINTS}")]
    Points(u8),
    #[error("time {at} is not after {last}")]
    Time { at: f64, last: f64 },
    /// A time or a value.
    #[error(transparent)]
    Value(#[from] Refused),
}

impl Line {
    /// Where the line is at a time.
    pub fn value(&self, at: f64) -> f64 {
        self.value + self.slope * (at - self.at)
    }

    /// Time from the line's point until it reaches a level, 0 to [`MAX_WAIT`]; none if it moves away, rests, or
    /// takes longer.
    pub fn reach(&self, level: f64) -> Option<f64> {
        let way = level - self.value;
        let wait = if way == 0.0 { 0.0 } else { way / self.slope };
        (0.0..=MAX_WAIT).contains(&wait).then_some(wait)
    }
}

impl Holt {
    /// Weights of the newest value in level and slope, above 0 and up to 1.
    pub fn new(level_weight: f64, slope_weight: f64) -> Result<Self, Error> {
        for weight in [level_weight, slope_weight] {
            if !(weight > 0.0 && weight <= 1.0) {
                return Err(Error::Weight(weight));
            }
        }
        Ok(Holt { level_weight, slope_weight, last: None })
    }

    /// Takes in a value later than the last; what is refused changes nothing.
    pub fn learn(&mut self, at: f64, value: f64) -> Result<(), Error> {
        let (at, value) = (accept(at)?, accept(value)?);
        let Some((last, level, slope)) = self.last else {
            self.last = Some((at, value, None));
            return Ok(());
        };
        let passed = at - last;
        if passed <= 0.0 {
            return Err(Error::Time { at, last });
        }
        let (level, slope) = match slope {
            None => (value, (value - level) / passed),
            Some(slope) => {
                let foreseen = level + slope * passed;
                let error = value - foreseen;
                let level = foreseen + self.level_weight * error;
                (level, slope + self.level_weight * self.slope_weight * error / passed)
            }
        };
        // Two huge values a tiny moment apart have no slope that could be stored: then it begins anew.
        let stored = accept(level).is_ok() && accept(slope).is_ok();
        self.last = Some(if stored { (at, level, Some(slope)) } else { (at, value, None) });
        Ok(())
    }

    /// From the last value on; none before the second.
    pub fn line(&self) -> Option<Line> {
        let (at, value, slope) = self.last?;
        slope.map(|slope| Line { at, value, slope })
    }
}

impl TheilSen {
    /// Keeps this many points, 3 to [`MAX_POINTS`].
    pub fn new(length: u8) -> Result<Self, Error> {
        if !(3..=MAX_POINTS).contains(&length) {
            return Err(Error::Points(length));
        }
        Ok(TheilSen { length, points: VecDeque::new() })
    }

    /// Takes in a value later than the last; what is refused changes nothing.
    pub fn learn(&mut self, at: f64, value: f64) -> Result<(), Error> {
        let (at, value) = (accept(at)?, accept(value)?);
        if let Some((last, _)) = self.points.back()
            && at <= *last
        {
            return Err(Error::Time { at, last: *last });
        }
        if self.points.len() >= usize::from(self.length) {
            self.points.pop_front();
        }
        self.points.push_back((at, value));
        Ok(())
    }

    /// From the last point on; none before the third, or if the slope is too steep for a number. Costs as many
    /// steps as there are pairs of points.
    pub fn line(&self) -> Option<Line> {
        self.line_from(0)
    }

    /// The line of the newer half of the points: a curve that flattens has a lower slope there.
    pub fn recent(&self) -> Option<Line> {
        self.line_from(self.points.len() / 2)
    }

    /// Share of the pairs of points of which the later is higher, 0 to 1: 1 is a steady rise, ½ none at all. None
    /// before the second point.
    pub fn rising(&self) -> Option<f64> {
        let pairs = self.points.len() * self.points.len().saturating_sub(1) / 2;
        let rises = |index: usize, after: f64| {
            self.points.iter().take(index).filter(|(_, before)| after > *before).count()
        };
        let rising: usize =
            self.points.iter().enumerate().map(|(index, (_, after))| rises(index, *after)).sum();
        (pairs > 0).then(|| rising as f64 / pairs as f64)
    }

    /// Points kept so far.
    pub fn count(&self) -> usize {
        self.points.len()
    }

    /// Time and value of the oldest point kept.
    pub fn oldest(&self) -> Option<(f64, f64)> {
        self.points.front().copied()
    }

    /// When the points kept were, oldest first.
    pub fn times(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|(at, _)| *at)
    }

    fn line_from(&self, first: usize) -> Option<Line> {
        let points = self.points.iter().skip(first);
        let count = self.points.len() - first;
        let (at, _) = *self.points.back().filter(|_| count >= 3)?;
        let mut slopes = Vec::with_capacity(count * (count - 1) / 2);
        for (index, (later, after)) in points.clone().enumerate() {
            let before = points.clone().take(index);
            slopes.extend(before.map(|(earlier, before)| (after - before) / (later - earlier)));
        }
        let slope = accept(median(&mut slopes)?).ok()?;
        // Shifted along the slope to the last point's time.
        let mut values: Vec<f64> = points.map(|(then, value)| value + slope * (at - then)).collect();
        let value = accept(median(&mut values)?).ok()?;
        Some(Line { at, value, slope })
    }
}

impl Snapshot for Holt {
    const KIND: [u8; 4] = *b"holt";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        ensure(Holt::new(self.level_weight, self.slope_weight).is_ok(), "no trend has such weights")?;
        let Some((at, level, slope)) = self.last else { return Ok(()) };
        let all = [at, level, slope.unwrap_or(0.0)].into_iter().all(|number| accept(number).is_ok());
        ensure(all, "a number is not finite")
    }
}

impl Snapshot for TheilSen {
    const KIND: [u8; 4] = *b"tsen";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        ensure(TheilSen::new(self.length).is_ok(), "no window has this length")?;
        ensure(self.points.len() <= usize::from(self.length), "more points than the window has")?;
        let rising = self.points.iter().zip(self.points.iter().skip(1)).all(|(a, b)| a.0 < b.0);
        let all = self.points.iter().all(|(at, value)| accept(*at).is_ok() && accept(*value).is_ok());
        ensure(rising && all, "the points are not in order")
    }
}

/// Of an even number, the mean of the middle two.
fn median(numbers: &mut [f64]) -> Option<f64> {
    let middle = numbers.len() / 2;
    if middle == 0 {
        return numbers.first().copied();
    }
    let even = numbers.len().is_multiple_of(2);
    let (below, upper, _) = numbers.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = if even { below.iter().copied().max_by(f64::total_cmp)? } else { upper };
    Some(f64::midpoint(lower, upper))
}
