//! Measures of a ranking of points: average precision, the volume under the precision-recall surface, the recall of
//! events at a fixed rate of false alarms. Point-adjusted F1 is absent on purpose: a random score earns .86.

/// Average precision: the mean of the precision at each anomalous point. Points of equal score count together.
pub(super) fn average_precision(scores: &[f64], labels: &[bool]) -> f64 {
    weighted_precision(scores, &weights(labels))
}

/// The volume under the precision-recall surface: average precision with labels that fade out around each event
/// over 0, 1/4, … of `reach` points, averaged. After Paparrizos et al., "Volume under the surface", VLDB 2022, with
/// the fading of the label as the weight of a point in both precision and recall.
pub(super) fn volume_under_surface(scores: &[f64], labels: &[bool], reach: usize) -> f64 {
    const STEPS: usize = 4;
    let each = (0..=STEPS).map(|step| weighted_precision(scores, &softened(labels, reach * step / STEPS)));
    each.sum::<f64>() / (STEPS + 1) as f64
}

/// The share of events with at least one point above the threshold that lets `rate` of the normal points pass.
pub(super) fn event_recall(scores: &[f64], labels: &[bool], rate: f64) -> f64 {
    let normal = scores.iter().zip(labels).filter(|(_, label)| !**label);
    let mut normal: Vec<f64> = normal.map(|(score, _)| *score).collect();
    normal.sort_by(|a, b| b.total_cmp(a));
    let Some(threshold) = normal.get((rate * normal.len() as f64) as usize).or(normal.last()).copied() else {
        return 1.0;
    };
    let events = events(labels);
    let found =
        events.iter().filter(|event| scores[event.0..=event.1].iter().any(|score| *score > threshold));
    if events.is_empty() { 1.0 } else { found.count() as f64 / events.len() as f64 }
}

/// The threshold with the best F1 of points, counted as they are.
pub(super) fn best_threshold(scores: &[f64], labels: &[bool]) -> f64 {
    let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let all = labels.iter().filter(|label| **label).count() as f64;
    let (mut found, mut best) = (0.0, (0.0, f64::INFINITY));
    for (index, &(score, label)) in order.iter().enumerate() {
        found += f64::from(u8::from(label));
        let f1 = 2.0 * found / (index as f64 + 1.0 + all);
        if f1 > best.0 && order.get(index + 1).is_none_or(|next| next.0 != score) {
            best = (f1, score);
        }
    }
    best.1
}

/// Of the points at or above a threshold the share that is anomalous, and the share of events with such a point.
pub(super) fn at_threshold(scores: &[f64], labels: &[bool], threshold: f64) -> (f64, f64) {
    let over = |score: &f64| *score >= threshold;
    let raised = scores.iter().zip(labels).filter(|(score, _)| over(score));
    let (raised, right) =
        raised.fold((0.0, 0.0), |(all, right), (_, label)| (all + 1.0, right + f64::from(u8::from(*label))));
    let events = events(labels);
    let found = events.iter().filter(|event| scores[event.0..=event.1].iter().any(over)).count();
    let precision = if raised > 0.0 { right / raised } else { 1.0 };
    (precision, if events.is_empty() { 1.0 } else { found as f64 / events.len() as f64 })
}

/// Runs of anomalous points, both ends included.
fn events(labels: &[bool]) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    for (index, _) in labels.iter().enumerate().filter(|(_, label)| **label) {
        match out.last_mut() {
            Some(last) if last.1 + 1 == index => last.1 = index,
            _ => out.push((index, index)),
        }
    }
    out
}

fn weights(labels: &[bool]) -> Vec<f64> {
    labels.iter().map(|&label| f64::from(u8::from(label))).collect()
}

fn weighted_precision(scores: &[f64], weights: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let all: f64 = weights.iter().sum();
    let (mut found, mut seen, mut area, mut index) = (0.0, 0.0, 0.0, 0);
    while index < order.len() {
        let score = scores[order[index]];
        let before = found;
        while index < order.len() && scores[order[index]] == score {
            found += weights[order[index]];
            seen += 1.0;
            index += 1;
        }
        area += (found - before) / all * (found / seen);
    }
    area
}

fn softened(labels: &[bool], reach: usize) -> Vec<f64> {
    let mut out = weights(labels);
    for event in events(labels) {
        for distance in 1..=reach {
            let weight = (1.0 - distance as f64 / (reach + 1) as f64).sqrt();
            if let Some(left) = event.0.checked_sub(distance) {
                out[left] = out[left].max(weight);
            }
            if let Some(right) = out.get_mut(event.1 + distance) {
                *right = right.max(weight);
            }
        }
    }
    out
}
