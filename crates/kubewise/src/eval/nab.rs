//! The standard score of the Numenta Anomaly Benchmark, v1.1.
//!
//! Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms", ICMLA 2015. A window of an anomaly earns
//! what its earliest detection is worth, a detection outside costs more the farther it lies behind the last window.
//! One threshold serves all series: [`Curve::best`] finds it as the benchmark does, [`Curve::at`] scores a given one,
//! so that a threshold can be found on some series and judged on others.

/// Weight of a false alarm in the standard profile.
const FALSE_POSITIVE: f64 = 0.11;
/// The benchmark leaves the first part of a series unjudged: this share, at most that of 5,000 rows.
const PROBATION: f64 = 0.15;
const PROBATION_ROWS: f64 = 5000.0;

/// Scores of one series and the windows of its anomalies, both ends included.
pub(super) struct Series<'a> {
    pub(super) scores: &'a [f64],
    pub(super) windows: &'a [(usize, usize)],
}

/// What each threshold would score, the highest first.
pub(super) struct Curve {
    points: Vec<(f64, f64)>,
    windows: usize,
}

/// Rows at the start that are not judged.
pub(super) fn probation(rows: usize) -> usize {
    (PROBATION * (rows as f64).min(PROBATION_ROWS)).floor() as usize
}

impl Curve {
    pub(super) fn new(series: &[Series<'_>]) -> Self {
        let best_worth = sigmoid(-1.0);
        let mut rows: Vec<(f64, f64, Option<usize>)> = Vec::new();
        let mut windows = 0;
        for one in series {
            let worth = worth(one.scores.len(), one.windows);
            let judged = one.scores.iter().zip(worth).skip(probation(one.scores.len()));
            rows.extend(
                judged.map(|(&score, (worth, window))| (score, worth, window.map(|index| index + windows))),
            );
            windows += one.windows.len();
        }
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut earned: Vec<f64> = vec![-1.0; windows];
        let mut total = -(windows as f64);
        let mut points = vec![(f64::INFINITY, total)];
        for (index, &(score, worth, window)) in rows.iter().enumerate() {
            match window {
                None => total += worth * FALSE_POSITIVE,
                Some(window) => {
                    let worth = worth / best_worth;
                    if worth > earned[window] {
                        total += worth - earned[window];
                        earned[window] = worth;
                    }
                }
            }
            if rows.get(index + 1).is_none_or(|next| next.0 != score) {
                points.push((score, total));
            }
        }
        Curve { points, windows }
    }

    /// The best score, and its threshold.
    pub(super) fn best(&self) -> (f64, f64) {
        let mut best = self.points[0];
        for &point in &self.points {
            if point.1 > best.1 {
                best = point;
            }
        }
        (self.normalised(best.1), best.0)
    }

    pub(super) fn at(&self, threshold: f64) -> f64 {
        let known = self.points.partition_point(|point| point.0 >= threshold).max(1);
        self.normalised(self.points[known - 1].1)
    }

    fn normalised(&self, raw: f64) -> f64 {
        let windows = self.windows as f64;
        100.0 * (raw + windows) / (2.0 * windows)
    }
}

fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// The worth of a detection at each row, and the window it lies in.
fn worth(rows: usize, windows: &[(usize, usize)]) -> Vec<(f64, Option<usize>)> {
    let mut out = vec![(-1.0, None); rows];
    let mut before: Option<(usize, f64)> = None;
    let mut next = 0;
    let ends = windows.iter().map(|window| Some(*window)).chain([None]);
    for (index, window) in ends.enumerate() {
        let left = window.map_or(rows, |window| window.0);
        if let Some((right, width)) = before {
            for (row, slot) in out.iter_mut().enumerate().take(left).skip(next) {
                slot.0 = sigmoid((row - right) as f64 / (width - 1.0));
            }
        }
        let Some((left, right)) = window else { break };
        let width = (right - left + 1) as f64;
        for (row, slot) in out.iter_mut().enumerate().take(right + 1).skip(left) {
            *slot = (sigmoid(-((right - row + 1) as f64) / width), Some(index));
        }
        before = Some((right, width));
        next = right + 1;
    }
    out
}
