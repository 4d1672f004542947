use kubewise_learn::mersenne::Mersenne;
use kubewise_learn::quantile::{InvalidQuantile, Quantile};
use proptest::prelude::*;

/// What River's P² said after 1, 3, 5, 6, 21 and 1000 values.
fn check(q: f64, expect: [f64; 6]) {
    let mut quantile = Quantile::new(q).unwrap();
    let mut rng = Mersenne::new(42);
    let said: Vec<f64> = (0..1000)
        .map(|_| {
            quantile.learn(rng.random() * 10.0 - 3.0).unwrap();
            quantile.value().unwrap()
        })
        .collect();
    assert_eq!([0, 2, 4, 5, 20, 999].map(|at| said[at]), expect, "{q}");
}

#[test]
fn estimates_as_river() {
    let first = 3.394_267_984_578_837_3;
    let (third, sixth) = (-2.749_892_447_773_330_4, -0.249_706_816_308_807_42);
    check(0.01, [first, third, third, sixth, -2.519_883_507_040_355, -2.916_446_986_620_394]);
    check(0.5, [first, sixth, sixth, sixth, 0.203_408_375_469_833_37, 2.135_790_440_865_702_2]);
    let fifth = 4.364_712_141_640_124;
    check(0.9, [first, first, fifth, sixth, 5.123_379_921_562_132, 6.037_009_792_670_7]);
    check(0.99, [first, first, fifth, sixth, 5.118_171_897_219_996, 6.943_016_838_511_73]);
}

proptest! {
    #[test]
    fn lies_among_the_values_and_near_the_quantile(
        values in prop::collection::vec(0.0..1.0, 1..800),
        q in 0.05..0.95,
    ) {
        let mut quantile = Quantile::new(q).unwrap();
        prop_assert_eq!(quantile.value(), None);
        for (at, value) in values.iter().enumerate() {
            quantile.learn(*value).unwrap();
            let seen = &values[..=at];
            let low = seen.iter().copied().fold(1.0, f64::min);
            let high = seen.iter().copied().fold(0.0, f64::max);
            let (said, upper) = (quantile.value().unwrap(), quantile.upper().unwrap());
            prop_assert!(low <= said && said <= upper && upper <= high, "{low} {said} {upper} {high}");
        }
        if values.len() >= 400 {
            prop_assert!((quantile.value().unwrap() - q).abs() < 0.2);
        }
    }
}

#[test]
fn refuses_what_is_no_quantile() {
    for q in [0.0, 1.0, -0.5, 2.0] {
        assert_eq!(Quantile::new(q), Err(InvalidQuantile(q)));
    }
    assert!(Quantile::new(f64::NAN).is_err());
}
