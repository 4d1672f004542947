//! Streams recordings through the scorer that alerts in production.

use std::collections::BTreeMap;

use anyhow::Result;
use kubewise_learn::entity::{self, Entity};
use kubewise_learn::scorer::{Options, Scorer, Series};

use super::layout::{Group, Layout, Recording};

/// The seconds after its injection for which a fault is to be seen in its pod.
pub(super) const FAULT: f64 = 300.0;
const DAY: f64 = 86_400.0;
const MINUTE: f64 = 60.0;

/// What became of a recording, row by row.
#[derive(Debug)]
pub(super) struct Scored {
    /// What the score speaks of: the value, or how far off the whole is.
    pub(super) values: Vec<f64>,
    /// 0 to 1.
    pub(super) scores: Vec<f64>,
}

/// Plays a group; one entry a recording.
pub(super) fn play(layout: Layout, group: &Group) -> Result<Vec<Scored>> {
    let scorer = Scorer::new(Options::default())?;
    Ok(match layout {
        Layout::Nab | Layout::Series => group.recordings.iter().map(|one| alone(&scorer, one)).collect(),
        Layout::Smd | Layout::Asd => group.recordings.iter().map(|one| machine(&scorer, one)).collect(),
        Layout::Nezha => peers(&scorer, group),
    })
}

fn alone(scorer: &Scorer, recording: &Recording) -> Scored {
    let mut state = Series::default();
    let values: Vec<f64> = recording.rows.iter().map(|row| row[0]).collect();
    let samples = recording.times.iter().zip(&values);
    let scores = samples.map(|(time, value)| scorer.observe(&mut state, *time, *value).score).collect();
    Scored { values, scores }
}

/// All measures of one machine; what came earlier is learnt first.
fn machine(scorer: &Scorer, recording: &Recording) -> Scored {
    let mut pod = Whole::new(recording.columns.len());
    let mut trail = Entity::default();
    let options = scorer.options();
    for (index, row) in recording.earlier.iter().enumerate() {
        let deviation = pod.observe(scorer, index as f64 * MINUTE, row);
        trail.alone(deviation, options);
    }
    let rows = recording.times.iter().zip(&recording.rows);
    let values: Vec<f64> =
        rows.map(|(time, row)| trail.alone(pod.observe(scorer, *time, row), options)).collect();
    let scores = values.iter().map(|value| entity::score(*value, options)).collect();
    Scored { values, scores }
}

/// The pods of one system, compared with each other minute by minute. Where faults are known and begin with the day,
/// the fault-free rest of the day comes first, as if it were the day before.
fn peers(scorer: &Scorer, group: &Group) -> Vec<Scored> {
    let last_fault = group.faults.iter().map(|fault| fault.time).fold(f64::MIN, f64::max);
    let is_rest = |time: f64| !group.faults.is_empty() && time > last_fault + 2.0 * FAULT;
    let mut own: Vec<Vec<f64>> = Vec::new();
    let mut minutes: BTreeMap<(bool, i64), Vec<(usize, usize)>> = BTreeMap::new();
    for (index, recording) in group.recordings.iter().enumerate() {
        let mut pod = Whole::new(recording.columns.len());
        let mut deviations = vec![0.0; recording.rows.len()];
        let rows = || 0..recording.rows.len();
        let first = rows().filter(|row| is_rest(recording.times[*row])).map(|row| (row, DAY));
        let then = rows().filter(|row| !is_rest(recording.times[*row])).map(|row| (row, 0.0));
        for (row, earlier) in first.chain(then) {
            let time = recording.times[row];
            deviations[row] = pod.observe(scorer, time - earlier, &recording.rows[row]);
            let minute = (time / MINUTE).floor() as i64;
            minutes.entry((!is_rest(time), minute)).or_default().push((index, row));
        }
        own.push(deviations);
    }
    let mut scored: Vec<Scored> =
        own.iter().map(|all| Scored { values: all.clone(), scores: all.clone() }).collect();
    for members in minutes.values() {
        let mut now: Vec<f64> = members.iter().map(|(index, row)| own[*index][*row]).collect();
        entity::among_peers(&mut now, scorer.options());
        for ((index, row), deviation) in members.iter().zip(now) {
            scored[*index].values[*row] = deviation;
            scored[*index].scores[*row] = entity::score(deviation, scorer.options());
        }
    }
    scored
}

/// Many measures of one thing.
struct Whole {
    measures: Vec<Series>,
    deviations: Vec<f64>,
}

impl Whole {
    fn new(measures: usize) -> Self {
        Whole { measures: vec![Series::default(); measures], deviations: vec![0.0; measures] }
    }

    fn observe(&mut self, scorer: &Scorer, time: f64, row: &[f64]) -> f64 {
        for ((deviation, value), state) in self.deviations.iter_mut().zip(row).zip(&mut self.measures) {
            *deviation = scorer.observe(state, time, *value).deviation;
        }
        Entity::deviation(&mut self.deviations, scorer.options())
    }
}
