//! Which numbers the learners take in.
//!
//! A learner that squares and sums values cannot keep its promises for every double: one NaN or one infinity
//! would stay in its moments for ever. So what is not a number within ±[`LARGEST`] is refused at the door, and
//! nothing changes; the caller sees which value it was.

/// Squares of differences of such values, summed over 2^53 of them, stay finite.
pub const LARGEST: f64 = 1e140;

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a number within ±{LARGEST:e}")]
pub struct Refused(pub f64);

/// The value itself, if a learner may take it in.
pub fn accept(value: f64) -> Result<f64, Refused> {
    if value.abs() <= LARGEST { Ok(value) } else { Err(Refused(value)) }
}

/// Whether a mean squared difference of accepted values can be this.
pub(crate) fn is_variance(number: f64) -> bool {
    (0.0..=4.0 * LARGEST * LARGEST).contains(&number)
}
