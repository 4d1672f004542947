//! `kubewise eval`: labelled recordings through the scorer that alerts in production: scores to files, and how good
//! they are. One configuration for all data; nothing looks ahead; the same folder gives the same bytes.

mod layout;
mod nab;
mod play;
mod ranking;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
pub(crate) use layout::Layout;
use layout::{Group, pod_name};
use play::{FAULT, Scored};

use crate::terminal::say;

/// A point this near to an event counts in part for the volume under the surface.
const REACH: usize = 100;
/// One normal point in a hundred may be over the threshold at which the recall of events is told.
const FALSE_ALARMS: f64 = 0.01;

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// How the folder is laid out
    #[arg(long, value_enum)]
    layout: Layout,
    /// Write OUT/SAME/PATH.csv with timestamp,value,anomaly_score for each recording
    #[arg(long, value_name = "OUT")]
    scores: Option<PathBuf>,
    /// Also measure at this threshold
    #[arg(long, value_name = "SCORE", conflicts_with = "threshold_from")]
    threshold: Option<f64>,
    /// Also measure at the threshold that is best on this folder
    #[arg(long, value_name = "FOLDER")]
    threshold_from: Option<PathBuf>,
    /// The folder with the recordings
    folder: PathBuf,
}

pub(crate) fn eval(args: &EvalArgs) -> Result<()> {
    let threshold = match &args.threshold_from {
        Some(folder) => Some(Evaluation::of(args.layout, folder)?.best_threshold().with_context(|| {
            format!("{} has no labels, so no threshold can be found on it", folder.display())
        })?),
        None => args.threshold,
    };
    let evaluation = Evaluation::of(args.layout, &args.folder)?;
    if let Some(folder) = &args.scores {
        evaluation.write(folder)?;
    }
    say!("{}", evaluation.report(threshold)?);
    Ok(())
}

/// Groups with their scores.
struct Evaluation {
    layout: Layout,
    played: Vec<(Group, Vec<Scored>)>,
}

/// Scores and labels of what is judged together.
struct Judged {
    name: String,
    scores: Vec<f64>,
    labels: Vec<bool>,
}

impl Evaluation {
    fn of(layout: Layout, folder: &Path) -> Result<Self> {
        let groups = layout::read(layout, folder)?;
        let played = groups.into_iter().map(|group| {
            let scored = play::play(layout, &group)?;
            Ok((group, scored))
        });
        Ok(Evaluation { layout, played: played.collect::<Result<_>>()? })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        for (group, scored) in &self.played {
            for (recording, scored) in group.recordings.iter().zip(scored) {
                let path = folder.join(&recording.path);
                let mut text = String::from("timestamp,value,anomaly_score\n");
                for ((stamp, value), score) in recording.stamps.iter().zip(&scored.values).zip(&scored.scores)
                {
                    writeln!(text, "{stamp},{value},{score}")?;
                }
                let parent = path.parent().unwrap_or(folder);
                let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
                written.with_context(|| format!("{} cannot be written", path.display()))?;
            }
        }
        Ok(())
    }

    fn curve(&self) -> nab::Curve {
        let each = self.played.iter().flat_map(|(group, scored)| group.recordings.iter().zip(scored));
        let series: Vec<nab::Series<'_>> = each
            .map(|(recording, scored)| nab::Series { scores: &scored.scores, windows: &recording.windows })
            .collect();
        nab::Curve::new(&series)
    }

    fn has_windows(&self) -> bool {
        self.played.iter().flat_map(|(group, _)| &group.recordings).any(|one| !one.windows.is_empty())
    }

    fn judged(&self) -> Vec<Judged> {
        if self.layout == Layout::Nezha {
            return self.played.iter().filter_map(|(group, scored)| day(group, scored)).collect();
        }
        let each = self.played.iter().flat_map(|(group, scored)| group.recordings.iter().zip(scored));
        each.filter_map(|(recording, scored)| {
            let labels = recording.labels.clone().filter(|labels| labels.contains(&true))?;
            let skip = if self.layout == Layout::Nab { nab::probation(labels.len()) } else { 0 };
            Some(Judged {
                name: recording.path.display().to_string(),
                scores: scored.scores[skip..].to_vec(),
                labels: labels[skip..].to_vec(),
            })
        })
        .collect()
    }

    fn best_threshold(&self) -> Option<f64> {
        if self.layout == Layout::Nab {
            return self.has_windows().then(|| self.curve().best().1);
        }
        let judged = self.judged();
        let scores: Vec<f64> = judged.iter().flat_map(|one| one.scores.iter().copied()).collect();
        let labels: Vec<bool> = judged.iter().flat_map(|one| one.labels.iter().copied()).collect();
        (!scores.is_empty()).then(|| ranking::best_threshold(&scores, &labels))
    }

    fn report(&self, threshold: Option<f64>) -> Result<String> {
        let recordings: usize = self.played.iter().map(|(group, _)| group.recordings.len()).sum();
        let rows: usize = self.played.iter().flat_map(|(_, scored)| scored).map(|one| one.scores.len()).sum();
        let mut out = format!("{recordings} recordings, {rows} rows scored");
        if self.layout == Layout::Nab && self.has_windows() {
            let curve = self.curve();
            let (best, at) = curve.best();
            write!(
                out,
                "\nNAB standard  {best:.2} at its best threshold, {at:.4}; {:.2} at 0.5",
                curve.at(0.5)
            )?;
            if let Some(threshold) = threshold {
                write!(out, "; {:.2} at {threshold:.4}", curve.at(threshold))?;
            }
        }
        let judged = self.judged();
        if judged.is_empty() {
            out.push_str("; no labels, so nothing is measured");
            return Ok(out);
        }
        ensure!(
            judged.iter().all(|one| one.scores.iter().all(|score| score.is_finite())),
            "a score is no number"
        );
        let mean = |of: &dyn Fn(&Judged) -> f64| judged.iter().map(of).sum::<f64>() / judged.len() as f64;
        let precision = |one: &Judged| ranking::average_precision(&one.scores, &one.labels);
        let volume = |one: &Judged| ranking::volume_under_surface(&one.scores, &one.labels, REACH);
        let recall = |one: &Judged| ranking::event_recall(&one.scores, &one.labels, FALSE_ALARMS);
        write!(
            out,
            "\nmean of {}    AP {:.4}  VUS-PR {:.4}  event recall at 1 % false alarms {:.3}",
            judged.len(),
            mean(&precision),
            mean(&volume),
            mean(&recall)
        )?;
        if let Some(threshold) = threshold {
            let at = |one: &Judged| ranking::at_threshold(&one.scores, &one.labels, threshold);
            let (points, events) = (mean(&|one| at(one).0), mean(&|one| at(one).1));
            write!(
                out,
                "\nat {threshold:.4}  precision of points {points:.3}  recall of events {events:.3}"
            )?;
        }
        for (group, scored) in self.played.iter().filter(|(group, _)| !group.faults.is_empty()) {
            write!(out, "\nright pod first (AC@1)  {:.3}", right_first(group, scored))?;
        }
        for one in &judged {
            write!(out, "\n  {:<60} AP {:.4}", one.name, precision(one))?;
        }
        Ok(out)
    }
}

/// The pods of a day together: a pod is to be seen for five minutes after a fault was injected into it.
fn day(group: &Group, scored: &[Scored]) -> Option<Judged> {
    let end = group.faults.iter().map(|fault| fault.time + FAULT).reduce(f64::max)?;
    let mut judged = Judged { name: String::new(), scores: Vec::new(), labels: Vec::new() };
    for (recording, scored) in group.recordings.iter().zip(scored) {
        let pod = pod_name(recording);
        // Below the folder, or the folder itself.
        let day = recording.path.parent().filter(|day| !day.as_os_str().is_empty());
        judged.name = day.map_or_else(|| ".".into(), |day| day.display().to_string());
        for (time, score) in recording.times.iter().zip(&scored.scores).filter(|(time, _)| **time <= end) {
            judged.scores.push(*score);
            let shows = |fault: &layout::Fault| fault.pod == pod && during(*time, fault.time);
            judged.labels.push(group.faults.iter().any(shows));
        }
    }
    Some(judged)
}

/// The share of faults for which the highest score within five minutes is that of the pod itself.
fn right_first(group: &Group, scored: &[Scored]) -> f64 {
    let right = group.faults.iter().filter(|fault| {
        let highest = |index: usize| {
            let times = group.recordings[index].times.iter().zip(&scored[index].scores);
            times
                .filter(|(time, _)| during(**time, fault.time))
                .map(|(_, score)| *score)
                .fold(f64::MIN, f64::max)
        };
        let first = (0..scored.len()).max_by(|a, b| highest(*a).total_cmp(&highest(*b)).then(b.cmp(a)));
        first.is_some_and(|first| pod_name(&group.recordings[first]) == fault.pod)
    });
    right.count() as f64 / group.faults.len().max(1) as f64
}

fn during(time: f64, fault: f64) -> bool {
    time > fault && time <= fault + FAULT
}
