//! What is usual at this time of the day and of the week.
//!
//! A profile holds an expected value for each phase of its cycle: half hours of the day, hours of the week. It is
//! trusted when its squared error, forgotten as slowly as everything else, is clearly below that of the plain level
//! (for the week: below the best plainer one), which is the test for autocorrelation at that lag. A profile that has
//! not proved itself in two weeks is dropped and rests as long; the one for the week is begun only when the one for
//! the day has proved itself. So only a seasonal series pays for profiles, 1.1 KB at most.

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot, ensure};

const DAY: f64 = 86_400.0;
const WEEK: f64 = 7.0 * DAY;
const HALF_HOURS: usize = 48;
const HOURS: usize = 168;

/// How seasons are learnt; shared by many series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// A seasonal expectation is used when its squared error is below this share of the plainer one's: that is an
    /// autocorrelation of about .6 at the lag.
    pub gain: f64,
    /// The least weight of a new value in its phase of the profile: some twenty values are remembered.
    pub rate: f64,
    /// Days that a profile may take to prove its worth before it is dropped, and rests before it is tried again.
    pub trial: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { gain: 0.8, rate: 0.05, trial: 14.0 }
    }
}

/// Values expected at the phases of a cycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    values: Box<[f32]>,
    /// How many values each phase has learnt, up to 255.
    counts: Box<[u8]>,
}

impl Profile {
    fn new(phases: usize) -> Self {
        Profile { values: vec![0.0; phases].into(), counts: vec![0; phases].into() }
    }

    fn phase(&self, time: f64, cycle: f64) -> usize {
        ((time.rem_euclid(cycle) / cycle * self.values.len() as f64) as usize).min(self.values.len() - 1)
    }

    fn expected(&self, time: f64, cycle: f64) -> Option<f64> {
        let phase = self.phase(time, cycle);
        (self.counts[phase] > 0).then(|| f64::from(self.values[phase]))
    }

    fn learn(&mut self, time: f64, cycle: f64, value: f64, residual: f64, rate: f64) {
        let phase = self.phase(time, cycle);
        let count = self.counts[phase].saturating_add(1);
        self.counts[phase] = count;
        if count == 1 {
            self.values[phase] = single(value);
        } else {
            let moved = f64::from(self.values[phase]) + (1.0 / f64::from(count)).max(rate) * residual;
            self.values[phase] = single(moved);
        }
    }

    fn bytes(&self) -> usize {
        self.values.len() * 4 + self.counts.len()
    }
}

/// The nearest single-precision number, never infinite.
fn single(value: f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Season {
    day: Option<Box<Profile>>,
    week: Option<Box<Profile>>,
    /// When the profile of the day was begun, or dropped.
    since: f64,
}

/// Expected values by rising refinement: the level, for the day, for the week. Without a profile, the plainer one.
pub type Expected = [f64; 3];

impl Season {
    pub fn expected(&self, time: f64, level: f64) -> Expected {
        let day = self.day.as_ref().and_then(|day| day.expected(time, DAY)).unwrap_or(level);
        let week = self.week.as_ref().and_then(|week| week.expected(time, WEEK)).unwrap_or(day);
        [level, day, week]
    }

    /// Learns a value and its (clamped) residuals. `best` is the expectation in use.
    pub fn learn(
        &mut self,
        time: f64,
        value: f64,
        residuals: [f64; 3],
        best: usize,
        first: bool,
        options: &Options,
    ) {
        let trial = options.trial * DAY;
        if first || (self.day.is_none() && time - self.since > trial) {
            *self = Season { day: Some(Box::new(Profile::new(HALF_HOURS))), week: None, since: time };
        } else if best > 0 {
            self.since = time;
            self.week.get_or_insert_with(|| Box::new(Profile::new(HOURS)));
        } else if self.day.is_some() && time - self.since > trial {
            *self = Season { since: time, ..Season::default() };
        }
        if let Some(day) = &mut self.day {
            day.learn(time, DAY, value, residuals[1], options.rate);
        }
        if let Some(week) = &mut self.week {
            week.learn(time, WEEK, value, residuals[2], options.rate);
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let of = |profile: &Option<Box<Profile>>| {
            profile.as_ref().map_or(0, |some| size_of::<Profile>() + some.bytes())
        };
        of(&self.day) + of(&self.week)
    }
}

impl Snapshot for Season {
    const KIND: [u8; 4] = *b"seas";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        for (profile, phases) in [(&self.day, HALF_HOURS), (&self.week, HOURS)] {
            let Some(profile) = profile else { continue };
            let fits = profile.values.len() == phases && profile.counts.len() == phases;
            ensure(fits, "a profile has another number of phases than its cycle")?;
            ensure(profile.values.iter().all(|value| value.is_finite()), "an expected value is not finite")?;
        }
        ensure(self.since.is_finite(), "a time is not finite")
    }
}
