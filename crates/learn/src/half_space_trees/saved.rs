//! The trees on paper: what seed and options give again is not written, nor is a node that nobody passed.
//!
//! 25 trees of height 15 have 18 MB; with windows of 250 points at most 500 paths of 16 nodes a tree hold counts.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::build::Mass;
use super::{HalfSpaceTrees, MAX_FEATURES, Options};

#[derive(Serialize, Deserialize)]
struct Saved {
    options: Options,
    features: Option<u32>,
    used: Vec<u16>,
    counter: u16,
    ready: bool,
    /// Nodes to skip, points of this window, points of the last; branches first, then leaves.
    masses: Vec<(u32, u16, u16)>,
}

impl Serialize for HalfSpaceTrees {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut masses = Vec::new();
        let mut skipped = 0;
        for mass in self.branches.iter().map(|branch| branch.mass()).chain(self.leaves.iter().copied()) {
            let (fresh, settled) = (mass.fresh(self.window), mass.settled(self.window));
            if (fresh, settled) == (0, 0) {
                skipped += 1;
            } else {
                masses.push((skipped, fresh, settled));
                skipped = 0;
            }
        }
        let saved = Saved {
            options: self.options.clone(),
            features: self.features.map(|count| count as u32),
            used: self.used.clone(),
            counter: self.counter,
            ready: self.ready,
            masses,
        };
        saved.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HalfSpaceTrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let saved = Saved::deserialize(deserializer)?;
        take_up(saved).map_err(D::Error::custom)
    }
}

fn take_up(saved: Saved) -> Result<HalfSpaceTrees, &'static str> {
    let window = saved.options.window;
    let mut trees = HalfSpaceTrees::new(saved.options).map_err(|_| "no trees have such options")?;
    if saved.counter >= window {
        return Err("the window is over-full");
    }
    trees.counter = saved.counter;
    trees.ready = saved.ready;
    let Some(features) = saved.features else {
        let blank = saved.used.is_empty() && saved.masses.is_empty() && !saved.ready && saved.counter == 0;
        return if blank { Ok(trees) } else { Err("points without features") };
    };
    let features = features as usize;
    let ascending = saved.used.windows(2).all(|pair| pair[0] < pair[1]);
    let within = saved.used.last().is_some_and(|last| usize::from(*last) < features);
    if features > MAX_FEATURES || !ascending || !within {
        return Err("the trees use features that no row has");
    }
    trees.plant(features, saved.used);
    let mut next = 0_usize;
    for (skipped, fresh, settled) in saved.masses {
        let at = next.saturating_add(skipped as usize);
        next = at + 1;
        if fresh > saved.counter || settled > window {
            return Err("a node was passed by more points than there were");
        }
        let mass = Mass { fresh, settled, window: trees.window };
        match trees.branches.get_mut(at) {
            Some(branch) => branch.set_mass(mass),
            None => *trees.leaves.get_mut(at - trees.branches.len()).ok_or("more masses than nodes")? = mass,
        }
    }
    Ok(trees)
}
