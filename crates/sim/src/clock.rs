//! Time that only moves when somebody moves it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use futures::future::BoxFuture;
use kubewise_core::Timestamp;
use kubewise_core::port::Clock;

/// Virtual time. Clones share it.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    time: Arc<Mutex<Time>>,
}

#[derive(Debug)]
struct Time {
    now: Timestamp,
    /// Tells sleepers of one deadline apart: who slept first wakes first.
    next_place: u64,
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
}

impl VirtualClock {
    pub fn starting_at(now: Timestamp) -> Self {
        VirtualClock { time: Arc::new(Mutex::new(Time { now, next_place: 0, sleepers: BTreeMap::new() })) }
    }

    /// When the next sleeper wants to be woken.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.lock().sleepers.keys().next().map(|(deadline, _)| *deadline)
    }

    /// Moves time on and wakes who waited for it, in the order of deadline and arrival. Never moves it back.
    pub fn advance(&self, to: Timestamp) {
        let due: Vec<Waker> = {
            let mut time = self.lock();
            time.now = time.now.max(to);
            let now = time.now;
            let later = time.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut time.sleepers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        Sleep { clock: self.clone(), deadline, place: None }.boxed()
    }
}

struct Sleep {
    clock: VirtualClock,
    deadline: Timestamp,
    place: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut time = clock.lock();
        if time.now >= self.deadline {
            return Poll::Ready(());
        }
        let place = self.place.unwrap_or(time.next_place);
        if self.place.is_none() {
            time.next_place += 1;
            self.place = Some(place);
        }
        time.sleepers.insert((self.deadline, place), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.clock.lock().sleepers.remove(&(self.deadline, place));
        }
    }
}
