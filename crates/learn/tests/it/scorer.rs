//! The scorer at its face.

use kubewise_learn::entity::{self, Entity};
use kubewise_learn::scorer::{Feature, Options, Outcome, Scorer, Series, Verdict};
use kubewise_learn::snapshot::Snapshot as _;

const STEP: f64 = 300.0;

/// Numbers in 0..1, the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn play(values: impl IntoIterator<Item = f64>) -> (Series, Vec<Verdict>) {
    let scorer = Scorer::new(Options::default()).unwrap();
    let mut series = Series::default();
    let verdicts = values
        .into_iter()
        .enumerate()
        .map(|(row, value)| scorer.observe(&mut series, row as f64 * STEP, value))
        .collect();
    (series, verdicts)
}

fn noisy(rows: usize, of: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut noise = Noise(7);
    (0..rows).map(|row| of(row, noise.next())).collect()
}

#[test]
fn a_spike_is_news_and_is_explained() {
    let (_, verdicts) = play(noisy(2000, |row, noise| if row == 1800 { 30.0 } else { 10.0 + noise }));
    let spike = verdicts[1800];
    assert!(spike.score > 0.9, "{spike:?}");
    assert!(spike.p <= 1e-6 && (spike.expected - 10.5).abs() < 0.2 && spike.feature == Feature::Level);
    let others = verdicts[100..1800].iter().filter(|verdict| verdict.score >= 0.5).count();
    assert!(others <= 2, "{others} false alarms in six days");
}

#[test]
fn what_keeps_coming_back_is_no_news() {
    let (_, verdicts) =
        play(noisy(4000, |row, noise| if row % 50 == 0 && row > 1000 { 30.0 } else { 10.0 + noise }));
    assert!(verdicts[1050].score > 0.5);
    assert!(verdicts[2000..].iter().filter(|verdict| verdict.score >= 0.5).count() <= 2);
}

#[test]
fn a_missing_peak_of_the_day_is_found_by_its_season() {
    let day = |row: usize| 10.0 * (row as f64 / 288.0 * std::f64::consts::TAU).sin();
    let (series, verdicts) =
        play(noisy(
            4032,
            |row, noise| if (3800..3850).contains(&row) { noise - 9.0 } else { day(row) + noise },
        ));
    let found = verdicts[3800..3850].iter().find(|verdict| verdict.score >= 0.5);
    assert!(found.is_some_and(|verdict| verdict.feature != Feature::Level), "{found:?}");
    assert!(series.bytes() <= 1700, "{}", series.bytes());
}

#[test]
fn a_series_without_season_drops_its_profile() {
    let (series, _) = play(noisy(288 * 16, |_, noise| noise));
    assert_eq!(series.bytes(), size_of::<Series>());
    assert!(series.bytes() <= 512, "{}", series.bytes());
}

#[test]
fn a_constant_series_is_quiet_until_it_moves() {
    let (_, verdicts) = play((0..1000).map(|row| if row == 900 { 6.0 } else { 5.0 }));
    assert!(verdicts[..900].iter().all(|verdict| verdict.score < 0.5));
    assert!(verdicts[900].score > 0.5);
}

#[test]
fn bad_samples_change_nothing() {
    let scorer = Scorer::new(Options::default()).unwrap();
    let (mut series, _) = play(noisy(500, |_, noise| noise));
    let before = series.clone();
    let later = 500.0 * STEP;
    for (time, value) in [
        (later, f64::NAN),
        (later, f64::INFINITY),
        (f64::NAN, 1.0),
        (499.0 * STEP, 1.0),
        (0.0, 1.0),
        (f64::NEG_INFINITY, 1.0),
    ] {
        let verdict = scorer.observe(&mut series, time, value);
        assert_eq!((verdict.outcome, verdict.score), (Outcome::Ignored, 0.0));
    }
    assert_eq!(series, before);
}

#[test]
fn wild_values_never_yield_anything_but_numbers() {
    let wild = [0.0, -0.0, 1e308, -1e308, 1e-308, f64::MAX, f64::MIN, 1.0, f64::EPSILON];
    let (_, verdicts) = play(noisy(20_000, |_, noise| wild[(noise * wild.len() as f64) as usize]));
    for verdict in verdicts {
        assert!((0.0..=1.0).contains(&verdict.score) && (1e-8..=1.0).contains(&verdict.p), "{verdict:?}");
        assert!(verdict.expected.is_finite() && verdict.deviation.is_finite(), "{verdict:?}");
    }
}

#[test]
fn a_restored_series_goes_on_as_if_it_had_never_stopped() {
    let scorer = Scorer::new(Options::default()).unwrap();
    let values = noisy(3000, |row, noise| (row as f64 / 288.0 * std::f64::consts::TAU).sin() * 5.0 + noise);
    let (mut whole, _) = play(values.iter().copied());
    let (half, _) = play(values[..1500].iter().copied());
    let mut half = Series::restore(&half.snapshot().unwrap()).unwrap();
    for (row, value) in values.iter().enumerate().skip(1500) {
        scorer.observe(&mut half, row as f64 * STEP, *value);
    }
    assert_eq!(half, whole);
    let next = 3000.0 * STEP;
    assert_eq!(scorer.observe(&mut half, next, 3.0), scorer.observe(&mut whole, next, 3.0));
}

#[test]
fn a_unit_makes_no_difference() {
    let values = noisy(1500, |row, noise| if row == 1400 { 20.0 } else { 10.0 + noise });
    let (_, bytes) = play(values.iter().map(|value| value * 1_048_576.0));
    let (_, mebibytes) = play(values);
    // Profiles are kept in single precision, so scores agree to that.
    assert!(bytes.iter().zip(&mebibytes).all(|(a, b)| (a.score - b.score).abs() < 1e-4));
}

#[test]
fn the_source_stands_out_among_its_peers() {
    let options = Options::default();
    let mut deviations = [6.0, 8.0, 1.0];
    entity::among_peers(&mut deviations, &options);
    assert_eq!(deviations, [2.0, 5.0, -3.0]);
    assert!(entity::score(5.0, &options) > entity::score(2.0, &options));
    assert_eq!(Entity::deviation(&mut [], &options), 0.0);
    assert_eq!(Entity::deviation(&mut [1.0], &options), 1.0);
    assert_eq!(Entity::deviation(&mut [1.0, 4.0, 2.0], &options), 3.0);
}
