//! The guards of the journal, each with the fault that it is there for, and taken out.

use kubewise_core::guard::proof::{Breach, Scenario, prove, safe};
use kubewise_core::guard::{Guard, Guards, Place};
use kubewise_core::id::SagaId;
use kubewise_core::journal::{Epoch, JournalEntry};
use kubewise_core::port::Journal;

use crate::build::{opened, store, succeeded};

const SCENARIOS: &[Scenario] = &[
    Scenario {
        guard: Guard::JournalEpoch,
        fault: "a paused old leader writes after its successor",
        play: |guards| {
            refused(guards, &[leader(opened("s-1", &["cart"]), 2)], &leader(succeeded("s-1", 1, "x"), 1))
        },
    },
    Scenario {
        guard: Guard::JournalSequence,
        fault: "an entry that leaves a gap",
        play: |guards| refused(guards, &[opened("s-1", &["cart"])], &succeeded("s-1", 2, "x")),
    },
    Scenario {
        guard: Guard::JournalLocks,
        fault: "a second saga on an object that an open one holds",
        play: |guards| refused(guards, &[opened("s-1", &["cart"])], &opened("s-2", &["cart"])),
    },
];

fn leader(mut entry: JournalEntry, epoch: u64) -> JournalEntry {
    entry.epoch = Epoch(epoch);
    entry
}

/// The journal holds `before`; then it must not take `entry`.
fn refused(guards: Guards, before: &[JournalEntry], entry: &JournalEntry) -> Result<(), Breach> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let kept = store();
        let store = kept.store.clone().under(guards);
        for entry in before {
            store.append(entry).await.unwrap();
        }
        let _ = store.append(entry).await;
        let written = store.read(&SagaId::from(entry.saga.as_str())).await.unwrap();
        safe(!written.contains(entry), || {
            format!("the journal holds entry {} of {}", entry.sequence, entry.saga)
        })
    })
}

#[test]
fn every_guard_is_proven() {
    let only = std::env::var("KUBEWISE_DISABLED_GUARD").ok();
    let proven = prove(&[Place::Journal], SCENARIOS, only.as_deref(), |line| println!("{line}"));
    assert_eq!(proven, Ok(()));
}
