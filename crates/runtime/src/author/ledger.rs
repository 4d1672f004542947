//! What the author has cost, and whether one more call fits under the caps.
//!
//! One list of calls is the only truth; every sum is read off it. A call is entered with its estimate before it is sent,
//! so that calls at one time cannot pass a cap together, and is corrected once its cost is known.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use kubewise_core::author::{AuthorCall, Caps, IncidentSpent, Prices, Spent, Usage};
use kubewise_core::id::{CallId, IncidentId};
use kubewise_core::money::Money;
use kubewise_core::{Period, Timestamp};

const DAY: Period = Period::from_mins(24 * 60);
pub(super) const MONTH: Period = Period::from_mins(30 * 24 * 60);
/// Entries of about 100 bytes; the default caps end far earlier. The oldest gives way.
const MOST: usize = 100_000;
/// In an answer for people.
const SHOWN_INCIDENTS: usize = 100;

#[derive(Debug)]
pub(super) struct Ledger {
    caps: Caps,
    prices: Prices,
    /// By the time of asking, oldest first.
    entries: VecDeque<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    call: CallId,
    incident: IncidentId,
    asked_at: Timestamp,
    tokens: u64,
    cost: Money,
}

/// The cap that a call would pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Capped {
    over: &'static str,
    most: String,
}

impl fmt::Display for Capped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cap of {} {} is reached", self.most, self.over)
    }
}

impl Ledger {
    pub(super) fn new(caps: Caps, prices: Prices) -> Self {
        Ledger { caps, prices, entries: VecDeque::new() }
    }

    /// Takes up a call of an earlier process; they come oldest first.
    pub(super) fn restore(&mut self, call: &AuthorCall) {
        self.enter(Entry {
            call: call.id.clone(),
            incident: call.incident.clone(),
            asked_at: call.asked_at,
            tokens: call.usage.tokens(),
            cost: call.cost,
        });
    }

    pub(super) fn cost(&self, usage: Usage) -> Money {
        let Prices { input, output } = self.prices;
        input.for_tokens(usage.input_tokens).plus(output.for_tokens(usage.output_tokens))
    }

    /// Enters a call with its estimate, unless that passes a cap.
    pub(super) fn reserve(
        &mut self,
        call: &CallId,
        incident: &IncidentId,
        estimate: Usage,
        now: Timestamp,
    ) -> Result<(), Capped> {
        if let Some(capped) = self.capped(Some(incident), estimate, now) {
            return Err(capped);
        }
        let (tokens, cost) = (estimate.tokens(), self.cost(estimate));
        self.enter(Entry { call: call.clone(), incident: incident.clone(), asked_at: now, tokens, cost });
        Ok(())
    }

    /// Corrects a call by what it was charged with; nothing takes it out of the list.
    pub(super) fn settle(&mut self, call: &CallId, usage: Usage) {
        let cost = self.cost(usage);
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.call == *call) {
            entry.tokens = usage.tokens();
            entry.cost = cost;
        }
    }

    /// Takes a call out that was never sent.
    pub(super) fn release(&mut self, call: &CallId) {
        self.entries.retain(|entry| entry.call != *call);
    }

    /// The cap that one more call would pass, if any.
    pub(super) fn capped(
        &self,
        incident: Option<&IncidentId>,
        estimate: Usage,
        now: Timestamp,
    ) -> Option<Capped> {
        let of_incident = incident.map(|id| self.sum(MONTH, now, |entry| entry.incident == *id));
        let (tokens, cost) = (estimate.tokens(), self.cost(estimate));
        [
            (of_incident, self.caps.incident, "for one incident"),
            (Some(self.day(now)), self.caps.day, "in 24 hours"),
            (Some(self.month(now)), self.caps.month, "in 30 days"),
        ]
        .into_iter()
        .filter_map(|(spent, cap, over)| Some((spent?, cap, over)))
        .find_map(|(spent, cap, over)| {
            let dear = cap.cost.filter(|most| spent.cost.plus(cost) > *most);
            let long = cap.tokens.filter(|most| spent.tokens.saturating_add(tokens) > *most);
            let most = dear.map(|most| most.to_string()).or(long.map(|most| format!("{most} tokens")))?;
            Some(Capped { over, most })
        })
    }

    pub(super) fn day(&self, now: Timestamp) -> Spent {
        self.sum(DAY, now, |_| true)
    }

    pub(super) fn month(&self, now: Timestamp) -> Spent {
        self.sum(MONTH, now, |_| true)
    }

    pub(super) fn caps(&self) -> Caps {
        self.caps
    }

    /// What each incident cost in the last 30 days, the dearest first.
    pub(super) fn by_incident(&self, now: Timestamp) -> Vec<IncidentSpent> {
        let mut sums: BTreeMap<&IncidentId, Spent> = BTreeMap::new();
        for entry in self.within(MONTH, now) {
            add(sums.entry(&entry.incident).or_default(), entry);
        }
        let each =
            sums.into_iter().map(|(incident, spent)| IncidentSpent { incident: incident.clone(), spent });
        let mut each: Vec<_> = each.collect();
        each.sort_by_key(|one| std::cmp::Reverse((one.spent.cost, one.spent.tokens)));
        each.truncate(SHOWN_INCIDENTS);
        each
    }

    fn sum(&self, period: Period, now: Timestamp, counts: impl Fn(&Entry) -> bool) -> Spent {
        let mut spent = Spent::default();
        self.within(period, now).filter(|entry| counts(entry)).for_each(|entry| add(&mut spent, entry));
        spent
    }

    fn within(&self, period: Period, now: Timestamp) -> impl Iterator<Item = &Entry> {
        let since = period.before(now);
        self.entries.iter().filter(move |entry| entry.asked_at > since)
    }

    fn enter(&mut self, entry: Entry) {
        let oldest = MONTH.before(entry.asked_at);
        while self.entries.front().is_some_and(|first| first.asked_at <= oldest) || self.entries.len() >= MOST
        {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

fn add(spent: &mut Spent, entry: &Entry) {
    spent.calls += 1;
    spent.tokens = spent.tokens.saturating_add(entry.tokens);
    spent.cost = spent.cost.plus(entry.cost);
}

#[cfg(test)]
mod tests;
