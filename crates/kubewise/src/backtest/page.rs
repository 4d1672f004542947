//! The outcome as one HTML page: no script, nothing loaded from elsewhere, every foreign text escaped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use kubewise_core::anomaly::Severity;
use kubewise_core::unit::Unit;
use kubewise_core::{ObjectRef, Period, Timestamp};
use kubewise_replay::Label;

use crate::backtest::outcome::{Outcome, Told};
use crate::backtest::plot::Plot;
use crate::backtest::score::Scores;
use crate::backtest::table::{percent, seconds, short, whole};

/// Rows of the timeline; more would not fit a screen.
const MAX_ROWS: usize = 60;
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5c6670;--line:#d9dee3;--paper:#fff;--card:#f6f8fa}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#98a2ad;--line:#343b43;--paper:#14171a;--card:#1d2125}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1000px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2.5rem 0 .5rem}h3{font-size:1rem;margin:0 0 .25rem}\
.soft{color:var(--soft)}table{border-collapse:collapse;width:100%;margin:.5rem 0}\
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}\
th{color:var(--soft);font-weight:500;font-size:.85rem}.scroll{overflow-x:auto}\
article{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:1rem;margin:1rem 0}\
dl{display:grid;grid-template-columns:9rem 1fr;gap:.2rem .8rem;margin:.5rem 0}dt{color:var(--soft)}dd{margin:0}\
svg{display:block;width:100%;height:auto;margin:.5rem 0}svg text{fill:var(--soft);font:11px system-ui,sans-serif}\
.grid{stroke:var(--line)}.expected{stroke:var(--soft);stroke-dasharray:5 4}.shade{fill:#d1495b;opacity:.12}\
.Critical{fill:#d1495b}.Warning{fill:#e09f3e}.Info{fill:#5b8fb9}.label{fill:none;stroke:var(--ink);stroke-width:1.5}\
summary{cursor:pointer;color:var(--soft)}code{font-size:.85rem;word-break:break-all}\
figure{margin:.8rem 0}figcaption{font-size:.85rem}.key{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin:0 .3rem 0 .8rem}.line{display:inline-block}";
/// Told apart also by people who see few colours.
const COLOURS: [&str; 12] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#6b6ecf", "#b5bd61",
    "#ad494a", "#7b4173", "#637939",
];

/// A text that may hold anything.
struct Safe<'a>(&'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn page(outcome: &Outcome, plots: &BTreeMap<String, Vec<Plot>>, labels: &[Label]) -> String {
    let held = &outcome.history;
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>KubeWise backtest</title>\
         <style>{STYLE}</style></head><body><h1>What KubeWise would have noticed</h1>\
         <p class=\"soft\">{} to {} ({}) · mode {} · {} samples, {} object states, {} Events · nothing was touched</p>",
        short(outcome.since),
        short(outcome.until),
        whole(Period::between(outcome.since, outcome.until)),
        outcome.mode,
        held.samples,
        held.states,
        held.events,
    );
    caveats(&mut page, outcome);
    if outcome.incidents.is_empty() {
        page.push_str("<p>Nothing would have been noticed.</p>");
    }
    timeline(&mut page, outcome, labels);
    if let Some(scores) = &outcome.scores {
        scored(&mut page, scores);
    }
    if !outcome.blocked_by.is_empty() {
        page.push_str("<h2>What rules stood in the way</h2><table><tr><th>Rule<th>Times<th>For example</tr>");
        for (rule, times) in &outcome.blocked_by {
            let mut all = outcome.incidents.iter().flat_map(|one| &one.blocked);
            let example = all.find(|blocked| blocked.rule == *rule).map_or("", |blocked| &blocked.finding);
            let _ = write!(page, "<tr><td>{}<td>{times}<td>{}</tr>", Safe(rule), Safe(example));
        }
        page.push_str("</table>");
    }
    if !outcome.incidents.is_empty() {
        page.push_str("<h2>Incidents</h2>");
    }
    for incident in &outcome.incidents {
        article(&mut page, incident, plots.get(&incident.id).map_or(&[], Vec::as_slice));
    }
    page.push_str("</body></html>\n");
    page
}

fn caveats(page: &mut String, outcome: &Outcome) {
    let held = &outcome.history;
    let mut told = Vec::new();
    if held.dropped > 0 {
        told.push(format!("{} samples are no number or name no object.", held.dropped));
    }
    if !held.unasked.is_empty() {
        let count: u64 = held.unasked.values().sum();
        told.push(format!("{count} samples are of what no query of the catalogue asks for."));
    }
    if held.guessed_owners > 0 {
        told.push(format!("The workloads of {} pods were guessed from their names.", held.guessed_owners));
    }
    if !told.is_empty() {
        let _ = write!(page, "<p class=\"soft\">{}</p>", Safe(&told.join(" ")));
    }
}

/// Where a moment lies between two others, from 0 to 1.
fn share(time: Timestamp, since: Timestamp, until: Timestamp) -> f64 {
    let whole = Period::between(since, until).as_secs_f64().max(1e-9);
    (Period::between(since, time).as_secs_f64() / whole).clamp(0.0, 1.0)
}

fn timeline(page: &mut String, outcome: &Outcome, labels: &[Label]) {
    const ROW: f64 = 22.0;
    const LEFT: f64 = 260.0;
    const WIDTH: f64 = 960.0;
    let workloads: BTreeSet<&ObjectRef> = outcome
        .incidents
        .iter()
        .map(|incident| &incident.workload)
        .chain(labels.iter().map(|label| &label.workload))
        .collect();
    if workloads.is_empty() {
        return;
    }
    let rows = workloads.len().min(MAX_ROWS);
    let height = rows as f64 * ROW + 30.0;
    let x = |time| LEFT + share(time, outcome.since, outcome.until) * (WIDTH - LEFT - 10.0);
    page.push_str("<h2>Timeline</h2><p class=\"soft\">");
    for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
        let _ = write!(
            page,
            "<svg style=\"display:inline;width:.8rem;height:.8rem;margin:0 .3rem 0 .8rem\" viewBox=\"0 0 10 10\">\
             <rect class=\"{severity:?}\" width=\"10\" height=\"10\"/></svg>{severity:?}"
        );
    }
    if !labels.is_empty() {
        page.push_str(" · outlined: a label");
    }
    let _ = write!(
        page,
        "</p><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Incidents by workload over time\">"
    );
    axis(page, outcome.since, outcome.until, &x, 0.0, height - 22.0);
    for (row, workload) in workloads.iter().take(MAX_ROWS).enumerate() {
        let y = row as f64 * ROW + 4.0;
        let name: String = workload.to_string().chars().take(40).collect();
        let _ = write!(page, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 12.0, Safe(&name));
        for incident in outcome.incidents.iter().filter(|one| one.workload == **workload) {
            let (from, to) = (x(incident.opened_at), x(incident.over_at.unwrap_or(outcome.until)));
            let _ = write!(
                page,
                "<a href=\"#{}\"><rect class=\"{:?}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"14\" rx=\"2\">\
                 <title>{}</title></rect></a>",
                Safe(&incident.id),
                incident.severity,
                (to - from).max(3.0),
                Safe(&format!("{} {}: {}", short(incident.opened_at), incident.reason, incident.summary)),
            );
        }
        for label in labels.iter().filter(|label| label.workload == **workload) {
            let (from, to) = (x(label.start), x(label.end));
            let reason = label.reason.as_deref().unwrap_or("label");
            let _ = write!(
                page,
                "<rect class=\"label\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"18\" rx=\"2\"><title>{}</title></rect>",
                y - 2.0,
                (to - from).max(3.0),
                Safe(reason),
            );
        }
    }
    page.push_str("</svg>");
    if workloads.len() > MAX_ROWS {
        let _ = write!(
            page,
            "<p class=\"soft\">{} workloads more are not drawn.</p>",
            workloads.len() - MAX_ROWS
        );
    }
}

/// Six moments below, each with a line.
fn axis(
    page: &mut String,
    since: Timestamp,
    until: Timestamp,
    x: &dyn Fn(Timestamp) -> f64,
    top: f64,
    bottom: f64,
) {
    const MARKS: u32 = 6;
    let step = Period::between(since, until).as_duration() / MARKS;
    let format =
        if Period::between(since, until) > Period::from_mins(36 * 60) { "%m-%d %H:%M" } else { "%H:%M" };
    for mark in 0..=MARKS {
        let time = Period::from(step * mark).after(since);
        let place = x(time);
        let anchor = match mark {
            0 => "start",
            MARKS => "end",
            _ => "middle",
        };
        let _ = write!(
            page,
            "<line class=\"grid\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>\
             <text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            bottom + 14.0,
            time.strftime(format),
        );
    }
}

fn scored(page: &mut String, scores: &Scores) {
    let _ = write!(
        page,
        "<h2>Against the labels</h2><table><tr><th>Precision<th>Recall<th>Delay (median)<th>Delay (longest)</tr>\
         <tr><td>{} <span class=\"soft\">({} of {} incidents)</span><td>{} <span class=\"soft\">({} of {} labels)</span>\
         <td>{}<td>{}</tr></table><table><tr><th>Reason of the label<th>Found<th>Delay (median)</tr>",
        percent(scores.precision),
        scores.right,
        scores.incidents,
        percent(scores.recall),
        scores.found,
        scores.labels,
        seconds(scores.median_delay_seconds),
        seconds(scores.longest_delay_seconds),
    );
    for (reason, share) in &scores.found_by_reason {
        let _ = write!(
            page,
            "<tr><td>{}<td>{} of {}<td>{}</tr>",
            Safe(reason),
            share.count,
            share.of,
            seconds(share.median_delay_seconds)
        );
    }
    page.push_str("</table>");
    for (title, lines) in [("Missed", &scores.missed), ("Without a label", &scores.wrong)] {
        if !lines.is_empty() {
            let lines: Vec<_> = lines.iter().map(|line| Safe(line).to_string()).collect();
            let _ = write!(page, "<h3>{title}</h3><p>{}</p>", lines.join("<br>"));
        }
    }
}

fn article(page: &mut String, incident: &Told, plots: &[Plot]) {
    let lasted = incident.over_at.map_or_else(
        || "until the end".to_owned(),
        |end| format!("for {}", whole(Period::between(incident.opened_at, end))),
    );
    let _ = write!(
        page,
        "<article id=\"{}\"><h3>{} · {}</h3><p class=\"soft\">{:?}, noticed {} and open {lasted}</p><p>{}</p>\
         <dl><dt>Would have<dd>{}",
        Safe(&incident.id),
        Safe(&incident.workload.to_string()),
        incident.reason,
        incident.severity,
        short(incident.opened_at),
        Safe(&incident.summary),
        Safe(&incident.would()),
    );
    if let Some(plan) = &incident.plan {
        let _ = write!(
            page,
            "<dt>Why<dd>{} <span class=\"soft\">({}, {} after it was noticed)</span>",
            Safe(&plan.reasoning),
            Safe(&plan.author),
            whole(Period::between(incident.opened_at, plan.at)),
        );
    }
    for blocked in &incident.blocked {
        let _ = write!(page, "<dt>Blocked by<dd><b>{}</b>: {}", Safe(&blocked.rule), Safe(&blocked.finding));
    }
    page.push_str("</dl>");
    for plot in plots {
        draw(page, incident, plot);
    }
    if !incident.writes.is_empty() {
        page.push_str("<details><summary>Writes that were asked for and refused</summary>");
        for write in &incident.writes {
            let text = serde_json::to_string(write).unwrap_or_default();
            let _ = write!(page, "<p><code>{}</code></p>", Safe(&text));
        }
        page.push_str("</details>");
    }
    page.push_str("<details><summary>The whole story</summary><div class=\"scroll\"><table>");
    for entry in &incident.story {
        let _ = write!(
            page,
            "<tr><td class=\"soft\">{}<td>{}<td>{}</tr>",
            entry.time.strftime("%H:%M:%S"),
            entry.chapter,
            Safe(&entry.text)
        );
    }
    page.push_str("</table></div></details></article>");
}

fn draw(page: &mut String, incident: &Told, plot: &Plot) {
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 950.0;
    const TOP: f64 = 8.0;
    const BOTTOM: f64 = 158.0;
    let values = || plot.lines.values().flatten().map(|(_, value)| *value).chain(plot.expected);
    let (mut low, mut high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    if low > high {
        return;
    }
    // A flat line shall lie in the middle, and what starts near zero shall start at zero.
    if low > 0.0 && low < high * 0.5 {
        low = 0.0;
    }
    let room = if high > low { (high - low) * 0.05 } else { high.abs().max(1.0) * 0.5 };
    (low, high) = (if low == 0.0 { 0.0 } else { low - room }, high + room);
    let x = |time| LEFT + share(time, plot.since, plot.until) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP);
    let title = plot.metric_type.as_str().replace('_', " ");
    let _ = write!(
        page,
        "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 960 180\" role=\"img\" aria-label=\"{0} around the incident\">",
        Safe(&title)
    );
    let (from, to) = (x(incident.opened_at), x(incident.over_at.unwrap_or(plot.until)));
    let _ = write!(
        page,
        "<rect class=\"shade\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>the incident</title></rect>",
        (to - from).max(1.0),
        BOTTOM - TOP
    );
    axis(page, plot.since, plot.until, &x, TOP, BOTTOM);
    for mark in 0..=3 {
        let value = low + (high - low) * f64::from(mark) / 3.0;
        let place = y(value);
        let _ = write!(
            page,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{place:.1}\" y2=\"{place:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            place + 4.0,
            amount(value, plot.unit)
        );
    }
    for (points, colour) in plot.lines.values().zip(COLOURS.iter().cycle()) {
        let path: Vec<_> =
            points.iter().map(|(time, value)| format!("{:.1},{:.1}", x(*time), y(*value))).collect();
        let _ = write!(
            page,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            path.join(" ")
        );
    }
    if let Some(expected) = plot.expected {
        let place = y(expected);
        let _ = write!(
            page,
            "<line class=\"expected\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{place:.1}\" y2=\"{place:.1}\"><title>expected: {}</title></line>",
            amount(expected, plot.unit)
        );
    }
    page.push_str("</svg><figcaption class=\"soft\">");
    for (name, colour) in plot.lines.keys().zip(COLOURS.iter().cycle()) {
        let _ = write!(
            page,
            "<span class=\"line\"><span class=\"key\" style=\"background:{colour}\"></span>{}</span> ",
            Safe(name)
        );
    }
    if plot.left_out > 0 {
        let _ = write!(page, " · {} calmer series are not drawn", plot.left_out);
    }
    if let Some(expected) = plot.expected {
        let _ = write!(page, " · dashed: expected {}", amount(expected, plot.unit));
    }
    page.push_str("</figcaption></figure>");
}

/// A value as people say it.
fn amount(value: f64, unit: Unit) -> String {
    let scaled = |value: f64, suffix: &str| {
        let digits = if value.abs() >= 100.0 { 0 } else { 3 - (value.abs().max(1.0).log10() as usize) - 1 };
        format!("{value:.digits$}{suffix}")
    };
    match unit {
        Unit::Bytes | Unit::BytesPerSecond => {
            let steps = [(1_073_741_824.0, " GiB"), (1_048_576.0, " MiB"), (1024.0, " KiB"), (1.0, " B")];
            let (size, name) =
                steps.into_iter().find(|(size, _)| value.abs() >= *size).unwrap_or((1.0, " B"));
            let rate = if unit == Unit::BytesPerSecond { "/s" } else { "" };
            scaled(value / size, &format!("{name}{rate}"))
        }
        Unit::Ratio => scaled(value * 100.0, " %"),
        Unit::Seconds => scaled(value, " s"),
        Unit::Cores => scaled(value, " cores"),
        Unit::PerSecond => scaled(value, "/s"),
        Unit::Count => scaled(value, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_leave_its_place() {
        let text = "<script>alert('x')</script> & \"y\"";
        let safe = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;";
        assert_eq!(Safe(text).to_string(), safe);
    }

    #[test]
    fn amounts_are_short() {
        for (value, unit, expect) in [
            (0.25, Unit::Ratio, "25.0 %"),
            (157_286_400.0, Unit::Bytes, "150 MiB"),
            (0.0, Unit::Bytes, "0.00 B"),
            (3.0, Unit::Count, "3.00"),
            (0.123, Unit::Cores, "0.12 cores"),
        ] {
            assert_eq!(amount(value, unit), expect);
        }
    }
}
