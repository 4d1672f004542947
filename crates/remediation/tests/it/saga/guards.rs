//! The guards of the saga, each with the fault that it is there for, and taken out. Judged on the objects, the
//! writes and the locks that are left.

use futures::FutureExt as _;
use jiff::SignedDuration;
use kubewise_core::guard::proof::{Breach, Scenario, prove, safe};
use kubewise_core::guard::{Guard, Guards, Place};
use kubewise_core::id::PlanId;
use kubewise_core::journal::{Epoch, Outcome};
use kubewise_core::plan::{Dependant, Indicators, RemediationPlan};
use kubewise_core::port::Journal;
use kubewise_core::request::{ClusterRequest, FENCE_ANNOTATION};
use kubewise_core::{Period, Rejection};
use kubewise_remediation::saga::{Effect, Saga};
use kubewise_sim::MemoryStore;
use serde_json::{Value, json};

use super::world::{Fate, World, autoscaler, cart, evict, forbidden, indicators, plan, start, web, write};
use super::{harming, harms, helping, helps, never_better, partly, raise_maximum, roll_back, scale};

/// More effects than a saga of these needs that ends at all.
const MANY: usize = 400;

const SCENARIOS: &[Scenario] =
    &[
        Scenario {
            guard: Guard::Lowering,
            fault: "a thousand plans that somebody altered in the store",
            play: |guards| crate::hostile::attack(guards, 1_000).map(drop).map_err(Breach),
        },
        Scenario {
            guard: Guard::UidTest,
            fault: "the object is deleted and made again between the look and the write",
            play: |guards| {
                let mut world = World { guards, ..World::new(helps) };
                interrupted(&mut world, &helping(), |world| world.recreate(&cart()));
                written(&world, &[])
            },
        },
        Scenario {
            guard: Guard::BeforeTest,
            fault: "a person changes the field between the look and the write",
            play: |guards| {
                let mut world = World { guards, ..World::new(harms) };
                interrupted(&mut world, &harming(), |world| {
                    world.edit(&cart(), "/spec/image", json!("hotfix"));
                });
                holds(&world, "/spec/image", &json!("hotfix"))
            },
        },
        Scenario {
            guard: Guard::FenceTest,
            fault: "a paused leader's write arrives after its successor gave the repair up",
            play: late_write,
        },
        Scenario {
            guard: Guard::FenceFirst,
            fault: "a paused leader's write arrives, and its successor wrote nothing of its own",
            play: late_write,
        },
        Scenario {
            guard: Guard::NewerFence,
            fault: "a newer leader has fenced the object",
            play: |guards| {
                let mut world = World { guards, ..World::new(helps) };
                world.edit(&cart(), "/metadata/annotations", json!({ FENCE_ANNOTATION: "9" }));
                driven(&mut world, &helping(), |_| Fate::Normal);
                written(&world, &[])
            },
        },
        Scenario {
            guard: Guard::JournalBeforeAct,
            fault: "the journal cannot be written",
            play: |guards| {
                let mut world = World { guards, ..World::new(helps) };
                driven(&mut world, &helping(), |effect| {
                    if matches!(effect, Effect::Append(_)) { Fate::Unavailable } else { Fate::Normal }
                });
                let unjournalled = world.unjournalled.clone();
                safe(unjournalled.is_empty(), || format!("not journalled: {}", unjournalled[0]))?;
                written(&world, &[])
            },
        },
        Scenario {
            guard: Guard::DryRun,
            fault: "the server writes values its own way, and the answer to the act is lost",
            play: |guards| {
                let mut world = World { guards, ..World::new(|_| indicators(3, 3)) };
                let raise = write(cart(), &[("/spec/memory", Value::Null, json!("1024Mi"))]);
                driven(&mut world, &plan(vec![raise], partly()), |effect| {
                    if acts(effect) { Fate::DoneUnanswered } else { Fate::Normal }
                });
                ended(&world, Outcome::Succeeded)
            },
        },
        Scenario {
            guard: Guard::ReadBack,
            fault: "the act is done and its answer lost",
            play: |guards| {
                let mut world = World { guards, ..World::new(helps) };
                driven(&mut world, &helping(), |effect| {
                    if acts(effect) { Fate::DoneUnanswered } else { Fate::Normal }
                });
                ended(&world, Outcome::Succeeded)
            },
        },
        Scenario {
            guard: Guard::SentThrice,
            fault: "no answer ever comes",
            play: |guards| {
                let mut world = World { guards, ..World::new(helps) };
                let mut sent = 0;
                driven(&mut world, &helping(), |effect| {
                    sent += usize::from(acts(effect));
                    if acts(effect) { Fate::LostUnanswered } else { Fate::Normal }
                });
                safe(sent <= 3, || format!("it was sent {sent} times"))
            },
        },
        Scenario {
            guard: Guard::CheckBeforeAct,
            fault: "what policy allowed when planning it forbids just before the act",
            play: |guards| {
                let forbidden = Some(forbidden("Freeze: until Monday"));
                let mut world = World { guards, forbidden, ..World::new(helps) };
                driven(&mut world, &helping(), |_| Fate::Normal);
                written(&world, &[])
            },
        },
        Scenario {
            guard: Guard::PlanAge,
            fault: "a plan is taken up two hours after it was opened",
            play: |guards| {
                let mut world = World { guards, ..World::new(helps) };
                let mut saga = world.successor(&helping(), Epoch(1));
                let opened = saga.poll_effect().unwrap();
                world.perform(&opened, Fate::Normal);
                world.now += SignedDuration::from_hours(2);
                world.recover(&helping(), Epoch(2));
                written(&world, &[])
            },
        },
        Scenario {
            guard: Guard::Capture,
            fault: "the logs of the pod that is evicted cannot be saved",
            play: |guards| {
                let mut world = World { guards, ..World::new(helps) };
                let evicting = plan(vec![evict()], partly());
                driven(&mut world, &evicting, |effect| {
                    let saves = matches!(effect, Effect::Capture { .. });
                    if saves { Fate::Unavailable } else { Fate::Normal }
                });
                written(&world, &[])
            },
        },
        Scenario { guard: Guard::Locks, fault: "a second repair of the same object", play: locks },
        Scenario {
            guard: Guard::UndoOnlyOurs,
            fault: "a person corrects the field by hand before the undo",
            play: |guards| {
                let mut world = World { guards, ..World::new(|_| indicators(3, 0)) };
                let mut saga = world.successor(&harming(), Epoch(1));
                until(&mut world, &mut saga, |world| world.entries().contains(&"Succeeded"));
                world.edit(&cart(), "/spec/image", json!("hotfix"));
                world.drive(&mut saga, |_| Fate::Normal);
                holds(&world, "/spec/image", &json!("hotfix"))
            },
        },
        Scenario {
            guard: Guard::UndoMeantOnly,
            fault: "a sidecar of the same value is put before the container, and then comes the undo",
            play: |guards| {
                let containers = |names: &[&str], memory: u32| -> Value {
                    names.iter().map(|name| json!({ "name": name, "memory": memory })).collect()
                };
                let mut world = World { guards, ..World::new(|_| indicators(3, 0)) };
                world.edit(&cart(), "/spec/containers", containers(&["app"], 1));
                let name = ("/spec/containers/0/name", json!("app"), json!("app"));
                let raise = write(cart(), &[name, ("/spec/containers/0/memory", json!(1), json!(2))]);
                let mut saga = world.successor(&plan(vec![raise], partly()), Epoch(1));
                until(&mut world, &mut saga, |world| world.entries().contains(&"Succeeded"));
                world.edit(&cart(), "/spec/containers", containers(&["sidecar", "app"], 2));
                world.drive(&mut saga, |_| Fate::Normal);
                holds(&world, "/spec/containers", &containers(&["sidecar", "app"], 2))?;
                ended(&world, Outcome::HandedOver)
            },
        },
        Scenario {
            guard: Guard::CheckBeforeUndo,
            fault: "a tool took the field over between the act and the undo",
            play: |guards| {
                let undo_forbidden = Some("FieldOwnership: Argo CD manages it".into());
                let mut world = World { guards, undo_forbidden, ..World::new(harms) };
                world.run(harming());
                holds(&world, "/spec/image", &json!("v1"))?;
                ended(&world, Outcome::HandedOver)
            },
        },
        Scenario {
            guard: Guard::UndoOnlyForHarm,
            fault: "a repair that neither helps nor harms",
            play: |guards| {
                let mut world = World { guards, ..World::new(never_better) };
                world.run(helping());
                written(&world, &["/spec/replicas = 3"])
            },
        },
        Scenario {
            guard: Guard::KeepForFailing,
            fault: "a later step fails, and what the first replaced was itself failing",
            play: |guards| {
                let mut world = World { guards, ..World::new(harms) };
                let mut writes = 0;
                driven(&mut world, &plan(vec![scale(), roll_back()], partly()), |effect| {
                    writes += usize::from(acts(effect));
                    let second = acts(effect) && writes == 2;
                    if second { Fate::Rejected(Rejection::Invalid) } else { Fate::Normal }
                });
                holds(&world, "/spec/replicas", &json!(3))
            },
        },
        Scenario {
            guard: Guard::WorseTwice,
            fault: "one measurement falls into a bad moment",
            play: |guards| {
                let mut world = World {
                    guards,
                    ..World::new(|world| {
                        let age = Period::between(start(), world.now);
                        if age == Period::from_secs(30) { indicators(3, 0) } else { partly() }
                    })
                };
                world.run(harming());
                holds(&world, "/spec/image", &json!("v1"))
            },
        },
        Scenario {
            guard: Guard::FreshSample,
            fault: "the telemetry ceases before the act",
            play: |guards| {
                let telemetry_until = Some(start() - SignedDuration::from_secs(1));
                let mut world = World { guards, telemetry_until, ..World::new(helps) };
                world.run(helping());
                ended(&world, Outcome::HandedOver)
            },
        },
        Scenario {
            guard: Guard::SettleTime,
            fault: "the trouble comes back again and again",
            play: |guards| {
                let comes_back = |world: &World| -> Indicators {
                    let age = Period::between(start(), world.now).as_duration().as_secs();
                    if (age / 45).is_multiple_of(2) { helps(world) } else { never_better(world) }
                };
                let mut world = World { guards, ..World::new(comes_back) };
                world.run(helping());
                ended(&world, Outcome::HandedOver)
            },
        },
        Scenario {
            guard: Guard::TroubleGone,
            fault: "a raise that is not enough: every replica serves, and it is throttled on",
            play: |guards| {
                let throttled =
                    |world: &World| Indicators { firing: vec!["Deviation".into()], ..helps(world) };
                let mut world = World { guards, ..World::new(throttled) };
                world.run(helping());
                ended(&world, Outcome::HandedOver)
            },
        },
        Scenario {
            guard: Guard::Dependants,
            fault: "the repaired workload is well, and one that needs it breaks",
            play: |guards| {
                let needing = |world: &World| {
                    let broken = world.field(&cart(), "/spec/image") == json!("v1");
                    indicators(2, if broken { 0 } else { 2 })
                };
                let mut world = World { guards, needing: Some(needing), ..World::new(|_| indicators(3, 3)) };
                let mut plan = harming();
                plan.verification.dependants =
                    vec![Dependant { workload: web(), indicators: indicators(2, 2) }];
                world.run(plan);
                holds(&world, "/spec/image", &json!("v2"))?;
                ended(&world, Outcome::RolledBack)
            },
        },
        Scenario {
            guard: Guard::InconclusiveNeverCloses,
            fault: "nothing proves that it helped",
            play: |guards| {
                let mut world = World { guards, ..World::new(never_better) };
                world.run(helping());
                ended(&world, Outcome::HandedOver)
            },
        },
        Scenario {
            guard: Guard::StuckKeepsLocks,
            fault: "the undo of a harmful step is refused",
            play: |guards| {
                let mut world = World { guards, ..World::new(harms) };
                let mut writes = 0;
                driven(&mut world, &harming(), |effect| {
                    writes += usize::from(acts(effect));
                    let undo = matches!(effect, Effect::Perform { .. }) && writes == 2;
                    if undo { Fate::Rejected(Rejection::Forbidden) } else { Fate::Normal }
                });
                safe(world.locked() == [cart()], || "nobody is kept from the half-repaired object".into())
            },
        },
    ];

fn acts(effect: &Effect) -> bool {
    matches!(effect, Effect::Perform { dry_run: false, .. })
}

fn written(world: &World, expected: &[&str]) -> Result<(), Breach> {
    safe(world.writes == expected, || format!("written: {:?}", world.writes))
}

fn holds(world: &World, path: &str, expected: &Value) -> Result<(), Breach> {
    let found = world.field(&cart(), path);
    safe(found == *expected, || format!("{path} is {found}"))
}

fn ended(world: &World, expected: Outcome) -> Result<(), Breach> {
    let (outcome, writes) = (world.outcome(), &world.writes);
    safe(outcome == Some(expected), || format!("it ended as {outcome:?} after {writes:?}"))
}

/// Drives a plan until it ends, rests, or has gone on for long enough.
fn driven(world: &mut World, plan: &RemediationPlan, mut fate: impl FnMut(&Effect) -> Fate) {
    let mut saga = world.successor(plan, Epoch(1));
    for _ in 0..MANY {
        let Some(effect) = saga.poll_effect() else { return };
        let input = world.perform(&effect, fate(&effect));
        saga.handle(input, world.now);
    }
}

fn until(world: &mut World, saga: &mut Saga, reached: impl Fn(&World) -> bool) {
    while !reached(world) {
        let effect = saga.poll_effect().unwrap();
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
    }
}

/// Somebody does something just before the first write arrives.
fn interrupted(world: &mut World, plan: &RemediationPlan, meddle: impl Fn(&mut World)) {
    let mut saga = world.successor(plan, Epoch(1));
    let mut first = true;
    for _ in 0..MANY {
        let Some(effect) = saga.poll_effect() else { return };
        if matches!(effect, Effect::Perform { dry_run: false, .. }) && std::mem::take(&mut first) {
            meddle(world);
        }
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
    }
}

/// The old leader stops with its write on the wire. Its successor may not act any more, and says so; then the write
/// arrives.
fn late_write(guards: Guards) -> Result<(), Breach> {
    let mut world = World { guards, ..World::new(helps) };
    let mut old = world.successor(&helping(), Epoch(1));
    let late: ClusterRequest = loop {
        let effect = old.poll_effect().unwrap();
        if let Effect::Perform { request, dry_run: false } = &effect {
            break request.clone();
        }
        let input = world.perform(&effect, Fate::Normal);
        old.handle(input, world.now);
    };
    world.forbidden = Some(forbidden("Pause: by a person"));
    world.recover(&helping(), Epoch(2));
    let _ = world.apply(&late, false);
    written(&world, &[])
}

/// Two sagas that write the autoscaler meet in one journal.
fn locks(guards: Guards) -> Result<(), Breach> {
    let store = MemoryStore::default();
    let first = plan(vec![raise_maximum()], partly());
    let second = RemediationPlan {
        id: PlanId::from("p-2"),
        ..plan(vec![roll_back(), raise_maximum(), evict()], partly())
    };
    let opened = [first, second].map(|plan| {
        let Some(Effect::Append(entry)) = Saga::open(plan, guards, Epoch(1), start()).poll_effect() else {
            panic!("a saga begins with its opening");
        };
        store.append(&entry).now_or_never().unwrap().is_ok()
    });
    safe(opened == [true, false], || format!("two repairs of {} run at once", autoscaler()))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a person names a guard to watch its scenario fail")]
fn every_guard_is_proven() {
    let only = std::env::var("KUBEWISE_DISABLED_GUARD").ok();
    let proven = prove(&[Place::Saga], SCENARIOS, only.as_deref(), |line| println!("{line}"));
    assert_eq!(proven, Ok(()));
}
