//! Half-Space Trees: how rare is the place where a point lies? Equal to River 0.26.1, bit for bit.
//!
//! Each tree halves the space again and again, by features and thresholds drawn once, at the first point learnt.
//! Every node counts the points that pass it in the current window of `window` points; when a window is full, its
//! counts become the reference that scores are read from. (S. C. Tan, K. M. Ting, T. F. Liu, "Fast anomaly
//! detection for streaming data", IJCAI 2011.)
//!
//! River moves all counts of all nodes at the end of a window. Here a node carries the number of the window in
//! which it was last passed, and its counts are moved when somebody looks: the same numbers, and no pause that
//! grows with the trees. A branch lies in 16 bytes, a leaf in 6, each tree in heap order; nothing is allocated
//! after the first point.
//!
//! Half-Space Trees learn a burst as normal: whoever raises an alarm should not learn the point at once.

mod build;
mod saved;

use crate::mersenne::Mersenne;
use crate::snapshot::{self, Snapshot};
pub use build::Row;
use build::{Branch, Mass};

/// Of a node that more than this share of a window passed, the children are looked at too.
const SIZE_LIMIT: f64 = 0.1;
/// Beyond, one tree alone has a million leaves.
pub const MAX_HEIGHT: u8 = 20;
/// Nodes of all trees together: 64 MB of branches. 25 trees of height 15 have 1.6 million.
pub const MAX_NODES: u64 = 1 << 22;
/// A feature's number has 16 bits.
pub const MAX_FEATURES: usize = 1 << 16;

/// Trees that a point passes side by side: of many, of which the lower levels are in no near cache, and of a few.
const MANY: usize = 12;
const FEW: usize = 5;

/// What is chosen once.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// At least 1.
    pub trees: u16,
    /// Halvings, 1 to [`MAX_HEIGHT`]: a tree of height h has 2^(h+1) − 1 nodes.
    pub height: u8,
    /// Points in a window, at least 1.
    pub window: u16,
    pub seed: u64,
    /// The range of each feature, lower bound first; [0, 1] for those beyond the list. Values outside are
    /// allowed, but are told apart less.
    pub limits: Vec<(f64, f64)>,
    pub scoring: Scoring,
}

/// How the masses on a point's path become a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Scoring {
    /// As River: the masses of all nodes of the path count, each times 2^depth.
    Path,
    /// As in the paper: only that of the node where the path ends.
    Terminal,
}

/// The trees and where they stand in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct HalfSpaceTrees {
    options: Options,
    /// Length of a row, once a point was learnt.
    features: Option<usize>,
    /// Features of the first point learnt; the trees use no others.
    used: Vec<u16>,
    /// Tree after tree, 2^height − 1 each, in heap order.
    branches: Vec<Branch>,
    /// Tree after tree, 2^height each, from left to right.
    leaves: Vec<Mass>,
    /// The fewest points with which a node's children are looked at.
    enough: u16,
    /// The current window's number, at least 1.
    window: u16,
    /// Points learnt in it.
    counter: u16,
    /// Whether a window was filled.
    ready: bool,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(
        "{trees} trees of height {height}: write at least 1 of 1 to {MAX_HEIGHT}, {MAX_NODES} nodes in all"
    )]
    Shape { trees: u16, height: u8 },
    #[error("a window has at least 1 point")]
    Window,
    #[error("from {from} to {to} is no range of feature {feature}")]
    Limits { feature: usize, from: f64, to: f64 },
    #[error("a row of {found} features where the first had {expected}")]
    Features { expected: usize, found: usize },
    /// The first row decides which features the trees use.
    #[error("the first row has no feature, or more than {MAX_FEATURES}")]
    FirstRow,
}

impl Default for Options {
    /// River's: 10 trees of height 8, windows of 250 points.
    fn default() -> Self {
        Options { trees: 10, height: 8, window: 250, seed: 42, limits: Vec::new(), scoring: Scoring::Path }
    }
}

impl HalfSpaceTrees {
    pub fn new(options: Options) -> Result<Self, Error> {
        build::validate(&options)?;
        Ok(HalfSpaceTrees {
            enough: (SIZE_LIMIT * f64::from(options.window)).ceil() as u16,
            options,
            features: None,
            used: Vec::new(),
            branches: Vec::new(),
            leaves: Vec::new(),
            window: 1,
            counter: 0,
            ready: false,
        })
    }

    /// How unusual a point is, from 0 to 1; 0 until a window was filled. In a row every value is legal: NaN and
    /// +∞ lie right of any threshold, −∞ left; where a feature is absent (`None`), the path follows the child that
    /// more points of the current window passed.
    pub fn score<R: Row + ?Sized>(&self, row: &R) -> Result<f64, Error> {
        if !self.ready {
            return Ok(0.0);
        }
        self.expect(row)?;
        let splits = self.splits();
        let trees = self.branches.chunks_exact(splits).zip(self.leaves.chunks_exact(splits + 1));
        Ok(self.rate(trees.map(|(branches, leaves)| self.walk(branches, leaves, row)).sum()))
    }

    /// Counts a point in.
    pub fn learn<R: Row + ?Sized>(&mut self, row: &R) -> Result<(), Error> {
        self.begin(row)?;
        self.pass::<R, false>(row);
        self.step();
        Ok(())
    }

    /// The score of a point before it is learnt, and learns it: the two in one walk.
    pub fn score_and_learn<R: Row + ?Sized>(&mut self, row: &R) -> Result<f64, Error> {
        self.begin(row)?;
        let score = if self.ready && self.options.scoring == Scoring::Path {
            let sum = self.pass::<R, true>(row);
            self.rate(sum)
        } else {
            let score = self.score(row)?;
            self.pass::<R, false>(row);
            score
        };
        self.step();
        Ok(score)
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether scores mean something yet.
    pub fn ready(&self) -> bool {
        self.ready
    }

    /// Length of a row, once a point was learnt.
    pub fn features(&self) -> Option<usize> {
        self.features
    }

    /// Memory behind this value.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.branches[..]) + size_of_val(&self.leaves[..]) + size_of_val(&self.used[..])
    }

    fn splits(&self) -> usize {
        (1 << self.options.height) - 1
    }

    /// Builds the trees at the first point.
    fn begin<R: Row + ?Sized>(&mut self, row: &R) -> Result<(), Error> {
        if self.features.is_some() {
            return self.expect(row);
        }
        let features = row.features();
        if features > MAX_FEATURES {
            return Err(Error::FirstRow);
        }
        let used: Vec<u16> = (0..features).filter(|at| row.at(*at).is_some()).map(|at| at as u16).collect();
        if used.is_empty() {
            return Err(Error::FirstRow);
        }
        self.plant(features, used);
        Ok(())
    }

    fn plant(&mut self, features: usize, used: Vec<u16>) {
        let mut rng = Mersenne::new(self.options.seed);
        let trees = usize::from(self.options.trees);
        self.branches = Vec::with_capacity(trees * self.splits());
        for _ in 0..trees {
            build::tree(&self.options, &used, &mut rng, &mut self.branches);
        }
        self.leaves = vec![Mass::default(); trees * (self.splits() + 1)];
        self.features = Some(features);
        self.used = used;
    }

    fn expect<R: Row + ?Sized>(&self, row: &R) -> Result<(), Error> {
        let found = row.features();
        match self.features {
            Some(expected) if expected != found => Err(Error::Features { expected, found }),
            Some(_) | None => Ok(()),
        }
    }

    /// One tree's part of the score: whole numbers, so that no order of summing matters.
    fn walk<R: Row + ?Sized>(&self, branches: &[Branch], leaves: &[Mass], row: &R) -> u64 {
        let (enough, window) = (self.enough, self.window);
        let mut sum = 0;
        let mut at = 0;
        for depth in 0..self.options.height {
            let branch = &branches[at];
            let settled = branch.mass().settled(window);
            let part = u64::from(settled) << depth;
            sum += part;
            if settled < enough {
                return if self.options.scoring == Scoring::Path { sum } else { part };
            }
            let right = match row.at(branch.feature()) {
                Some(value) => build::right(value, branch.threshold),
                None => heavier(branches, leaves, at, window),
            };
            at = 2 * at + 1 + usize::from(right);
        }
        let part = u64::from(leaves[at - branches.len()].settled(window)) << self.options.height;
        if self.options.scoring == Scoring::Path { sum + part } else { part }
    }

    /// Learns a point and, if `SCORE`, sums the masses on its paths before.
    fn pass<R: Row + ?Sized, const SCORE: bool>(&mut self, row: &R) -> u64 {
        let trees = usize::from(self.options.trees);
        let mut total = 0;
        let mut tree = 0;
        while tree + MANY <= trees {
            total += self.pass_abreast::<R, SCORE, MANY>(tree, row);
            tree += MANY;
        }
        while tree + FEW <= trees {
            total += self.pass_abreast::<R, SCORE, FEW>(tree, row);
            tree += FEW;
        }
        for tree in tree..trees {
            total += self.pass_abreast::<R, SCORE, 1>(tree, row);
        }
        total
    }

    /// The same for `N` trees from `first` on, level by level: while the memory brings one tree's node, the
    /// processor works on the others'.
    fn pass_abreast<R: Row + ?Sized, const SCORE: bool, const N: usize>(
        &mut self,
        first: usize,
        row: &R,
    ) -> u64 {
        let (enough, window, splits, height) =
            (u64::from(self.enough), self.window, self.splits(), self.options.height);
        let branches = &mut self.branches[first * splits..(first + N) * splits];
        let leaves = &mut self.leaves[first * (splits + 1)..(first + N) * (splits + 1)];
        let mut total = 0;
        let mut places = [0; N];
        // All ones while a path is scored, zero beyond the node with too few points: no jump to mispredict.
        let mut scored = [u64::MAX; N];
        for depth in 0..height {
            for tree in 0..N {
                let at = places[tree];
                let branch = &mut branches[tree * splits + at];
                let settled = branch.pass(window);
                if SCORE {
                    total += (settled << depth) & scored[tree];
                    scored[tree] &= u64::from(settled < enough).wrapping_sub(1);
                }
                let threshold = branch.threshold;
                let right = if let Some(value) = row.at(branch.feature()) {
                    build::right(value, threshold)
                } else {
                    let of = |count| tree * count..(tree + 1) * count;
                    heavier(&branches[of(splits)], &leaves[of(splits + 1)], at, window)
                };
                places[tree] = 2 * at + 1 + usize::from(right);
            }
        }
        for tree in 0..N {
            let leaf = &mut leaves[tree * (splits + 1) + places[tree] - splits];
            *leaf = leaf.at(window);
            if SCORE {
                total += (u64::from(leaf.settled) << height) & scored[tree];
            }
            leaf.fresh += 1;
        }
        total
    }

    /// From the sum over all trees to 0…1.
    fn rate(&self, sum: u64) -> f64 {
        let most = match self.options.scoring {
            Scoring::Path => (2_u64 << self.options.height) - 1,
            Scoring::Terminal => 1 << self.options.height,
        };
        let most = most * u64::from(self.options.trees) * u64::from(self.options.window);
        1.0 - sum as f64 / most as f64
    }

    /// After a point: at the end of a window the next begins.
    fn step(&mut self) {
        self.counter += 1;
        if self.counter < self.options.window {
            return;
        }
        self.counter = 0;
        self.ready = true;
        if self.window == u16::MAX {
            // Window numbers start again, so every node must be brought to the same one: once in 65,535 windows.
            let renumbered = |mass: Mass| Mass { window: 1, ..mass.at(u16::MAX) };
            self.branches.iter_mut().for_each(|branch| branch.set_mass(renumbered(branch.mass())));
            self.leaves.iter_mut().for_each(|leaf| *leaf = renumbered(*leaf));
            self.window = 1;
        }
        self.window += 1;
    }
}

/// Whether more points of this window passed the right child.
#[cold]
fn heavier(branches: &[Branch], leaves: &[Mass], at: usize, window: u16) -> bool {
    let fresh = |at: usize| match branches.get(at) {
        Some(branch) => branch.mass().fresh(window),
        None => leaves[at - branches.len()].fresh(window),
    };
    fresh(2 * at + 1) < fresh(2 * at + 2)
}

impl Snapshot for HalfSpaceTrees {
    const KIND: [u8; 4] = *b"hstr";
    const VERSION: u16 = 1;

    /// Whole by construction: reading goes through `saved`, which checks.
    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        Ok(())
    }
}
