//! The bounded queue of samples between collecting and detecting.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kubewise_core::metric::NormalizedMetric;
use kubewise_detector::Observation;
use tokio::sync::Notify;

/// Never waits: when it is full, the oldest sample gives way, since a newer one of its series is on its way.
#[derive(Debug)]
pub(crate) struct SampleQueue {
    capacity: usize,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Observation>,
    displaced: u64,
    closed: bool,
}

impl SampleQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        SampleQueue { capacity: capacity.max(1), state: Mutex::default(), filled: Notify::new() }
    }

    /// Puts samples in, followed by the news that their query was answered. Returns how many gave way.
    pub(crate) fn push(&self, samples: Vec<NormalizedMetric>, query: String, answered: bool) -> u64 {
        let mut state = self.lock();
        let news = Observation::Query { name: query, answered };
        let mut displaced = 0;
        for observation in samples.into_iter().map(Observation::Metric).chain([news]) {
            if state.waiting.len() >= self.capacity {
                state.waiting.pop_front();
                displaced += 1;
            }
            state.waiting.push_back(observation);
        }
        state.displaced += displaced;
        drop(state);
        self.filled.notify_one();
        displaced
    }

    /// Up to `most`, oldest first; waits while there is none. Empty only once closed and drained.
    pub(crate) async fn take(&self, most: usize) -> Vec<Observation> {
        loop {
            {
                let mut state = self.lock();
                let count = state.waiting.len().min(most.max(1));
                if count > 0 || state.closed {
                    return state.waiting.drain(..count).collect();
                }
            }
            self.filled.notified().await;
        }
    }

    /// Nothing more comes; what waits is still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(crate) fn displaced(&self) -> u64 {
        self.lock().displaced
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
