use kubewise_learn::mersenne::Mersenne;
use serde_json::json;

use super::Golden;

#[test]
fn draws_what_cpython_draws() {
    let Some(golden) = Golden::find() else { return };
    let expected = &golden.index["python_random_seed_42"];
    let count = |name: &str| expected[name].as_array().unwrap().len();
    let mut rng = Mersenne::new(42);
    let random: Vec<f64> = (0..count("random")).map(|_| rng.random()).collect();
    assert_eq!(json!(random), expected["random"]);
    // One generator for all, in this order; weights 1, 2, 3, 4, 3, 2, 1.
    let cumulative = [1.0, 3.0, 6.0, 10.0, 13.0, 15.0, 16.0];
    let choices: Vec<usize> = (0..count("choices")).map(|_| rng.choose(&cumulative)).collect();
    assert_eq!(json!(choices), expected["choices"]);
    let sample: Vec<Vec<u32>> = (0..count("sample")).map(|_| rng.sample(10, 3).unwrap()).collect();
    assert_eq!(json!(sample), expected["sample"]);
    let below: Vec<u32> = (0..count("randrange")).map(|_| rng.below(100)).collect();
    assert_eq!(json!(below), expected["randrange"]);
}
