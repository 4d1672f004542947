//! A quantile of a stream in constant memory: P², as in River 0.26.1.
//!
//! Five markers follow the minimum, the quantile, the maximum and the middles between; each is moved along a
//! parabola through its neighbours as values come in. (R. Jain, I. Chlamtac, "The P² algorithm for dynamic
//! calculation of quantiles and histograms without storing observations", CACM 1985.)

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot, ensure};
use crate::value::{Refused, accept};

const MARKERS: usize = 5;

/// An estimated quantile, in 136 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    q: f64,
    /// Values, up to the fifth; then markers.
    count: u8,
    /// Whether the heights are markers, in order: from the sixth value on.
    ready: bool,
    heights: [f64; MARKERS],
    /// How many values lie at or below each marker.
    places: [f64; MARKERS],
    /// How many should.
    wanted: [f64; MARKERS],
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("quantile {0} is not between 0 and 1")]
pub struct InvalidQuantile(pub f64);

impl Quantile {
    /// `q` between 0 and 1, both excluded.
    pub fn new(q: f64) -> Result<Self, InvalidQuantile> {
        if !(q > 0.0 && q < 1.0) {
            return Err(InvalidQuantile(q));
        }
        Ok(Quantile {
            q,
            count: 0,
            ready: false,
            heights: [0.0; MARKERS],
            places: [1.0, 2.0, 3.0, 4.0, 5.0],
            wanted: [1.0, 1.0 + 2.0 * q, 1.0 + 4.0 * q, 3.0 + 2.0 * q, 5.0],
        })
    }

    /// Takes in a value; what is refused changes nothing.
    pub fn learn(&mut self, value: f64) -> Result<(), Refused> {
        let value = accept(value)?;
        if usize::from(self.count) < MARKERS {
            self.heights[usize::from(self.count)] = value;
            self.count += 1;
            return Ok(());
        }
        if !self.ready {
            self.heights.sort_by(f64::total_cmp);
            self.ready = true;
        }
        let cell = self.cell(value);
        for place in &mut self.places[cell..] {
            *place += 1.0;
        }
        let steps = [0.0, self.q / 2.0, self.q, f64::midpoint(1.0, self.q), 1.0];
        for (wanted, step) in self.wanted.iter_mut().zip(steps) {
            *wanted += step;
        }
        for marker in 1..MARKERS - 1 {
            self.adjust(marker);
        }
        Ok(())
    }

    /// The quantile; none before the first value. Between the smallest and the largest value, always.
    pub fn value(&self) -> Option<f64> {
        if self.ready { Some(self.heights[2]) } else { self.of_few(self.q) }
    }

    /// The quantile halfway from `q` to 1.
    pub fn upper(&self) -> Option<f64> {
        if self.ready { Some(self.heights[3]) } else { self.of_few(f64::midpoint(1.0, self.q)) }
    }

    pub fn q(&self) -> f64 {
        self.q
    }

    fn of_few(&self, q: f64) -> Option<f64> {
        let count = usize::from(self.count);
        let mut few = self.heights;
        let few = few.get_mut(..count)?;
        few.sort_by(f64::total_cmp);
        few.get(((count as f64 * q) as usize).min(count.saturating_sub(1))).copied()
    }

    /// The marker above a value; the outer markers are moved to it if it lies beyond.
    fn cell(&mut self, value: f64) -> usize {
        if value < self.heights[0] {
            self.heights[0] = value;
            return 1;
        }
        let found = (1..MARKERS).find(|at| self.heights[at - 1] <= value && value < self.heights[*at]);
        if found.is_none() && self.heights[MARKERS - 1] < value {
            self.heights[MARKERS - 1] = value;
        }
        found.unwrap_or(MARKERS - 1)
    }

    fn adjust(&mut self, at: usize) {
        let Quantile { heights, places, wanted, .. } = self;
        let (place, height) = (places[at], heights[at]);
        let lag = wanted[at] - place;
        let up = lag >= 1.0 && places[at + 1] - place > 1.0;
        let down = lag <= -1.0 && places[at - 1] - place < -1.0;
        if !(up || down) {
            return;
        }
        let step = 1.0_f64.copysign(lag);
        let (below, above) = (places[at - 1], places[at + 1]);
        let left = (place - below + step) * (heights[at + 1] - height) / (above - place);
        let right = (above - place - step) * (height - heights[at - 1]) / (place - below);
        let parabolic = height + step / (above - below) * (left + right);
        heights[at] = if heights[at - 1] < parabolic && parabolic < heights[at + 1] {
            parabolic
        } else {
            let next = if up { at + 1 } else { at - 1 };
            height + step * (heights[next] - height) / (places[next] - place)
        };
        places[at] = place + step;
    }
}

impl Snapshot for Quantile {
    const KIND: [u8; 4] = *b"quan";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        ensure(self.q > 0.0 && self.q < 1.0, "no quantile between 0 and 1")?;
        let count = usize::from(self.count);
        ensure(count <= MARKERS && (!self.ready || count == MARKERS), "more values than markers")?;
        let values = self.heights.iter().all(|height| accept(*height).is_ok());
        let finite = self.wanted.iter().all(|wanted| wanted.is_finite());
        let rising = self.places.windows(2).all(|pair| pair[0] < pair[1] && pair[1].is_finite());
        let sorted = !self.ready || self.heights.is_sorted();
        ensure(values && finite && rising && sorted, "the markers are not in order")
    }
}
