use kubewise_learn::half_space_trees::{Error, HalfSpaceTrees, MAX_HEIGHT, Options, Scoring};
use kubewise_learn::mersenne::Mersenne;
use kubewise_learn::snapshot::Snapshot;

fn options(trees: u16, height: u8, window: u16) -> Options {
    Options { trees, height, window, ..Options::default() }
}

/// The definition, written plainly: every count moved at the end of a window.
struct Plain {
    options: Options,
    /// Feature and threshold of each branch, tree after tree, in heap order.
    splits: Vec<Vec<(usize, f64)>>,
    fresh: Vec<Vec<u64>>,
    settled: Vec<Vec<u64>>,
    counter: u16,
    ready: bool,
}

impl Plain {
    fn new(options: &Options, features: usize) -> Self {
        let mut rng = Mersenne::new(options.seed);
        let nodes = (2 << options.height) - 1;
        let trees = usize::from(options.trees);
        let splits = (0..trees)
            .map(|_| {
                let mut splits = vec![(0, 0.0); (1 << options.height) - 1];
                let limits: Vec<(f64, f64)> = (0..features)
                    .map(|feature| options.limits.get(feature).copied().unwrap_or((0.0, 1.0)))
                    .collect();
                draw(&mut splits, 0, &limits, &mut rng);
                splits
            })
            .collect();
        let blank = vec![vec![0; nodes]; trees];
        Plain {
            options: options.clone(),
            splits,
            fresh: blank.clone(),
            settled: blank,
            counter: 0,
            ready: false,
        }
    }

    fn path(&self, tree: usize, row: &[Option<f64>]) -> Vec<usize> {
        let mut path = vec![0];
        while let Some((feature, threshold)) = self.splits[tree].get(path[path.len() - 1]) {
            let left = 2 * path[path.len() - 1] + 1;
            let right = match row[*feature] {
                Some(value) => value.is_nan() || value >= *threshold,
                None => self.fresh[tree][left] < self.fresh[tree][left + 1],
            };
            path.push(left + usize::from(right));
        }
        path
    }

    fn score(&self, row: &[Option<f64>]) -> f64 {
        if !self.ready {
            return 0.0;
        }
        let window = f64::from(self.options.window);
        let mut sum = 0.0;
        for tree in 0..self.splits.len() {
            let path = self.path(tree, row);
            for (depth, node) in path.iter().enumerate() {
                let mass = self.settled[tree][*node] as f64;
                let part = mass * 2.0_f64.powi(depth as i32);
                let last = depth + 1 == path.len() || mass < 0.1 * window;
                if self.options.scoring == Scoring::Path || last {
                    sum += part;
                }
                if last {
                    break;
                }
            }
        }
        let most = match self.options.scoring {
            Scoring::Path => 2.0_f64.powi(i32::from(self.options.height) + 1) - 1.0,
            Scoring::Terminal => 2.0_f64.powi(i32::from(self.options.height)),
        };
        1.0 - sum / (f64::from(self.options.trees) * window * most)
    }

    fn learn(&mut self, row: &[Option<f64>]) {
        for tree in 0..self.splits.len() {
            for node in self.path(tree, row) {
                self.fresh[tree][node] += 1;
            }
        }
        self.counter += 1;
        if self.counter == self.options.window {
            self.counter = 0;
            self.ready = true;
            let blank = vec![vec![0; self.fresh[0].len()]; self.fresh.len()];
            self.settled = std::mem::replace(&mut self.fresh, blank);
        }
    }
}

fn draw(splits: &mut [(usize, f64)], at: usize, limits: &[(f64, f64)], rng: &mut Mersenne) {
    if at >= splits.len() {
        return;
    }
    let mut sum = 0.0;
    let cumulative: Vec<f64> = limits
        .iter()
        .map(|(from, to)| {
            sum += to - from;
            sum
        })
        .collect();
    let chosen = rng.choose(&cumulative);
    let (from, to) = limits[chosen];
    let threshold = rng.uniform(from + 0.15 * (to - from), to - 0.15 * (to - from));
    splits[at] = (chosen, threshold);
    for (side, range) in [(from, threshold), (threshold, to)].into_iter().enumerate() {
        let mut limits = limits.to_vec();
        limits[chosen] = range;
        draw(splits, 2 * at + 1 + side, &limits, rng);
    }
}

/// Against the plain definition, on random rows with absent, NaN and infinite values.
fn check(options: &Options, points: usize) {
    let mut plain = Plain::new(options, 3);
    let mut trees = HalfSpaceTrees::new(options.clone()).unwrap();
    let mut rng = Mersenne::new(9);
    for at in 0..points {
        let mut row = [rng.random(), rng.random(), rng.random()].map(|value| Some(1.4 * value - 0.2));
        if at > 0 {
            row[rng.below(3) as usize] = match rng.below(8) {
                0 => None,
                1 => Some(f64::NAN),
                2 => Some(f64::INFINITY),
                3 => Some(f64::NEG_INFINITY),
                _ => row[0],
            };
        }
        let expect = plain.score(&row);
        assert_eq!(trees.score(&row[..]).unwrap().to_bits(), expect.to_bits(), "{options:?}, point {at}");
        assert_eq!(trees.score_and_learn(&row[..]).unwrap().to_bits(), expect.to_bits(), "{options:?} {at}");
        plain.learn(&row);
    }
}

#[test]
fn equals_the_plain_definition() {
    for scoring in [Scoring::Path, Scoring::Terminal] {
        check(&Options { scoring, ..options(1, 1, 10) }, 300);
        check(&Options { scoring, ..options(7, 6, 40) }, 1000);
        check(&Options { scoring, limits: vec![(-1.0, 2.0), (0.5, 0.75)], ..options(11, 4, 25) }, 500);
    }
}

#[test]
fn window_numbers_may_run_over() {
    check(&options(2, 3, 1), (1 << 16) + 500);
}

/// Against River, with limits: a in (−3, 7), b in (−10, 10).
#[test]
fn scores_within_limits_as_river() {
    let limits = vec![(-3.0, 7.0), (-10.0, 10.0)];
    let mut trees = HalfSpaceTrees::new(Options { seed: 5, limits, ..options(4, 4, 20) }).unwrap();
    let mut rng = Mersenne::new(42);
    let scores: Vec<f64> = (0..200)
        .map(|_| {
            let row = [rng.random(), rng.random()].map(|value| value * 10.0 - 3.0);
            trees.score_and_learn(&row[..]).unwrap()
        })
        .collect();
    let at = [20, 21, 50, 199].map(|at| scores[at]);
    assert_eq!(
        at,
        [0.721_774_193_548_387_1, 0.623_387_096_774_193_6, 0.613_709_677_419_354_9, 0.766_935_483_870_967_8]
    );
}

#[test]
fn stays_within_its_memory() {
    for (trees, height, bytes) in [(10, 8, 100_000), (25, 15, 20_000_000)] {
        let mut model = HalfSpaceTrees::new(options(trees, height, 250)).unwrap();
        model.learn(&[0.5; 8][..]).unwrap();
        assert!(model.bytes() <= bytes, "{trees} trees of height {height}: {} bytes", model.bytes());
    }
}

#[test]
fn a_snapshot_holds_only_what_was_passed() {
    let mut model = HalfSpaceTrees::new(options(25, 15, 250)).unwrap();
    let mut rng = Mersenne::new(1);
    for _ in 0..1000 {
        model.learn(&[rng.random(), rng.random()][..]).unwrap();
    }
    let length = model.snapshot().unwrap().len();
    assert!(length < 1_000_000, "{length} bytes");
}

#[test]
fn refuses_what_means_nothing() {
    for (trees, height) in [(0, 8), (10, 0), (1, MAX_HEIGHT + 1), (u16::MAX, 15)] {
        assert_eq!(HalfSpaceTrees::new(options(trees, height, 250)), Err(Error::Shape { trees, height }));
    }
    assert_eq!(HalfSpaceTrees::new(options(1, 1, 0)), Err(Error::Window));
    for (from, to) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        let limits = vec![(0.0, 1.0), (from, to)];
        let refused = HalfSpaceTrees::new(Options { limits, ..options(1, 1, 10) });
        assert!(matches!(refused, Err(Error::Limits { feature: 1, .. })), "{from} {to}");
    }
    let mut model = HalfSpaceTrees::new(options(2, 2, 5)).unwrap();
    assert_eq!(model.learn(&[None, None][..]), Err(Error::FirstRow));
    assert_eq!(model.learn(&[0.0; 0][..]), Err(Error::FirstRow));
    model.learn(&[Some(0.5), None][..]).unwrap();
    assert_eq!(model.learn(&[0.5; 3][..]), Err(Error::Features { expected: 2, found: 3 }));
}
