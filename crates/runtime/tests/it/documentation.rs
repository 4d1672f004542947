use kubewise_core::guard::Guard;
use kubewise_runtime::Telemetry;

#[test]
fn the_page_of_guards_lists_exactly_the_guards_there_are() {
    let page = include_str!("../../../../docs/guards.md");
    let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let guards: Vec<String> =
        Guard::ALL.iter().map(|guard| format!("| `{guard}` | {} |", guard.meaning())).collect();
    assert_eq!(listed, guards, "docs/guards.md and crates/core/src/guard.rs differ");
}

#[test]
fn the_metrics_page_lists_exactly_the_metrics_there_are() {
    let page = include_str!("../../../../docs/metrics.md");
    let mut listed: Vec<(String, String)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
            Some((cells.first()?.trim_end_matches('`').to_owned(), (*cells.last()?).to_owned()))
        })
        .collect();
    listed.sort();
    let telemetry = Telemetry::new();
    let mut registered: Vec<(String, String)> =
        telemetry.listing().iter().map(|(name, help)| (name.clone(), (*help).to_owned())).collect();
    registered.sort();
    assert_eq!(listed, registered, "docs/metrics.md and crates/runtime/src/telemetry.rs differ");
}
