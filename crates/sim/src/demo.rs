//! The demo's cluster: about two hundred pods, five troubles, and a life that goes on beside them.

use kubewise_core::{ObjectRef, Period, Timestamp};
use serde_json::json;

use crate::behaviour::Behaviour;
use crate::expectation::{Expectation, Outcome};
use crate::manifest::Workload;
use crate::world::{Change, World};

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1024.0 * MIB;
const REPLICAS: u32 = 5;

/// A world, what will happen in it, and how it should end.
#[derive(Clone, Debug)]
pub struct Demo {
    pub world: World,
    pub episodes: Vec<Episode>,
    pub expectations: Vec<Expectation>,
    /// When the last episode should be over.
    pub end: Timestamp,
}

/// Something that happens, told for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    pub time: Timestamp,
    pub workload: ObjectRef,
    pub title: &'static str,
    /// Whether KubeWise has to notice it; otherwise it has to leave it alone.
    pub trouble: bool,
}

/// Namespaces and their services, five replicas of each. Together with a DaemonSet and a StatefulSet 196 pods.
const SERVICES: [(&str, &[&str]); 6] = [
    ("shop", &["cart", "catalog", "checkout", "prices", "search", "stock", "wishlist", "reviews"]),
    ("web", &["frontend", "gateway", "images", "sessions", "mobile", "static"]),
    ("payments", &["ledger", "billing", "fraud", "invoices", "payouts", "wallet"]),
    ("media", &["encoder", "player", "library", "captions", "upload", "covers"]),
    ("data", &["ingest", "reports", "features", "exports", "lineage", "quality"]),
    ("support", &["tickets", "chat", "mailer", "survey", "forms"]),
];

/// The cluster of `kubewise demo`. The same seed gives the same story.
pub fn demo_world(seed: u64) -> Demo {
    let world = World::new(seed);
    for number in 1..=8 {
        world.node(&format!("node-{number}"), 16.0, 64.0 * GIB);
    }
    for (place, (namespace, services)) in SERVICES.into_iter().enumerate() {
        for (index, service) in services.iter().enumerate() {
            // Peaks, sizes and noise differ, so that no two series look alike.
            let spread = (place * 7 + index * 3) as f64;
            let behaviour = Behaviour {
                peak_hour: 11.0 + spread % 9.0,
                daily: 0.10 + 0.01 * (spread % 20.0),
                ..Behaviour::service(0.04 + 0.004 * (spread % 10.0), (90.0 + spread % 40.0) * MIB)
            };
            let workload = Workload::deployment(namespace, service).replicas(REPLICAS).behaviour(behaviour);
            world.add(match *service {
                // Its cache grows with load: at twice the load it no longer fits.
                "search" => workload.memory("160Mi", "256Mi").behaviour(Behaviour {
                    memory_idle: 100.0 * MIB,
                    memory_at_load: 85.0 * MIB,
                    daily: 0.05,
                    ..Behaviour::default()
                }),
                "ledger" => workload.spec("progressDeadlineSeconds", json!(120)),
                _ => workload,
            });
        }
    }
    world.add(Workload::stateful_set("data", "warehouse").replicas(3));
    world.add(Workload::daemon_set("support", "agent"));
    world.budget(&deployment("web", "gateway"), "50%");
    world.autoscaler(&deployment("media", "player"), 5, 10, 80);
    world.quota("payments", "compute", &[("requests.memory", "16Gi"), ("pods", "60")]);
    script(world)
}

fn deployment(namespace: &str, name: &str) -> ObjectRef {
    Workload::deployment(namespace, name).object()
}

fn script(world: World) -> Demo {
    let start = world.now();
    let after = |minutes: u64| Period::from_mins(minutes).after(start);
    let (mut episodes, mut expectations) = (Vec::new(), Vec::new());
    let mut happen = |minutes: u64, title, trouble, workload: ObjectRef, change: Change, outcome: Outcome| {
        world.at(after(minutes), change);
        episodes.push(Episode { time: after(minutes), workload: workload.clone(), title, trouble });
        expectations.push(Expectation { workload, outcome });
    };
    let image = |workload: &ObjectRef, tag: &str| {
        format!("{}/{}:{tag}", workload.namespace_or_empty(), workload.name)
    };
    let roll = |workload: &ObjectRef, tag: &str| Change::Image {
        workload: workload.clone(),
        image: image(workload, tag),
    };

    let cart = deployment("shop", "cart");
    let back = Outcome::RolledBack { image: image(&cart, "1") };
    happen(
        10,
        "a new revision of the cart crashes at its start",
        true,
        cart.clone(),
        roll(&cart, "2-crash"),
        back,
    );

    let encoder = deployment("media", "encoder");
    let alone = Outcome::LeftAlone { image: image(&encoder, "1"), replicas: 8 };
    let scale = Change::Scale { workload: encoder.clone(), replicas: 8 };
    happen(30, "the encoder is scaled up, as somebody wished", false, encoder, scale, alone);

    let search = deployment("shop", "search");
    let raised = Outcome::LimitRaised { above: 256.0 * MIB, at_most: GIB };
    let load = Change::Load { workload: search.clone(), factor: 2.0 };
    happen(
        45,
        "a campaign doubles the load of the search, which no longer fits its memory limit",
        true,
        search,
        load,
        raised,
    );

    let frontend = deployment("web", "frontend");
    let back = Outcome::RolledBack { image: image(&frontend, "1") };
    happen(
        75,
        "a new revision of the frontend names an image that is not there",
        true,
        frontend.clone(),
        roll(&frontend, "2-missing"),
        back,
    );

    let catalog = deployment("shop", "catalog");
    let alone = Outcome::LeftAlone { image: image(&catalog, "2"), replicas: REPLICAS };
    happen(
        95,
        "a new revision of the catalog rolls out well",
        false,
        catalog.clone(),
        roll(&catalog, "2"),
        alone,
    );

    let ledger = deployment("payments", "ledger");
    let back = Outcome::RolledBack { image: image(&ledger, "1") };
    happen(
        110,
        "a new revision of the ledger never gets ready",
        true,
        ledger.clone(),
        roll(&ledger, "2-never-ready"),
        back,
    );

    let thumbnails = Workload::deployment("media", "thumbnails").image("media/thumbnails:1-crash");
    let object = thumbnails.object();
    happen(
        140,
        "a new service crashes from its first day on",
        true,
        object,
        Change::Create(thumbnails),
        Outcome::LeftToPeople,
    );

    Demo { end: after(180), world, episodes, expectations }
}
