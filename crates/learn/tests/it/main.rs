//! The learners against plain recomputations.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod ewma;
mod hysteresis;
