//! What Events and changes tell about an anomaly: the order that led up to it, and warnings that are unusually many.

use jiff::Timestamp;
use kubewise_core::ObjectRef;
use kubewise_core::anomaly::Reason;

use crate::events::{Events, Warnings};
use crate::orders::{Mark, REVISED, SCALED_UP, recognise};
use crate::world::World;

#[derive(Clone, Debug, Default)]
pub(crate) struct Prelude {
    /// The known order that they came in, as a clause.
    pub(crate) order: Option<String>,
    /// If they are unusually many.
    pub(crate) warnings: Option<Warnings>,
}

impl Prelude {
    /// From the Events of a workload and of its nodes, and the changes of its spec.
    pub(crate) fn of(
        events: &Events,
        world: &World,
        workload: &ObjectRef,
        reason: Reason,
        now: Timestamp,
    ) -> Self {
        let mut marks: Vec<Mark> = events.marks(workload).collect();
        if let Some((_, history)) = world.get(workload).and_then(|known| known.workload()) {
            let changes = [(REVISED, history.revised_at), (SCALED_UP, history.scaled_up_at)];
            marks.extend(changes.into_iter().filter_map(|(word, at)| Some(Mark::of(word, at?))));
        }
        for node in world.nodes_of(workload) {
            marks.extend(events.marks(&node));
        }
        Prelude { order: recognise(marks, reason, now), warnings: events.unusual(workload, now) }
    }
}
