//! What a leaf has seen: the weight of each class, and a normal distribution for each class and feature.

use serde::{Deserialize, Serialize};

use super::{Look, Options};

/// ln(2π) / 2
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;
const UNSEEN: u16 = u16::MAX;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Leaf {
    /// In order of first sight: equal votes go to the first.
    pub(super) classes: Vec<Share>,
    /// Weight that the majority would have predicted rightly.
    pub(super) majority_right: f64,
    /// Weight that naive Bayes would have.
    pub(super) bayes_right: f64,
    /// Weight at the last attempt to split.
    pub(super) attempted: f64,
    /// Features looked at; none before the first row.
    pub(super) subset: Vec<u32>,
    /// Classes with distributions, in order of first sight here: a new leaf inherits weights, not distributions.
    pub(super) observed: Vec<u16>,
    /// For each observed class, one for each feature of the subset.
    pub(super) normals: Vec<Normal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Share {
    pub(super) class: u16,
    /// Its place in `observed`.
    observed: u16,
    pub(super) weight: f64,
}

/// A feature of one class: mean and variance (Welford, weighted), extremes, and what the density needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Normal {
    pub(super) weight: f64,
    pub(super) mean: f64,
    squares: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// −2·variance; 0 while there is none.
    divisor: f64,
    /// ln(variance) / 2
    half_ln: f64,
}

impl Leaf {
    /// A child, with the weights that the split promises it.
    pub(super) fn new(weights: Vec<(u16, f64)>) -> Self {
        let classes: Vec<Share> =
            weights.into_iter().map(|(class, weight)| Share { class, observed: UNSEEN, weight }).collect();
        let mut leaf = Leaf { classes, ..Leaf::default() };
        leaf.attempted = leaf.total();
        leaf
    }

    pub(super) fn total(&self) -> f64 {
        self.classes.iter().map(|share| share.weight).fold(0.0, |sum, weight| sum + weight)
    }

    #[inline]
    pub(super) fn place(&self, class: u16) -> Option<usize> {
        self.classes.iter().position(|share| share.class == class)
    }

    /// What majority and naive Bayes say, and the votes of the one that was right more often.
    pub(super) fn judge(&self, row: &[f64], look: &mut Look) {
        let votes = &mut look.votes;
        votes.clear();
        look.majority = None;
        look.bayes = None;
        if self.classes.is_empty() {
            return;
        }
        let total = self.total();
        look.majority = self.first_of(self.classes.iter().map(|share| part(share.weight, total)));
        if total != 0.0 {
            votes.extend(self.classes.iter().map(|share| self.likelihood(share, total, row)));
            look.bayes = self.first_of(votes.iter().copied());
        }
        if self.bayes_right >= self.majority_right {
            normalise(votes);
        } else {
            votes.clear();
            votes.extend(self.classes.iter().map(|share| part(share.weight, total)));
        }
    }

    pub(super) fn learn(&mut self, row: &[f64], label: u16, weight: f64) {
        let place = self.place(label).unwrap_or_else(|| {
            self.classes.push(Share { class: label, observed: UNSEEN, weight: 0.0 });
            self.classes.len() - 1
        });
        let share = &mut self.classes[place];
        share.weight += weight;
        let features = self.subset.len();
        if share.observed == UNSEEN {
            share.observed = self.observed.len() as u16;
            self.observed.push(label);
            self.normals.resize(self.normals.len() + features, Normal::default());
        }
        let start = usize::from(share.observed) * features;
        for (normal, feature) in self.normals[start..start + features].iter_mut().zip(&self.subset) {
            normal.learn(row[*feature as usize], weight);
        }
    }

    /// Starts the distributions anew; weights stay.
    pub(super) fn forget(&mut self) {
        self.observed.clear();
        self.normals.clear();
        for share in &mut self.classes {
            share.observed = UNSEEN;
        }
    }

    /// The distributions of one feature of the subset, class by class.
    pub(super) fn feature(&self, place: usize) -> impl Iterator<Item = (u16, &Normal)> {
        let columns = self.normals.iter().skip(place).step_by(self.subset.len().max(1));
        self.observed.iter().copied().zip(columns)
    }

    /// Whether a restored leaf can be used.
    pub(super) fn holds(&self, options: &Options) -> bool {
        let shares: Vec<u16> = self.classes.iter().map(|share| share.class).collect();
        let unique = |classes: &[u16]| {
            let mut seen = vec![false; usize::from(options.classes)];
            classes.iter().all(|class| {
                seen.get_mut(usize::from(*class)).is_some_and(|seen| !std::mem::replace(seen, true))
            })
        };
        let subset = usize::from(options.subset.unwrap_or(options.features));
        let subset_holds = self.subset.is_empty() && self.observed.is_empty()
            || self.subset.len() == subset
                && self.subset.iter().all(|feature| *feature < u32::from(options.features));
        let places = self.classes.iter().filter(|share| share.observed != UNSEEN);
        let placed = places.clone().count() == self.observed.len()
            && places
                .clone()
                .all(|share| self.observed.get(usize::from(share.observed)) == Some(&share.class));
        let numbers = self.classes.iter().map(|share| share.weight);
        let numbers = numbers.chain([self.majority_right, self.bayes_right, self.attempted]);
        unique(&shares)
            && unique(&self.observed)
            && subset_holds
            && placed
            && self.normals.len() == self.observed.len() * self.subset.len()
            && numbers.into_iter().all(|number| number.is_finite() && number >= 0.0)
            && self.normals.iter().all(Normal::holds)
    }

    /// The class with the highest vote, the first of equals.
    fn first_of(&self, votes: impl Iterator<Item = f64>) -> Option<u16> {
        let mut best: Option<(u16, f64)> = None;
        for (share, vote) in self.classes.iter().zip(votes) {
            if best.is_none_or(|(_, most)| vote > most) {
                best = Some((share.class, vote));
            }
        }
        best.map(|(class, _)| class)
    }

    /// Logarithm of prior times densities.
    #[inline]
    fn likelihood(&self, share: &Share, total: f64, row: &[f64]) -> f64 {
        if share.weight <= 0.0 {
            return 0.0;
        }
        let mut sum = (share.weight / total).ln();
        if share.observed != UNSEEN {
            let start = usize::from(share.observed) * self.subset.len();
            for (normal, feature) in self.normals[start..].iter().zip(&self.subset) {
                let density = normal.ln_density(row[*feature as usize]);
                if density > f64::NEG_INFINITY {
                    sum += density;
                }
            }
        }
        sum
    }
}

impl Normal {
    fn learn(&mut self, value: f64, weight: f64) {
        if self.weight == 0.0 {
            self.low = value;
            self.high = value;
        } else if value < self.low {
            self.low = value;
        } else if value > self.high {
            self.high = value;
        }
        self.weight += weight;
        let before = self.mean;
        self.mean += (weight / self.weight) * (value - before);
        self.squares += weight * (value - before) * (value - self.mean);
        let variance = self.variance();
        if variance > 0.0 {
            self.divisor = -2.0 * variance;
            self.half_ln = 0.5 * variance.ln();
        } else {
            self.divisor = 0.0;
        }
    }

    pub(super) fn variance(&self) -> f64 {
        if self.weight > 1.0 { self.squares / (self.weight - 1.0) } else { 0.0 }
    }

    /// Weight at or below a value, by the normal distribution.
    pub(super) fn below(&self, value: f64) -> f64 {
        let deviation = self.variance().sqrt();
        if deviation == 0.0 {
            return 0.0;
        }
        let z = (value - self.mean) / deviation;
        0.5 * (1.0 + super::erf::erf(z / std::f64::consts::SQRT_2)) * self.weight
    }

    #[inline]
    fn ln_density(&self, value: f64) -> f64 {
        if self.divisor == 0.0 {
            return f64::NEG_INFINITY;
        }
        let difference = value - self.mean;
        difference * difference / self.divisor - HALF_LN_TAU - self.half_ln
    }

    fn holds(&self) -> bool {
        let numbers = [self.weight, self.mean, self.squares, self.low, self.high, self.divisor, self.half_ln];
        numbers.iter().all(|number| number.is_finite()) && self.weight >= 0.0 && self.divisor <= 0.0
    }
}

fn part(weight: f64, total: f64) -> f64 {
    if total == 0.0 { weight } else { weight / total }
}

/// From logarithms to probabilities.
fn normalise(votes: &mut [f64]) {
    let most = votes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = votes.iter().map(|vote| (vote - most).exp()).fold(0.0, |sum, part| sum + part);
    let scale = most + sum.ln();
    for vote in votes {
        *vote = (*vote - scale).exp();
    }
}
