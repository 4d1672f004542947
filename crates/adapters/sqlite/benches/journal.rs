//! How long an append to the journal takes until it is durable: what every act waits for.
//!
//! On the disk that holds this crate's build, since a temporary folder may be in memory, where durability costs nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use kubewise_core::id::SagaId;
use kubewise_core::journal::{BeforeImage, Epoch, JournalBody, JournalEntry};
use kubewise_core::plan::FieldChange;
use kubewise_core::port::Journal as _;
use kubewise_core::{Kind, ObjectRef, Timestamp};
use kubewise_sqlite::{Options, Sqlite};
use serde_json::json;

/// Entries of one saga; those of the benched kind follow its opening.
fn entry(sequence: u32, body: JournalBody) -> JournalEntry {
    JournalEntry { saga: SagaId::from("s-1"), sequence, epoch: Epoch(1), time: Timestamp::UNIX_EPOCH, body }
}

fn opened() -> JournalEntry {
    let workload = ObjectRef::namespaced(Kind::Deployment, "shop", "cart");
    let plan = json!({
        "id": "p-1", "incident": "i-1", "workload": workload, "attempt": 1,
        "author": { "kind": "playbook", "name": "crash-loop" }, "reasoning": "", "rootCause": "", "evidence": [],
        "priority": "Critical", "actions": [], "safetyConstraints": [],
        "verification": {
            "checks": [], "provisionalAfter": "30s", "settle": "10m", "deadline": "30m",
            "baseline": {
                "desired": 3, "available": 0, "rolledOut": false, "restarts": {}, "failing": [],
                "newestSample": null, "takenAt": Timestamp::UNIX_EPOCH,
            },
        },
        "mode": "auto", "status": "Executing", "createdAt": Timestamp::UNIX_EPOCH, "updatedAt": Timestamp::UNIX_EPOCH,
    });
    let plan = serde_json::from_value(plan).expect("a plan");
    entry(0, JournalBody::Opened { plan, locks: vec![workload] })
}

/// The before-image of a pod template, about 2 KB: the largest entry that an act waits for.
fn prepared(sequence: u32) -> JournalEntry {
    let template = json!({ "containers": [{ "name": "app", "image": "shop/cart:1", "args": vec!["x".repeat(50); 30] }] });
    let change =
        FieldChange { path: "/spec/template".into(), before: Some(template.clone()), after: Some(template) };
    let before = BeforeImage { fields: vec![change], fence: Some("1".into()), annotated: true };
    entry(sequence, JournalBody::Prepared { step: 0, before })
}

fn append(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an executor");
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a folder");
    let store = Sqlite::open(&Options { path: folder.path().join("kubewise.db") }).expect("a store");
    runtime.block_on(store.append(&opened())).expect("durable");
    let mut sequence = 0;
    criterion.bench_function("journal append, durable", |bencher| {
        bencher.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                sequence += 1;
                let entry = prepared(sequence);
                let start = Instant::now();
                runtime.block_on(store.append(&entry)).expect("durable");
                spent += start.elapsed();
            }
            spent
        });
    });
}

criterion_group!(journal, append);
criterion_main!(journal);
