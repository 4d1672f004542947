//! The outcome for a terminal.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use kubewise_core::{Period, Timestamp};

use crate::backtest::outcome::Outcome;
use crate::backtest::score::{Scores, Share};

pub(crate) fn table(outcome: &Outcome) -> String {
    let held = &outcome.history;
    let length = whole(Period::between(outcome.since, outcome.until));
    let mut text = format!(
        "{} to {} ({length}), {} samples, {} object states, {} Events; mode {}. Nothing was touched.\n",
        outcome.since, outcome.until, held.samples, held.states, held.events, outcome.mode
    );
    if held.dropped > 0 {
        let _ = writeln!(text, "{} samples are no number or name no object.", held.dropped);
    }
    if !held.unasked.is_empty() {
        let shown: Vec<_> =
            held.unasked.iter().take(5).map(|(name, count)| format!("{name} ({count})")).collect();
        let more = if held.unasked.len() > 5 { ", …" } else { "" };
        let _ = writeln!(text, "Asked for by no query of the catalogue: {}{more}.", shown.join(", "));
    }
    if held.guessed_owners > 0 {
        let _ =
            writeln!(text, "The workloads of {} pods were guessed from their names.", held.guessed_owners);
    }
    if outcome.incidents.is_empty() {
        let _ = writeln!(text, "\nNothing would have been noticed.");
    } else {
        let mut table = plain();
        table.set_header([
            "NOTICED",
            "LASTED",
            "WORKLOAD",
            "REASON",
            "WHAT WAS SEEN",
            "WOULD HAVE BEEN DONE",
        ]);
        for one in &outcome.incidents {
            let lasted = one.over_at.map_or_else(
                || "to the end".to_owned(),
                |end| whole(Period::between(one.opened_at, end)).to_string(),
            );
            table.add_row([
                short(one.opened_at),
                lasted,
                one.workload.to_string(),
                one.reason.to_string(),
                printable(&one.summary),
                printable(&one.would()),
            ]);
        }
        let _ = writeln!(text, "\n{table}");
    }
    if !outcome.blocked_by.is_empty() {
        let mut table = plain();
        table.set_header(["BLOCKED BY", "TIMES", "FOR EXAMPLE"]);
        for (rule, times) in &outcome.blocked_by {
            let mut all = outcome.incidents.iter().flat_map(|one| &one.blocked);
            let example = all.find(|blocked| blocked.rule == *rule).map(|blocked| blocked.finding.clone());
            table.add_row([rule.clone(), times.to_string(), printable(&example.unwrap_or_default())]);
        }
        let _ = writeln!(text, "\n{table}");
    }
    if let Some(scores) = &outcome.scores {
        let _ = write!(text, "\n{}", scored(scores));
    }
    text.trim_end().to_owned()
}

fn scored(scores: &Scores) -> String {
    let mut text = format!(
        "Against the labels: precision {} ({} of {} incidents), recall {} ({} of {} labels), delay {} (median), {} \
         (longest).\n",
        percent(scores.precision),
        scores.right,
        scores.incidents,
        percent(scores.recall),
        scores.found,
        scores.labels,
        seconds(scores.median_delay_seconds),
        seconds(scores.longest_delay_seconds),
    );
    if scores.outside > 0 {
        let _ = writeln!(text, "{} labels lie outside the time that was replayed.", scores.outside);
    }
    let mut table = plain();
    table.set_header(["REASON", "LABELS FOUND", "DELAY (MEDIAN)", "INCIDENTS RIGHT"]);
    let reasons: std::collections::BTreeSet<_> =
        scores.found_by_reason.keys().chain(scores.right_by_reason.keys()).collect();
    for reason in reasons {
        let found = scores.found_by_reason.get(reason);
        let of = |share: Option<&Share>| {
            share.map_or_else(|| "–".into(), |share| format!("{} of {}", share.count, share.of))
        };
        table.add_row([
            printable(reason),
            of(found),
            seconds(found.and_then(|share| share.median_delay_seconds)),
            of(scores.right_by_reason.get(reason)),
        ]);
    }
    let _ = writeln!(text, "\n{table}");
    for missed in &scores.missed {
        let _ = writeln!(text, "missed: {}", printable(missed));
    }
    for wrong in &scores.wrong {
        let _ = writeln!(text, "without a label: {}", printable(wrong));
    }
    text
}

pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0))
}

pub(crate) fn seconds(delay: Option<f64>) -> String {
    delay.map_or_else(|| "–".into(), |delay| Period::from_secs(delay as u64).to_string())
}

pub(crate) fn whole(period: Period) -> Period {
    Period::from_secs(period.as_duration().as_secs())
}

/// To the second, without what every line would repeat.
pub(crate) fn short(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A foreign text without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}
