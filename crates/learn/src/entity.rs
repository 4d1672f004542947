//! A machine or a pod: many series, one score; and what its peers say.
//!
//! An entity is as bad as its worst dimensions: the mean of the few largest deviations, which neither one noisy
//! dimension nor many quiet ones decide. Whether it deserves attention needs a second witness. Alone, that is time:
//! what lasts counts more than a blip, so half of the score is its trail. Among peers (the pods of one system), it
//! is they: a fault is seen in its callers and neighbours too, and the source is the one that deviates *more*, so
//! half of the worst other's score is deducted.

use serde::{Deserialize, Serialize};

use crate::scorer::Options;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    trail: f64,
}

impl Entity {
    /// The entity's own deviation. Sorts the dimensions' deviations, the largest first.
    pub fn deviation(deviations: &mut [f64], options: &Options) -> f64 {
        let worst = options.worst.clamp(1, deviations.len().max(1)).min(deviations.len());
        if worst == 0 {
            return 0.0;
        }
        deviations.select_nth_unstable_by(worst - 1, |a, b| b.total_cmp(a));
        deviations[..worst].iter().sum::<f64>() / worst as f64
    }

    /// The deviation of an entity that stands alone.
    pub fn alone(&mut self, deviation: f64, options: &Options) -> f64 {
        self.trail += (deviation - self.trail) / options.trail.max(1.0);
        deviation + options.trail_share * (self.trail - deviation)
    }
}

/// Deducts from each peer's deviation, at one time, its share of the worst other's.
pub fn among_peers(deviations: &mut [f64], options: &Options) {
    let (mut worst, mut second, mut at) = (0.0, 0.0, usize::MAX);
    for (index, &deviation) in deviations.iter().enumerate() {
        if deviation > worst {
            (second, worst, at) = (worst, deviation, index);
        } else if deviation > second {
            second = deviation;
        }
    }
    for (index, deviation) in deviations.iter_mut().enumerate() {
        *deviation -= options.peer_share * if index == at { second } else { worst };
    }
}

/// From a deviation to a score between 0 and 1.
pub fn score(deviation: f64, options: &Options) -> f64 {
    1.0 / (1.0 + (options.entity_at - deviation).exp())
}
