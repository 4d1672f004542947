//! Half-Space Trees behind a scaler for each feature, as River's `MinMaxScaler() | HalfSpaceTrees()`.
//!
//! A point is scored on the scale of the past alone, so that an outlier does not hide in the range it widens;
//! learning takes it into the scale first and then into the trees.

use serde::{Deserialize, Serialize};

use crate::half_space_trees::{self as trees, HalfSpaceTrees, Row};
use crate::scale::{self, Scaler, Scaling};
use crate::snapshot::{self, Snapshot};
use crate::value::Refused;

/// One scaler a feature, and the trees.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScaledTrees {
    scaling: Scaling,
    scalers: Vec<Scaler>,
    trees: HalfSpaceTrees,
    /// Where a row is scaled, so that none is allocated for each.
    #[serde(skip)]
    scaled: Vec<Option<f64>>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Trees(#[from] trees::Error),
    #[error(transparent)]
    Scale(#[from] scale::Error),
    #[error("feature {feature}: {value}")]
    Value { feature: usize, value: Refused },
}

impl ScaledTrees {
    pub fn new(scaling: Scaling, options: trees::Options) -> Result<Self, Error> {
        Scaler::new(scaling)?;
        Ok(ScaledTrees {
            scaling,
            scalers: Vec::new(),
            trees: HalfSpaceTrees::new(options)?,
            scaled: Vec::new(),
        })
    }

    /// From 0 to 1; 0 until a window was filled. A value that no scaler takes (NaN, infinite) is refused.
    pub fn score<R: Row + ?Sized>(&mut self, row: &R) -> Result<f64, Error> {
        if !self.trees.ready() {
            return Ok(0.0);
        }
        self.rescale(row)?;
        Ok(self.trees.score(&self.scaled[..])?)
    }

    /// Takes in a point; a row with a value that is refused changes nothing.
    pub fn learn<R: Row + ?Sized>(&mut self, row: &R) -> Result<(), Error> {
        self.expect(row)?;
        for feature in 0..row.features() {
            if let Some(value) = row.at(feature) {
                crate::value::accept(value).map_err(|value| Error::Value { feature, value })?;
            }
        }
        if self.scalers.is_empty() {
            self.scalers = vec![Scaler::new(self.scaling)?; row.features()];
        }
        for (feature, scaler) in self.scalers.iter_mut().enumerate() {
            if let Some(value) = row.at(feature) {
                scaler.learn(value).map_err(|value| Error::Value { feature, value })?;
            }
        }
        self.rescale(row)?;
        Ok(self.trees.learn(&self.scaled[..])?)
    }

    pub fn trees(&self) -> &HalfSpaceTrees {
        &self.trees
    }

    fn rescale<R: Row + ?Sized>(&mut self, row: &R) -> Result<(), Error> {
        self.expect(row)?;
        self.scaled.clear();
        for (feature, scaler) in self.scalers.iter().enumerate() {
            let scaled = row.at(feature).map(|value| scaler.scale(value)).transpose();
            self.scaled.push(scaled.map_err(|value| Error::Value { feature, value })?);
        }
        Ok(())
    }

    fn expect<R: Row + ?Sized>(&self, row: &R) -> Result<(), Error> {
        let found = row.features();
        if self.scalers.is_empty() {
            let any = found <= trees::MAX_FEATURES && (0..found).any(|feature| row.at(feature).is_some());
            return if any { Ok(()) } else { Err(trees::Error::FirstRow.into()) };
        }
        let expected = self.scalers.len();
        if found == expected { Ok(()) } else { Err(trees::Error::Features { expected, found }.into()) }
    }
}

impl Snapshot for ScaledTrees {
    const KIND: [u8; 4] = *b"schs";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        snapshot::ensure(Scaler::new(self.scaling).is_ok(), "no scaler is of this kind")?;
        snapshot::ensure(self.trees.features().unwrap_or(0) == self.scalers.len(), "one scaler a feature")?;
        self.scalers.iter().try_for_each(Snapshot::check)
    }
}
