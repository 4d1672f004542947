//! `cargo xtask check`: the walls of the house, held against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

const CORE: &[&str] = &["kubewise-core"];
/// Which of our crates a crate may use. An edge that is not here is a fault.
const ALLOWED: &[(&str, &[&str])] = &[
    ("kubewise-core", &[]),
    ("kubewise-learn", &[]),
    ("kubewise-detector", &["kubewise-core", "kubewise-learn"]),
    ("kubewise-remediation", CORE),
    ("kubewise-kubernetes", CORE),
    ("kubewise-llm", CORE),
    ("kubewise-prometheus", CORE),
    ("kubewise-replay", CORE),
    ("kubewise-sqlite", CORE),
    ("kubewise-sim", CORE),
    ("kubewise-api", CORE),
    ("kubewise-runtime", &["kubewise-core", "kubewise-detector", "kubewise-remediation"]),
    (
        "kubewise",
        &[
            "kubewise-api",
            "kubewise-core",
            "kubewise-detector",
            "kubewise-kubernetes",
            "kubewise-learn",
            "kubewise-llm",
            "kubewise-prometheus",
            "kubewise-remediation",
            "kubewise-replay",
            "kubewise-runtime",
            "kubewise-sim",
            "kubewise-sqlite",
        ],
    ),
    ("kubewise-testbed", &[]),
    ("xtask", &["kubewise-api", "kubewise-testbed"]),
];
/// What any crate may use in tests besides.
const IN_TESTS: &[&str] = &["kubewise-sim", "kubewise-testbed"];
const NO_EFFECTS: &[&str] = &["tokio", "kube", "mongodb", "reqwest", "axum", "clap"];
/// What a crate must not even link, through whatever path.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("kubewise-core", NO_EFFECTS),
    ("kubewise-learn", NO_EFFECTS),
    ("kubewise-detector", NO_EFFECTS),
    ("kubewise-remediation", NO_EFFECTS),
    ("kubewise-sim", &["kube", "mongodb", "reqwest", "axum", "clap"]),
    ("kubewise-runtime", &["kube", "mongodb", "reqwest", "axum", "clap"]),
    ("kubewise-api", &["kube", "mongodb", "reqwest", "clap", "rusqlite"]),
    // One crypto provider, and no C library for TLS.
    ("kubewise", &["aws-lc-sys", "openssl-sys", "native-tls"]),
];
/// Lines of a source file, tests not counted.
const MAX_LINES: usize = 600;

pub(crate) fn check() -> Result<()> {
    let metadata = MetadataCommand::new().exec().context("cargo metadata failed")?;
    let mut faults = Vec::new();
    edges(&metadata, &mut faults);
    links(&metadata, &mut faults)?;
    crate::guards::none_can_be_taken_out(&metadata, &mut faults);
    sizes(metadata.workspace_root.as_std_path(), &mut faults)?;
    if !faults.is_empty() {
        bail!("the house has {} faults:\n  {}", faults.len(), faults.join("\n  "));
    }
    println!("{} crates: dependency edges, forbidden crates, guards and file sizes hold", ALLOWED.len());
    Ok(())
}

fn edges(metadata: &Metadata, faults: &mut Vec<String>) {
    let ours: BTreeSet<&str> =
        metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("{name} has no line in ALLOWED (xtask/src/house.rs)"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|one| ours.contains(one.name.as_str())) {
            let target = dependency.name.as_str();
            let in_tests = dependency.kind == DependencyKind::Development && IN_TESTS.contains(&target);
            if !allowed.contains(&target) && !in_tests {
                faults.push(format!("{name} must not use {target} ({:?} dependency)", dependency.kind));
            }
        }
    }
}

fn links(metadata: &Metadata, faults: &mut Vec<String>) -> Result<()> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let normal: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let linked = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            });
            (&node.id, linked.map(|dependency| &dependency.pkg).collect())
        })
        .collect();
    let packages: BTreeMap<&PackageId, &Package> =
        metadata.packages.iter().map(|one| (&one.id, one)).collect();
    for package in metadata.workspace_packages() {
        let Some((name, forbidden)) = FORBIDDEN.iter().find(|(name, _)| package.name == *name) else {
            continue;
        };
        let mut seen = BTreeSet::new();
        let mut open = vec![(&package.id, vec![package.name.to_string()])];
        while let Some((id, path)) = open.pop() {
            for next in normal.get(id).into_iter().flatten().copied().filter(|next| seen.insert(*next)) {
                let linked = packages.get(next).map(|package| package.name.to_string()).unwrap_or_default();
                let mut path = path.clone();
                path.push(linked.clone());
                if forbidden.contains(&linked.as_str()) {
                    faults.push(format!("{name} must not link {linked}: {}", path.join(" -> ")));
                }
                open.push((next, path));
            }
        }
    }
    Ok(())
}

fn sizes(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let mut open = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "tests" | "benches" | "target") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
                let lines = std::fs::read_to_string(&path)?.lines().count();
                if lines > MAX_LINES {
                    let path = path.strip_prefix(root).unwrap_or(&path).display();
                    faults
                        .push(format!("{path} has {lines} lines; {MAX_LINES} are the most, 400 are wanted"));
                }
            }
        }
    }
    Ok(())
}
