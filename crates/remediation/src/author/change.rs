//! What changed in the workload lately: which revision runs, what it changed, who wrote.

use std::collections::{BTreeMap, BTreeSet};

use kubewise_core::Timestamp;
use kubewise_core::guard::Guards;
use serde_json::Value;

use super::dossier::{Dossier, Source};
use super::egress::{Egress, Line};
use super::fields::{REFERENCES, Show, TEMPLATE};
use crate::evidence::{Evidence, SETTINGS};
use crate::revision::{Revision, Revisions};

/// More changes than these are another program.
const MAX_CHANGES: usize = 24;
/// Writers of the workload, newest first.
const MAX_WRITERS: usize = 4;
/// ConfigMaps, Secrets and claims.
const MAX_REFERENCES: usize = 16;

pub(super) fn add(evidence: &Evidence, revisions: &Revisions, dossier: &mut Dossier) {
    let current = revisions.current();
    if let Some(current) = current {
        let line = title(dossier.egress.line().ours("the current revision is "), current);
        let line = match current.began {
            Some(began) => line.ours(", since ").value(began),
            None => line,
        };
        dossier.add(Source::Changes, "revision", "current", 0, line);
        if let Some(healthy) = revisions.last_healthy() {
            let line = title(dossier.egress.line().ours("the last healthy revision is "), healthy);
            let line = line.ours(": ").text(&healthy.proof());
            dossier.add(Source::Changes, "revision", "healthy", 1, line);
        }
    }
    settings(evidence, dossier);
    if let Some((before, current)) = revisions.last_healthy().or(revisions.previous()).zip(current) {
        differences(before, current, dossier);
    }
    writers(evidence, dossier);
    referred(evidence, dossier);
}

fn title(line: Line, revision: &Revision) -> Line {
    line.value(revision.number).ours(" (").name(&revision.name).ours(")")
}

fn differences(before: &Revision, current: &Revision, dossier: &mut Dossier) {
    let egress = dossier.egress;
    let listed = |template| -> BTreeMap<_, _> {
        let fields = egress.listed(template, &[TEMPLATE, REFERENCES]);
        fields.into_iter().map(|(path, show, value)| (path, (show, value))).collect()
    };
    let (old, new) = (listed(&before.template), listed(&current.template));
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed: Vec<_> = paths
        .into_iter()
        .map(|path| (path, old.get(path), new.get(path)))
        .filter(|(_, old, new)| old.map(|(_, value)| value) != new.map(|(_, value)| value))
        .collect();
    let of_old = |line: Line| title(line.ours(" (revision "), before).ours(")");
    for (place, (path, old, new)) in (3..).zip(changed.iter().take(MAX_CHANGES)) {
        let line = egress.line().name(path);
        let line = match (old, new) {
            (Some((Show::Hidden, _)), Some(_)) => {
                title(line.ours(" has another value than in revision "), before)
            }
            (Some((show, old)), Some((_, new))) => {
                of_old(line.ours(" was ").shown(*show, old)).ours(", is now ").shown(*show, new)
            }
            (None, Some((show, new))) => line.ours(" is new: ").shown(*show, new),
            (Some((show, old)), None) => of_old(line.ours(" is gone; it was ").shown(*show, old)),
            (None, None) => continue,
        };
        dossier.add(Source::Changes, "change", path.rsplit('.').next().unwrap_or(path), place, line);
    }
    if changed.is_empty() && before.template != current.template {
        let line = of_old(egress.line().ours("the pod template changed in fields that are not shown"));
        dossier.add(Source::Changes, "change", "unlisted", 3, line);
    }
}

/// Who wrote the workload's fields last, as its managed fields tell.
fn writers(evidence: &Evidence, dossier: &mut Dossier) {
    let Some(workload) = &evidence.workload else { return };
    let text =
        |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut writers: Vec<(Timestamp, String, String)> = workload
        .list("/metadata/managedFields")
        .iter()
        .filter(|entry| entry.get("subresource").is_none())
        .filter_map(|entry| {
            Some((text(entry, "time").parse().ok()?, text(entry, "manager"), text(entry, "operation")))
        })
        .collect();
    writers.sort_by(|a, b| b.cmp(a));
    for (time, manager, operation) in writers.into_iter().take(MAX_WRITERS) {
        let line = dossier.egress.line().text(&manager).ours(" wrote the workload at ").value(time);
        let line = line.ours(" (").name(&operation).ours(")");
        dossier.add(Source::Changes, "change", "writer", i64::MAX, line);
    }
}

/// ConfigMaps and Secrets that changed shortly before the trouble, or since.
fn settings(evidence: &Evidence, dossier: &mut Dossier) {
    for change in evidence.late_changes() {
        let line = dossier.egress.line().object(change.object).ours(" changed at ").value(change.time);
        let line = line.ours(", ").value(change.distance).ours(" ").ours(change.side);
        dossier.add(Source::Changes, "change", &change.object.name, 2, line);
    }
}

/// The objects that a pod template refers to, by kind and name.
pub(crate) fn references(template: &Value) -> BTreeSet<(&'static str, &str)> {
    let listed = Egress::new(Guards::default()).listed(template, &[REFERENCES]).into_iter();
    let named = listed.filter_map(|(path, _, value)| {
        let kind = path.rsplit('.').find_map(|key| match key {
            "configMapKeyRef" | "configMapRef" | "configMap" => Some("ConfigMap"),
            "secretKeyRef" | "secretRef" | "secret" | "imagePullSecrets" => Some("Secret"),
            "persistentVolumeClaim" => Some("PersistentVolumeClaim"),
            "serviceAccountName" => Some("ServiceAccount"),
            _ => None,
        });
        Some((kind?, value.as_str()?))
    });
    named.collect::<BTreeSet<_>>().into_iter().take(MAX_REFERENCES).collect()
}

/// What the workload's pods are made of beside their template.
fn referred(evidence: &Evidence, dossier: &mut Dossier) {
    let template =
        evidence.workload.as_ref().and_then(|workload| workload.0.pointer(crate::action::TEMPLATE));
    let names = template.map(references).unwrap_or_default();
    if names.is_empty() {
        return;
    }
    let is_known = |kind: &str, name: &str| {
        evidence.settings.iter().any(|(one, _)| one.kind.as_str() == kind && *one.name == *name)
    };
    let mut line = dossier.egress.line().ours("the pod template refers to ");
    for (number, (kind, name)) in names.into_iter().enumerate() {
        line = line.ours(if number == 0 { "" } else { ", " }).ours(kind).ours(" ").name(name);
        if SETTINGS.contains(&kind) && !is_known(kind, name) {
            line = line.ours(" (when it changed is not known)");
        }
    }
    dossier.add(Source::State, "object", "references", i64::MAX, line);
}
