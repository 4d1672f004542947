use kubewise_learn::mersenne::Mersenne;
use kubewise_learn::seasonal::{Error, Options, Seasonal};

const OPTIONS: Options = Options { phases: 24, weight: 0.3, support: 0.5 };

/// Learns `periods` of a series and returns it.
fn learnt(periods: usize, value: impl Fn(u16, f64) -> f64) -> Seasonal {
    let mut seasonal = Seasonal::new(OPTIONS).unwrap();
    let mut rng = Mersenne::new(11);
    for _ in 0..periods {
        for phase in 0..24 {
            seasonal.learn(phase, value(phase, rng.random())).unwrap();
        }
    }
    seasonal
}

fn day(phase: u16) -> f64 {
    100.0 + 10.0 * (f64::from(phase) / 24.0 * std::f64::consts::TAU).sin()
}

#[test]
fn expects_what_is_usual_at_that_hour() {
    let seasonal = learnt(10, |phase, noise| day(phase) + noise - 0.5);
    assert!(seasonal.support() > 0.95, "{}", seasonal.support());
    for phase in 0..24 {
        let expected = seasonal.expected(phase).unwrap().unwrap();
        assert!((expected - day(phase)).abs() < 1.0, "{phase}: {expected}");
        let residual = seasonal.residual(phase, day(phase) + 5.0).unwrap().unwrap();
        assert!((residual - 5.0).abs() < 1.0, "{phase}: {residual}");
    }
}

#[test]
fn expects_nothing_without_a_season() {
    let noise = learnt(20, |_, noise| noise);
    assert!(noise.support().abs() < 0.3, "{}", noise.support());
    assert_eq!(noise.expected(3), Ok(None));
    let constant = learnt(20, |_, _| 7.0);
    assert_eq!((constant.support(), constant.residual(3, 9.0)), (0.0, Ok(None)));
}

#[test]
fn believes_after_two_periods_and_no_sooner() {
    assert_eq!(learnt(1, |phase, _| day(phase)).expected(0), Ok(None));
    assert!(learnt(2, |phase, _| day(phase)).expected(0).unwrap().is_some());
}

#[test]
fn stops_believing_when_the_season_ends() {
    let mut seasonal = learnt(10, |phase, _| day(phase));
    let mut rng = Mersenne::new(12);
    for at in 0..24 * 30 {
        seasonal.learn(at % 24, 100.0 + 10.0 * rng.random()).unwrap();
    }
    assert_eq!(seasonal.expected(0), Ok(None), "{}", seasonal.support());
}

#[test]
fn refuses_what_means_nothing() {
    assert_eq!(Seasonal::new(Options { phases: 1, ..OPTIONS }), Err(Error::Phases(1)));
    assert!(matches!(Seasonal::new(Options { weight: 0.0, ..OPTIONS }), Err(Error::Number { .. })));
    assert!(matches!(Seasonal::new(Options { support: 1.5, ..OPTIONS }), Err(Error::Number { .. })));
    let mut seasonal = Seasonal::new(OPTIONS).unwrap();
    assert_eq!(seasonal.learn(24, 1.0), Err(Error::Phase { phase: 24, phases: 24 }));
    assert!(matches!(seasonal.learn(0, f64::NAN), Err(Error::Value(_))));
}
