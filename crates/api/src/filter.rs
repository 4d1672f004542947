//! Query parameters of lists: what they are called, what they mean, what is wrong with the ones given.

use axum::http::Uri;
use kubewise_core::record::{Cursor, MAX_PAGE, RecordKind, RecordQuery};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use serde_json::json;

use crate::endpoint::{Parameter, nearest, pairs};
use crate::problem::{ParameterError, Problem};

/// What a person reads at once.
const DEFAULT_LIMIT: usize = 50;

/// The short names that kubectl has for kinds; plurals and any case are understood besides.
const SHORT_NAMES: &[(&str, Kind)] = &[
    ("po", Kind::Pod),
    ("deploy", Kind::Deployment),
    ("rs", Kind::ReplicaSet),
    ("sts", Kind::StatefulSet),
    ("ds", Kind::DaemonSet),
    ("cj", Kind::CronJob),
    ("no", Kind::Node),
    ("ns", Kind::Namespace),
    ("hpa", Kind::HorizontalPodAutoscaler),
    ("pdb", Kind::PodDisruptionBudget),
    ("svc", Kind::Service),
    ("pvc", Kind::PersistentVolumeClaim),
];

/// The parameters of a list whose records have these statuses.
pub(crate) fn parameters(statuses: &[String]) -> Vec<Parameter> {
    let text = || json!({ "type": "string", "minLength": 1 });
    let time = || {
        let ago = json!({ "pattern": "^-?[0-9]{1,6}(ms|s|m|h|d)$" });
        json!({ "type": "string", "anyOf": [{ "format": "date-time" }, ago], "examples": ["1h", "7d"] })
    };
    vec![
        Parameter::query("namespace", "Of workloads in this namespace.", text()),
        Parameter::query(
            "workload",
            "Of one workload: `kind/namespace/name`, or `kind/name` together with `namespace`; kinds as in kubectl.",
            json!({ "type": "string", "minLength": 1, "examples": ["deployment/shop/cart", "node/n1"] }),
        ),
        Parameter::query("status", "With this status.", json!({ "type": "string", "enum": statuses })),
        Parameter::query("incident", "Of this incident.", text()),
        Parameter::query("since", "From this time on: RFC 3339, or that long ago.", time()),
        Parameter::query("until", "Before this time, written as `since`.", time()),
        Parameter::query(
            "limit",
            "At most this many.",
            json!({ "type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_LIMIT }),
        ),
        Parameter::query(
            "cursor",
            "The `next` of the page before.",
            json!({ "type": "string", "pattern": "^-?[0-9]{1,18}_" }),
        ),
    ]
}

/// The query that the parameters ask for. All faults at once. `now` is asked for only if a time is relative.
pub(crate) fn parse(
    uri: &Uri,
    kind: RecordKind,
    statuses: &[String],
    now: impl Fn() -> Timestamp,
) -> Result<RecordQuery, Problem> {
    let pairs = pairs(uri)?;
    let get = |name: &str| pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let mut errors = Vec::new();
    let mut query = RecordQuery::of(kind);
    query.namespace = get("namespace").map(Into::into);
    query.incident = get("incident").map(Into::into);
    query.workload = read("workload", get("workload"), &mut errors, |text| workload(text, get("namespace")));
    query.status = read("status", get("status"), &mut errors, |text| status(text, statuses));
    query.since = read("since", get("since"), &mut errors, |text| time(text, &now));
    query.until = read("until", get("until"), &mut errors, |text| time(text, &now));
    query.limit = read("limit", get("limit"), &mut errors, limit).unwrap_or(DEFAULT_LIMIT);
    query.cursor = read("cursor", get("cursor"), &mut errors, |text| {
        text.parse::<Cursor>().map_err(|error| error.to_string())
    });
    if let (Some(since), Some(until)) = (query.since, query.until)
        && since > until
    {
        errors.push(fault("until", format!("{until} is before since, {since}")));
    }
    if errors.is_empty() { Ok(query) } else { Err(Problem::parameters(errors)) }
}

fn read<T>(
    name: &str,
    given: Option<&str>,
    errors: &mut Vec<ParameterError>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    match parse(given?) {
        Ok(value) => Some(value),
        Err(detail) => {
            errors.push(fault(name, detail));
            None
        }
    }
}

fn fault(parameter: &str, detail: String) -> ParameterError {
    ParameterError { parameter: parameter.into(), detail }
}

fn workload(text: &str, namespace: Option<&str>) -> Result<ObjectRef, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (name, given, rest) = match parts[..] {
        [kind, name] => (name, None, kind),
        [kind, namespace, name] => (name, Some(namespace), kind),
        _ => return Err(format!("`{text}` is not `kind/namespace/name` or `kind/name`")),
    };
    let kind = kind(rest)?;
    if name.is_empty() || given == Some("") {
        return Err(format!("`{text}` has an empty part; write `kind/namespace/name` or `kind/name`"));
    }
    if kind.api().is_some_and(|api| !api.namespaced) {
        return match given {
            None => Ok(ObjectRef::cluster_scoped(kind, name)),
            Some(_) => Err(format!("a {kind} has no namespace; write `{rest}/{name}`")),
        };
    }
    match (given, namespace) {
        (Some(own), Some(other)) if own != other => {
            Err(format!("its namespace `{own}` contradicts namespace={other}"))
        }
        (Some(namespace), _) | (None, Some(namespace)) => Ok(ObjectRef::namespaced(kind, namespace, name)),
        (None, None) => {
            Err(format!("a {kind} has a namespace; write `{rest}/NAMESPACE/{name}` or add `namespace`"))
        }
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    let known = Kind::KNOWN.iter().find(|kind| {
        text.eq_ignore_ascii_case(kind.as_str())
            || kind.api().is_some_and(|api| text.eq_ignore_ascii_case(api.plural))
    });
    let short =
        || SHORT_NAMES.iter().find(|(short, _)| text.eq_ignore_ascii_case(short)).map(|(_, kind)| kind);
    known.or_else(short).cloned().ok_or_else(|| {
        let valid = || Kind::KNOWN.iter().map(Kind::as_str);
        match nearest(text, valid()) {
            Some(near) => format!("`{text}` is not a kind that KubeWise knows; did you mean `{near}`?"),
            None => format!(
                "`{text}` is not a kind that KubeWise knows; these are {}",
                valid().collect::<Vec<_>>().join(", ")
            ),
        }
    })
}

fn status(text: &str, valid: &[String]) -> Result<String, String> {
    valid.iter().find(|status| status.eq_ignore_ascii_case(text)).cloned().ok_or_else(|| {
        let hint = nearest(text, valid.iter().map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("`{text}` is not a status here; these are {}{hint}", valid.join(", "))
    })
}

fn time(text: &str, now: impl Fn() -> Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let period = text.strip_prefix('-').unwrap_or(text).parse::<Period>();
    period.map(|period| period.before(now())).map_err(|_| {
        format!(
            "`{text}` is neither a time such as `2026-05-01T12:00:00Z` (write `+` as `%2B`) nor a duration such as `1h`"
        )
    })
}

fn limit(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|limit| (1..=MAX_PAGE).contains(limit))
        .ok_or_else(|| format!("`{text}` is not a whole number from 1 to {MAX_PAGE}"))
}
