use kubewise_learn::adwin::{self, Adwin};
use kubewise_learn::page_hinkley::{self, Mode, PageHinkley};
use kubewise_learn::snapshot::Snapshot;

use super::{Golden, all, number};

#[test]
fn adwin_decides_as_river() {
    Golden::each("ADWIN", |vector, table| {
        let options = adwin::Options {
            delta: vector["delta"].as_f64().unwrap(),
            clock: vector["clock"].as_u64().unwrap() as u32,
            ..adwin::Options::default()
        };
        let mut adwin = Adwin::new(options).unwrap();
        let columns = ["x", "drift", "width", "total"].map(|name| table.column(name));
        let mut equal = 0;
        for (at, row) in table.rows.iter().enumerate() {
            if at == table.rows.len() / 3 {
                adwin = Adwin::restore(&adwin.snapshot().unwrap()).unwrap();
            }
            let [x, drift, width, total] = columns.map(|column| number(row, column));
            let changed = adwin.update(x).unwrap();
            let same = changed == (drift != 0.0) && adwin.width() == width;
            equal += usize::from(same && adwin.total().to_bits() == total.to_bits());
        }
        all(equal, table.rows.len())
    });
}

#[test]
fn page_hinkley_decides_as_river() {
    Golden::each("PageHinkley", |vector, table| {
        let defaults = page_hinkley::Options::default();
        let of = |name: &str, default| vector["params"][name].as_f64().unwrap_or(default);
        let options = page_hinkley::Options {
            min_values: of("min_instances", f64::from(defaults.min_values)) as u32,
            delta: of("delta", defaults.delta),
            threshold: of("threshold", defaults.threshold),
            alpha: of("alpha", defaults.alpha),
            mode: match vector["mode"].as_str().unwrap() {
                "up" => Mode::Up,
                "down" => Mode::Down,
                _ => Mode::Both,
            },
        };
        let mut test = PageHinkley::new(options).unwrap();
        let columns = ["x", "drift"].map(|name| table.column(name));
        let mut equal = 0;
        for (at, row) in table.rows.iter().enumerate() {
            if at == table.rows.len() / 3 {
                test = PageHinkley::restore(&test.snapshot().unwrap()).unwrap();
            }
            let [x, drift] = columns.map(|column| number(row, column));
            equal += usize::from(test.update(x).unwrap() == (drift != 0.0));
        }
        all(equal, table.rows.len())
    });
}
