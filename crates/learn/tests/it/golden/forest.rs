use kubewise_learn::adaptive_forest::{AdaptiveForest, Options};
use kubewise_learn::snapshot::Snapshot;

use super::{Golden, Table};

/// Share of rows that must have the same prediction: erf, exp and ln differ in their last bit between libraries.
const EQUAL: f64 = 0.999;

#[test]
fn predicts_as_river() {
    Golden::each("ARFClassifier", |vector, table| {
        let classes: Vec<&str> =
            vector["classes"].as_array().unwrap().iter().map(|class| class.as_str().unwrap()).collect();
        let class = |name: &str| classes.iter().position(|class| *class == name).unwrap() as u16;
        let [label, prediction] = ["label", "prediction"].map(|name| table.column(name));
        let mut options = Options::new(label as u16, classes.len() as u16, vector["seed"].as_u64().unwrap());
        options.trees = vector["n_models"].as_u64().unwrap() as u16;
        let mut forest = AdaptiveForest::new(options).unwrap();
        let mut equal = 0;
        let mut right = 0;
        for (at, row) in table.rows.iter().enumerate() {
            if at == table.rows.len() / 2 + 77 {
                forest = AdaptiveForest::restore(&forest.snapshot().unwrap()).unwrap();
            }
            let values: Vec<f64> = Table::numbers(&row[..label]).into_iter().map(Option::unwrap).collect();
            let truth = class(row[label].as_ref().unwrap());
            let predicted = if at % 10 == 0 {
                let apart = forest.predict(&values).unwrap();
                forest.learn(&values, truth).unwrap();
                apart
            } else {
                forest.predict_and_learn(&values, truth).unwrap()
            };
            equal += usize::from(predicted == row[prediction].as_ref().map(|name| class(name)));
            right += usize::from(predicted == Some(truth));
        }
        let rows = table.rows.len();
        let said = format!(
            "{equal} of {rows} rows equal, {} drifts, {} warnings, accuracy {}",
            forest.drifts(),
            forest.warnings(),
            right as f64 / rows as f64
        );
        let counts = [("drifts", forest.drifts()), ("warnings", forest.warnings())];
        let same = counts.iter().all(|(name, count)| vector[name].as_u64() == Some(*count));
        if same && equal as f64 >= EQUAL * rows as f64 {
            Ok(said)
        } else {
            Err(format!("{said}; River: {} drifts, {} warnings", vector["drifts"], vector["warnings"]))
        }
    });
}
