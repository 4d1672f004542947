use kubewise_learn::mersenne::Mersenne;
use kubewise_learn::trend::{Error, Holt, Line, TheilSen};
use proptest::prelude::*;

/// A disk that fills by 2 a second from 100, seen every 15 seconds with some noise.
fn filling() -> impl Iterator<Item = (f64, f64)> {
    let mut rng = Mersenne::new(5);
    (0..200).map(move |step| {
        let at = 15.0 * f64::from(step);
        (at, 100.0 + 2.0 * at + rng.random() - 0.5)
    })
}

fn check(line: Line, within: f64) {
    assert!((line.slope - 2.0).abs() < within, "{line:?}");
    let wait = line.reach(line.value + 1000.0).unwrap();
    assert!((wait - 500.0).abs() < 500.0 * within, "{wait}");
    assert_eq!(line.reach(line.value - 1.0), None, "it moves away");
    assert_eq!(line.reach(line.value), Some(0.0));
    assert_eq!(line.reach(1e300), None, "too long");
}

#[test]
fn tells_when_a_level_is_reached() {
    let mut holt = Holt::new(0.3, 0.1).unwrap();
    let mut theil_sen = TheilSen::new(60).unwrap();
    for (at, value) in filling() {
        holt.learn(at, value).unwrap();
        theil_sen.learn(at, value).unwrap();
    }
    check(holt.line().unwrap(), 0.02);
    check(theil_sen.line().unwrap(), 0.002);
}

#[test]
fn a_fifth_of_outliers_does_not_move_the_median_of_slopes() {
    let mut theil_sen = TheilSen::new(50).unwrap();
    for (step, (at, value)) in filling().enumerate() {
        theil_sen.learn(at, if step % 5 == 0 { 1e6 } else { value }).unwrap();
    }
    check(theil_sen.line().unwrap(), 0.02);
}

#[test]
fn what_rests_reaches_nothing() {
    let mut holt = Holt::new(0.5, 0.5).unwrap();
    let mut theil_sen = TheilSen::new(5).unwrap();
    assert_eq!((holt.line(), theil_sen.line()), (None, None));
    for at in 0..10 {
        holt.learn(f64::from(at), 3.0).unwrap();
        theil_sen.learn(f64::from(at), 3.0).unwrap();
    }
    for line in [holt.line().unwrap(), theil_sen.line().unwrap()] {
        assert_eq!(line, Line { at: 9.0, value: 3.0, slope: 0.0 });
        assert_eq!((line.reach(4.0), line.reach(3.0)), (None, Some(0.0)));
    }
}

proptest! {
    #[test]
    fn follows_any_straight_line(
        value in -1e6..1e6_f64,
        slope in -1e3..1e3_f64,
        steps in prop::collection::vec(0.1..100.0, 4..60),
    ) {
        let mut holt = Holt::new(0.3, 0.1).unwrap();
        let mut theil_sen = TheilSen::new(40).unwrap();
        let mut at = 0.0;
        for step in steps {
            at += step;
            holt.learn(at, value + slope * at).unwrap();
            theil_sen.learn(at, value + slope * at).unwrap();
        }
        for line in [holt.line().unwrap(), theil_sen.line().unwrap()] {
            prop_assert!((line.slope - slope).abs() < 1e-3, "{line:?}");
            prop_assert!((line.value(at + 10.0) - (value + slope * (at + 10.0))).abs() < 1e-1, "{line:?}");
        }
    }
}

#[test]
fn refuses_what_means_nothing() {
    assert_eq!(Holt::new(0.0, 0.5), Err(Error::Weight(0.0)));
    assert_eq!(Holt::new(0.5, 1.5), Err(Error::Weight(1.5)));
    assert_eq!(TheilSen::new(2), Err(Error::Points(2)));
    let mut holt = Holt::new(0.5, 0.5).unwrap();
    holt.learn(5.0, 1.0).unwrap();
    assert_eq!(holt.learn(5.0, 1.0), Err(Error::Time { at: 5.0, last: 5.0 }));
    let mut theil_sen = TheilSen::new(5).unwrap();
    theil_sen.learn(5.0, 1.0).unwrap();
    assert_eq!(theil_sen.learn(4.0, 1.0), Err(Error::Time { at: 4.0, last: 5.0 }));
    assert!(matches!(theil_sen.learn(f64::NAN, 1.0), Err(Error::Value(_))));
}
