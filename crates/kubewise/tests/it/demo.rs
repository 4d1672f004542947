//! The demo ends as it should, and the same seed tells the same story.

use std::process::Command;

fn demo(seed: u32) -> (bool, String) {
    let seed = seed.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_kubewise"))
        .args(["demo", "--speed", "0", "--seed", &seed])
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_trouble_ends_as_it_should_and_the_same_seed_tells_the_same_story() {
    let (sound, story) = demo(7);
    assert!(sound, "{story}");
    assert!(story.contains("Every trouble ended as it should; nothing else was touched."), "{story}");
    assert_eq!(demo(7).1, story);
}

#[test]
fn other_seeds_end_as_they_should_too() {
    for seed in [11, 12] {
        let (sound, story) = demo(seed);
        assert!(sound, "seed {seed}:\n{story}");
    }
}
