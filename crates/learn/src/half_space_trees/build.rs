//! How trees are drawn, what a node holds, and what a row is.

use super::{Error, MAX_HEIGHT, MAX_NODES, Options};
use crate::mersenne::Mersenne;

/// Thresholds keep this share of a range's width away from its ends.
const PADDING: f64 = 0.15;

/// A row of features: `[f64]` where all are there, `[Option<f64>]` where some may be absent.
pub trait Row {
    fn features(&self) -> usize;
    /// The feature's value; `None` where it is absent.
    fn at(&self, feature: usize) -> Option<f64>;
}

impl Row for [f64] {
    fn features(&self) -> usize {
        self.len()
    }

    #[inline]
    fn at(&self, feature: usize) -> Option<f64> {
        Some(self[feature])
    }
}

impl Row for [Option<f64>] {
    fn features(&self) -> usize {
        self.len()
    }

    #[inline]
    fn at(&self, feature: usize) -> Option<f64> {
        self[feature]
    }
}

/// A threshold, and in one word, from the lowest bits up: feature, and as in [`Mass`] fresh, settled, window. One
/// word is read, moved and written at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Branch {
    pub(super) threshold: f64,
    word: u64,
}

const FEATURE: u64 = 0xffff;
const FRESH: u64 = 0xffff << 16;
const SETTLED: u64 = 0xffff << 32;

impl Branch {
    pub(super) fn new(feature: u16, threshold: f64) -> Self {
        Branch { threshold, word: u64::from(feature) }
    }

    #[inline]
    pub(super) fn feature(self) -> usize {
        (self.word & FEATURE) as usize
    }

    pub(super) fn mass(self) -> Mass {
        Mass {
            fresh: (self.word >> 16) as u16,
            settled: (self.word >> 32) as u16,
            window: (self.word >> 48) as u16,
        }
    }

    pub(super) fn set_mass(&mut self, mass: Mass) {
        let Mass { fresh, settled, window } = mass;
        self.word =
            self.word & FEATURE | u64::from(fresh) << 16 | u64::from(settled) << 32 | u64::from(window) << 48;
    }

    /// Counts a point of `window` in; the points of the window before.
    #[inline]
    pub(super) fn pass(&mut self, window: u16) -> u64 {
        let age = u64::from(window).wrapping_sub(self.word >> 48);
        let current = u64::from(age == 0).wrapping_neg();
        let last = u64::from(age == 1).wrapping_neg();
        let kept = self.word & (FRESH | SETTLED) & current;
        let moved = (self.word & FRESH) << 16 & last;
        let counts = kept | moved;
        self.word = (self.word & FEATURE | counts | u64::from(window) << 48) + (1 << 16);
        counts >> 32
    }
}

/// Counts of a node; those of a window before `window` must be moved before they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mass {
    /// Points of the window `window`.
    pub(super) fresh: u16,
    /// Points of the window before it.
    pub(super) settled: u16,
    pub(super) window: u16,
}

impl Mass {
    /// Points in the last full window, seen from `window`.
    #[inline]
    pub(super) fn settled(self, window: u16) -> u16 {
        self.at(window).settled
    }

    /// Points in `window` so far.
    #[inline]
    pub(super) fn fresh(self, window: u16) -> u16 {
        self.at(window).fresh
    }

    /// The counts moved to `window`. Deep in a tree nobody can foretell how old a node's counts are, so there is
    /// no jump: a mask of ones or zeros for each case.
    #[inline]
    pub(super) fn at(self, window: u16) -> Mass {
        let mask = |case: bool| u16::from(case).wrapping_neg();
        let current = mask(self.window == window);
        let last = mask(self.window == window.wrapping_sub(1));
        Mass { fresh: self.fresh & current, settled: self.settled & current | self.fresh & last, window }
    }
}

/// To which side a value goes: NaN, which is not less than anything, to the right.
#[inline]
pub(super) fn right(value: f64, threshold: f64) -> bool {
    let left = value < threshold;
    !left
}

pub(super) fn validate(options: &Options) -> Result<(), Error> {
    let Options { trees, height, .. } = *options;
    let shape = Error::Shape { trees, height };
    if trees == 0 || height == 0 || height > MAX_HEIGHT || u64::from(trees) << (height + 1) > MAX_NODES {
        return Err(shape);
    }
    if options.window == 0 {
        return Err(Error::Window);
    }
    for (feature, &(from, to)) in options.limits.iter().enumerate() {
        if !((to - from).is_finite() && from < to) {
            return Err(Error::Limits { feature, from, to });
        }
    }
    Ok(())
}

/// Appends one tree, drawn as River's `make_padded_tree`: node, left subtree, right subtree.
pub(super) fn tree(options: &Options, used: &[u16], rng: &mut Mersenne, branches: &mut Vec<Branch>) {
    let limits =
        used.iter().map(|at| options.limits.get(usize::from(*at)).copied().unwrap_or((0.0, 1.0))).collect();
    let start = branches.len();
    let splits = (1 << options.height) - 1;
    branches.resize(start + splits, Branch::new(0, 0.0));
    let mut drawing =
        Drawing { used, limits, cumulative: Vec::with_capacity(used.len()), nodes: &mut branches[start..] };
    drawing.draw(0, rng);
}

struct Drawing<'a> {
    used: &'a [u16],
    /// Of the space that the node halves.
    limits: Vec<(f64, f64)>,
    cumulative: Vec<f64>,
    nodes: &'a mut [Branch],
}

impl Drawing<'_> {
    /// As deep as the tree is high, at most [`MAX_HEIGHT`].
    fn draw(&mut self, at: usize, rng: &mut Mersenne) {
        if at >= self.nodes.len() {
            return;
        }
        // A feature is the likelier to be halved the wider its range still is.
        self.cumulative.clear();
        let mut sum: Option<f64> = None;
        for (from, to) in &self.limits {
            let width = to - from;
            let next = sum.map_or(width, |sum| sum + width);
            self.cumulative.push(next);
            sum = Some(next);
        }
        let chosen = rng.choose(&self.cumulative);
        let (from, to) = self.limits[chosen];
        let threshold = rng.uniform(from + PADDING * (to - from), to - PADDING * (to - from));
        self.nodes[at] = Branch::new(self.used[chosen], threshold);
        self.limits[chosen] = (from, threshold);
        self.draw(2 * at + 1, rng);
        self.limits[chosen] = (threshold, to);
        self.draw(2 * at + 2, rng);
        self.limits[chosen] = (from, to);
    }
}
