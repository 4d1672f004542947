//! Mean and variance, of the stream, of a window, or exponentially weighted.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::MAX_WINDOW;
use crate::value::{accept, is_variance};

/// Over all values (B. P. Welford, Technometrics 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

/// Over the last values: what leaves is taken out by Welford's formula backwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rolling {
    length: u32,
    values: VecDeque<f64>,
    count: f64,
    mean: f64,
    /// Sum of squared differences.
    squares: f64,
}

/// Exponentially weighted means of values and of their squares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Adaptive {
    weight: f64,
    moments: Option<(f64, f64)>,
}

impl Moments {
    pub(super) fn learn(&mut self, value: f64) {
        self.count += 1.0;
        let before = self.mean;
        self.mean += (value - before) / self.count;
        self.variance += ((value - before) * (value - self.mean) - self.variance) / self.count;
    }

    pub(super) fn scale(&self, value: f64) -> f64 {
        standardise(value, self.mean, self.variance)
    }

    pub(super) fn holds(&self) -> bool {
        self.count >= 0.0
            && self.count.is_finite()
            && accept(self.mean).is_ok()
            && is_variance(self.variance.abs())
    }
}

impl Rolling {
    pub(super) fn new(length: u32) -> Self {
        Rolling { length, values: VecDeque::new(), count: 0.0, mean: 0.0, squares: 0.0 }
    }

    pub(super) fn learn(&mut self, value: f64) {
        if self.values.len() >= self.length as usize
            && let Some(oldest) = self.values.pop_front()
        {
            self.count -= 1.0;
            let before = self.mean;
            if self.count == 0.0 {
                self.mean = 0.0;
            } else {
                self.mean -= (1.0 / self.count) * (oldest - self.mean);
            }
            self.squares -= (oldest - before) * (oldest - self.mean);
        }
        self.values.push_back(value);
        self.count += 1.0;
        let before = self.mean;
        self.mean += (1.0 / self.count) * (value - self.mean);
        self.squares += (value - before) * (value - self.mean);
    }

    pub(super) fn scale(&self, value: f64) -> f64 {
        let variance = if self.count > 0.0 { self.squares / self.count } else { 0.0 };
        standardise(value, self.mean, variance)
    }

    pub(super) fn holds(&self) -> bool {
        (1..=MAX_WINDOW).contains(&self.length)
            && self.values.len() <= self.length as usize
            && self.count == self.values.len() as f64
            && self.values.iter().all(|value| accept(*value).is_ok())
            && accept(self.mean).is_ok()
            && is_variance(self.squares.abs() / f64::from(self.length))
    }
}

impl Adaptive {
    pub(super) fn new(weight: f64) -> Self {
        Adaptive { weight, moments: None }
    }

    pub(super) fn learn(&mut self, value: f64) {
        let square = value * value;
        let kept = 1.0 - self.weight;
        self.moments = Some(match self.moments {
            Some((mean, squares)) => {
                (self.weight * value + kept * mean, self.weight * square + kept * squares)
            }
            None => (value, square),
        });
    }

    pub(super) fn scale(&self, value: f64) -> f64 {
        self.moments.map_or(0.0, |(mean, squares)| standardise(value, mean, squares - mean * mean))
    }

    pub(super) fn holds(&self) -> bool {
        (0.0..=1.0).contains(&self.weight)
            && self.moments.is_none_or(|(mean, squares)| accept(mean).is_ok() && is_variance(squares))
    }
}

/// A variance can come out a little below zero by rounding.
fn standardise(value: f64, mean: f64, variance: f64) -> f64 {
    if variance > 0.0 { (value - mean) / variance.sqrt() } else { 0.0 }
}
