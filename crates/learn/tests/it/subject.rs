//! Every learner behind one face, so that one test holds all of them to what they promise in common.

use kubewise_learn::adaptive_forest::{self, AdaptiveForest};
use kubewise_learn::adwin::{self, Adwin};
use kubewise_learn::ewma::{Level, Pace};
use kubewise_learn::half_space_trees::{self, HalfSpaceTrees};
use kubewise_learn::hoeffding_tree::{self, HoeffdingTree};
use kubewise_learn::hysteresis::{Hysteresis, Switch, Zone};
use kubewise_learn::mersenne::Mersenne;
use kubewise_learn::page_hinkley::{self, PageHinkley};
use kubewise_learn::quantile::Quantile;
use kubewise_learn::scale::{Scaler, Scaling};
use kubewise_learn::scaled_trees::ScaledTrees;
use kubewise_learn::scorer::{self, Outcome, Scorer, Series};
use kubewise_learn::snapshot::Snapshot;
use kubewise_learn::spot::{self, Tail};
use kubewise_learn::trend::{Holt, TheilSen};

pub(crate) trait Subject: Snapshot + Clone {
    fn fresh() -> Self;
    /// Takes in a number and tells all it has to say; none if the number is refused.
    fn feed(&mut self, at: usize, number: f64) -> Option<Vec<f64>>;
}

/// Runs `$test::<L>(arguments)` for every learner.
macro_rules! for_every_learner {
    ($test:ident($($argument:expr),*)) => {
        for_every_learner!(@ $test ($($argument),*)
            kubewise_learn::ewma::Level, kubewise_learn::hysteresis::Hysteresis,
            kubewise_learn::mersenne::Mersenne, kubewise_learn::adwin::Adwin,
            kubewise_learn::page_hinkley::PageHinkley, kubewise_learn::quantile::Quantile,
            kubewise_learn::spot::Tail, kubewise_learn::scorer::Series,
            kubewise_learn::trend::Holt, kubewise_learn::trend::TheilSen,
            $crate::subject::MinMax, $crate::subject::WindowMinMax, $crate::subject::Standard,
            $crate::subject::WindowStandard, $crate::subject::AdaptiveStandard,
            kubewise_learn::half_space_trees::HalfSpaceTrees, kubewise_learn::scaled_trees::ScaledTrees,
            kubewise_learn::hoeffding_tree::HoeffdingTree,
            kubewise_learn::adaptive_forest::AdaptiveForest)
    };
    (@ $test:ident $arguments:tt $($learner:ty),*) => {
        $( for_every_learner!(# $test $learner, $arguments); )*
    };
    (# $test:ident $learner:ty, ($($argument:expr),*)) => { $test::<$learner>($($argument),*) };
}
pub(crate) use for_every_learner;

/// Four numbers from one.
fn row(number: f64) -> [f64; 4] {
    [number, (number * 7.0).fract(), number * -0.5, (number * 31.0).fract()]
}

fn label(number: f64) -> u16 {
    u16::from(number > 0.5) + u16::from((number * 7.0).fract() > 0.8)
}

impl Subject for Level {
    fn fresh() -> Self {
        Level::default()
    }

    fn feed(&mut self, _at: usize, number: f64) -> Option<Vec<f64>> {
        let score = self.score(number, 1e-3).ok()?;
        self.learn(number, 1e-3, &Pace::new(50.0, 4.0).unwrap()).ok()?;
        Some(vec![score, self.mean(), self.deviation()])
    }
}

impl Subject for Hysteresis {
    fn fresh() -> Self {
        Hysteresis::default()
    }

    fn feed(&mut self, _at: usize, number: f64) -> Option<Vec<f64>> {
        let zone = if number > 0.6 { Zone::Over } else { Zone::Under };
        let turn = self.push(zone, &Switch::new(3, 5, 2).unwrap());
        Some(vec![f64::from(u8::from(turn.is_some())), f64::from(u8::from(self.is_on()))])
    }
}

impl Subject for Mersenne {
    fn fresh() -> Self {
        Mersenne::new(42)
    }

    fn feed(&mut self, at: usize, _number: f64) -> Option<Vec<f64>> {
        let mut said = vec![self.random(), f64::from(self.below(at as u32))];
        said.extend(self.sample(at as u32 + 9, 9).unwrap().into_iter().map(f64::from));
        Some(said)
    }
}

impl Subject for Adwin {
    fn fresh() -> Self {
        Adwin::new(adwin::Options { clock: 3, ..adwin::Options::default() }).unwrap()
    }

    fn feed(&mut self, at: usize, number: f64) -> Option<Vec<f64>> {
        let shifted = if at % 150 < 75 { number } else { number + 3.0 };
        let changed = self.update(shifted).ok()?;
        Some(vec![f64::from(u8::from(changed)), self.width(), self.total(), self.mean()])
    }
}

impl Subject for PageHinkley {
    fn fresh() -> Self {
        let options = page_hinkley::Options { threshold: 5.0, ..page_hinkley::Options::default() };
        PageHinkley::new(options).unwrap()
    }

    fn feed(&mut self, at: usize, number: f64) -> Option<Vec<f64>> {
        let shifted = if at % 150 < 75 { number } else { number + 3.0 };
        let changed = self.update(shifted).ok()?;
        Some(vec![f64::from(u8::from(changed)), self.mean()])
    }
}

impl Subject for Quantile {
    fn fresh() -> Self {
        Quantile::new(0.9).unwrap()
    }

    fn feed(&mut self, _at: usize, number: f64) -> Option<Vec<f64>> {
        self.learn(number).ok()?;
        Some(vec![self.value().unwrap(), self.upper().unwrap()])
    }
}

impl Subject for Tail {
    fn fresh() -> Self {
        Tail::default()
    }

    fn feed(&mut self, _at: usize, number: f64) -> Option<Vec<f64>> {
        let rarity = self.observe(number.is_finite().then_some(number)?.abs(), &spot::Options::default());
        assert!((0.0..400.0).contains(&rarity), "{rarity}");
        Some(vec![rarity])
    }
}

impl Subject for Series {
    fn fresh() -> Self {
        Series::default()
    }

    fn feed(&mut self, at: usize, number: f64) -> Option<Vec<f64>> {
        let scorer = Scorer::new(scorer::Options { warm_up: 10, ..scorer::Options::default() }).unwrap();
        let verdict = scorer.observe(self, at as f64 * 3600.0, number);
        assert!((0.0..=1.0).contains(&verdict.score) && (0.0..=1.0).contains(&verdict.p), "{verdict:?}");
        let told = vec![verdict.score, verdict.p, verdict.expected, verdict.deviation];
        (verdict.outcome != Outcome::Ignored).then_some(told)
    }
}

impl Subject for Holt {
    fn fresh() -> Self {
        Holt::new(0.3, 0.1).unwrap()
    }

    fn feed(&mut self, at: usize, number: f64) -> Option<Vec<f64>> {
        self.learn(15.0 * at as f64, number).ok()?;
        let line = self.line();
        let reach = line.and_then(|line| line.reach(10.0));
        Some(line.map_or(vec![], |line| vec![line.value, line.slope, reach.unwrap_or(-1.0)]))
    }
}

impl Subject for TheilSen {
    fn fresh() -> Self {
        TheilSen::new(8).unwrap()
    }

    fn feed(&mut self, at: usize, number: f64) -> Option<Vec<f64>> {
        self.learn(15.0 * at as f64, number).ok()?;
        let line = self.line();
        let reach = line.and_then(|line| line.reach(10.0));
        Some(line.map_or(vec![], |line| vec![line.value, line.slope, reach.unwrap_or(-1.0)]))
    }
}

/// A scaler of one kind.
macro_rules! scaler {
    ($name:ident, $scaling:expr) => {
        #[derive(Clone, serde::Serialize, serde::Deserialize)]
        pub(crate) struct $name(Scaler);

        impl Snapshot for $name {
            const KIND: [u8; 4] = Scaler::KIND;
            const VERSION: u16 = Scaler::VERSION;

            fn check(&self) -> Result<(), kubewise_learn::snapshot::Inconsistent> {
                self.0.check()
            }
        }

        impl Subject for $name {
            fn fresh() -> Self {
                $name(Scaler::new($scaling).unwrap())
            }

            fn feed(&mut self, _at: usize, number: f64) -> Option<Vec<f64>> {
                let before = self.0.scale(number).ok()?;
                self.0.learn(number).ok()?;
                Some(vec![before, self.0.scale(number).unwrap()])
            }
        }
    };
}
scaler!(MinMax, Scaling::MinMax);
scaler!(WindowMinMax, Scaling::WindowMinMax(20));
scaler!(Standard, Scaling::Standard);
scaler!(WindowStandard, Scaling::WindowStandard(20));
scaler!(AdaptiveStandard, Scaling::AdaptiveStandard(0.3));

fn trees() -> half_space_trees::Options {
    half_space_trees::Options { trees: 3, height: 5, window: 30, ..half_space_trees::Options::default() }
}

impl Subject for HalfSpaceTrees {
    fn fresh() -> Self {
        HalfSpaceTrees::new(trees()).unwrap()
    }

    /// With a feature absent now and then.
    fn feed(&mut self, at: usize, number: f64) -> Option<Vec<f64>> {
        let row = row(number).map(Some);
        if at > 0 && at.is_multiple_of(3) {
            let row = [row[0], None, row[2], row[3]];
            return Some(vec![self.score_and_learn(&row[..]).ok()?]);
        }
        Some(vec![self.score_and_learn(&row[..]).ok()?])
    }
}

impl Subject for ScaledTrees {
    fn fresh() -> Self {
        ScaledTrees::new(Scaling::WindowMinMax(50), trees()).unwrap()
    }

    fn feed(&mut self, _at: usize, number: f64) -> Option<Vec<f64>> {
        let row = row(number);
        let score = self.score(&row[..]).ok();
        self.learn(&row[..]).ok()?;
        Some(vec![score.unwrap()])
    }
}

impl Subject for HoeffdingTree {
    fn fresh() -> Self {
        HoeffdingTree::new(hoeffding_tree::Options::new(4, 3)).unwrap()
    }

    fn feed(&mut self, _at: usize, number: f64) -> Option<Vec<f64>> {
        let predicted = self.predict(&row(number)).ok()?;
        self.learn(&row(number), label(number), 2, &mut Mersenne::new(1)).ok()?;
        Some(vec![predicted.map_or(-1.0, f64::from), self.leaves() as f64])
    }
}

impl Subject for AdaptiveForest {
    fn fresh() -> Self {
        let mut options = adaptive_forest::Options::new(4, 3, 42);
        options.trees = 3;
        options.warning.clock = 1;
        AdaptiveForest::new(options).unwrap()
    }

    fn feed(&mut self, at: usize, number: f64) -> Option<Vec<f64>> {
        let label = if at < 250 { label(number) } else { 2 - label(number) };
        let predicted = self.predict_and_learn(&row(number), label).ok()?;
        Some(vec![predicted.map_or(-1.0, f64::from), self.drifts() as f64, self.warnings() as f64])
    }
}
