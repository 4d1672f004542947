use kubewise_learn::adwin::{self, Adwin};
use kubewise_learn::page_hinkley::{self, Mode, PageHinkley};
use proptest::prelude::*;

/// The definition, written plainly: each border is computed in full.
struct Plain {
    options: adwin::Options,
    /// Buckets of 2^i values: sum and sum of squared differences, the oldest first.
    rows: Vec<Vec<(f64, f64)>>,
    width: f64,
    total: f64,
    variance: f64,
    tick: u32,
}

impl Plain {
    fn new(options: adwin::Options) -> Self {
        Plain { options, rows: vec![vec![]], width: 0.0, total: 0.0, variance: 0.0, tick: 0 }
    }

    fn update(&mut self, value: f64) -> bool {
        self.width += 1.0;
        if self.width > 1.0 {
            let apart = value - self.total / (self.width - 1.0);
            self.variance += (self.width - 1.0) * apart * apart / self.width;
        }
        self.total += value;
        self.rows[0].push((value, 0.0));
        let mut row = 0;
        while self.rows[row].len() == 6 {
            let size = 2.0_f64.powi(row as i32);
            let (first, second) = (self.rows[row].remove(0), self.rows[row].remove(0));
            let apart = first.0 / size - second.0 / size;
            let merged = (first.0 + second.0, first.1 + second.1 + size * 0.5 * apart * apart);
            row += 1;
            if row == self.rows.len() {
                self.rows.push(vec![]);
            }
            self.rows[row].push(merged);
        }
        self.tick += 1;
        let mut changed = false;
        if self.tick.is_multiple_of(self.options.clock) && self.width > f64::from(self.options.grace) {
            while self.cut() {
                changed = true;
                self.drop_oldest();
            }
        }
        changed
    }

    fn cut(&self) -> bool {
        let least = f64::from(self.options.min_side);
        let (mut n0, mut n1, mut u0, mut u1) = (0.0, self.width, 0.0, self.total);
        for (row, buckets) in self.rows.iter().enumerate().rev() {
            for (at, (total, _)) in buckets.iter().enumerate() {
                n0 += 2.0_f64.powi(row as i32);
                n1 -= 2.0_f64.powi(row as i32);
                u0 += total;
                u1 -= total;
                if row == 0 && at + 1 == buckets.len() {
                    return false;
                }
                let evidence = (2.0 * self.width.ln() / self.options.delta).ln();
                let sides = 1.0 / (n0 - least + 1.0) + 1.0 / (n1 - least + 1.0);
                let bound = (2.0 * sides * (self.variance / self.width) * evidence).sqrt()
                    + 2.0 / 3.0 * evidence * sides;
                if n0 >= least && n1 >= least && (u0 / n0 - u1 / n1).abs() > bound {
                    return true;
                }
            }
        }
        false
    }

    fn drop_oldest(&mut self) {
        let size = 2.0_f64.powi(self.rows.len() as i32 - 1);
        let oldest = self.rows.last_mut().unwrap();
        let (total, variance) = oldest.remove(0);
        if oldest.is_empty() {
            self.rows.pop();
        }
        self.width -= size;
        self.total -= total;
        let apart = total / size - self.total / self.width;
        self.variance -= variance + size * self.width * apart * apart / (size + self.width);
    }
}

proptest! {
    #[test]
    fn decides_as_the_plain_definition(
        values in prop::collection::vec(-1.0..1.0_f64, 10..1500),
        jumps in prop::collection::vec((0..1500_usize, -4.0..4.0_f64), 0..6),
        magnitude in prop::sample::select(vec![1e-12, 1e-3, 1.0, 1e6, 1e100]),
        offset in prop::sample::select(vec![0.0, 1.0, -1e9]),
        delta in 1e-6..0.5_f64,
        clock in 1..40_u32,
    ) {
        let options = adwin::Options { delta, clock, ..adwin::Options::default() };
        let (mut plain, mut adwin) = (Plain::new(options), Adwin::new(options).unwrap());
        for (at, value) in values.iter().enumerate() {
            let jump: f64 = jumps.iter().filter(|(from, _)| at >= *from).map(|(_, jump)| jump).sum();
            let value = offset + magnitude * (value + jump);
            if adwin.changed() {
                plain = Plain::new(options);
            }
            prop_assert_eq!(adwin.update(value).unwrap(), plain.update(value), "at {}", at);
            prop_assert_eq!(adwin.width(), plain.width);
            prop_assert_eq!(adwin.total().to_bits(), plain.total.to_bits());
        }
    }

    #[test]
    fn the_window_holds_the_last_values(values in prop::collection::vec(-10.0..10.0, 1..400), jump in 0.0..30.0) {
        let mut adwin = Adwin::new(adwin::Options { clock: 1, ..adwin::Options::default() }).unwrap();
        let mut since = 0;
        let values: Vec<f64> =
            values.iter().enumerate().map(|(at, value)| if at > 150 { value + jump } else { *value }).collect();
        for (at, value) in values.iter().enumerate() {
            // After a change the window starts anew.
            since = if adwin.changed() { at } else { since };
            adwin.update(*value).unwrap();
            let width = adwin.width() as usize;
            prop_assert!(width <= at + 1 - since);
            let mean = values[at + 1 - width..=at].iter().sum::<f64>() / width as f64;
            prop_assert!((adwin.mean() - mean).abs() < 1e-9, "{} {mean}", adwin.mean());
        }
    }
}

#[test]
fn a_jump_is_seen_and_a_constant_is_not() {
    let mut adwin = Adwin::new(adwin::Options::default()).unwrap();
    assert!((0..5000).all(|_| !adwin.update(1e6).unwrap()));
    assert!((0..200).any(|_| adwin.update(1e6 + 100.0).unwrap()));
    let mut both = PageHinkley::new(page_hinkley::Options::default()).unwrap();
    assert!((0..5000).all(|_| !both.update(3.0).unwrap()));
    assert!((0..50).any(|_| both.update(13.0).unwrap()));
}

#[test]
fn page_hinkley_looks_where_it_is_told() {
    let check = |mode, jump: f64, expect: bool| {
        let mut test = PageHinkley::new(page_hinkley::Options { mode, ..Default::default() }).unwrap();
        (0..100).for_each(|_| assert!(!test.update(0.0).unwrap()));
        assert_eq!((0..50).any(|_| test.update(jump).unwrap()), expect, "{mode:?} {jump}");
    };
    for (jump, up, down) in [(10.0, true, false), (-10.0, false, true)] {
        check(Mode::Up, jump, up);
        check(Mode::Down, jump, down);
        check(Mode::Both, jump, true);
    }
}

#[test]
fn refuses_what_means_nothing() {
    for delta in [0.0, 1.0, f64::NAN] {
        assert!(matches!(
            Adwin::new(adwin::Options { delta, ..Default::default() }),
            Err(adwin::Error::Delta(_))
        ));
    }
    assert_eq!(Adwin::new(adwin::Options { clock: 0, ..Default::default() }), Err(adwin::Error::Zero));
    let alpha = PageHinkley::new(page_hinkley::Options { alpha: 1.5, ..Default::default() });
    assert_eq!(alpha, Err(page_hinkley::Error::Alpha(1.5)));
    let threshold = PageHinkley::new(page_hinkley::Options { threshold: -1.0, ..Default::default() });
    assert_eq!(threshold.unwrap_err().to_string(), "threshold -1 is not a number from 0 on");
}
