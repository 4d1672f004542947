//! What is read, and what is said of what cannot be.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use kubewise_core::metric::NormalizedMetric;
use kubewise_replay::{History, read_labels};

use crate::{complaint, open};

const HEADER: &str = "timestamp,metric,value,unit,namespace,kind,name,container,detail\n";

fn told(history: &History) -> Vec<String> {
    let mut told = Vec::new();
    let line = |sample: &NormalizedMetric| {
        let text = |part: &Option<std::sync::Arc<str>>| part.as_deref().unwrap_or("-").to_owned();
        let NormalizedMetric { time, metric_type, object, value, .. } = sample;
        let seconds = time.as_second();
        format!(
            "{seconds} {metric_type} {object} {} {} = {value}",
            text(&sample.container),
            text(&sample.detail)
        )
    };
    history
        .each_sample(|sample| {
            told.push(line(sample));
            true
        })
        .expect("readable");
    told
}

fn csv(lines: &str) -> Vec<String> {
    let (_folder, history) = open(&[("a.csv", format!("{HEADER}{lines}").as_bytes())]).expect("readable");
    told(&history)
}

#[test]
fn csv_lines_are_samples_in_base_units() {
    assert_eq!(
        csv("2026-01-05T08:00:00Z,memory_working_set,2,mebibytes,shop,Pod,a,app,\n\
             1767600030,memory_working_set,3e6,bytes,shop,Pod,a,app,\n\n\
             1767600060.5,waiting,1,count,shop,Pod,\"a\",app,\"say \"\"no\"\", twice\"\n"),
        [
            "1767600000 memory_working_set Pod shop/a app - = 2097152",
            "1767600030 memory_working_set Pod shop/a app - = 3000000",
            "1767600060 waiting Pod shop/a app say \"no\", twice = 1",
        ]
    );
}

#[test]
fn lines_out_of_order_are_sorted_and_files_merged() {
    let late = format!("{HEADER}20,waiting,1,count,s,Pod,b,,\n10,waiting,1,count,s,Pod,b,,\n");
    let even = format!("{HEADER}15,waiting,1,count,s,Pod,a,,\n");
    let (_folder, history) =
        open(&[("late.csv", late.as_bytes()), ("even.csv", even.as_bytes())]).expect("good");
    let times: Vec<_> = told(&history).iter().map(|line| line[..2].to_owned()).collect();
    assert_eq!(times, ["10", "15", "20"]);
}

#[test]
fn columns_may_stand_in_any_order_and_optional_ones_be_absent() {
    let (_folder, history) =
        open(&[("a.csv", b"kind,name,namespace,unit,value,metric,timestamp\nPod,a,s,count,1,waiting,7\n")])
            .expect("readable");
    assert_eq!(told(&history), ["7 waiting Pod s/a - - = 1"]);
}

#[test]
fn gzip_is_known_by_its_bytes() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    writeln!(packed, "{HEADER}7,waiting,1,count,s,Pod,a,,").expect("packed");
    let packed = packed.finish().expect("packed");
    for name in ["a.csv.gz", "a.csv"] {
        let (_folder, history) = open(&[(name, &packed)]).expect("readable");
        assert_eq!(told(&history).len(), 1);
    }
    let cut = complaint("a.csv.gz", &packed[..packed.len() - 10]);
    assert!(cut.starts_with("a.csv.gz: cannot be read"), "{cut}");
}

#[test]
fn what_is_no_number_or_not_asked_for_is_counted() {
    let lines = "1,waiting,NaN,count,s,Pod,a,,\n2,waiting,inf,count,s,Pod,a,,\n3,sales,1,count,s,Pod,a,,\n\
                 4,waiting,1,count,s,Deployment,a,,\n5,waiting,1,count,s,Pod,a,,\n";
    let (_folder, history) = open(&[("a.csv", format!("{HEADER}{lines}").as_bytes())]).expect("readable");
    let summary = history.summary();
    assert_eq!((summary.samples, summary.dropped.not_a_number, summary.dropped.infinite), (1, 1, 1));
    assert_eq!(summary.unasked.keys().collect::<Vec<_>>(), ["sales of Pod", "waiting of Deployment"]);
}

#[test]
fn a_wrong_line_is_told_with_its_place_and_what_would_be_right() {
    let check = |lines: &str, expect: &str| {
        assert_eq!(
            complaint("a.csv", format!("{HEADER}1,waiting,1,count,s,Pod,a,,\n{lines}").as_bytes()),
            expect
        );
    };
    check(
        "x,waiting,1,count,s,Pod,a,,",
        "a.csv:3: `x` is no time; write `2026-01-05T08:00:00Z` or seconds since 1970",
    );
    check("1,waiting,one,count,s,Pod,a,,", "a.csv:3: `one` is no number; write it as 0.25, 1e9, NaN or Inf");
    check("1,waiting,1,count,s,Pod,a", "a.csv:3: 7 fields where the header has 9");
    check("1,,1,count,s,Pod,a,,", "a.csv:3: no metric");
    check("1,waiting,1,count,,Pod,a,,", "a.csv:3: a Pod is in a namespace, and there is none");
    check("1,waiting,1,count,s,Node,a,,", "a.csv:3: a Node is in no namespace; leave it empty");
    check(
        "1,waiting,1,count,s,Pod,\"a,,",
        "a.csv:3: a quote is opened and not closed; one line holds one sample",
    );
    let unit = complaint("a.csv", format!("{HEADER}1,waiting,1,furlongs,s,Pod,a,,").as_bytes());
    assert!(unit.starts_with("a.csv:2: `furlongs` is not a unit; known units are bytes, "), "{unit}");
    let header = complaint("a.csv", b"time,metric\n");
    assert!(
        header.starts_with("a.csv:1: `time` is no column; the first line names the columns: `timestamp,")
    );
    assert!(complaint("a.csv", b"").starts_with("a.csv:0: the file is empty"));
    assert!(complaint("a.csv", b"\xff\xfe").starts_with("a.csv:1: the line is not UTF-8"));
    assert!(complaint("a.csv", &vec![b'x'; 2 << 20]).starts_with("a.csv:1: the line is longer than"));
    assert!(complaint("a.parquet", b"").starts_with("a.parquet: its name does not tell what it holds"));
}

const DUMP: &str = r#"# HELP container_memory_working_set_bytes Current working set.
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="app",namespace="s",pod="a",id="/x"} 5.0e+06 1000.0
container_memory_working_set_bytes{container="app",namespace="s",pod="a",id="/x"} 6000000 1030
container_memory_working_set_bytes{container="",namespace="s",pod="a"} 7 1030
container_memory_working_set_bytes{container="app"} 7 1030
kube_pod_container_resource_limits{resource="memory",container="app",namespace="s",pod="a"} 1e7 1000
container_cpu_usage_seconds_total{container="app",namespace="s",pod="a"} 100 1000
container_cpu_usage_seconds_total{container="app",namespace="s",pod="a"} 106 1030
container_cpu_usage_seconds_total{container="app",namespace="s",pod="a"} 3 1060
up{job="x"} 1 1000
# EOF
"#;

#[test]
fn openmetrics_is_read_by_the_rules_of_the_catalogue() {
    let (_folder, history) = open(&[("dump.om", DUMP.as_bytes())]).expect("readable");
    assert_eq!(
        told(&history),
        [
            "1000 memory_working_set Pod s/a app - = 5000000",
            // The limit of the same moment comes later in the file.
            "1000 memory_limit_ratio Pod s/a app - = 0.5",
            "1030 cpu_usage Pod s/a app - = 0.2",
            "1030 memory_working_set Pod s/a app - = 6000000",
            "1030 memory_limit_ratio Pod s/a app - = 0.6",
            "1060 cpu_usage Pod s/a app - = 0.15", // a counter that fell began anew
        ]
    );
    let summary = history.summary();
    assert_eq!(summary.unasked.get("up"), Some(&1));
    assert_eq!(summary.dropped.unidentified, 2, "a pod's total, and one without a pod");
}

#[test]
fn a_federation_counts_in_milliseconds() {
    let line = "kube_pod_container_status_waiting_reason{container=\"c\",namespace=\"s\",pod=\"a\",reason=\"x\\\"y\"} 1 1767600000000\n";
    let (_folder, history) = open(&[("a.prom", line.as_bytes())]).expect("readable");
    let expect = ["1767600000 waiting Pod s/a c x\"y = 1"];
    assert_eq!(told(&history), expect);
    let dumped = line.replacen(
        "kube_pod_container_status_waiting_reason{",
        "{__name__=\"kube_pod_container_status_waiting_reason\", ",
        1,
    );
    let (_folder, history) = open(&[("a.prom", dumped.as_bytes())]).expect("readable");
    assert_eq!(told(&history), expect, "as `promtool tsdb dump` has it");
}

#[test]
fn a_wrong_sample_is_told() {
    let check = |line: &str, expect: &str| {
        let said = complaint("a.om", format!("up 1 1\n{line}\n").as_bytes());
        assert!(said.starts_with(&format!("a.om:2: {expect}")), "{said}");
    };
    check("up 1", "the sample of `up` has no timestamp");
    check("up", "`up` has no value");
    check("up one 1", "`one` is no number");
    check("up{a=\"b\" 1 1", "the label `1` needs a value in quotes");
    check("up{a=\"b\"", "the labels are not closed with `}`");
    check("up{a=b} 1 1", "the label `a` needs a value in quotes");
    check("up{a=\"b} 1 1", "a quote is opened and not closed");
    check("up 1 1 2", "`2` follows the timestamp");
    check("{a=\"b\"} 1 1", "the line has no metric name");
}

const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"s","uid":"u","creationTimestamp":"2026-01-05T08:00:00Z"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-05T08:00:09Z"}]}}"#;
const EVENT: &str = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"e","namespace":"s","uid":"e1"},"involvedObject":{"kind":"Pod","namespace":"s","name":"a","uid":"u"},"reason":"BackOff","message":"m","type":"Warning","count":2,"firstTimestamp":"2026-01-05T08:00:05Z","lastTimestamp":"2026-01-05T08:01:00Z"}"#;

#[test]
fn objects_come_alone_in_lists_and_as_changes_of_a_watch() {
    let check = |text: String, states: u64, events: u64| {
        let (_folder, history) = open(&[("a.json", text.as_bytes())]).expect("readable");
        assert_eq!((history.summary().states, history.summary().events), (states, events), "{text}");
    };
    check(format!("{POD}\n{EVENT}\n"), 1, 1);
    check(format!(r#"{{"kind":"List","apiVersion":"v1","items":[{POD},{EVENT},{EVENT}]}}"#), 1, 2);
    check(format!("{{\n  \"type\": \"DELETED\",\n  \"object\": {POD}\n}}\n"), 1, 0);
    check(format!(r#"{{"type":"BOOKMARK","object":{POD}}}"#), 0, 0);
    check(format!(r#"{{"time":"2026-01-05T09:00:00Z","type":"ADDED","object":{POD}}}{POD}"#), 2, 0);
    check("[]".into(), 0, 0);
    let kept = r#"{"version":"1.0","uid":"e1","count":1,"object":{"kind":"Pod","namespace":"s","name":"a"},"objectUid":"u","type":"Normal","reason":"r","message":"m","firstSeen":"2026-01-05T08:00:00Z","lastSeen":"2026-01-05T08:00:00Z","source":"kubelet"}"#;
    check(format!(r#"{{"items":[{kept}]}}"#), 0, 1);
}

#[test]
fn a_state_is_dated_by_the_latest_time_that_it_holds() {
    let (_folder, history) = open(&[("a.json", POD.as_bytes())]).expect("readable");
    assert_eq!(history.summary().first.map(|time| time.to_string()).as_deref(), Some("2026-01-05T08:00:09Z"));
}

#[test]
fn a_wrong_object_is_told() {
    let check = |text: &str, expect: &str| {
        let said = complaint("a.jsonl", format!("{POD}\n{text}").as_bytes());
        assert!(said.starts_with(&format!("a.jsonl:2: {expect}")), "{said}");
    };
    check("7\n", "neither an object nor a list of objects");
    check(r#"{"kind":"Pod"}"#, "not a Kubernetes object: metadata.name is missing");
    check(r#"{"kind":"Pod","metadata":{"name":"a","uid":"u"}}"#, "the Pod a holds no time");
    check(r#"{"kind":"Event","metadata":{"name":"a","uid":"u"}}"#, "an Event that names no object");
    check(&format!(r#"{{"type":"CHANGED","object":{POD}}}"#), "`type` is \"CHANGED\"; a watch says ADDED");
    check(&format!(r#"{{"time":7,"type":"ADDED","object":{POD}}}"#), "`time` is 7; write it as");
    check(r#"{"kind":"#, "not JSON: EOF");
    check(&"[".repeat(1000), "not JSON: recursion limit exceeded");
}

#[test]
fn labels_are_read_or_told_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("labels.csv");
    let read = |text: &str| {
        std::fs::write(&path, text).expect("written");
        read_labels(&path)
            .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    };
    let labels =
        read("kind,name,namespace,start,end\nDeployment,cart,shop,10,20\nNode,n1,,10,20\n").expect("good");
    let told: Vec<_> = labels.iter().map(|label| label.workload.to_string()).collect();
    assert_eq!(told, ["Deployment shop/cart", "Node n1"]);
    let header = "namespace,kind,name,start,end,reason\n";
    let check = |line: &str, expect: &str| {
        assert_eq!(read(&format!("{header}{line}")).expect_err(line), format!("labels.csv:2: {expect}"));
    };
    check("shop,Deployment,cart,20,10,", "it ends before it starts");
    check("shop,Deployment,,10,20,", "kind and name of the workload are needed, such as `Deployment,cart`");
    check("shop,Deployment,cart,10", "4 fields where the header has 6");
    check(
        "shop,Deployment,cart,noon,20,",
        "start is `noon`; write a time like `2026-01-05T08:00:00Z` or seconds since 1970",
    );
    assert!(read("namespace,kind\n").expect_err("no name").contains("there is no column `name`"));
}
