use kubewise_learn::mersenne::Mersenne;
use kubewise_learn::scale::{Error, Scaler, Scaling};
use kubewise_learn::value::Refused;
use proptest::prelude::*;

/// The numbers that River's scalers gave for the 2nd, 3rd, 61st and 1000th of 1000 values.
fn check(scaling: Scaling, expect: [f64; 4]) {
    let mut scaler = Scaler::new(scaling).unwrap();
    let mut rng = Mersenne::new(42);
    let scaled: Vec<f64> = (0..1000)
        .map(|_| {
            let value = rng.random() * 10.0 - 3.0;
            scaler.learn(value).unwrap();
            scaler.scale(value).unwrap()
        })
        .collect();
    assert_eq!([1, 2, 60, 999].map(|at| scaled[at]), expect, "{scaling:?}");
}

#[test]
fn scales_as_river() {
    let second = 0.151_127_592_046_409_71;
    check(Scaling::MinMax, [0.0, 0.406_920_629_594_852_15, 1.0, 0.855_470_372_972_514_2]);
    check(Scaling::WindowMinMax(50), [0.0, 0.406_920_629_594_852_15, 1.0, 0.871_129_389_526_813_2]);
    check(Scaling::Standard, [-1.0, -second, 1.826_662_689_224_511_7, 1.191_928_020_486_949_3]);
    let second = 0.151_127_592_046_409_77;
    check(Scaling::WindowStandard(50), [-1.0, -second, 1.789_159_588_169_480_4, 1.020_235_986_473_526_2]);
    check(
        Scaling::AdaptiveStandard(0.3),
        [
            -1.527_525_231_651_946_5,
            -0.504_999_835_615_630_6,
            1.243_661_172_150_985_8,
            0.662_333_130_134_951_3,
        ],
    );
}

proptest! {
    #[test]
    fn a_window_forgets_what_left_it(
        values in prop::collection::vec(-1e3..1e3, 1..200),
        length in 1..40_u32,
    ) {
        let mut extremes = Scaler::new(Scaling::WindowMinMax(length)).unwrap();
        let mut moments = Scaler::new(Scaling::WindowStandard(length)).unwrap();
        for (at, value) in values.iter().enumerate() {
            extremes.learn(*value).unwrap();
            moments.learn(*value).unwrap();
            let window = &values[(at + 1).saturating_sub(length as usize)..=at];
            let low = window.iter().copied().fold(f64::INFINITY, f64::min);
            let high = window.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let expect = if low < high { (value - low) / (high - low) } else { 0.0 };
            prop_assert_eq!(extremes.scale(*value).unwrap(), expect);
            let mean = window.iter().sum::<f64>() / window.len() as f64;
            let square = window.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            let deviation = (square / window.len() as f64).sqrt();
            if deviation > 1.0 {
                let expect = (value - mean) / deviation;
                prop_assert!((moments.scale(*value).unwrap() - expect).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn nothing_and_constants_have_no_width() {
    for scaling in [
        Scaling::MinMax,
        Scaling::WindowMinMax(3),
        Scaling::Standard,
        Scaling::WindowStandard(3),
        Scaling::AdaptiveStandard(0.3),
    ] {
        let mut scaler = Scaler::new(scaling).unwrap();
        assert_eq!(scaler.scale(5.0), Ok(0.0), "{scaling:?}");
        for _ in 0..10 {
            scaler.learn(7.0).unwrap();
        }
        assert_eq!(scaler.scale(9.0), Ok(0.0), "{scaling:?}");
        assert!(matches!(scaler.learn(f64::NAN), Err(Refused(value)) if value.is_nan()));
    }
    assert_eq!(Scaler::new(Scaling::WindowMinMax(0)), Err(Error::Window(0)));
    assert_eq!(Scaler::new(Scaling::WindowStandard(1 << 17)), Err(Error::Window(1 << 17)));
    assert_eq!(Scaler::new(Scaling::AdaptiveStandard(1.5)), Err(Error::Weight(1.5)));
}
