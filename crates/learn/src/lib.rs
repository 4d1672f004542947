//! Streaming learners: numbers in, numbers out.
//!
//! Each module holds one learner: a small state that takes one number at a time in constant time and memory,
//! and knows nothing of clusters. The same numbers in the same order give the same state, bit for bit.
//!
//! - [`ewma`]: level and scale of a series, exponentially forgetting, not carried away by outliers.
//! - [`hysteresis`]: from "over the threshold now" to "on" and "off" without flapping.

pub mod adaptive_forest;
pub mod adwin;
pub mod ewma;
pub mod half_space_trees;
pub mod hoeffding_tree;
pub mod hysteresis;
pub mod mersenne;
pub mod page_hinkley;
pub mod scale;
pub mod scaled_trees;
pub mod snapshot;
pub mod value;
