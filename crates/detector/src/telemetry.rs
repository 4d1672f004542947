//! Which telemetry comes and which does not. Nothing resolves on telemetry that is missing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kubewise_core::port::WatchItem;
use kubewise_core::{Kind, Period};

#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    kinds: BTreeMap<Kind, Watch>,
    queries: BTreeMap<String, Query>,
}

#[derive(Debug, Default)]
struct Watch {
    /// Every object of the kind has been told once.
    listed: bool,
    broken: bool,
}

#[derive(Debug)]
struct Query {
    answered_at: Timestamp,
    /// Between its last two answers.
    interval: Period,
    answered: bool,
}

impl Telemetry {
    pub(crate) fn watched(&mut self, item: &WatchItem) {
        match item {
            WatchItem::Synced(kind) => {
                self.kinds.insert(kind.clone(), Watch { listed: true, broken: false });
            }
            WatchItem::Interrupted { kind, .. } => {
                self.kinds.entry(kind.clone()).or_default().broken = true;
            }
            WatchItem::Applied(state) => self.heard(&state.object.kind),
            WatchItem::Deleted { object, .. } => self.heard(&object.kind),
            WatchItem::Event(_) => self.heard(&Kind::Event),
        }
    }

    /// A watch that broke and speaks again was taken up again.
    fn heard(&mut self, kind: &Kind) {
        if let Some(watch) = self.kinds.get_mut(kind) {
            watch.broken = false;
        }
    }

    pub(crate) fn query(&mut self, name: &str, answered: bool, now: Timestamp) {
        match self.queries.get_mut(name) {
            Some(query) if answered => {
                query.interval = Period::between(query.answered_at, now);
                query.answered_at = now;
                query.answered = true;
            }
            Some(query) => query.answered = false,
            // Never answered so far: it does not say anything that could be missed.
            None if !answered => {}
            None => {
                let query = Query { answered_at: now, interval: Period::ZERO, answered: true };
                self.queries.insert(name.into(), query);
            }
        }
    }

    pub(crate) fn is_whole(&self, kind: &Kind) -> bool {
        self.kinds.get(kind).is_some_and(|watch| watch.listed && !watch.broken)
    }

    pub(crate) fn all_answered(&self) -> bool {
        self.queries.values().all(|query| query.answered)
    }

    /// Kinds and queries that spoke once and do not now.
    pub(crate) fn missing(&self, after: Period, now: Timestamp) -> Vec<String> {
        let kinds =
            self.kinds.iter().filter(|(_, watch)| watch.broken).map(|(kind, _)| format!("watch {kind}"));
        let late = |query: &Query| {
            let patience = (query.interval.as_duration() * 3).max(after.as_duration());
            Period::between(query.answered_at, now).as_duration() > patience
        };
        let queries =
            self.queries.iter().filter(|(_, query)| late(query)).map(|(name, _)| format!("query {name}"));
        kinds.chain(queries).collect()
    }
}
