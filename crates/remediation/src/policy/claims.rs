//! How large claims become.

use kubewise_core::document::Document;
use kubewise_core::guard::Guard;
use kubewise_core::{Kind, quantity};
use serde_json::Value;

use super::limits::{show, within_quotas};
use super::{Case, Finding, never};

/// A claim that is given more storage.
pub(super) struct Grown<'a> {
    claim: &'a Document,
    /// Bytes.
    before: f64,
    after: f64,
}

type Bound = fn(&Case<'_>, &Grown<'_>) -> Finding;

/// What bounds a claim besides its own size; the same guards as those of pods.
pub(super) const BOUNDS: &[(Guard, Bound)] = &[(Guard::LimitRanges, limit_ranges), (Guard::Quotas, quotas)];

pub(super) fn grown<'a>(case: &Case<'a>) -> impl Iterator<Item = Grown<'a>> {
    let evidence = case.evidence;
    case.writes().filter(|(object, _)| object.kind == Kind::PersistentVolumeClaim).filter_map(
        |(object, change)| {
            let size = |value: &Option<Value>| value.as_ref()?.as_str().and_then(quantity::parse);
            let claim = evidence.document(object)?;
            Some(Grown { claim, before: size(&change.before)?, after: size(&change.after)? })
        },
    )
}

fn limit_ranges(case: &Case<'_>, grown: &Grown<'_>) -> Finding {
    for range in &case.evidence.limit_ranges {
        let of_claims = range
            .list("/spec/limits")
            .iter()
            .filter(|item| item.get("type").and_then(Value::as_str) == Some("PersistentVolumeClaim"));
        let mut most =
            of_claims.filter_map(|item| quantity::parse(item.get("max")?.get("storage")?.as_str()?));
        if most.any(|most| grown.after > most) {
            let name = range.text("/metadata/name").unwrap_or_default();
            return never(format!("LimitRange {name} allows no claim of {}", show("storage", grown.after)));
        }
    }
    Ok(String::new())
}

fn quotas(case: &Case<'_>, grown: &Grown<'_>) -> Finding {
    let class = grown.claim.text("/spec/storageClassName").unwrap_or_default();
    let of_class = format!("{class}.storageclass.storage.k8s.io/requests.storage");
    let more = grown.after - grown.before;
    within_quotas(case.evidence.quotas.iter(), &[("requests.storage".into(), more), (of_class, more)])
}
