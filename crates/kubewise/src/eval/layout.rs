//! Folders of labelled series, as the public benchmarks lay them out. Plain or gzip; every fault names its file and
//! line.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use flate2::read::GzDecoder;
use jiff::Timestamp;
use jiff::civil::DateTime;

/// Folders are not nested deeper than this in any of the layouts.
const MAX_DEPTH: usize = 8;
/// Seconds between the rows of files that have no times.
const MINUTE: f64 = 60.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// Files of timestamp and value; windows of anomalies in windows.json
    Nab,
    /// NAME.train.csv and NAME.test.csv of one machine, a column a measure, the last one `label`
    Smd,
    /// As smd
    Asd,
    /// NAME_metric.csv of pods in a folder a day, with faults.json
    Nezha,
    /// Files of timestamp, value and perhaps label
    Series,
}

/// One file, or one pair of them: what becomes one file of scores.
#[derive(Debug)]
pub(super) struct Recording {
    /// Relative to the folder, with the ending `.csv`.
    pub(super) path: PathBuf,
    /// As they stand in the file, and as seconds since 1970.
    pub(super) stamps: Vec<String>,
    pub(super) times: Vec<f64>,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<f64>>,
    /// Rows that came before those of the file, to learn from.
    pub(super) earlier: Vec<Vec<f64>>,
    pub(super) labels: Option<Vec<bool>>,
    /// Of a NAB series: both ends included.
    pub(super) windows: Vec<(usize, usize)>,
}

/// A fault that was injected into a pod.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) pod: String,
    pub(super) time: f64,
}

/// Recordings of one system; in most layouts each stands alone.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) recordings: Vec<Recording>,
    pub(super) faults: Vec<Fault>,
}

pub(super) fn read(layout: Layout, folder: &Path) -> Result<Vec<Group>> {
    let files = files(folder)?;
    let groups = match layout {
        Layout::Nab => {
            let windows = windows(folder)?;
            let named = |file: &Path| !file.ends_with("windows.json") && stem(file).is_some();
            each(files.into_iter().filter(|file| named(file)), |file| nab(folder, file, windows.as_ref()))?
        }
        Layout::Series => {
            each(files.into_iter().filter(|file| stem(file).is_some()), |file| series(folder, file))?
        }
        Layout::Smd | Layout::Asd => {
            let is_test =
                |file: &&PathBuf| stem(file).is_some_and(|stem| stem.strip_suffix(".test").is_some());
            let tests = files.iter().filter(is_test);
            each(tests.cloned(), |file| machine(folder, file))?
        }
        Layout::Nezha => days(folder, &files)?,
    };
    ensure!(
        groups.iter().any(|group| !group.recordings.is_empty()),
        "{} holds no file of this layout; see `kubewise eval --help`",
        folder.display()
    );
    Ok(groups)
}

fn each(
    files: impl Iterator<Item = PathBuf>,
    read: impl Fn(&Path) -> Result<Recording>,
) -> Result<Vec<Group>> {
    files.map(|file| Ok(Group { recordings: vec![read(&file)?], faults: Vec::new() })).collect()
}

/// All files below a folder, in order of name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if !path.is_dir() {
                found.push(path);
            } else if depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a CSV file without its endings.
fn stem(file: &Path) -> Option<&str> {
    let name = file.file_name()?.to_str()?;
    name.strip_suffix(".csv.gz").or_else(|| name.strip_suffix(".csv"))
}

fn relative(folder: &Path, file: &Path) -> PathBuf {
    let path = file.strip_prefix(folder).unwrap_or(file);
    if path.extension().is_some_and(|end| end == "gz") { path.with_extension("") } else { path.into() }
}

struct Table {
    columns: Vec<String>,
    /// With the number of the line.
    rows: Vec<(usize, Vec<String>)>,
}

fn table(file: &Path) -> Result<Table> {
    let open = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let is_gzip = file.extension().is_some_and(|end| end == "gz");
    let reader: Box<dyn Read> = if is_gzip { Box::new(GzDecoder::new(open)) } else { Box::new(open) };
    let cells =
        |line: &str| line.trim_end().split(',').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut columns = Vec::new();
    let mut rows = Vec::new();
    for (index, line) in BufReader::new(reader).lines().enumerate() {
        let place = || format!("{}:{}", file.display(), index + 1);
        let line = line.with_context(|| format!("{} cannot be read", place()))?;
        if index == 0 {
            columns = cells(&line);
        } else if !line.trim().is_empty() {
            let row = cells(&line);
            let (found, wanted) = (row.len(), columns.len());
            ensure!(found == wanted, "{}: {found} cells, the header has {wanted}", place());
            rows.push((index + 1, row));
        }
    }
    ensure!(!rows.is_empty(), "{}: no row below the header", file.display());
    Ok(Table { columns, rows })
}

impl Table {
    fn column(&self, file: &Path, names: &[&str]) -> Result<usize> {
        self.find(names).with_context(|| format!("{}:1: no column `{}`", file.display(), names[0]))
    }

    fn find(&self, names: &[&str]) -> Option<usize> {
        self.columns.iter().position(|column| names.iter().any(|name| column.eq_ignore_ascii_case(name)))
    }

    fn times(&self, file: &Path, column: usize) -> Result<Vec<f64>> {
        let time = |(line, row): &(usize, Vec<String>)| {
            seconds(&row[column])
                .with_context(|| format!("{}:{line}: `{}` is no time", file.display(), row[column]))
        };
        self.rows.iter().map(time).collect()
    }

    fn numbers(&self, file: &Path, columns: &[usize]) -> Result<Vec<Vec<f64>>> {
        let number = |line: usize, cell: &str| {
            // A cell without a number is a gap.
            if cell.is_empty() { Ok(f64::NAN) } else { cell.parse() }
                .with_context(|| format!("{}:{line}: `{cell}` is no number", file.display()))
        };
        let row = |(line, row): &(usize, Vec<String>)| {
            columns.iter().map(|column| number(*line, &row[*column])).collect::<Result<Vec<f64>>>()
        };
        self.rows.iter().map(row).collect()
    }

    fn labels(&self, column: Option<usize>) -> Option<Vec<bool>> {
        let column = column?;
        let is_set =
            |cell: &str| cell.eq_ignore_ascii_case("true") || cell.parse::<f64>().is_ok_and(|one| one > 0.5);
        Some(self.rows.iter().map(|(_, row)| is_set(&row[column])).collect())
    }

    fn stamps(&self, column: usize) -> Vec<String> {
        self.rows.iter().map(|(_, row)| row[column].clone()).collect()
    }
}

/// Seconds since 1970: RFC 3339, `2014-04-01 00:00:00` in UTC (what follows is left out), seconds or milliseconds.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return Some(if number.abs() > 1e11 { number / 1000.0 } else { number });
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond() as f64 / 1000.0);
    }
    let whole: DateTime = text.get(..19)?.replacen(' ', "T", 1).parse().ok()?;
    let time = whole.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(time.as_second() as f64)
}

fn series(folder: &Path, file: &Path) -> Result<Recording> {
    let table = table(file)?;
    let time = table.column(file, &["timestamp", "time", "date"])?;
    let value = table.column(file, &["value"])?;
    let label = table.find(&["label", "is_anomaly", "anomaly"]);
    Ok(Recording {
        path: relative(folder, file),
        stamps: table.stamps(time),
        times: table.times(file, time)?,
        columns: vec!["value".into()],
        rows: table.numbers(file, &[value])?,
        earlier: Vec::new(),
        labels: table.labels(label),
        windows: Vec::new(),
    })
}

type Windows = BTreeMap<String, Vec<(String, String)>>;

fn windows(folder: &Path) -> Result<Option<Windows>> {
    let file = folder.join("windows.json");
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_json::from_str(&text)
        .map(Some)
        .with_context(|| format!("{} is not a map of windows", file.display()))
}

fn nab(folder: &Path, file: &Path, windows: Option<&Windows>) -> Result<Recording> {
    let mut recording = series(folder, file)?;
    let Some(windows) = windows else { return Ok(recording) };
    let name = recording.path.to_string_lossy().replace('\\', "/");
    let row = |text: &String| {
        let time = seconds(text).with_context(|| format!("windows.json: `{text}` of {name} is no time"))?;
        let found = recording.times.iter().position(|have| *have == time);
        found.with_context(|| format!("windows.json: {name} has no row of {text}"))
    };
    let of_file = windows.get(&name).map_or(&[][..], Vec::as_slice);
    let of_file: Vec<_> =
        of_file.iter().map(|(left, right)| Ok((row(left)?, row(right)?))).collect::<Result<_>>()?;
    let inside = |row: usize| of_file.iter().any(|window| window.0 <= row && row <= window.1);
    recording.labels = Some((0..recording.rows.len()).map(inside).collect());
    recording.windows = of_file;
    Ok(recording)
}

fn machine(folder: &Path, file: &Path) -> Result<Recording> {
    let table = table(file)?;
    let label = table.find(&["label"]);
    let measures: Vec<usize> = (0..table.columns.len()).filter(|column| Some(*column) != label).collect();
    let name = file.to_string_lossy();
    let train = PathBuf::from(name.replacen(".test.csv", ".train.csv", 1));
    let earlier = if train.exists() {
        let before = self::table(&train)?;
        let names: Vec<usize> = measures
            .iter()
            .map(|column| before.column(&train, &[&table.columns[*column]]))
            .collect::<Result<_>>()?;
        before.numbers(&train, &names)?
    } else {
        Vec::new()
    };
    let rows = table.numbers(file, &measures)?;
    let times: Vec<f64> = (0..rows.len()).map(|row| (earlier.len() + row) as f64 * MINUTE).collect();
    Ok(Recording {
        path: relative(folder, file),
        stamps: times.iter().map(ToString::to_string).collect(),
        times,
        columns: measures.iter().map(|column| table.columns[*column].clone()).collect(),
        rows,
        earlier,
        labels: table.labels(label),
        windows: Vec::new(),
    })
}

fn days(folder: &Path, files: &[PathBuf]) -> Result<Vec<Group>> {
    let mut days: BTreeMap<&Path, Vec<Recording>> = BTreeMap::new();
    for file in files.iter().filter(|file| stem(file).is_some_and(|stem| stem.ends_with("_metric"))) {
        days.entry(file.parent().unwrap_or(folder)).or_default().push(pod(folder, file)?);
    }
    days.into_iter().map(|(day, recordings)| Ok(Group { recordings, faults: faults(day)? })).collect()
}

fn pod(folder: &Path, file: &Path) -> Result<Recording> {
    let table = table(file)?;
    let time = table.column(file, &["Time", "timestamp"])?;
    let names = ["Time", "TimeStamp", "PodName"];
    let measures: Vec<usize> = (0..table.columns.len())
        .filter(|column| !names.contains(&table.columns[*column].as_str()) && is_own(&table.columns[*column]))
        .collect();
    Ok(Recording {
        path: relative(folder, file),
        stamps: table.stamps(time),
        times: table.times(file, time)?,
        columns: measures.iter().map(|column| table.columns[*column].clone()).collect(),
        rows: table.numbers(file, &measures)?,
        earlier: Vec::new(),
        labels: None,
        windows: Vec::new(),
    })
}

/// A quantity of the pod itself, and each once: no node's, no share of a limit beside the amount, no latency of what
/// it calls (that is its callee's).
fn is_own(column: &str) -> bool {
    !["Node", "Rate(%)", "Client"].iter().any(|part| column.contains(part))
}

fn faults(day: &Path) -> Result<Vec<Fault>> {
    let file = day.join("faults.json");
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let hours: BTreeMap<String, Vec<BTreeMap<String, String>>> =
        serde_json::from_str(&text).with_context(|| format!("{} is not a list of faults", file.display()))?;
    let mut faults = Vec::new();
    for fault in hours.into_values().flatten() {
        let (Some(pod), Some(time)) = (fault.get("inject_pod"), fault.get("inject_time")) else {
            bail!("{}: a fault needs inject_pod and inject_time", file.display());
        };
        let time = seconds(time).with_context(|| format!("{}: `{time}` is no time", file.display()))?;
        faults.push(Fault { pod: pod.clone(), time });
    }
    Ok(faults)
}

/// The pod that a recording is of.
pub(super) fn pod_name(recording: &Recording) -> &str {
    stem(&recording.path).and_then(|stem| stem.strip_suffix("_metric")).unwrap_or_default()
}
