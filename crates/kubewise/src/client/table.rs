//! Tables for people, in kubectl's shape: upper-case headers, no rules, ages instead of times.

use comfy_table::{ContentArrangement, Table, presets};
use kubewise_core::{Period, Timestamp};
use serde_json::Value;

/// Columns of a collection: header, and where in the record it stands.
fn columns(collection: &str) -> &'static [(&'static str, Cell)] {
    match collection {
        "incidents" => &[
            ("ID", Cell::Text("/id")),
            ("WORKLOAD", Cell::Object("/workload")),
            ("REASON", Cell::Text("/reason")),
            ("STATUS", Cell::Text("/status")),
            ("AGE", Cell::Age("/openedAt")),
            ("SUMMARY", Cell::Text("/summary")),
        ],
        "anomalies" => &[
            ("ID", Cell::Text("/id")),
            ("WORKLOAD", Cell::Object("/workload")),
            ("REASON", Cell::Text("/reason")),
            ("STATUS", Cell::Text("/status")),
            ("SCORE", Cell::Text("/score")),
            ("AGE", Cell::Age("/time")),
            ("EXPLANATION", Cell::Text("/explanation")),
        ],
        "plans" => &[
            ("ID", Cell::Text("/id")),
            ("WORKLOAD", Cell::Object("/workload")),
            ("ACTIONS", Cell::Actions("/actions")),
            ("MODE", Cell::Text("/mode")),
            ("STATUS", Cell::Text("/status")),
            ("AGE", Cell::Age("/createdAt")),
            ("REASONING", Cell::Text("/reasoning")),
        ],
        "trust" => &[
            ("ACTION", Cell::Text("/action")),
            ("CLASS", Cell::Object("/class")),
            ("LEVEL", Cell::Text("/level")),
            ("MODE", Cell::Text("/mode")),
            ("SUCCESSES", Cell::Text("/successes")),
            ("FAILURES", Cell::Text("/failures")),
            ("BOUND", Cell::Text("/bound")),
            ("NEXT", Cell::Text("/next")),
        ],
        "suppressions" => &[
            ("ID", Cell::Text("/id")),
            ("WORKLOAD", Cell::Object("/workload")),
            ("ABOUT", Cell::Shown("/about")),
            ("OWNER", Cell::Text("/by")),
            ("UNTIL", Cell::Time("/until")),
            ("REASON", Cell::Text("/reason")),
        ],
        "actions" => &[
            ("ID", Cell::Text("/id")),
            ("WORKLOAD", Cell::Object("/workload")),
            ("ACTION", Cell::Text("/action/name")),
            ("DIRECTION", Cell::Text("/direction")),
            ("STATUS", Cell::Text("/status")),
            ("VERDICT", Cell::Text("/verdict")),
            ("AGE", Cell::Age("/startedAt")),
            ("DETAIL", Cell::Text("/detail")),
        ],
        _ => &[
            ("OBJECT", Cell::Object("/object")),
            ("TYPE", Cell::Text("/type")),
            ("REASON", Cell::Text("/reason")),
            ("COUNT", Cell::Text("/count")),
            ("AGE", Cell::Age("/lastSeen")),
            ("MESSAGE", Cell::Text("/message")),
        ],
    }
}

#[derive(Clone, Copy)]
enum Cell {
    Text(&'static str),
    Object(&'static str),
    Age(&'static str),
    /// To the second.
    Time(&'static str),
    Actions(&'static str),
    /// Kinds of anomalies.
    Shown(&'static str),
}

pub(crate) fn list(collection: &str, page: &Value) -> String {
    let items = page.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return format!("No {collection} found.");
    }
    let columns = columns(collection);
    let mut table = plain(columns.iter().map(|(header, _)| *header));
    for item in items {
        table.add_row(columns.iter().map(|(_, cell)| cell.of(item)));
    }
    let more = page.get("next").is_some_and(|next| !next.is_null());
    let hint = if more { "\n(there are more; raise --limit)" } else { "" };
    format!("{}{hint}", trimmed(&table))
}

/// What was earned, and whether it counts.
pub(crate) fn autonomy(report: &Value) -> String {
    let nothing = report["items"].as_array().is_none_or(Vec::is_empty);
    let mut text = if nothing {
        "Nothing was done yet that trust could rest on.".to_owned()
    } else {
        list("trust", report)
    };
    if report["enabled"] != Value::Bool(true) {
        text.push_str("\n(policy.autonomy.enabled is off: the mode alone decides, whatever was earned)");
    }
    text
}

/// One record: its columns, and for an incident the story.
pub(crate) fn one(collection: &str, record: &Value) -> String {
    let mut table = plain([]);
    for (header, cell) in columns(collection) {
        table.add_row([format!("{header}:"), cell.of(record)]);
    }
    let mut text = trimmed(&table);
    let needing = record["dependants"].as_array().map_or(&[][..], Vec::as_slice);
    if !needing.is_empty() {
        let needing: Vec<String> =
            needing.iter().map(|one| format!("  {}", Cell::Object("").of(one))).collect();
        text.extend(["\n\nNEEDED BY\n", &needing.join("\n")]);
    }
    for (title, pointer, line) in [
        ("EVIDENCE", "/evidence", "/text"),
        ("STEPS", "/actions", "/description"),
        ("STORY", "/story", "/text"),
    ] {
        let items = record.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let lines: Vec<String> = items
            .iter()
            .filter_map(|item| Some((item, item.pointer(line)?.as_str()?)))
            .map(|(item, said)| match (Cell::Time("/time").of(item), Cell::Text("/chapter").of(item)) {
                (time, chapter) if !time.is_empty() => format!("  {time}  {chapter:<9} {said}"),
                _ => format!("  {said}"),
            })
            .collect();
        if !lines.is_empty() {
            text.extend(["\n\n", title, "\n", &lines.join("\n")]);
        }
    }
    let saved = saved(record);
    if !saved.is_empty() {
        text.extend(["\n\nSAVED BEFORE THE ACT\n", &saved.join("\n")]);
    }
    text
}

/// Of each log that was saved before its pod went, the last line; `--output json` has all of it.
fn saved(record: &Value) -> Vec<String> {
    fn items<'a>(of: &'a Value, key: &str) -> &'a [Value] {
        of.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
    let pods = items(record, "captures").iter().flat_map(|capture| items(capture, "pods"));
    let logs = pods.flat_map(|pod| items(pod, "logs").iter().map(move |log| (pod, log)));
    logs.map(|(pod, log)| {
        let text = Cell::Text("/text").of(log);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("(empty)").to_owned();
        let run = if log.get("previous") == Some(&Value::Bool(true)) { " (previous run)" } else { "" };
        let (pod, container) = (Cell::Object("/pod").of(pod), Cell::Text("/container").of(log));
        format!("  {pod} {container}{run}: {last}")
    })
    .collect()
}

/// What was sent, as it was sent.
pub(crate) fn question(question: &Value) -> String {
    let text = |pointer: &'static str| Cell::Text(pointer).of(question);
    let author = question["author"].as_str().unwrap_or("no author is configured; this would be asked");
    let head = match question["sentAt"].as_str() {
        Some(_) => format!("Sent to {author} at {}", Cell::Time("/sentAt").of(question)),
        None => format!("Not sent ({author})"),
    };
    let mut parts = vec![head, text("/prompt/instructions"), text("/prompt/case")];
    if let Some(schema) = question.pointer("/prompt/schema") {
        parts.push(format!("{schema:#}"));
    }
    if question.pointer("/prompt/refused").is_some() {
        let (answer, objection) = (text("/prompt/refused/answer"), text("/prompt/refused/objection"));
        parts.push(format!("The second try, after the answer\n{answer}\nwas refused: {objection}"));
    }
    parts.join("\n\n")
}

pub(crate) fn explanation(explanation: &Value) -> String {
    let source = if let Some(author) = explanation["author"].as_str() {
        format!("told by {author}")
    } else {
        let why = explanation["note"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        format!("told from a template{why}")
    };
    format!("{}\n\n({source})", explanation["text"].as_str().unwrap_or_default())
}

pub(crate) fn trial(trial: &Value) -> String {
    let text = |pointer: &'static str| Cell::Text(pointer).of(trial);
    let mut lines = match trial.get("plan") {
        Some(plan) => vec![one("plans", plan)],
        None => vec![format!("No plan: {}", text("/reason"))],
    };
    if trial.get("againAt").is_some() {
        lines.push(format!("To be looked at again at {}", Cell::Time("/againAt").of(trial)));
    }
    let refused = trial.get("refused").and_then(Value::as_array).into_iter().flatten();
    lines.extend(refused.map(|refusal| {
        format!("  {} ({})", Cell::Text("/finding").of(refusal), Cell::Text("/rule").of(refusal))
    }));
    lines.push(format!("({}; nothing was kept or done)", text("/author")));
    lines.join("\n")
}

pub(crate) fn spending(spending: &Value) -> String {
    let author = spending["author"].as_str().unwrap_or("none is configured");
    let mut sums = plain(["", "CALLS", "TOKENS", "COST", "CAPS"]);
    for (title, sum, name) in [("24 HOURS", "/day", "day"), ("30 DAYS", "/month", "month")] {
        let cell =
            |field: &str| spending.pointer(&format!("{sum}/{field}")).unwrap_or(&Value::Null).to_string();
        sums.add_row([title.into(), cell("calls"), cell("tokens"), cell("cost"), caps(spending, name)]);
    }
    sums.add_row([
        "AN INCIDENT".into(),
        String::new(),
        String::new(),
        String::new(),
        caps(spending, "incident"),
    ]);
    let mut text = format!("AUTHOR: {author}\n\n{}", trimmed(&sums));
    if let Some(capped) = spending["capped"].as_str() {
        text.extend(["\n\nNot asked any more: ", capped]);
    }
    let incidents = spending["incidents"].as_array().map_or(&[][..], Vec::as_slice);
    if !incidents.is_empty() {
        let mut each = plain(["INCIDENT", "CALLS", "TOKENS", "COST"]);
        for incident in incidents {
            let cell = |pointer: &str| incident.pointer(pointer).unwrap_or(&Value::Null).to_string();
            each.add_row([
                Cell::Text("/incident").of(incident),
                cell("/spent/calls"),
                cell("/spent/tokens"),
                cell("/spent/cost"),
            ]);
        }
        text.extend(["\n\n", &trimmed(&each)]);
    }
    text
}

fn caps(spending: &Value, of: &str) -> String {
    let cap = |unit: &str| spending.pointer(&format!("/caps/{of}/{unit}")).map(ToString::to_string);
    let tokens = cap("tokens").map(|tokens| format!("{tokens} tokens"));
    [tokens, cap("cost")].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

pub(crate) fn status(status: &Value) -> String {
    let text = |pointer: &'static str| Cell::Text(pointer).of(status);
    let mut table = plain([]);
    for (name, value) in [
        ("VERSION:", text("/version")),
        ("MODE:", text("/mode")),
        ("HEALTH:", text("/health/status")),
        ("LEADERSHIP:", text("/leadership/state")),
        ("UP SINCE:", text("/startedAt")),
        ("WORKLOADS:", text("/workloads")),
        ("SERIES:", text("/series")),
        ("OPEN INCIDENTS:", text("/openIncidents")),
        ("RUNNING SAGAS:", text("/runningSagas")),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    if status.pointer("/paused/by").is_some() {
        let pause = format!(
            "by {}, {} ago: {}",
            text("/paused/by"),
            Cell::Age("/paused/since").of(status),
            text("/paused/reason")
        );
        table.add_row(["PAUSED:".to_owned(), pause]);
    }
    if status.get("blind").is_some() {
        table.add_row(["BLIND:".to_owned(), format!("nothing is begun: {}", text("/blind"))]);
    }
    let mut parts = plain(["PART", "STATUS", "BREAKER", "LAST SUCCESS", "MESSAGE"]);
    for group in ["/health/dependencies", "/health/components"] {
        for (name, part) in status.pointer(group).and_then(Value::as_object).into_iter().flatten() {
            let cell = |pointer: &'static str| Cell::Text(pointer).of(part);
            parts.add_row([
                name.clone(),
                cell("/status"),
                cell("/breaker"),
                Cell::Age("/lastSuccess").of(part),
                cell("/message"),
            ]);
        }
    }
    let mut failing = Vec::new();
    for query in status.get("queries").and_then(Value::as_array).into_iter().flatten() {
        if let Some(error) = query.get("error").and_then(Value::as_str) {
            failing.push(format!("  {}: {error}", Cell::Text("/name").of(query)));
        }
    }
    let failing = if failing.is_empty() {
        String::new()
    } else {
        format!("\n\nFAILING QUERIES\n{}", failing.join("\n"))
    };
    format!("{}\n\n{}{failing}", trimmed(&table), trimmed(&parts))
}

impl Cell {
    fn of(self, record: &Value) -> String {
        match self {
            Cell::Text(pointer) => match record.pointer(pointer) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) if number.is_f64() => {
                    format!("{:.2}", number.as_f64().unwrap_or(0.0))
                }
                Some(other) => other.to_string(),
            },
            Cell::Object(pointer) => {
                let part = |name: &str| record.pointer(pointer)?.get(name)?.as_str().map(ToOwned::to_owned);
                let parts = [part("kind"), part("namespace"), part("name")];
                parts.into_iter().flatten().collect::<Vec<_>>().join("/")
            }
            Cell::Age(pointer) => time(record, pointer)
                .map(|time| age(Period::between(time, Timestamp::now())))
                .unwrap_or_default(),
            Cell::Time(pointer) => time(record, pointer)
                .map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
                .unwrap_or_default(),
            Cell::Shown(pointer) => {
                let kinds = record.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
                let kinds = kinds.filter_map(|kind| kind["metricType"].as_str().or(kind["reason"].as_str()));
                kinds.collect::<Vec<_>>().join(",")
            }
            Cell::Actions(pointer) => {
                let steps = record.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
                steps.filter_map(|step| step.pointer("/action/name")?.as_str()).collect::<Vec<_>>().join(",")
            }
        }
    }
}

fn time(record: &Value, pointer: &str) -> Option<Timestamp> {
    record.pointer(pointer)?.as_str()?.parse().ok()
}

/// kubectl's ages: `42s`, `5m30s`, `12m`, `3h5m`, `12h`, `3d4h`, `12d`, `2y3d`.
fn age(period: Period) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    let seconds = period.as_duration().as_secs();
    let of = |unit: u64, sign: &str| format!("{}{sign}", seconds / unit);
    let rest = |unit: u64, part: u64, sign: &str| match seconds % unit / part {
        0 => String::new(),
        parts => format!("{parts}{sign}"),
    };
    if seconds < 2 * MINUTE {
        of(1, "s")
    } else if seconds < 10 * MINUTE {
        of(MINUTE, "m") + &rest(MINUTE, 1, "s")
    } else if seconds < 3 * HOUR {
        of(MINUTE, "m")
    } else if seconds < 8 * HOUR {
        of(HOUR, "h") + &rest(HOUR, MINUTE, "m")
    } else if seconds < 2 * DAY {
        of(HOUR, "h")
    } else if seconds < 8 * DAY {
        of(DAY, "d") + &rest(DAY, HOUR, "h")
    } else if seconds < 2 * YEAR {
        of(DAY, "d")
    } else if seconds < 8 * YEAR {
        of(YEAR, "y") + &rest(YEAR, DAY, "d")
    } else {
        of(YEAR, "y")
    }
}

fn plain<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let header: Vec<&str> = header.into_iter().collect();
    if !header.is_empty() {
        table.set_header(header);
    }
    table
}

/// Without the padding that tables begin and end their lines with.
fn trimmed(table: &Table) -> String {
    let line = |line: &str| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned();
    table.to_string().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
