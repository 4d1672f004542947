//! Whatever a file holds: an error that names it, or a history; never a panic. Each reader meets random bytes, and
//! good files with bytes changed, put in, taken out.

use std::fs;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use kubewise_core::port::EventSource;
use kubewise_core::{Period, Timestamp};
use kubewise_replay::{History, read_labels};
use kubewise_sim::VirtualClock;
use proptest::prelude::*;

use crate::catalogue;

const CSV: &str = "timestamp,metric,value,unit,namespace,kind,name,container,detail\n\
    2026-01-05T08:00:00Z,memory_working_set,2,mebibytes,shop,Pod,\"a\",app,\n\
    1767600060.5,waiting,1,count,shop,Pod,\"a\",app,\"say \"\"no\"\"\"\n1,owner,1,count,shop,Pod,a,,Job/b\n";
const OPENMETRICS: &str = "# TYPE m gauge\n\
    container_memory_working_set_bytes{container=\"app\",namespace=\"s\",pod=\"a\"} 5e6 1000.0 # {a=\"b\"} 1\n\
    kube_pod_container_resource_limits{resource=\"memory\",container=\"app\",namespace=\"s\",pod=\"a\"} 1e7 999\n\
    {\"kube_pod_owner\",namespace=\"s\",pod=\"a\\\"\\n\",owner_kind=\"Job\",owner_name=\"b\"} 1 1767600000000\n\
    container_cpu_usage_seconds_total{container=\"app\",namespace=\"s\",pod=\"a\"} NaN 1\n# EOF\n";
const JSON: &str = r#"{"time":"2026-01-05T09:00:00Z","type":"ADDED","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"s","uid":"u","creationTimestamp":"2026-01-05T08:00:00Z","ownerReferences":[{"kind":"ReplicaSet","name":"r","uid":"x","controller":true}]},"spec":{"containers":[{"name":"app"}]},"status":{"phase":"Running"}}}
{"kind":"List","items":[{"kind":"Event","metadata":{"name":"e","uid":"e1"},"involvedObject":{"kind":"Pod","name":"a"},"count":2,"lastTimestamp":"2026-01-05T08:01:00Z","firstTimestamp":"2026-01-05T08:01:00Z"}]}
{"uid":"e1","count":1,"object":{"kind":"Pod","namespace":"s","name":"a"},"objectUid":"u","type":"Normal","reason":"r","message":"m","firstSeen":"2026-01-05T08:00:00Z","lastSeen":"2026-01-05T08:00:00Z","source":"kubelet"}
"#;

const LABELS: &str = "namespace,kind,name,start,end,reason\nshop,Deployment,cart,1,2.5,\"a, b\"\n\
    ,Node,n1,2026-01-05T08:00:00Z,2026-01-05T09:00:00Z,\n";

/// A change at a place.
#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    Cut(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = || any::<usize>();
    // Bytes that mean something to one of the readers are worth more than others.
    let telling = prop::sample::select(b"\"\\,{}[]=#\n\r \t-.:0919eNi\xff\x00\x1f\x8b".to_vec());
    let byte = || prop_oneof![telling.clone(), any::<u8>()];
    prop_oneof![
        (place(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (place(), prop::collection::vec(byte(), 1..6)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (place(), 1..40_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (place(), 1..80_usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        place().prop_map(Mutation::Cut),
    ]
}

fn mutated(good: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = good.as_bytes().to_vec();
    for mutation in mutations {
        let length = bytes.len().max(1);
        match mutation {
            Mutation::Set(at, byte) => {
                if let Some(slot) = bytes.get_mut(at % length) {
                    *slot = *byte;
                }
            }
            Mutation::Insert(at, more) => {
                let at = (at % length).min(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Mutation::Remove(at, count) => {
                let at = (at % length).min(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Mutation::Repeat(at, count) => {
                let at = (at % length).min(bytes.len());
                let part = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            Mutation::Cut(at) => bytes.truncate(at % length),
        }
    }
    bytes
}

/// Reads the bytes as a file of this name, and replays what came of it.
fn survive(name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("written");
    match History::open(std::slice::from_ref(&path), &catalogue()) {
        Err(error) => assert!(error.to_string().contains(name), "{error}"),
        Ok(history) => {
            let history = Arc::new(history);
            let mut before = Timestamp::MIN;
            history
                .each_sample(|sample| {
                    assert!(sample.value.is_finite() && before <= sample.time, "{sample:?}");
                    before = sample.time;
                    true
                })
                .expect("it was readable just now");
            let from = history.summary().first.unwrap_or(Timestamp::UNIX_EPOCH);
            let clock = VirtualClock::starting_at(Period::from_mins(1).before(from));
            let replay = history.replay(Arc::new(clock.clone()), from).expect("readable");
            let mut watch = replay.watch();
            clock.advance(Timestamp::MAX);
            while watch.next().now_or_never().flatten().is_some() {}
            assert!(replay.fault().is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn csv(mutations in prop::collection::vec(mutation(), 0..6)) {
        survive("a.csv", &mutated(CSV, &mutations));
    }

    #[test]
    fn openmetrics(mutations in prop::collection::vec(mutation(), 0..6)) {
        survive("a.om", &mutated(OPENMETRICS, &mutations));
    }

    #[test]
    fn json(mutations in prop::collection::vec(mutation(), 0..6)) {
        survive("a.jsonl", &mutated(JSON, &mutations));
    }

    #[test]
    fn labels(mutations in prop::collection::vec(mutation(), 0..6)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("labels.csv");
        fs::write(&path, mutated(LABELS, &mutations)).expect("written");
        match read_labels(&path) {
            Ok(labels) => assert!(labels.iter().all(|label| label.start <= label.end)),
            Err(error) => assert!(error.to_string().contains("labels.csv"), "{error}"),
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), gzip in any::<bool>()) {
        let bytes = if gzip { [&[0x1f, 0x8b][..], &bytes].concat() } else { bytes };
        for name in ["a.csv", "a.om", "a.json"] {
            survive(name, &bytes);
        }
    }
}
