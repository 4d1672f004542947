//! Runs loops in virtual time: when every task waits, time moves on to whatever comes next.
//!
//! One thread, and every order is fixed (tasks by their wakes, sleepers by deadline and arrival, the cluster
//! before the sleepers), so the same seed gives the same run.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::executor::LocalPool;
use futures::future::{BoxFuture, FutureExt, LocalFutureObj};
use futures::task::LocalSpawn;
use kubewise_core::Timestamp;
use kubewise_core::port::Clock;

use crate::world::World;

/// The longest real sleep between two looks at the tasks: what another thread woke (an API call while a demo
/// runs at a pace) is then answered without a noticeable wait.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

/// A world and the tasks that live in its time.
pub struct Simulation {
    world: World,
    tasks: LocalPool,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("world", &self.world).finish_non_exhaustive()
    }
}

impl Simulation {
    pub fn new(world: World) -> Self {
        Simulation { world, tasks: LocalPool::new() }
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// Adds a task; it starts with the next run.
    pub fn spawn(&mut self, task: BoxFuture<'static, ()>) {
        self.spawn_local(task.boxed_local().into());
    }

    /// Ends every task where it stands, as `kill -9` would. The world goes on.
    pub fn kill(&mut self) {
        self.tasks = LocalPool::new();
    }

    /// Lives until `until`. `pace` is how many virtual seconds pass in a real one; `None` is as fast as it goes.
    pub fn run(&mut self, until: Timestamp, pace: Option<f64>) {
        self.run_while(until, pace, || true);
    }

    /// Lives until `going` says no, at most until `until`; looks after every moment in which something happened.
    /// Returns whether `going` said no.
    pub fn run_while(
        &mut self,
        until: Timestamp,
        pace: Option<f64>,
        mut going: impl FnMut() -> bool,
    ) -> bool {
        let mut pacer = pace.map(|speed| Pacer::new(speed, self.world.clock().now()));
        loop {
            self.tasks.run_until_stalled();
            if !going() {
                return true;
            }
            let clock = self.world.clock();
            let next = [clock.next_deadline(), self.world.next_due()].into_iter().flatten().min();
            let next = next.map_or(until, |next| next.min(until)).max(clock.now());
            if let Some(wait) = pacer.as_mut().and_then(|pacer| pacer.wait(next)) {
                // Real time matters here only to people who watch; no decision rests on it.
                std::thread::sleep(wait);
                continue;
            }
            if next >= until && clock.now() >= until {
                return false;
            }
            self.world.advance(next);
        }
    }

    /// Lives until `future` is done and returns its result; `None` if it is not done by `until`.
    pub fn complete<T: 'static>(
        &mut self,
        until: Timestamp,
        future: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        let result = Rc::new(RefCell::new(None));
        let slot = result.clone();
        self.spawn_local(async move { *slot.borrow_mut() = Some(future.await) }.boxed_local().into());
        let waiting = result.clone();
        self.run_while(until, None, move || waiting.borrow().is_none());
        result.take()
    }

    fn spawn_local(&mut self, task: LocalFutureObj<'static, ()>) {
        let spawned = self.tasks.spawner().spawn_local_obj(task);
        debug_assert!(spawned.is_ok(), "the pool lives as long as we do");
    }
}

/// Holds virtual time back to a multiple of real time.
struct Pacer {
    speed: f64,
    real_start: Instant,
    virtual_start: Timestamp,
}

impl Pacer {
    fn new(speed: f64, virtual_start: Timestamp) -> Self {
        Pacer { speed: speed.max(f64::MIN_POSITIVE), real_start: Instant::now(), virtual_start }
    }

    /// How long to sleep before looking again; `None` once `moment` has come.
    fn wait(&mut self, moment: Timestamp) -> Option<Duration> {
        let after = moment.duration_since(self.virtual_start).as_secs_f64() / self.speed;
        let left = after - self.real_start.elapsed().as_secs_f64();
        (left > 0.0).then(|| Duration::from_secs_f64(left.min(LONGEST_SLEEP.as_secs_f64())))
    }
}
