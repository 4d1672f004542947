//! Streaming learners: numbers in, numbers out.
//!
//! Each module holds one learner: a small state that takes one number at a time in constant time and memory,
//! and knows nothing of clusters. The same numbers in the same order give the same state, bit for bit.
//!
//! What a series is like, and what is unusual in it:
//! - [`ewma`]: level and scale of a series, exponentially forgetting, not carried away by outliers.
//! - [`quantile`]: a quantile in constant memory.
//! - [`seasonal`]: what a value usually is at this hour, if there is a season.
//! - [`spot`]: how rare a deviation is.
//! - [`recurrence`]: how long ago the like was seen.
//! - [`trend`]: where a series is going, and when it will be there.
//! - [`scorer`]: all of these about one series: is this value news?
//! - [`entity`]: many series, one score.
//! - [`hysteresis`]: from "over the threshold now" to "on" and "off" without flapping.
//!
//! Whether it changed:
//! - [`adwin`]: a window as long as its mean does not change.
//! - [`page_hinkley`]: has the mean moved?
//!
//! Many features at once:
//! - [`half_space_trees`]: how rare is the place where a point lies?
//! - [`scale`], [`scaled_trees`]: features on a common scale, and the trees behind it.
//! - [`hoeffding_tree`], [`adaptive_forest`]: which class, learnt from labels, in a changing stream.
//!
//! What they stand on:
//! - [`mersenne`]: the random numbers of CPython, from a seed.
//! - [`snapshot`]: a learner as bytes, and back.
//! - [`value`]: which numbers are taken in.
//!
//! Where a learner has a counterpart in River 0.26.1, it gives the same numbers; `tests/it/golden.rs` says how
//! that is tested, `bench/` compares the speeds.

pub mod adaptive_forest;
pub mod adwin;
pub mod entity;
pub mod ewma;
pub mod half_space_trees;
pub mod hoeffding_tree;
pub mod hysteresis;
pub mod mersenne;
pub mod page_hinkley;
pub mod quantile;
pub mod recurrence;
pub mod scale;
pub mod scaled_trees;
pub mod scorer;
pub mod seasonal;
pub mod snapshot;
pub mod spot;
pub mod trend;
pub mod value;
