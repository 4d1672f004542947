//! From "over the threshold now" to "on" and "off" without flapping.

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot};

/// When to switch; shared by many series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    window: u32,
    needed: u32,
    calm: u8,
}

/// The last verdicts of one series, in 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hysteresis {
    /// One bit a value, the newest lowest; set where it was over the threshold.
    over: u32,
    calm: u8,
    on: bool,
}

/// What a value changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    On,
    Off,
}

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Over the threshold.
    Over,
    /// Neither: it keeps things as they are.
    Between,
    /// Below the lower threshold, from where on it counts as normal again.
    Under,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{needed} of {window} values: write 1 ≤ needed ≤ window ≤ 32, and at least 1 calm value")]
pub struct InvalidSwitch {
    needed: u32,
    window: u32,
}

impl Switch {
    /// On when `needed` of the last `window` values (at most 32) were over; off after `calm` values under in a
    /// row.
    pub fn new(needed: u32, window: u32, calm: u8) -> Result<Self, InvalidSwitch> {
        if needed >= 1 && needed <= window && window <= 32 && calm >= 1 {
            Ok(Switch { window: u32::MAX >> (32 - window), needed, calm })
        } else {
            Err(InvalidSwitch { needed, window })
        }
    }
}

impl Hysteresis {
    pub fn push(&mut self, zone: Zone, switch: &Switch) -> Option<Turn> {
        self.over = (self.over << 1 | u32::from(zone == Zone::Over)) & switch.window;
        self.calm = if zone == Zone::Under { self.calm.saturating_add(1) } else { 0 };
        if !self.on && self.over.count_ones() >= switch.needed {
            self.on = true;
            return Some(Turn::On);
        }
        if self.on && self.calm >= switch.calm {
            *self = Hysteresis::default();
            return Some(Turn::Off);
        }
        None
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Forgets the verdicts, not whether it is on: after a gap the last values are no neighbours of the next.
    pub fn gap(&mut self) {
        self.over = 0;
        self.calm = 0;
    }
}

impl Snapshot for Hysteresis {
    const KIND: [u8; 4] = *b"hyst";
    const VERSION: u16 = 1;

    /// Any bits are verdicts.
    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        Ok(())
    }
}
