use std::sync::{Arc, Mutex};

use futures::FutureExt;
use kubewise_core::Period;
use kubewise_core::port::Clock;
use kubewise_sim::{Simulation, World};

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    let world = World::new(1);
    let (clock, start) = (world.clock(), world.now());
    let mut simulation = Simulation::new(world);
    let order = Arc::new(Mutex::new(Vec::new()));
    for seconds in [30, 10, 20, 10] {
        let (clock, order) = (clock.clone(), order.clone());
        let task = async move {
            clock.sleep_until(Period::from_secs(seconds).after(start)).await;
            order.lock().unwrap().push((seconds, clock.now().duration_since(start).as_secs()));
        };
        simulation.spawn(task.boxed());
    }
    simulation.run(Period::from_secs(25).after(start), None);
    assert_eq!(*order.lock().unwrap(), [(10, 10), (10, 10), (20, 20)]);
    assert_eq!(clock.now(), Period::from_secs(25).after(start));
    simulation.kill();
    simulation.run(Period::from_secs(60).after(start), None);
    assert_eq!(order.lock().unwrap().len(), 3, "who was killed does not wake");
}

#[test]
fn a_future_is_driven_to_its_end_or_to_the_limit() {
    let world = World::new(1);
    let (clock, start) = (world.clock(), world.now());
    let mut simulation = Simulation::new(world);
    let limit = Period::from_secs(60).after(start);
    let sleep = |seconds| clock.sleep_until(Period::from_secs(seconds).after(start));
    assert_eq!(simulation.complete(limit, sleep(10).map(|()| 7)), Some(7));
    assert_eq!(clock.now(), Period::from_secs(10).after(start), "and no further");
    assert_eq!(simulation.complete(limit, sleep(90)), None);
    assert_eq!(clock.now(), limit);
}

#[test]
fn a_pace_holds_virtual_time_back() {
    let world = World::new(1);
    let start = world.now();
    let real = std::time::Instant::now();
    Simulation::new(world.clone()).run(Period::from_secs(20).after(start), Some(400.0));
    assert_eq!(world.now(), Period::from_secs(20).after(start));
    assert!(real.elapsed() >= std::time::Duration::from_millis(50));
}
