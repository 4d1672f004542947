//! Kubernetes quantities: `250m`, `1.5Gi`, `1e3`.

/// Suffixes with their factors, longest first.
const SUFFIXES: &[(&str, f64)] = &[
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The value of a quantity in base units (cores, bytes, counts); `None` if it is not a quantity.
pub fn parse(text: &str) -> Option<f64> {
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, *factor)))
        .unwrap_or((text, 1.0));
    let plain = number.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    number.parse::<f64>().ok().filter(|value| plain && value.is_finite()).map(|value| value * factor)
}

/// A number of bytes as a quantity: whole mebibytes, rounded up, so that a limit is never cut.
pub fn mebibytes(bytes: f64) -> String {
    format!("{}Mi", (bytes / 1_048_576.0).ceil().max(0.0) as u64)
}

/// A number of cores as a quantity: whole millicores, rounded up.
pub fn millicores(cores: f64) -> String {
    // A product such as 0.2 · 1.5 is a hair above what it means.
    format!("{}m", (cores * 1000.0 - 1e-6).ceil().max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_parse_as_kubernetes_reads_them() {
        for (text, expect) in [
            ("250m", Some(0.25)),
            ("1.5Gi", Some(1_610_612_736.0)),
            ("1e3", Some(1000.0)),
            ("2", Some(2.0)),
            ("128974848", Some(128_974_848.0)),
            ("129M", Some(129e6)),
            ("1E", Some(1e18)),
            ("", None),
            ("Gi", None),
            ("inf", None),
            ("nan", None),
            ("12 Mi", None),
        ] {
            assert_eq!(parse(text), expect, "{text}");
        }
    }

    #[test]
    fn written_quantities_never_cut() {
        assert_eq!(mebibytes(1_048_577.0), "2Mi");
        assert_eq!(millicores(0.2501), "251m");
    }
}
