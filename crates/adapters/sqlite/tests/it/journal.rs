//! What the journal promises.

use kubewise_core::id::SagaId;
use kubewise_core::journal::{Epoch, JournalEntry, Outcome};
use kubewise_core::port::{Journal, RecordStore};
use kubewise_core::{Failure, Rejection};
use kubewise_sqlite::Sqlite;

use crate::build::{at, ended, opened, options, store, succeeded};

async fn append_all(store: &Sqlite, entries: &[JournalEntry]) {
    for entry in entries {
        store.append(entry).await.unwrap();
    }
}

async fn unfinished(store: &Sqlite) -> Vec<String> {
    store.unfinished().await.unwrap().iter().map(SagaId::to_string).collect()
}

#[tokio::test]
async fn entries_come_back_in_order_also_after_a_restart() {
    let kept = store();
    let entries =
        [opened("s-1", &["cart"]), succeeded("s-1", 1, "done"), ended("s-1", 2, Outcome::Succeeded)];
    append_all(&kept.store, &entries).await;
    assert_eq!(kept.store.read(&SagaId::from("s-1")).await.unwrap(), entries);

    let directory = kept.directory;
    drop(kept.store);
    let again = Sqlite::open(&options(&directory)).unwrap();
    assert_eq!(again.read(&SagaId::from("s-1")).await.unwrap(), entries);
    assert_eq!(again.read(&SagaId::from("s-2")).await.unwrap(), []);
}

/// Each entry is offered to a journal that holds `s-1` (open, locks cart, written by epoch 5, next is 2).
#[tokio::test]
async fn an_append_is_refused_unless_it_is_the_next_of_the_newest_leader() {
    let leader = |mut entry: JournalEntry, epoch| {
        entry.epoch = Epoch(epoch);
        entry
    };
    let written = leader(succeeded("s-1", 1, "done"), 5);
    for (what, entry, refusal) in [
        ("the next", leader(succeeded("s-1", 2, "more"), 5), None),
        ("a newer leader's", leader(succeeded("s-1", 2, "more"), 6), None),
        ("the very same again", written.clone(), None),
        ("a sequence that is taken", leader(succeeded("s-1", 1, "other"), 5), Some(Rejection::Conflict)),
        ("a gap", leader(succeeded("s-1", 3, "more"), 5), Some(Rejection::Conflict)),
        ("a saga that was not opened", leader(succeeded("s-2", 1, "more"), 5), Some(Rejection::Conflict)),
        ("an older leader's", leader(succeeded("s-1", 2, "more"), 4), Some(Rejection::Conflict)),
        ("an older leader's new saga", leader(opened("s-2", &["web"]), 4), Some(Rejection::Conflict)),
        ("a held lock", leader(opened("s-2", &["web", "cart"]), 5), Some(Rejection::Conflict)),
        ("a free lock", leader(opened("s-2", &["web"]), 5), None),
        ("a first that opens nothing", leader(succeeded("s-2", 0, "more"), 5), Some(Rejection::Invalid)),
    ] {
        let kept = store();
        append_all(&kept.store, &[opened("s-1", &["cart"]), written.clone()]).await;
        let answer = kept.store.append(&entry).await;
        match refusal {
            None => assert_eq!(answer, Ok(()), "{what}"),
            Some(reason) => {
                assert!(answer.as_ref().is_err_and(|failure| failure.is(reason)), "{what}: {answer:?}");
                let saga = kept.store.read(&entry.saga).await.unwrap();
                assert!(!saga.contains(&entry), "{what} was written all the same");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_opening_takes_no_lock_at_all() {
    let kept = store();
    append_all(&kept.store, &[opened("s-1", &["cart"])]).await;
    kept.store.append(&opened("s-2", &["web", "cart"])).await.unwrap_err();
    append_all(&kept.store, &[opened("s-3", &["web"])]).await;
}

#[tokio::test]
async fn closing_gives_the_locks_back_unless_stuck() {
    let kept = store();
    for (saga, next, outcome, free) in [
        ("s-1", "s-2", Outcome::RolledBack, true),
        ("s-2", "s-3", Outcome::HandedOver, true),
        ("s-3", "s-4", Outcome::Stuck, false),
    ] {
        append_all(&kept.store, &[opened(saga, &["cart"]), ended(saga, 1, outcome)]).await;
        if !free {
            assert!(kept.store.append(&opened(next, &["cart"])).await.is_err(), "{outcome}");
        }
    }
    append_all(&kept.store, &[opened("s-9", &["web"]), opened("s-0", &["shop"])]).await;
    assert_eq!(unfinished(&kept.store).await, ["s-3", "s-9", "s-0"], "stuck or open, in order of opening");

    append_all(&kept.store, &[ended("s-3", 2, Outcome::HandedOver)]).await;
    append_all(&kept.store, &[opened("s-4", &["cart"])]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_rivals_for_one_place_exactly_one_wins() {
    let kept = store();
    append_all(&kept.store, &[opened("s-1", &["cart"])]).await;
    for sequence in 1..=20 {
        let rivals: Vec<_> = (0..8)
            .map(|rival| {
                let store = kept.store.clone();
                let entry = succeeded("s-1", sequence, &format!("by {rival}"));
                tokio::spawn(async move { store.append(&entry).await })
            })
            .collect();
        let mut winners = 0;
        for rival in rivals {
            match rival.await.unwrap() {
                Ok(()) => winners += 1,
                Err(failure) => assert!(failure.is(Rejection::Conflict), "{failure:?}"),
            }
        }
        assert_eq!(winners, 1, "entry {sequence}");
    }
}

#[tokio::test]
async fn retention_removes_old_sagas_that_are_over_and_nothing_else() {
    let kept = store();
    append_all(
        &kept.store,
        &[
            opened("s-over", &["a"]),
            ended("s-over", 1, Outcome::Succeeded),
            opened("s-stuck", &["b"]),
            ended("s-stuck", 1, Outcome::Stuck),
            opened("s-open", &["c"]),
        ],
    )
    .await;
    let mut late = ended("s-late", 1, Outcome::Succeeded);
    late.time = at(1_000);
    append_all(&kept.store, &[opened("s-late", &["d"]), late]).await;

    kept.store.purge(at(500)).await.unwrap();
    for (saga, entries) in [("s-over", 0), ("s-stuck", 2), ("s-open", 1), ("s-late", 2)] {
        assert_eq!(kept.store.read(&SagaId::from(saga)).await.unwrap().len(), entries, "{saga}");
    }
}

#[tokio::test]
async fn retention_does_not_forget_the_newest_leader() {
    let kept = store();
    let mut end = ended("s-1", 1, Outcome::Succeeded);
    end.epoch = Epoch(7);
    append_all(&kept.store, &[opened("s-1", &["cart"]), end]).await;
    kept.store.purge(at(500)).await.unwrap();
    let late = kept.store.append(&opened("s-2", &["cart"])).await;
    assert!(matches!(late, Err(Failure::Rejected { reason: Rejection::Conflict, .. })), "{late:?}");
}
