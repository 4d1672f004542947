//! How much fits into a prompt, and what gives way.

use super::dossier::Item;

/// Bytes for each token. English has four and more, logs about three, and text beyond ASCII takes up to four bytes for
/// a token, so this counts too many rather than too few.
const BYTES_PER_TOKEN: usize = 3;

/// A careful estimate.
pub(super) fn tokens(text: &str) -> usize {
    tokens_of(text.len())
}

pub(super) fn tokens_of(bytes: usize) -> usize {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// The most telling items that fit, in the order in which they are told. Items come with the most telling source first
/// and the most telling of each source first. The first of every source is taken before the second of any, so that no
/// source crowds out the others; what does not fit is left out, and smaller things after it may still fit.
pub(super) fn chosen(items: Vec<Item>, room: usize) -> Vec<Item> {
    let mut ranked: Vec<(usize, Item)> = Vec::with_capacity(items.len());
    for item in items {
        let before = ranked.iter().filter(|(_, earlier)| earlier.source == item.source).count();
        ranked.push((before, item));
    }
    ranked.sort_by_key(|(before, item)| (*before, item.source));
    let mut left = room;
    let mut chosen: Vec<Item> = Vec::new();
    for (_, item) in ranked {
        let is_first = chosen.iter().all(|earlier| earlier.source != item.source);
        let title = if is_first { tokens(&item.source.heading()) } else { 0 };
        let cost = title + tokens(&item.told());
        if cost <= left {
            left -= cost;
            chosen.push(item);
        }
    }
    chosen.sort_by(|a, b| (a.source, a.place, &a.id).cmp(&(b.source, b.place, &b.id)));
    chosen
}
