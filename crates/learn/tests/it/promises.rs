//! What every learner promises: a snapshot changes nothing, nothing poisons it, no bytes make it panic.

use kubewise_learn::adwin::Adwin;
use kubewise_learn::quantile::Quantile;
use kubewise_learn::snapshot::{Error, Snapshot};
use proptest::prelude::*;

use crate::subject::{Subject, for_every_learner};

const HEADER: usize = 22;

/// Numbers as they come, and now and then anything that is a double.
fn stream(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let number = prop_oneof![12 => 0.0..1.0, 1 => any::<f64>(), 1 => prop::sample::select(vec![
        f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, -0.0, 0.5, 1e140, -1e140,
    ])];
    prop::collection::vec(number, length)
}

fn bits(said: Option<Vec<f64>>) -> Option<Vec<u64>> {
    said.map(|numbers| numbers.into_iter().map(f64::to_bits).collect())
}

fn goes_on_as_if_never_stopped<L: Subject>(numbers: &[f64], stop: usize) {
    let mut learner = L::fresh();
    for (at, number) in numbers[..stop].iter().enumerate() {
        learner.feed(at, *number);
    }
    let mut restored = L::restore(&learner.snapshot().unwrap()).unwrap();
    for (at, number) in numbers.iter().enumerate().skip(stop) {
        assert_eq!(bits(learner.feed(at, *number)), bits(restored.feed(at, *number)), "{number}");
    }
    assert_eq!(learner.snapshot().unwrap(), restored.snapshot().unwrap());
}

fn stays_sound<L: Subject>(numbers: &[f64]) {
    let mut learner = L::fresh();
    for (at, number) in numbers.iter().enumerate() {
        let before = learner.snapshot().unwrap();
        match learner.feed(at, *number) {
            Some(said) => assert!(said.iter().all(|number| number.is_finite()), "{number}: {said:?}"),
            None => assert_eq!(learner.snapshot().unwrap(), before, "{number} was refused"),
        }
        assert!(learner.clone().feed(at + 100, 0.5).is_some(), "stuck after {number}");
    }
    learner.check().unwrap();
}

/// Bytes with a head that fits them.
fn seal<L: Subject>(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"KWLS".to_vec();
    bytes.extend(L::KIND);
    bytes.extend(L::VERSION.to_le_bytes());
    bytes.extend((body.len() as u32).to_le_bytes());
    let summed = [&L::KIND[..], &L::VERSION.to_le_bytes(), body].concat();
    let sum = summed
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    bytes.extend(sum.to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Damaged behind the checksum's back: refused, or a learner that works.
fn survives_forgery<L: Subject>(numbers: &[f64], changes: &[(prop::sample::Index, u8)], cut: usize) {
    let mut learner = L::fresh();
    for (at, number) in numbers.iter().enumerate() {
        learner.feed(at, *number);
    }
    let mut body = learner.snapshot().unwrap().split_off(HEADER);
    assert_eq!(seal::<L>(&body), learner.snapshot().unwrap());
    for (place, byte) in changes {
        let place = place.index(body.len().max(1));
        if let Some(old) = body.get_mut(place) {
            *old ^= byte;
        }
    }
    body.truncate(body.len().saturating_sub(cut));
    if let Ok(mut forged) = L::restore(&seal::<L>(&body)) {
        for (at, number) in numbers.iter().enumerate() {
            forged.feed(numbers.len() + at, *number);
        }
        forged.snapshot().unwrap();
    }
}

fn refuses_noise<L: Subject>(bytes: &[u8]) {
    assert!(L::restore(bytes).is_err());
    if let Ok(mut forged) = L::restore(&seal::<L>(bytes)) {
        for at in 0..50 {
            forged.feed(at, 0.25);
        }
    }
}

fn refuses_damage<L: Subject>(numbers: &[f64], place: prop::sample::Index, byte: u8) {
    let mut learner = L::fresh();
    for (at, number) in numbers.iter().enumerate() {
        learner.feed(at, *number);
    }
    let whole = learner.snapshot().unwrap();
    let place = place.index(whole.len());
    assert!(L::restore(&whole[..place]).is_err(), "cut short at {place} of {}", whole.len());
    let mut changed = whole.clone();
    changed[place] ^= byte;
    assert!(L::restore(&changed).is_err(), "byte {place} changed");
    let longer = [&whole[..], &[byte]].concat();
    assert!(L::restore(&longer).is_err(), "a byte too many");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_restored_learner_goes_on_as_if_never_stopped(
        numbers in stream(1..600),
        stop in any::<prop::sample::Index>(),
    ) {
        let stop = stop.index(numbers.len());
        for_every_learner!(goes_on_as_if_never_stopped(&numbers, stop));
    }

    #[test]
    fn nothing_poisons_a_learner(numbers in stream(1..150)) {
        for_every_learner!(stays_sound(&numbers));
    }

    #[test]
    fn forged_bytes_are_refused_or_harmless(
        numbers in stream(0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..6),
        cut in prop_oneof![3 => Just(0), 1 => 0..40_usize],
    ) {
        for_every_learner!(survives_forgery(&numbers, &changes, cut));
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for_every_learner!(refuses_noise(&bytes));
    }

    #[test]
    fn damage_is_refused(
        numbers in stream(0..100),
        place in any::<prop::sample::Index>(),
        byte in 1..=255_u8,
    ) {
        for_every_learner!(refuses_damage(&numbers, place, byte));
    }
}

#[test]
fn each_damage_has_its_error() {
    let whole = Adwin::fresh().snapshot().unwrap();
    let check = |bytes: &[u8], expect: &str| {
        assert_eq!(Adwin::restore(bytes).unwrap_err().to_string(), expect);
    };
    check(&whole[..10], "10 bytes are too few for the head of a snapshot, which has 22");
    check(&whole[..40], &format!("a body of 18 bytes where the head says {}", whole.len() - HEADER));
    check(&Quantile::fresh().snapshot().unwrap(), "a snapshot of quan, not of adwn");
    let with = |place: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[place] = byte;
        bytes
    };
    check(&with(0, b'X'), "not a snapshot: it begins with [88, 87, 76, 83]");
    check(&with(8, 9), "a snapshot of version 9; this program reads version 1");
    check(&with(40, 0xaa), "the checksum does not fit: the snapshot was damaged");
    let broken = seal::<Adwin>(&[0xff; 30]);
    assert!(matches!(Adwin::restore(&broken), Err(Error::Read(_) | Error::Inconsistent(_))));
}
