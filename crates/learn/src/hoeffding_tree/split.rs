//! Whether to split a leaf, and where: ten thresholds a feature, judged by information gain.

use super::Options;
use super::leaf::{Leaf, Normal};

/// Thresholds tried between the extremes of a feature.
const THRESHOLDS: u32 = 10;
/// A side of a split must have more than this share of the weight.
const MIN_SIDE: f64 = 0.01;
/// A leaf in which one class has more than this share is not split.
const MAX_SHARE: f64 = 0.99;

pub(super) enum Decision {
    /// Not sure yet.
    Wait,
    /// No split is as good as the best.
    Forget,
    Split(Split),
}

pub(super) struct Split {
    pub(super) feature: u16,
    pub(super) threshold: f64,
    /// Weight of each class at or below the threshold, and above.
    pub(super) below: Vec<(u16, f64)>,
    pub(super) above: Vec<(u16, f64)>,
}

struct Candidate {
    gain: f64,
    /// Place in the leaf's subset, and threshold; none: no split.
    place: Option<(usize, f64)>,
}

pub(super) fn decide(leaf: &Leaf, total: f64, options: &Options) -> Decision {
    if leaf.classes.iter().filter(|share| share.weight != 0.0).count() < 2 {
        return Decision::Wait;
    }
    let most = leaf.classes.iter().map(|share| share.weight).fold(f64::NEG_INFINITY, f64::max);
    if most / total > MAX_SHARE {
        return Decision::Forget;
    }
    let before = entropy(leaf.classes.iter().map(|share| share.weight));
    // Not to split at all is a candidate, the worst; of equals the last is best.
    let mut best = Candidate { gain: f64::NEG_INFINITY, place: None };
    let mut second = f64::NEG_INFINITY;
    let mut sides = Sides::default();
    for place in 0..leaf.subset.len() {
        let candidate = best_threshold(leaf, place, before, &mut sides);
        if candidate.gain >= best.gain {
            second = best.gain;
            best = candidate;
        } else {
            second = second.max(candidate.gain);
        }
    }
    let range = (leaf.classes.len().max(2) as f64).log2();
    let bound = (range * range * (1.0 / options.delta).ln() / (2.0 * total)).sqrt();
    if !(best.gain - second > bound || bound < options.tie) {
        return Decision::Wait;
    }
    let Some((place, threshold)) = best.place else { return Decision::Forget };
    sides.fill(leaf, place, threshold);
    Decision::Split(Split {
        feature: leaf.subset[place] as u16,
        threshold,
        below: sides.below,
        above: sides.above,
    })
}

fn best_threshold(leaf: &Leaf, place: usize, before: f64, sides: &mut Sides) -> Candidate {
    let mut best = Candidate { gain: f64::NEG_INFINITY, place: None };
    let (low, high) =
        leaf.feature(place).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, normal)| {
            (
                if normal.low < low { normal.low } else { low },
                if normal.high > high { normal.high } else { high },
            )
        });
    let step = (high - low) / (f64::from(THRESHOLDS) + 1.0);
    for count in 1..=THRESHOLDS {
        let threshold = low + step * f64::from(count);
        if !(low < threshold && threshold < high) {
            continue;
        }
        sides.fill(leaf, place, threshold);
        let gain = sides.gain(before);
        if gain > best.gain {
            best = Candidate { gain, place: Some((place, threshold)) };
        }
    }
    best
}

#[derive(Default)]
struct Sides {
    below: Vec<(u16, f64)>,
    above: Vec<(u16, f64)>,
}

impl Sides {
    /// Weight of each class on either side, by its normal distribution.
    fn fill(&mut self, leaf: &Leaf, place: usize, threshold: f64) {
        self.below.clear();
        self.above.clear();
        for (class, normal) in leaf.feature(place) {
            let Normal { weight, low, high, .. } = *normal;
            if threshold < low {
                self.above.push((class, weight));
            } else if threshold >= high {
                self.below.push((class, weight));
            } else {
                let below = normal.below(threshold);
                self.below.push((class, below));
                self.above.push((class, weight - below));
            }
        }
    }

    fn gain(&self, before: f64) -> f64 {
        let weight = |side: &[(u16, f64)]| side.iter().fold(0.0, |sum, (_, weight)| sum + weight);
        let (below, above) = (weight(&self.below), weight(&self.above));
        let total = below + above;
        if !(total > 0.0 && below / total > MIN_SIDE && above / total > MIN_SIDE) {
            return f64::NEG_INFINITY;
        }
        let side = |side: &[(u16, f64)]| entropy(side.iter().map(|(_, weight)| *weight));
        before - (below * side(&self.below) + above * side(&self.above)) / total
    }
}

/// In bits.
fn entropy(weights: impl Iterator<Item = f64>) -> f64 {
    let mut entropy = 0.0;
    let mut total = 0.0;
    for weight in weights {
        if weight > 0.0 {
            entropy -= weight * weight.log2();
            total += weight;
        }
    }
    if total > 0.0 { (entropy + total * f64::log2(total)) / total } else { 0.0 }
}
