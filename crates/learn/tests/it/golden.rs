//! The learners against what River 0.26.1 gave for the same input. Driven by `index.json`: parameters, seeds and
//! numbers of rows are read from there, so that other vectors can be laid beside.
//!
//! The folder is `KUBEWISE_GOLDEN`, or `golden/river` in `KUBEWISE_SHARED`, or that beside the workspace. Without
//! it the tests say so and pass, unless `CI` is set.

mod chance;
mod change;
mod forest;
mod trees;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;

pub(crate) struct Golden {
    folder: PathBuf,
    pub(crate) index: Value,
}

/// A vector: names of the columns, and the rows; what is empty is `None`.
pub(crate) struct Table {
    pub(crate) rows: Vec<Vec<Option<String>>>,
    columns: Vec<String>,
}

impl Golden {
    pub(crate) fn find() -> Option<Golden> {
        let below = |variable, rest| std::env::var_os(variable).map(|path| PathBuf::from(path).join(rest));
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden/river");
        let folder = below("KUBEWISE_GOLDEN", "").or_else(|| below("KUBEWISE_SHARED", "golden/river"));
        let folder = folder.unwrap_or(beside);
        match std::fs::read_to_string(folder.join("index.json")) {
            Ok(text) => Some(Golden { index: serde_json::from_str(&text).unwrap(), folder }),
            Err(error) => {
                let message = format!("golden vectors not tested: {}: {error}", folder.display());
                assert!(std::env::var_os("CI").is_none(), "{message}");
                say(&message);
                None
            }
        }
    }

    /// Runs `test` on each vector of a model and reports all that fail.
    pub(crate) fn each(model: &str, test: impl Fn(&Value, &Table) -> Result<String, String>) {
        let Some(golden) = Golden::find() else { return };
        let mut failed = Vec::new();
        let vectors = golden.index["vectors"].as_array().unwrap();
        for vector in vectors.iter().filter(|vector| vector["model"] == model) {
            let file = vector["file"].as_str().unwrap();
            let table = golden.table(file);
            assert_eq!(table.rows.len() as u64, vector["rows"].as_u64().unwrap(), "{file}");
            match test(vector, &table) {
                Ok(said) => say(&format!("{file}: {said}")),
                Err(said) => failed.push(format!("{file}: {said}")),
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }

    fn table(&self, file: &str) -> Table {
        let mut text = String::new();
        let file = File::open(self.folder.join(file)).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let mut lines = text.lines();
        let columns = lines.next().unwrap().split(',').map(str::to_owned).collect();
        let cell = |cell: &str| (!cell.is_empty()).then(|| cell.to_owned());
        Table { columns, rows: lines.map(|line| line.split(',').map(cell).collect()).collect() }
    }
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> usize {
        self.columns.iter().position(|column| column == name).unwrap()
    }

    /// The numbers of a row, up to a column.
    pub(crate) fn numbers(row: &[Option<String>]) -> Vec<Option<f64>> {
        row.iter().map(|cell| cell.as_ref().map(|cell| cell.parse().unwrap())).collect()
    }
}

pub(crate) fn number(row: &[Option<String>], column: usize) -> f64 {
    row[column].as_ref().unwrap().parse().unwrap()
}

/// All of `rows` must be equal.
pub(crate) fn all(equal: usize, rows: usize) -> Result<String, String> {
    let said = format!("{equal} of {rows} rows equal");
    if equal == rows { Ok(said) } else { Err(said) }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests must see what was compared, or that nothing was"
)]
fn say(message: &str) {
    eprintln!("{message}");
}
