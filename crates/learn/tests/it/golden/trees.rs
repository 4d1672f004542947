use kubewise_learn::half_space_trees::{HalfSpaceTrees, Options, Scoring};
use kubewise_learn::scale::Scaling;
use kubewise_learn::scaled_trees::ScaledTrees;
use kubewise_learn::snapshot::Snapshot;
use serde_json::Value;

use super::{Golden, Table, all, number};

fn options(vector: &Value) -> Options {
    let whole = |name: &str| vector[name].as_u64().unwrap();
    Options {
        trees: whole("n_trees") as u16,
        height: whole("height") as u8,
        window: whole("window_size") as u16,
        seed: whole("seed"),
        limits: Vec::new(),
        scoring: Scoring::Path,
    }
}

fn scaling(name: &str) -> Option<Scaling> {
    let window = |prefix| name.strip_prefix(prefix).map(|values| values.parse().unwrap());
    match name {
        "missing" => None,
        "minmax" => Some(Scaling::MinMax),
        "standard" => Some(Scaling::Standard),
        "adaptive_standard" => Some(Scaling::AdaptiveStandard(0.3)),
        _ => Some(match (window("minmax_window_"), window("standard_window_")) {
            (Some(values), _) => Scaling::WindowMinMax(values),
            (None, Some(values)) => Scaling::WindowStandard(values),
            (None, None) => panic!("no scaler {name}"),
        }),
    }
}

/// Scores of all rows; at `restored` the model is written down and taken up again.
fn scores(vector: &Value, rows: &[Vec<Option<f64>>], restored: usize) -> Vec<f64> {
    let mut scores = Vec::new();
    if let Some(scaling) = vector["scaler"].as_str().and_then(scaling) {
        let mut trees = ScaledTrees::new(scaling, options(vector)).unwrap();
        for (at, row) in rows.iter().enumerate() {
            if at == restored {
                trees = ScaledTrees::restore(&trees.snapshot().unwrap()).unwrap();
            }
            scores.push(trees.score(&row[..]).unwrap());
            trees.learn(&row[..]).unwrap();
        }
    } else {
        let mut trees = HalfSpaceTrees::new(options(vector)).unwrap();
        for (at, row) in rows.iter().enumerate() {
            if at == restored {
                trees = HalfSpaceTrees::restore(&trees.snapshot().unwrap()).unwrap();
            }
            let before = trees.score(&row[..]).unwrap();
            scores.push(trees.score_and_learn(&row[..]).unwrap());
            assert_eq!(before.to_bits(), scores[at].to_bits(), "apart and in one walk");
        }
    }
    scores
}

#[test]
fn scores_as_river() {
    Golden::each("HalfSpaceTrees", |vector, table| {
        let last = table.column("score");
        let rows: Vec<_> = table.rows.iter().map(|row| Table::numbers(&row[..last])).collect();
        let scores = scores(vector, &rows, rows.len() / 2 + 77);
        let expected = table.rows.iter().map(|row| number(row, last).to_bits());
        let equal = scores.iter().zip(expected).filter(|(score, expected)| score.to_bits() == *expected);
        all(equal.count(), rows.len())
    });
}
