//! Smallest and largest value, of the stream or of a window.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::MAX_WINDOW;
use crate::value::accept;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Extremes {
    low: f64,
    high: f64,
}

/// The extremes of the last values: each queue holds those that may still become one, which are sorted, so that
/// the front is the extreme and a value costs constant time on average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    length: u32,
    learnt: u64,
    low: VecDeque<(u64, f64)>,
    high: VecDeque<(u64, f64)>,
}

impl Default for Extremes {
    fn default() -> Self {
        Extremes { low: f64::INFINITY, high: f64::NEG_INFINITY }
    }
}

impl Extremes {
    pub(super) fn learn(&mut self, value: f64) {
        if value < self.low {
            self.low = value;
        }
        if value > self.high {
            self.high = value;
        }
    }

    pub(super) fn scale(&self, value: f64) -> f64 {
        between(value, self.low, self.high)
    }

    pub(super) fn holds(&self) -> bool {
        *self == Self::default()
            || (accept(self.low).is_ok() && accept(self.high).is_ok() && self.low <= self.high)
    }
}

impl Window {
    pub(super) fn new(length: u32) -> Self {
        Window { length, learnt: 0, low: VecDeque::new(), high: VecDeque::new() }
    }

    pub(super) fn learn(&mut self, value: f64) {
        while self.low.pop_back_if(|(_, last)| *last >= value).is_some() {}
        while self.high.pop_back_if(|(_, last)| *last <= value).is_some() {}
        for queue in [&mut self.low, &mut self.high] {
            queue.push_back((self.learnt, value));
            // Of one queue at most one value is too old each time.
            queue.pop_front_if(|(at, _)| *at + u64::from(self.length) <= self.learnt);
        }
        self.learnt += 1;
    }

    pub(super) fn scale(&self, value: f64) -> f64 {
        match (self.low.front(), self.high.front()) {
            (Some((_, low)), Some((_, high))) => between(value, *low, *high),
            (None, _) | (_, None) => 0.0,
        }
    }

    pub(super) fn holds(&self) -> bool {
        let queue = |queue: &VecDeque<(u64, f64)>, rising: bool| {
            let values = queue.iter().all(|(at, value)| {
                *at < self.learnt && *at + u64::from(self.length) >= self.learnt && accept(*value).is_ok()
            });
            let pairs = queue.iter().zip(queue.iter().skip(1));
            let sorted = pairs.fold(true, |sorted, (a, b)| {
                sorted && a.0 < b.0 && if rising { a.1 < b.1 } else { a.1 > b.1 }
            });
            let newest = queue.back().map(|(at, value)| (*at + 1, value.to_bits()));
            (values && sorted, newest)
        };
        let ((low, newest), (high, same)) = (queue(&self.low, true), queue(&self.high, false));
        let length = (1..=MAX_WINDOW).contains(&self.length) && self.learnt < u64::MAX / 2;
        length && low && high && newest == same && newest.map_or(0, |(learnt, _)| learnt) == self.learnt
    }
}

fn between(value: f64, low: f64, high: f64) -> f64 {
    let width = high - low;
    // Not positive before the first value, when the bounds are infinite.
    if width > 0.0 { (value - low) / width } else { 0.0 }
}
