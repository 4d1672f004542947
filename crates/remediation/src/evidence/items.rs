//! The facts that a plan cites, the most telling first.

use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::metric::MetricType;
use kubewise_core::plan::EvidenceItem;
use kubewise_core::state::{ContainerState, ObjectState};
use std::collections::BTreeMap;

use super::Evidence;
use crate::author;
use crate::network;
use crate::revision::Revisions;

/// What a person still reads at night.
const MAX_ITEMS: usize = 16;
/// Of one kind, so that no kind crowds out the others.
const MAX_OF_A_KIND: usize = 4;
/// The end of a log is where the cause stands.
const LOG_LINES: usize = 5;

impl Evidence {
    /// The facts that a plan cites, with ids `e1`, `e2`, …
    pub fn items(&self) -> Vec<EvidenceItem> {
        let kinds: [(&str, Vec<String>); 8] = [
            ("anomaly", self.anomaly_items()),
            ("settings", self.settings_items()),
            ("containers", self.container_items()),
            ("revisions", self.revision_items()),
            ("policies", network::suspect(self).iter().map(ToString::to_string).collect()),
            ("logs", self.log_items()),
            ("events", self.event_items()),
            ("metrics", self.sample_items()),
        ];
        kinds
            .into_iter()
            .flat_map(|(source, texts)| texts.into_iter().take(MAX_OF_A_KIND).map(move |text| (source, text)))
            .chain(self.history_item().map(|text| ("history", text)))
            .take(MAX_ITEMS)
            .enumerate()
            .map(|(index, (source, text))| EvidenceItem {
                id: format!("e{}", index + 1),
                source: source.into(),
                text: author::readable(&text),
            })
            .collect()
    }

    fn anomaly_items(&self) -> Vec<String> {
        let mut anomalies: Vec<&AnomalyRecord> = self.firing().collect();
        anomalies
            .sort_by_key(|anomaly| (std::cmp::Reverse(anomaly.severity), anomaly.time, anomaly.id.clone()));
        anomalies.iter().map(|anomaly| format!("{}: {}", anomaly.reason, anomaly.explanation)).collect()
    }

    fn settings_items(&self) -> Vec<String> {
        let late = self.late_changes().into_iter();
        late.map(|change| {
            format!("{} changed at {:.0}, {} {}", change.object, change.time, change.distance, change.side)
        })
        .collect()
    }

    /// No more than are taken, since each is read from its pod.
    fn container_items(&self) -> Vec<String> {
        let troubles = |pod: ObjectState| -> Vec<String> {
            let containers = pod.pod().map(|state| state.containers.as_slice()).unwrap_or_default();
            let trouble = |container| Some((container, self.trouble_of(&pod.object, container)?));
            let ill = containers.iter().filter_map(trouble);
            ill.map(|(container, trouble)| {
                format!("{} container {}: {}", pod.object, container.name, told(container, &trouble))
            })
            .collect()
        };
        self.pod_states().flat_map(troubles).take(MAX_OF_A_KIND).collect()
    }

    fn revision_items(&self) -> Vec<String> {
        let revisions = Revisions::of(self);
        let mut texts = Vec::new();
        if let Some(current) = revisions.current() {
            let since = current.began.map_or_else(String::new, |began| format!(", since {began:.0}"));
            texts.push(format!("runs revision {}{since}", current.title()));
        }
        if let Some(healthy) = revisions.last_healthy() {
            texts.push(format!(
                "the last revision known to be healthy is {} ({})",
                healthy.title(),
                healthy.proof()
            ));
        }
        texts
    }

    fn log_items(&self) -> Vec<String> {
        self.logs
            .iter()
            .filter_map(|log| {
                let lines: Vec<_> = log.text.lines().rev().filter(|line| !line.trim().is_empty()).collect();
                let tail: Vec<_> = lines.into_iter().take(LOG_LINES).collect();
                let run = if log.previous { " (previous run)" } else { "" };
                let tail = tail.into_iter().rev().collect::<Vec<_>>().join(" | ");
                (!tail.is_empty())
                    .then(|| format!("{} container {}{run} wrote last: {tail}", log.pod, log.container))
            })
            .collect()
    }

    fn event_items(&self) -> Vec<String> {
        let mut events: Vec<&EventRecord> = self.events.iter().collect();
        events.sort_by_key(|event| {
            (event.event_type == EventType::Normal, std::cmp::Reverse(event.last_seen), event.uid.clone())
        });
        events
            .iter()
            .map(|event| {
                format!("{} on {} ({} times): {}", event.reason, event.object, event.count, event.message)
            })
            .collect()
    }

    fn sample_items(&self) -> Vec<String> {
        let mut newest = BTreeMap::new();
        for sample in &self.samples {
            if matches!(
                sample.metric_type,
                MetricType::MemoryLimitRatio | MetricType::CpuThrottling | MetricType::ReplicasAvailable
            ) {
                newest.insert((&sample.metric_type, &sample.object, &sample.container), sample);
            }
        }
        newest
            .into_values()
            .map(|sample| {
                let container =
                    sample.container.as_ref().map_or_else(String::new, |name| format!(" container {name}"));
                format!("{} of {}{container} is {:.2}", sample.metric_type, sample.object, sample.value)
            })
            .collect()
    }

    fn history_item(&self) -> Option<String> {
        let latest = self.history.first()?;
        Some(format!(
            "KubeWise last did {} at {:.0}: {}",
            latest.action.name, latest.started_at, latest.detail
        ))
    }
}

fn told(container: &ContainerState, trouble: &str) -> String {
    let ended = container.terminated.as_ref();
    let ended = ended.map_or_else(String::new, |ended| {
        format!(", ended with {} (exit code {})", ended.reason, ended.exit_code)
    });
    let waiting = container.waiting.as_ref().filter(|waiting| !waiting.message.is_empty());
    let waiting = waiting.map_or_else(String::new, |waiting| format!(": {}", waiting.message));
    format!("{trouble}, {} restarts{ended}{waiting}", container.restarts)
}
