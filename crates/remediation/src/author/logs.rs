//! Logs, the end first: there the cause stands.

use super::dossier::{Dossier, Source};
use crate::evidence::Evidence;

/// Bytes of one log that are looked at, from its end.
const MAX_LOOKED_AT: usize = 8 * 1024;
/// Lines of the items that one log becomes, from its end: if the budget is small, its last lines are told all the same.
const CHUNKS: [usize; 3] = [8, 16, 32];

pub(super) fn add(evidence: &Evidence, dossier: &mut Dossier) {
    for (log_number, log) in (0..).zip(&evidence.logs) {
        let start = log.text.ceil_char_boundary(log.text.len().saturating_sub(MAX_LOOKED_AT));
        // The rest of a line may be the rest of a secret.
        let start = if start == 0 {
            0
        } else {
            log.text[start..].find('\n').map_or(log.text.len(), |end| start + end + 1)
        };
        let mut lines = dossier.egress.lines(&log.text[start..]);
        lines.retain(|line| !line.trim().is_empty());
        let mut end = lines.len();
        for (place, chunk) in (0..).zip(CHUNKS) {
            let begin = end.saturating_sub(chunk);
            if begin == end {
                break;
            }
            let line = dossier.egress.line().object(&log.pod).ours(" container ").name(&log.container);
            let line = line.ours(if log.previous { " in its previous run wrote" } else { " wrote" });
            let line =
                line.ours(if place == 0 { " last:" } else { " before that:" }).below(&lines[begin..end]);
            dossier.add(Source::Logs, "log", &log.container, log_number * 8 - place, line);
            end = begin;
        }
    }
}
