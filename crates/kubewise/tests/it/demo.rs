//! The demo ends as it should, and the same seed tells the same story.

use anyhow::Result;

use crate::installation::kubewise;

fn demo(seed: u32) -> Result<(bool, String)> {
    let output = kubewise().args(["demo", "--speed", "0", "--seed", &seed.to_string()]).output()?;
    Ok((output.status.success(), String::from_utf8(output.stdout)?))
}

#[test]
fn every_trouble_ends_as_it_should_and_the_same_seed_tells_the_same_story() -> Result<()> {
    let (sound, story) = demo(7)?;
    assert!(sound, "{story}");
    assert!(story.contains("Every trouble ended as it should; nothing else was touched."), "{story}");
    assert_eq!(demo(7)?.1, story);
    Ok(())
}

#[test]
fn other_seeds_end_as_they_should_too() -> Result<()> {
    for seed in [11, 12] {
        let (sound, story) = demo(seed)?;
        assert!(sound, "seed {seed}:\n{story}");
    }
    Ok(())
}
