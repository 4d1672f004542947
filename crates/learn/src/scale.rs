//! Scales of a feature, learnt from the stream. Equal to River 0.26.1, where the numbers are finite.
//!
//! A scaler learns one feature and brings its values to a common scale: to 0…1 by the extremes seen so far, or to
//! standard deviations from the mean. The windowed variants forget what left the window, the adaptive one
//! forgets exponentially. What has no width (one value, or a constant) scales to 0.
//!
//! Values outside what was learnt are not cut: they are what a detector is there for.

mod extremes;
mod moments;

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot};
use crate::value::{Refused, accept};
use extremes::{Extremes, Window};
use moments::{Adaptive, Moments, Rolling};

/// Values of a window, at most: with more, a scale over the whole stream does as well.
pub const MAX_WINDOW: u32 = 1 << 16;

/// What a scaler does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scaling {
    /// (x − min) / (max − min), over all values.
    MinMax,
    /// The same over the last so many values, 1 to [`MAX_WINDOW`].
    WindowMinMax(u32),
    /// (x − mean) / deviation, over all values.
    Standard,
    /// The same over the last so many values, 1 to [`MAX_WINDOW`].
    WindowStandard(u32),
    /// The same by exponential moments: the weight of the newest value, 0 to 1.
    AdaptiveStandard(f64),
}

/// One feature's scale: at most 40 bytes, or a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler(State);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    MinMax(Extremes),
    WindowMinMax(Window),
    Standard(Moments),
    WindowStandard(Rolling),
    AdaptiveStandard(Adaptive),
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("a window of {0} values; write 1 to {MAX_WINDOW}")]
    Window(u32),
    #[error("weight {0} is not between 0 and 1")]
    Weight(f64),
}

impl Scaler {
    pub fn new(scaling: Scaling) -> Result<Self, Error> {
        Ok(Scaler(match scaling {
            Scaling::MinMax => State::MinMax(Extremes::default()),
            Scaling::WindowMinMax(values) => State::WindowMinMax(Window::new(windowed(values)?)),
            Scaling::Standard => State::Standard(Moments::default()),
            Scaling::WindowStandard(values) => State::WindowStandard(Rolling::new(windowed(values)?)),
            Scaling::AdaptiveStandard(weight) if (0.0..=1.0).contains(&weight) => {
                State::AdaptiveStandard(Adaptive::new(weight))
            }
            Scaling::AdaptiveStandard(weight) => return Err(Error::Weight(weight)),
        }))
    }

    /// Takes in a value; what is refused changes nothing.
    pub fn learn(&mut self, value: f64) -> Result<(), Refused> {
        let value = accept(value)?;
        match &mut self.0 {
            State::MinMax(state) => state.learn(value),
            State::WindowMinMax(state) => state.learn(value),
            State::Standard(state) => state.learn(value),
            State::WindowStandard(state) => state.learn(value),
            State::AdaptiveStandard(state) => state.learn(value),
        }
        Ok(())
    }

    /// The value on the learnt scale; 0 while that has no width.
    pub fn scale(&self, value: f64) -> Result<f64, Refused> {
        let value = accept(value)?;
        Ok(match &self.0 {
            State::MinMax(state) => state.scale(value),
            State::WindowMinMax(state) => state.scale(value),
            State::Standard(state) => state.scale(value),
            State::WindowStandard(state) => state.scale(value),
            State::AdaptiveStandard(state) => state.scale(value),
        })
    }
}

impl Snapshot for Scaler {
    const KIND: [u8; 4] = *b"scal";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        let holds = match &self.0 {
            State::MinMax(state) => state.holds(),
            State::WindowMinMax(state) => state.holds(),
            State::Standard(state) => state.holds(),
            State::WindowStandard(state) => state.holds(),
            State::AdaptiveStandard(state) => state.holds(),
        };
        snapshot::ensure(holds, "the scale cannot come from values")
    }
}

fn windowed(values: u32) -> Result<u32, Error> {
    if (1..=MAX_WINDOW).contains(&values) { Ok(values) } else { Err(Error::Window(values)) }
}
