//! A forest that follows a changing stream: River 0.26.1's ARFClassifier, with its defaults.
//!
//! Each tree learns each row a random number of times (Poisson) and looks at random subsets of features, so that
//! the trees differ. Two ADWIN detectors watch a tree's errors: the sensitive one starts a second tree in the
//! background, the other puts that one in the tree's place. Votes are weighted by how often a tree was right since
//! it was put there. (H. M. Gomes et al., "Adaptive random forests for evolving data stream classification",
//! Machine Learning 2017.)

use serde::{Deserialize, Serialize};

use crate::adwin::{self, Adwin};
use crate::hoeffding_tree::{self as tree, HoeffdingTree, Look};
use crate::mersenne::Mersenne;
use crate::snapshot::{self, Snapshot, ensure};

/// Trees, at most: beyond, votes hardly change.
pub const MAX_TREES: u16 = 1000;

/// What is chosen once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// 1 to [`MAX_TREES`].
    pub trees: u16,
    /// How often a tree learns a row, on average; more than 0, at most 100.
    pub lambda: f64,
    /// Of each tree; without a subset, the square root of the number of features.
    pub tree: tree::Options,
    /// Puts the background tree in place.
    pub drift: adwin::Options,
    /// Starts a background tree.
    pub warning: adwin::Options,
    pub seed: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdaptiveForest {
    options: Options,
    rng: Mersenne,
    members: Vec<Member>,
    warnings: u64,
    drifts: u64,
    #[serde(skip)]
    room: Room,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    tree: HoeffdingTree,
    background: Option<HoeffdingTree>,
    warning: Adwin,
    drift: Adwin,
    /// Rows predicted since the tree was put here, and those predicted rightly.
    judged: f64,
    right: f64,
}

/// Kept between rows, so that none is allocated for each.
#[derive(Clone, Debug, Default)]
struct Room {
    look: Look,
    other: Look,
    votes: Votes,
}

/// Votes in order of first mention: equal votes go to the first.
#[derive(Clone, Debug, Default)]
struct Votes(Vec<(u16, f64)>);

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{0} trees; write 1 to {MAX_TREES}")]
    Trees(u16),
    #[error("lambda {0} is not above 0 and at most 100")]
    Lambda(f64),
    #[error(transparent)]
    Tree(#[from] tree::Error),
    #[error(transparent)]
    Detector(#[from] adwin::Error),
}

impl Options {
    /// River's.
    pub fn new(features: u16, classes: u16, seed: u64) -> Self {
        let detector = |delta| adwin::Options { delta, ..adwin::Options::default() };
        Options {
            trees: 10,
            lambda: 6.0,
            tree: tree::Options::new(features, classes),
            drift: detector(0.001),
            warning: detector(0.01),
            seed,
        }
    }
}

impl AdaptiveForest {
    pub fn new(mut options: Options) -> Result<Self, Error> {
        if options.tree.subset.is_none() {
            let root = f64::from(options.tree.features).sqrt().round_ties_even();
            options.tree.subset = Some((root as u16).clamp(1, options.tree.features.max(1)));
        }
        validate(&options)?;
        let member = Member::blank(&options)?;
        Ok(AdaptiveForest {
            options,
            rng: Mersenne::new(options.seed),
            members: vec![member; usize::from(options.trees)],
            warnings: 0,
            drifts: 0,
            room: Room::default(),
        })
    }

    /// The likeliest class; none before anything was learnt. A row with a value that is not finite is refused.
    pub fn predict(&self, row: &[f64]) -> Result<Option<u16>, Error> {
        Ok(self.votes(row)?.first())
    }

    /// The share of the votes that a class has, from 0 to 1; none before anything was learnt.
    pub fn share(&self, row: &[f64], class: u16) -> Result<Option<f64>, Error> {
        Ok(self.votes(row)?.share(class))
    }

    /// Takes in a row and its class; what is refused changes nothing.
    pub fn learn(&mut self, row: &[f64], label: u16) -> Result<(), Error> {
        self.predict_and_learn(row, label).map(drop)
    }

    /// What [`Self::predict`] says before the row is learnt, and learns it; each tree is walked once.
    pub fn predict_and_learn(&mut self, row: &[f64], label: u16) -> Result<Option<u16>, Error> {
        self.options.tree.expect(row)?;
        self.options.tree.expect_label(label)?;
        let Room { look, other, votes } = &mut self.room;
        votes.0.clear();
        let limit = (-self.options.lambda).exp();
        for member in &mut self.members {
            member.tree.look(row, look);
            votes.add(member, look);
            let wrong = member.tree.label(look) != Some(label);
            member.judged += 1.0;
            member.right += f64::from(u8::from(!wrong));
            let times = poisson(limit, &mut self.rng);
            if times == 0 {
                continue;
            }
            let times = f64::from(times);
            if let Some(background) = &mut member.background {
                background.look(row, other);
                background.commit(other, row, label, times, &mut self.rng);
            }
            member.tree.commit(look, row, label, times, &mut self.rng);
            let turn = member.watch(wrong, &self.options);
            self.warnings += u64::from(turn.warned);
            self.drifts += u64::from(turn.drifted);
        }
        Ok(votes.first())
    }

    /// Times that a background tree was begun.
    pub fn warnings(&self) -> u64 {
        self.warnings
    }

    /// Times that a tree was replaced.
    pub fn drifts(&self) -> u64 {
        self.drifts
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    fn votes(&self, row: &[f64]) -> Result<Votes, Error> {
        self.options.tree.expect(row)?;
        let mut look = Look::default();
        let mut votes = Votes::default();
        for member in &self.members {
            member.tree.look(row, &mut look);
            votes.add(member, &look);
        }
        Ok(votes)
    }
}

struct Turn {
    warned: bool,
    drifted: bool,
}

impl Member {
    fn blank(options: &Options) -> Result<Self, Error> {
        Ok(Member {
            tree: HoeffdingTree::new(options.tree)?,
            background: None,
            warning: Adwin::new(options.warning)?,
            drift: Adwin::new(options.drift)?,
            judged: 0.0,
            right: 0.0,
        })
    }

    /// Tells the detectors whether the tree was wrong, and does what they ask for.
    fn watch(&mut self, wrong: bool, options: &Options) -> Turn {
        let error = f64::from(u8::from(wrong));
        // The detectors take any 0 or 1.
        let warned = self.warning.update(error).unwrap_or(false);
        if warned {
            self.background = Some(HoeffdingTree::blank(options.tree));
            self.warning.restart();
        }
        let drifted = self.drift.update(error).unwrap_or(false);
        if drifted {
            // Without a background tree River keeps the warning detector as it is.
            self.tree = match self.background.take() {
                Some(background) => {
                    self.warning.restart();
                    background
                }
                None => HoeffdingTree::blank(options.tree),
            };
            self.drift.restart();
            self.judged = 0.0;
            self.right = 0.0;
        }
        Turn { warned, drifted }
    }
}

impl Votes {
    fn add(&mut self, member: &Member, look: &Look) {
        let accuracy = if member.judged > 0.0 { member.right / member.judged } else { 0.0 };
        let weight = if accuracy > 0.0 { accuracy } else { 1.0 };
        member.tree.each(look, |class, vote| {
            let vote = vote * weight;
            match self.0.iter_mut().find(|(known, _)| *known == class) {
                Some((_, sum)) => *sum += vote,
                None => self.0.push((class, vote)),
            }
        });
    }

    fn share(&self, class: u16) -> Option<f64> {
        let total = self.0.iter().fold(0.0, |sum, (_, vote)| sum + vote);
        let own = self.0.iter().find(|(known, _)| *known == class).map_or(0.0, |(_, vote)| *vote);
        (total > 0.0).then(|| own / total)
    }

    fn first(&self) -> Option<u16> {
        let total = self.0.iter().fold(0.0, |sum, (_, vote)| sum + vote);
        let total = if total > 0.0 { total } else { 1.0 };
        let mut best: Option<(u16, f64)> = None;
        for (class, vote) in &self.0 {
            // Divided as River does: two votes can become equal by that.
            let vote = vote / total;
            if best.is_none_or(|(_, most)| vote > most) {
                best = Some((*class, vote));
            }
        }
        best.map(|(class, _)| class)
    }
}

impl Snapshot for AdaptiveForest {
    const KIND: [u8; 4] = *b"arfc";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        ensure(
            validate(&self.options).is_ok() && self.options.tree.subset.is_some(),
            "no forest has such options",
        )?;
        ensure(self.members.len() == usize::from(self.options.trees), "a member for each tree")?;
        self.rng.check()?;
        for member in &self.members {
            for tree in std::iter::once(&member.tree).chain(&member.background) {
                tree.check()?;
                ensure(*tree.options() == self.options.tree, "a tree of another forest")?;
            }
            for (detector, options) in
                [(&member.warning, &self.options.warning), (&member.drift, &self.options.drift)]
            {
                detector.check()?;
                ensure(detector.options() == options, "a detector of another forest")?;
            }
            let counts = (0.0..=member.judged).contains(&member.right) && member.judged.is_finite();
            ensure(counts, "more right than judged")?;
        }
        Ok(())
    }
}

fn validate(options: &Options) -> Result<(), Error> {
    if !(1..=MAX_TREES).contains(&options.trees) {
        return Err(Error::Trees(options.trees));
    }
    if !(options.lambda > 0.0 && options.lambda <= 100.0) {
        return Err(Error::Lambda(options.lambda));
    }
    options.tree.validate()?;
    options.drift.validate()?;
    options.warning.validate()?;
    Ok(())
}

/// D. Knuth's way, with e^−λ given: how many uniform numbers multiply to more than that.
fn poisson(limit: f64, rng: &mut Mersenne) -> u32 {
    let mut count = 0;
    let mut product = 1.0;
    while product > limit {
        count += 1;
        product *= rng.random();
    }
    count - 1
}
