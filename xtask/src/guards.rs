//! `cargo xtask prove-guards`: every guard, the fault that it is there for, and what becomes of it with the guard and
//! without. And the proof that no release can do without one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};

const FEATURE: &str = "guard-mutation";
/// The crates whose tests prove guards; together they must prove each that the code knows.
const PROVERS: &[&str] =
    &["kubewise-kubernetes", "kubewise-remediation", "kubewise-runtime", "kubewise-sqlite"];
/// What of a finding fits into a line of the table.
const READABLE: usize = 70;

/// One line of the table.
struct Row {
    guard: String,
    fault: String,
    with: String,
    without: String,
}

pub(crate) fn prove() -> Result<()> {
    let start = Instant::now();
    let metadata = MetadataCommand::new().exec()?;
    let mut faults = Vec::new();
    none_can_be_taken_out(&metadata, &mut faults);
    if !faults.is_empty() {
        bail!("a release may lack its guards:\n  {}", faults.join("\n  "));
    }
    let (mut rows, mut known) = (Vec::new(), BTreeSet::new());
    for line in play()?.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        match words.as_slice() {
            ["GUARD", guard, fault, with, without] => rows.push(Row {
                guard: (*guard).into(),
                fault: (*fault).into(),
                with: (*with).into(),
                without: (*without).into(),
            }),
            ["KNOWN", guard] => {
                known.insert((*guard).to_owned());
            }
            _ => {}
        }
    }
    print(&rows)?;
    let faults = judge(&rows, &known);
    if !faults.is_empty() {
        bail!("{} guards are not proven:\n  {}", faults.len(), faults.join("\n  "));
    }
    println!("no release can be built without them");
    println!("{} guards proven by {} scenarios in {:.0?}", known.len(), rows.len(), start.elapsed());
    Ok(())
}

/// The output of all proofs. Their own verdicts are not taken for granted: the rows are judged here again. The whole
/// workspace is named, since what it depends on is then built just as for `cargo test --workspace`.
fn play() -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let features: Vec<String> = PROVERS.iter().map(|prover| format!("{prover}/{FEATURE}")).collect();
    let output = Command::new(cargo)
        .args(["test", "--quiet", "--workspace", "--features", &features.join(","), "--test", "it"])
        .args(["--no-fail-fast", "every_guard_is_proven", "--", "--nocapture"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !text.contains("GUARD\t") {
        bail!("the proofs did not come through ({}):\n{text}", output.status);
    }
    Ok(text)
}

fn judge(rows: &[Row], known: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows {
        if row.with != "green" {
            faults.push(format!("{}: {} though it stands ({})", row.guard, row.with, row.fault));
        }
        if !row.without.starts_with("red: ") {
            faults.push(format!("{}: {} though it is out ({})", row.guard, row.without, row.fault));
        }
    }
    let proven: BTreeSet<&str> = rows.iter().map(|row| row.guard.as_str()).collect();
    let missing = known.iter().filter(|guard| !proven.contains(guard.as_str()));
    faults.extend(missing.map(|guard| format!("{guard}: no scenario proves it")));
    faults
}

fn print(rows: &[Row]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let (guards, faults) = (width(|row| &row.guard), width(|row| &row.fault));
    writeln!(out, "{:guards$}  {:faults$}  with   without", "guard", "scenario")?;
    for Row { guard, fault, with, without } in rows {
        let short: String = without.chars().take(READABLE).collect();
        let dots = if short.len() < without.len() { "…" } else { "" };
        writeln!(out, "{guard:guards$}  {fault:faults$}  {with:5}  {short}{dots}")?;
    }
    Ok(())
}

/// No dependency asks for the feature, no other feature turns it on, the program does not have it, and what cargo
/// resolves by default is without it. So whatever features a release is built with, all guards stand; one that names
/// the feature of the library does not compile.
pub(crate) fn none_can_be_taken_out(metadata: &Metadata, faults: &mut Vec<String>) {
    let asks = |feature: &str| feature.rsplit(['/', ':']).next() == Some(FEATURE);
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        for dependency in &package.dependencies {
            if dependency.features.iter().any(|feature| asks(feature)) {
                faults.push(format!("{name} must not ask {} for {FEATURE}", dependency.name));
            }
        }
        let others: BTreeMap<_, _> =
            package.features.iter().filter(|(feature, _)| *feature != FEATURE).collect();
        for (feature, turned_on) in others {
            if turned_on.iter().any(|feature| asks(feature)) {
                faults.push(format!("feature {feature} of {name} must not turn on {FEATURE}"));
            }
        }
        if name == "kubewise" && package.features.contains_key(FEATURE) {
            faults.push(format!("the program must not have the feature {FEATURE}"));
        }
    }
    for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
        if node.features.iter().any(|feature| feature.as_str() == FEATURE) {
            faults.push(format!("{} is built with {FEATURE} by default", node.id));
        }
    }
}
