use kubewise_learn::mersenne::Mersenne;
use kubewise_learn::spot::{Error, MIN_TAIL, Options, Spot};
use proptest::prelude::*;

/// Of 20,000 values drawn by `from_uniform`.
fn learnt(from_uniform: fn(f64) -> f64) -> Spot {
    let mut spot = Spot::new(Options { half_life: f64::INFINITY, ..Options::default() }).unwrap();
    let mut rng = Mersenne::new(3);
    for _ in 0..20_000 {
        spot.learn(from_uniform(rng.random())).unwrap();
    }
    spot
}

/// The tail at a quantile must be near the truth.
fn check(from_uniform: fn(f64) -> f64) {
    let spot = learnt(from_uniform);
    for truth in [1e-2, 1e-3, 1e-4] {
        let tail = spot.tail(from_uniform(1.0 - truth)).unwrap();
        assert!((truth / 2.5..truth * 2.5).contains(&tail), "{tail} where {truth} is true");
        let back = spot.tail(spot.level(truth).unwrap()).unwrap();
        assert!((back / truth - 1.0).abs() < 1e-6, "{back} of the level of {truth}");
    }
}

#[test]
fn tells_the_tail_of_known_distributions() {
    check(|u| -(1.0 - u).ln()); // exponential
    check(|u| (1.0 - u).powf(-0.2) - 1.0); // Pareto: a heavy tail
}

/// Where there is an end, as of a share of a whole, no value before it is a surprise, and one behind it is.
#[test]
fn is_careful_before_the_end_of_a_bounded_tail() {
    let spot = learnt(|u| u);
    for truth in [1e-2, 1e-3, 1e-4, 1e-6] {
        assert!(spot.tail(1.0 - truth).unwrap() >= truth / 2.0);
    }
    assert_eq!(spot.tail(1.1), Ok(MIN_TAIL));
}

#[test]
fn says_nothing_before_it_is_warm_and_the_smallest_tail_far_out() {
    let mut spot = Spot::new(Options { warm: 100, ..Options::default() }).unwrap();
    let mut rng = Mersenne::new(3);
    for _ in 0..99 {
        spot.learn(rng.random()).unwrap();
    }
    assert_eq!((spot.tail(1e9), spot.level(1e-3), spot.ready()), (Ok(1.0), None, false));
    spot.learn(0.5).unwrap();
    assert!(spot.ready());
    assert_eq!(spot.tail(1e9), Ok(MIN_TAIL));
    assert_eq!(spot.tail(0.5), Ok(1.0));
}

#[test]
fn a_constant_has_the_floor_as_its_scale() {
    let mut spot = Spot::new(Options { floor: 0.1, ..Options::default() }).unwrap();
    for _ in 0..1000 {
        spot.learn(5.0).unwrap();
    }
    assert_eq!(spot.tail(5.0), Ok(1.0));
    assert!(spot.tail(5.05).unwrap() > 1e-3);
    assert_eq!(spot.tail(8.0), Ok(MIN_TAIL));
}

#[test]
fn learns_a_new_threshold_when_the_level_moves() {
    let mut spot = Spot::new(Options { warm: 200, half_life: 500.0, ..Options::default() }).unwrap();
    let mut rng = Mersenne::new(3);
    for at in 0..5000 {
        let level = if at < 1000 { 0.0 } else { 10.0 };
        spot.learn(level + rng.random()).unwrap();
    }
    assert!((10.8..11.0).contains(&spot.threshold().unwrap()), "{:?}", spot.threshold());
}

proptest! {
    #[test]
    fn a_higher_value_is_never_likelier(
        values in prop::collection::vec(-1e3..1e3, 60..300),
        probes in prop::collection::vec(-1e4..1e4, 2..20),
    ) {
        let mut spot = Spot::new(Options { warm: 50, below: 0.8, ..Options::default() }).unwrap();
        for value in values {
            spot.learn(value).unwrap();
        }
        let mut probes = probes;
        probes.sort_by(f64::total_cmp);
        let tails: Vec<f64> = probes.iter().map(|probe| spot.tail(*probe).unwrap()).collect();
        prop_assert!(tails.is_sorted_by(|a, b| a >= b), "{tails:?}");
        prop_assert!(tails.iter().all(|tail| (MIN_TAIL..=1.0).contains(tail)));
    }
}

#[test]
fn refuses_what_means_nothing() {
    let with = |change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        Spot::new(options).unwrap_err()
    };
    assert_eq!(with(|options| options.warm = 49), Error::Warm(49));
    let out = "is out of its range";
    assert_eq!(
        with(|options| options.below = 0.4).to_string(),
        format!("share below the threshold 0.4 {out}")
    );
    assert_eq!(with(|options| options.below = 1.0).to_string(), format!("share below the threshold 1 {out}"));
    assert_eq!(with(|options| options.half_life = 0.0).to_string(), format!("half-life 0 {out}"));
    assert_eq!(with(|options| options.floor = 0.0).to_string(), format!("floor 0 {out}"));
}
