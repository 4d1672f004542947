use kubewise_learn::ewma::{Error, Level, MAX_SCORE, Pace};
use proptest::prelude::*;

const FLOOR: f64 = 1e-3;

fn learnt(values: &[f64], pace: &Pace) -> Level {
    let mut level = Level::default();
    for value in values {
        level.learn(*value, FLOOR, pace).unwrap();
    }
    level
}

/// Mean and variance by explicit weights over all values.
fn recomputed(values: &[f64], half_life: f64) -> (f64, f64) {
    let weight = 1.0 - 0.5_f64.powf(1.0 / half_life);
    let mut weights: Vec<f64> = Vec::new();
    for index in 0..values.len() {
        let own = weight.max(1.0 / (index as f64 + 1.0));
        for earlier in &mut weights {
            *earlier *= 1.0 - own;
        }
        weights.push(own);
    }
    let weighted = |of: &dyn Fn(f64) -> f64| -> f64 {
        weights.iter().zip(values).map(|(weight, value)| weight * of(*value)).sum()
    };
    let mean = weighted(&|value| value);
    (mean, weighted(&|value| (value - mean).powi(2)))
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * scale.max(1.0)
}

proptest! {
    #[test]
    fn equals_the_weighted_mean_and_variance_of_all_values(
        values in prop::collection::vec(-1e6..1e6, 1..300),
        half_life in 1.0..500.0,
    ) {
        let level = learnt(&values, &Pace::new(half_life, f64::INFINITY).unwrap());
        let (mean, variance) = recomputed(&values, half_life);
        prop_assert!(close(level.mean(), mean, 1e6), "{} {mean}", level.mean());
        prop_assert!(close(level.deviation().powi(2), variance, 1e12), "{} {variance}", level.deviation());
        prop_assert_eq!(level.count() as usize, values.len());
    }

    #[test]
    fn stays_finite_for_any_finite_values(values in prop::collection::vec(any::<f64>(), 0..200)) {
        let pace = Pace::new(50.0, 4.0).unwrap();
        let mut level = Level::default();
        for value in values {
            let before = level;
            let learnt = level.learn(value, FLOOR, &pace);
            prop_assert_eq!(learnt.is_ok(), value.is_finite());
            if learnt.is_err() {
                prop_assert_eq!(level, before);
            }
            prop_assert!(level.mean().is_finite() && level.deviation().is_finite());
            if let Ok(score) = level.score(value, FLOOR) {
                prop_assert!(score.abs() <= MAX_SCORE);
            }
        }
    }

    #[test]
    fn an_outlier_of_any_height_moves_the_level_by_a_bounded_step(height in 1e3..1e300_f64) {
        let pace = Pace::new(100.0, 4.0).unwrap();
        let mut level = learnt(&[10.0, 11.0, 9.0, 10.5].repeat(20), &pace);
        let before = level;
        level.learn(height, FLOOR, &pace).unwrap();
        prop_assert!(level.mean() - before.mean() <= 4.0 * before.deviation() / 80.0 + 1e-12);
        prop_assert!(level.deviation() <= 1.2 * before.deviation());
    }
}

#[test]
fn a_constant_series_has_the_floor_as_its_scale() {
    let pace = Pace::new(100.0, 4.0).unwrap();
    let mut level = learnt(&[5.0; 200], &pace);
    assert_eq!(level.score(5.0 + 10.0 * FLOOR, FLOOR).unwrap().round(), 10.0);
    // …and it still learns when the series begins to move.
    for _ in 0..2000 {
        level.learn(6.0, FLOOR, &pace).unwrap();
    }
    assert!((level.mean() - 6.0).abs() < 0.1, "{}", level.mean());
}

#[test]
fn half_of_the_weight_is_forgotten_after_the_half_life() {
    let pace = Pace::new(100.0, f64::INFINITY).unwrap();
    let mut level = learnt(&[0.0; 1000], &pace);
    for _ in 0..100 {
        level.learn(1.0, FLOOR, &pace).unwrap();
    }
    assert!((level.mean() - 0.5).abs() < 1e-3, "{}", level.mean());
}

#[test]
fn refuses_what_means_nothing() {
    assert_eq!(Pace::new(0.5, 4.0), Err(Error::HalfLife(0.5)));
    assert!(matches!(Pace::new(f64::NAN, 4.0), Err(Error::HalfLife(_))));
    assert_eq!(Pace::new(10.0, 0.0), Err(Error::Clamp(0.0)));
    assert_eq!(Level::default().score(1.0, 0.0), Err(Error::Floor(0.0)));
    let infinite = Level::default().learn(f64::INFINITY, FLOOR, &Pace::new(10.0, 4.0).unwrap());
    assert_eq!(infinite.unwrap_err().to_string(), "inf is not a finite number");
}
