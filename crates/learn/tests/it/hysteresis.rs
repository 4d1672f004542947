use kubewise_learn::hysteresis::{Hysteresis, Switch, Turn, Zone};
use proptest::prelude::*;

/// `o` over, `-` between, `u` under; the turns as `+` and `!`, else a dot.
fn check(zones: &str, expect: &str) {
    let switch = Switch::new(3, 4, 2).unwrap();
    let mut state = Hysteresis::default();
    let turns: String = zones
        .chars()
        .map(|zone| match zone {
            'o' => Zone::Over,
            'u' => Zone::Under,
            _ => Zone::Between,
        })
        .map(|zone| match state.push(zone, &switch) {
            Some(Turn::On) => '+',
            Some(Turn::Off) => '!',
            None => '.',
        })
        .collect();
    assert_eq!(turns, expect, "{zones}");
}

#[test]
fn turns_on_by_enough_of_a_window_and_off_by_calm() {
    check("ooo", "..+");
    check("ouoo", "...+");
    check("oouuoo", "......");
    check("ooo-u-uuooo", "..+....!..+");
    check("ooouou", "..+...");
}

#[test]
fn refuses_impossible_switches() {
    for (needed, window, calm) in [(0, 4, 1), (5, 4, 1), (1, 33, 1), (1, 0, 1), (1, 1, 0)] {
        assert!(Switch::new(needed, window, calm).is_err(), "{needed} {window} {calm}");
    }
    assert!(Switch::new(32, 32, 255).is_ok());
}

proptest! {
    #[test]
    fn on_and_off_alternate(zones in prop::collection::vec(0..3, 0..400)) {
        let switch = Switch::new(5, 8, 6).unwrap();
        let mut state = Hysteresis::default();
        let mut on = false;
        for zone in zones {
            let zone = [Zone::Over, Zone::Between, Zone::Under][zone as usize];
            match state.push(zone, &switch) {
                Some(Turn::On) => prop_assert!(!std::mem::replace(&mut on, true)),
                Some(Turn::Off) => prop_assert!(std::mem::replace(&mut on, false)),
                None => {}
            }
            prop_assert_eq!(state.is_on(), on);
        }
    }
}
