//! Playing the scenarios of guards, with each guard in its place and taken out. Only for tests.

use std::fmt::Write as _;

use super::{Guard, Guards, Place};

/// What a scenario found in the cluster, the journal or the records that must not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach(pub String);

/// `Err` unless `safe`; the text says what is wrong then.
pub fn safe(safe: bool, otherwise: impl FnOnce() -> String) -> Result<(), Breach> {
    if safe { Ok(()) } else { Err(Breach(otherwise())) }
}

/// Injects the fault that a guard is there for, and judges what became of it. It panics only if it cannot be
/// played, which proves nothing.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub guard: Guard,
    /// The fault, in words.
    pub fault: &'static str,
    pub play: fn(Guards) -> Result<(), Breach>,
}

/// Plays every scenario twice and tells the result, one line each: guard, fault, with the guard, without it; then
/// every guard that there is. `Err` names the guards of these places that are not proven. With `only`, that guard is taken out and its scenarios are played
/// once, so that a person may watch them fail.
pub fn prove(
    places: &[Place],
    scenarios: &[Scenario],
    only: Option<&str>,
    mut tell: impl FnMut(&str),
) -> Result<(), String> {
    let mut faults = String::new();
    if let Some(name) = only {
        let guard: Guard = name.parse().map_err(|unknown: super::UnknownGuard| unknown.to_string())?;
        for scenario in scenarios.iter().filter(|scenario| scenario.guard == guard) {
            if let Err(Breach(found)) = (scenario.play)(Guards::without(guard)) {
                let _ = writeln!(faults, "{}: {found}", scenario.fault); // to a String: cannot fail
            }
        }
        return if faults.is_empty() { Ok(()) } else { Err(faults) };
    }
    for scenario in scenarios {
        let with = (scenario.play)(Guards::default());
        let without = (scenario.play)(Guards::without(scenario.guard));
        let shown = |result: &Result<(), Breach>| match result {
            Ok(()) => "green".to_owned(),
            Err(Breach(found)) => format!("red: {}", found.replace('\n', " ")),
        };
        tell(&format!(
            "GUARD\t{}\t{}\t{}\t{}",
            scenario.guard,
            scenario.fault,
            shown(&with),
            shown(&without)
        ));
        if let Err(Breach(found)) = with {
            let _ = writeln!(faults, "{}: red though the guard stands: {found}", scenario.guard);
        }
        if without.is_ok() {
            let _ =
                writeln!(faults, "{}: green though the guard is out ({})", scenario.guard, scenario.fault);
        }
    }
    for guard in Guard::ALL {
        tell(&format!("KNOWN\t{guard}"));
        if places.contains(&guard.place()) && scenarios.iter().all(|scenario| scenario.guard != *guard) {
            let _ = writeln!(faults, "{guard}: no scenario proves it");
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}
