//! What is asked of Prometheus unless the configuration says otherwise.

use kubewise_core::metric::MetricQuery;
use serde::Deserialize;

/// The default catalogue as commented TOML; its tables are those of the configuration.
pub const DEFAULT_CATALOGUE: &str = include_str!("catalogue.toml");

#[derive(Deserialize)]
struct Document {
    catalogue: Section,
}

#[derive(Deserialize)]
struct Section {
    queries: Vec<MetricQuery>,
}

/// The queries of [`DEFAULT_CATALOGUE`], in its order.
pub fn default_catalogue() -> Vec<MetricQuery> {
    let document: Document = toml::from_str(DEFAULT_CATALOGUE).expect("the built-in catalogue is valid TOML");
    document.catalogue.queries
}
