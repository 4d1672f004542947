//! The learners against plain recomputations, against what River gave, and held to what all promise.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]
#![expect(clippy::panic, reason = "a test that cannot go on should stop there")]

mod change;
mod ewma;
mod forest;
mod golden;
mod half_space_trees;
mod hysteresis;
mod mersenne;
mod promises;
mod quantile;
mod scale;
mod scorer;
mod subject;
mod trend;
