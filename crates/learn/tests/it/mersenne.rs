use kubewise_learn::mersenne::{Mersenne, TooFew};
use proptest::prelude::*;

/// Python 3.11.
#[test]
fn draws_what_cpython_draws_from_seeds_of_any_size() {
    let check = |seed, expect: f64| assert_eq!(Mersenne::new(seed).random(), expect, "{seed}");
    check(0, 0.844_421_851_525_048_1);
    check(42, 0.639_426_798_457_883_7);
    check(1 << 40, 0.103_639_456_281_237_5);
    check(u64::MAX, 0.021_825_695_401_270_107);
}

/// 5 of 21 are drawn from a list, 5 of 22 remembered; more than 5 use longer lists.
#[test]
fn samples_as_cpython_on_both_ways() {
    let check = |population, count, expect: &[u32]| {
        assert_eq!(Mersenne::new(42).sample(population, count).unwrap(), expect, "{count} of {population}");
    };
    check(21, 5, &[20, 3, 0, 8, 7]);
    check(22, 5, &[20, 3, 0, 8, 7]);
    check(85, 6, &[81, 14, 3, 35, 31, 28]);
    check(86, 6, &[81, 14, 3, 35, 31, 28]);
    check(
        300,
        20,
        &[57, 12, 140, 125, 114, 71, 52, 279, 44, 216, 16, 15, 47, 111, 119, 258, 13, 287, 101, 214],
    );
}

proptest! {
    #[test]
    fn a_sample_has_no_one_twice(seed in any::<u64>(), population in 0..2000_u32, count in 0..100_u32) {
        let sample = Mersenne::new(seed).sample(population, count);
        if count > population {
            prop_assert_eq!(sample, Err(TooFew { count, population }));
        } else {
            let mut sample = sample.unwrap();
            prop_assert_eq!(sample.len() as u32, count);
            prop_assert!(sample.iter().all(|one| *one < population));
            sample.sort_unstable();
            prop_assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}

#[test]
fn no_choice_is_the_first() {
    let mut rng = Mersenne::new(1);
    assert_eq!((rng.below(0), rng.choose(&[]), rng.choose(&[0.0])), (0, 0, 0));
}
