//! A decision tree for classes that grows with the stream. Equal to the trees in River 0.26.1's ARFClassifier.
//!
//! Each leaf keeps a normal distribution for each class and feature. Now and then it asks whether halving by the
//! best feature surely (by Hoeffding's bound) tells the classes apart better than by the second best, and splits
//! if so. A leaf predicts by naive Bayes over its distributions or by its majority, whichever was right more
//! often there. (P. Domingos, G. Hulten, "Mining high-speed data streams", KDD 2000; J. Gama et al., KDD 2003.)
//!
//! With a `subset`, each leaf looks at a few features only, drawn when it first learns: that makes the trees of
//! a forest differ ([`crate::adaptive_forest`]).

mod erf;
mod leaf;
mod split;

use serde::{Deserialize, Serialize};

use crate::mersenne::Mersenne;
use crate::snapshot::{self, Snapshot, ensure};
use crate::value::{Refused, accept};
use leaf::Leaf;

/// Leaves of a tree, at most: some megabytes. River's bound is 100 MB of Python objects.
pub const MAX_LEAVES: usize = 4096;
/// Features and classes, at most.
pub const MAX_WIDTH: u16 = 4096;

/// What is chosen once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Numbers in a row, 1 to [`MAX_WIDTH`].
    pub features: u16,
    /// Labels are 0 to one below this; 1 to [`MAX_WIDTH`].
    pub classes: u16,
    /// Features that a leaf looks at, drawn by chance; all if none.
    pub subset: Option<u16>,
    /// Weight that a leaf learns between two attempts to split it.
    pub grace: f64,
    /// Chance that a split was not the best one, between 0 and 1.
    pub delta: f64,
    /// With a bound below this the two best are as good as each other, and the leaf splits anyway.
    pub tie: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoeffdingTree {
    options: Options,
    /// The root first, children behind their parents.
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    /// Which classes were ever learnt.
    known: Vec<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Node {
    /// `left`, or the node behind it if the value is above the threshold.
    Branch {
        feature: u16,
        threshold: f64,
        left: u32,
    },
    Leaf(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{features} features and {classes} classes; write 1 to {MAX_WIDTH} of each")]
    Width { features: u16, classes: u16 },
    #[error("a subset of {subset} of {features} features")]
    Subset { subset: u16, features: u16 },
    #[error("{name} {value} is out of its range")]
    Number { name: &'static str, value: f64 },
    #[error("a row of {found} features, not {expected}")]
    Features { expected: u16, found: usize },
    #[error("label {label} where there are {classes} classes")]
    Label { label: u16, classes: u16 },
    #[error(transparent)]
    Value(#[from] Refused),
}

/// Room for a prediction, kept between rows so that none is allocated for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    at: usize,
    leaf: usize,
    /// Probability of each class of the leaf, in the leaf's order; empty if it knows nothing.
    votes: Vec<f64>,
    majority: Option<u16>,
    bayes: Option<u16>,
}

impl Options {
    /// River's for the trees of its forest, looking at all features.
    pub fn new(features: u16, classes: u16) -> Self {
        Options { features, classes, subset: None, grace: 50.0, delta: 0.01, tie: 0.05 }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let Options { features, classes, subset, grace, delta, tie } = *self;
        if !((1..=MAX_WIDTH).contains(&features) && (1..=MAX_WIDTH).contains(&classes)) {
            return Err(Error::Width { features, classes });
        }
        if let Some(subset) = subset
            && !(1..=features).contains(&subset)
        {
            return Err(Error::Subset { subset, features });
        }
        let ranges = [
            ("grace", grace, grace >= 1.0 && grace.is_finite()),
            ("delta", delta, delta > 0.0 && delta < 1.0),
            ("tie", tie, tie >= 0.0 && tie.is_finite()),
        ];
        match ranges.iter().find(|(.., fits)| !fits) {
            Some(&(name, value, _)) => Err(Error::Number { name, value }),
            None => Ok(()),
        }
    }

    /// Whether a row can be learnt or judged.
    pub(crate) fn expect(&self, row: &[f64]) -> Result<(), Error> {
        if row.len() != usize::from(self.features) {
            return Err(Error::Features { expected: self.features, found: row.len() });
        }
        row.iter().try_for_each(|value| accept(*value).map(drop))?;
        Ok(())
    }

    pub(crate) fn expect_label(&self, label: u16) -> Result<(), Error> {
        if label < self.classes { Ok(()) } else { Err(Error::Label { label, classes: self.classes }) }
    }
}

impl HoeffdingTree {
    pub fn new(options: Options) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self::blank(options))
    }

    /// The likeliest class; none before anything was learnt. A row with a value that is not finite is refused.
    pub fn predict(&self, row: &[f64]) -> Result<Option<u16>, Error> {
        self.options.expect(row)?;
        let mut look = Look::default();
        self.look(row, &mut look);
        Ok(self.label(&look))
    }

    /// Takes in a row and its class, `weight` times. What is refused changes nothing. `rng` draws a leaf's subset
    /// of features, if there is to be one.
    pub fn learn(&mut self, row: &[f64], label: u16, weight: u32, rng: &mut Mersenne) -> Result<(), Error> {
        self.options.expect(row)?;
        self.options.expect_label(label)?;
        if weight > 0 {
            let mut look = Look::default();
            self.look(row, &mut look);
            self.commit(&look, row, label, f64::from(weight), rng);
        }
        Ok(())
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn leaves(&self) -> usize {
        self.leaves.len()
    }

    pub(crate) fn blank(options: Options) -> Self {
        HoeffdingTree {
            options,
            nodes: vec![Node::Leaf(0)],
            leaves: vec![Leaf::default()],
            known: vec![false; usize::from(options.classes)],
        }
    }

    /// Finds a row's leaf and what it predicts. The row must be as expected.
    pub(crate) fn look(&self, row: &[f64], look: &mut Look) {
        let mut at = 0;
        while let Node::Branch { feature, threshold, left } = self.nodes[at] {
            at = left as usize + usize::from(row[usize::from(feature)] > threshold);
        }
        look.at = at;
        if let Node::Leaf(leaf) = self.nodes[at] {
            look.leaf = leaf as usize;
        }
        self.leaves[look.leaf].judge(row, look);
    }

    /// Calls with each known class in ascending order and its probability.
    pub(crate) fn each(&self, look: &Look, mut with: impl FnMut(u16, f64)) {
        let leaf = &self.leaves[look.leaf];
        for (class, known) in self.known.iter().enumerate() {
            if *known {
                let class = class as u16;
                with(
                    class,
                    leaf.place(class).and_then(|place| look.votes.get(place)).copied().unwrap_or(0.0),
                );
            }
        }
    }

    /// The class that a look found likeliest, the lowest of equals.
    pub(crate) fn label(&self, look: &Look) -> Option<u16> {
        let mut best = None;
        self.each(look, |class, vote| {
            if best.is_none_or(|(_, most)| vote > most) {
                best = Some((class, vote));
            }
        });
        best.map(|(class, _)| class)
    }

    /// Learns a row at the leaf where it was looked at, with no change of this tree in between.
    pub(crate) fn commit(&mut self, look: &Look, row: &[f64], label: u16, weight: f64, rng: &mut Mersenne) {
        self.known[usize::from(label)] = true;
        let leaf = &mut self.leaves[look.leaf];
        if look.majority.is_none_or(|class| class == label) {
            leaf.majority_right += weight;
        }
        if look.bayes == Some(label) {
            leaf.bayes_right += weight;
        }
        if leaf.subset.is_empty() {
            leaf.subset = match self.options.subset {
                // Valid options: the subset is not larger than the features.
                Some(count) => {
                    rng.sample(u32::from(self.options.features), u32::from(count)).unwrap_or_default()
                }
                None => (0..u32::from(self.options.features)).collect(),
            };
        }
        leaf.learn(row, label, weight);
        let total = leaf.total();
        if total - leaf.attempted >= self.options.grace {
            self.attempt(look, total);
        }
    }

    fn attempt(&mut self, look: &Look, total: f64) {
        let leaf = &mut self.leaves[look.leaf];
        leaf.attempted = total;
        match split::decide(leaf, total, &self.options) {
            // River: no split is best, so the leaf stops observing; its memory limit, far away, starts it again.
            split::Decision::Forget => leaf.forget(),
            split::Decision::Split(split) if self.leaves.len() < MAX_LEAVES => {
                let left = self.nodes.len() as u32;
                let right = self.leaves.len() as u32;
                self.nodes[look.at] =
                    Node::Branch { feature: split.feature, threshold: split.threshold, left };
                self.nodes.extend([Node::Leaf(look.leaf as u32), Node::Leaf(right)]);
                self.leaves[look.leaf] = Leaf::new(split.below);
                self.leaves.push(Leaf::new(split.above));
            }
            split::Decision::Wait | split::Decision::Split(_) => {}
        }
    }
}

impl Snapshot for HoeffdingTree {
    const KIND: [u8; 4] = *b"hoef";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        ensure(self.options.validate().is_ok(), "no tree has such options")?;
        ensure(self.known.len() == usize::from(self.options.classes), "a mark for each class")?;
        ensure(matches!(self.leaves.len(), 1..=MAX_LEAVES), "a tree has 1 to 4096 leaves")?;
        ensure(self.nodes.len() == 2 * self.leaves.len() - 1, "a branch has two children")?;
        let mut children = vec![0_u8; self.nodes.len()];
        let mut leaves = vec![false; self.leaves.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            match *node {
                Node::Branch { feature, threshold, left } => {
                    let left = left as usize;
                    // Children lie behind: a walk ends.
                    ensure(left > at && left + 1 < self.nodes.len(), "a branch leads nowhere")?;
                    ensure(
                        feature < self.options.features && threshold.is_finite(),
                        "a branch asks nothing",
                    )?;
                    children[left] += 1;
                    children[left + 1] += 1;
                }
                Node::Leaf(leaf) => {
                    let twice =
                        leaves.get_mut(leaf as usize).is_none_or(|seen| std::mem::replace(seen, true));
                    ensure(!twice, "a leaf hangs twice, or is not there")?;
                }
            }
        }
        ensure(children.iter().skip(1).all(|parents| *parents == 1), "a node has one parent")?;
        ensure(self.leaves.iter().all(|leaf| leaf.holds(&self.options)), "a leaf does not hold together")
    }
}
