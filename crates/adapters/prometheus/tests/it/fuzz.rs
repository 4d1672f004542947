//! Whatever a server answers: samples that can be used, or an error; never a panic.

use kubewise_core::metric::MetricAnswer;
use kubewise_core::{Period, Timestamp};
use kubewise_prometheus::{Bounds, Unreadable, normalise, normalise_range};
use proptest::prelude::*;

use crate::query;

const BOUNDS: Bounds = Bounds { staleness: Period::from_mins(5), max_samples: 10 };
const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
    {"metric":{"namespace":"shop","pod":"a","reason":"\u0000\"x"},"value":[1000000.5,"1e9"]},
    {"metric":{"pod":"b"},"value":[-1e300,"NaN"]}]},"warnings":["w"]}"#;
const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[
    {"metric":{"namespace":"shop","pod":"a"},"values":[[1000000.5,"1e9"],[1e300,"+Inf"],[3,"x"]]},
    {"metric":{"namespace":"shop","pod":"a"},"histograms":[[1,{}]]}]},"errorType":"e","error":"f"}"#;

/// Bytes at places that are set, or put in before them.
fn mutated(good: &str, mutations: &[(usize, u8, bool)]) -> Vec<u8> {
    let mut bytes = good.as_bytes().to_vec();
    for (place, byte, insert) in mutations {
        let place = place % bytes.len();
        if *insert {
            bytes.insert(place, *byte);
        } else {
            bytes[place] = *byte;
        }
    }
    bytes
}

fn mutations() -> impl Strategy<Value = Vec<(usize, u8, bool)>> {
    let telling = prop::sample::select(b"\"\\,{}[]:0919eE-+.nNtf \xff\x00".to_vec());
    prop::collection::vec((any::<usize>(), prop_oneof![telling, any::<u8>()], any::<bool>()), 0..5)
}

fn check(answer: Result<MetricAnswer, Unreadable>) {
    let samples = answer.map(|answer| answer.samples).unwrap_or_default();
    assert!(samples.len() <= BOUNDS.max_samples && samples.iter().all(|sample| sample.value.is_finite()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_answers(mutations in mutations()) {
        let now = Timestamp::from_second(1_000_000).expect("in range");
        check(normalise(&mutated(VECTOR, &mutations), &query("x", "percent"), &BOUNDS, now));
        check(normalise_range(&mutated(MATRIX, &mutations), &query("x", "percent"), &BOUNDS));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(normalise(&bytes, &query("x", "count"), &BOUNDS, Timestamp::UNIX_EPOCH));
        check(normalise_range(&bytes, &query("x", "count"), &BOUNDS));
    }
}
