//! What is read from an answer.

use kubewise_core::metric::{DroppedSamples, MetricAnswer};
use kubewise_core::{Period, Timestamp};
use kubewise_prometheus::{Bounds, Unreadable, normalise};

use crate::{query, told};

const BOUNDS: Bounds = Bounds { staleness: Period::from_mins(5), max_samples: 10 };

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).expect("in range")
}

fn read(body: &str, unit: &str) -> Result<MetricAnswer, Unreadable> {
    normalise(body.as_bytes(), &query("x", unit), &BOUNDS, now())
}

fn vector(series: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#)
}

/// A series of pod `shop/a` with one value.
fn series(time: &str, value: &str) -> String {
    format!(r#"{{"metric":{{"namespace":"shop","pod":"a"}},"value":[{time},"{value}"]}}"#)
}

#[test]
fn labels_name_the_object() {
    let check = |metric: &str, expect: &[&str]| {
        let body = vector(&format!(r#"{{"metric":{metric},"value":[1000000,"1"]}}"#));
        let answer = read(&body, "count").expect(metric);
        assert_eq!(told(&answer), expect, "{metric}");
        assert_eq!(answer.dropped.unidentified, u64::from(expect.is_empty()), "{metric}");
    };
    check(
        r#"{"__name__":"x","container":"app","job":"ksm","namespace":"shop","pod":"a","reason":"Error"}"#,
        &["Pod shop/a app Error = 1"],
    );
    check(r#"{"namespace":"shop","pod":"a"}"#, &["Pod shop/a = 1"]);
    check(r#"{"namespace":"shop","pod":"a","container":""}"#, &["Pod shop/a = 1"]);
    check(r#"{"namespace":"shop","pod":"a","reason":"say \"no\" \u00e9"}"#, &["Pod shop/a say \"no\" é = 1"]);
    check(r#"{"namespace":"shop"}"#, &[]);
    check(r#"{"pod":"a"}"#, &[]);
    check(r#"{"namespace":"","pod":"a"}"#, &[]);
    check("{}", &[]);
}

#[test]
fn one_label_may_mean_two_things() {
    let mut query = query("x", "count");
    query.labels.detail = Some("pod".into());
    let body = vector(&series("1000000", "1"));
    let answer = normalise(body.as_bytes(), &query, &BOUNDS, now()).expect("readable");
    assert_eq!(told(&answer), ["Pod shop/a a = 1"]);
}

#[test]
fn values_come_in_base_units() {
    let check = |value: &str, unit: &str, expect: f64| {
        let answer = read(&vector(&series("1000000", value)), unit).expect(value);
        assert_eq!(answer.samples[0].value, expect, "{value} {unit}");
    };
    check("1", "bytes", 1.0);
    check("-0.5", "count", -0.5);
    check("1.5e+09", "bytes", 1.5e9);
    check("2", "mebibytes", 2_097_152.0);
    check("250", "milliseconds", 0.25);
    check("50", "percent", 0.5);
}

#[test]
fn what_is_dropped_is_counted() {
    let check = |series: &str, expect: DroppedSamples| {
        let answer = read(&vector(series), "gibibytes").expect(series);
        assert_eq!(answer.dropped, expect, "{series}");
        assert_eq!(answer.samples.len(), 0, "{series}");
    };
    let none = DroppedSamples::default();
    check("", none);
    check(&series("1000000", "NaN"), DroppedSamples { not_a_number: 1, ..none });
    check(&series("1000000", "twelve"), DroppedSamples { not_a_number: 1, ..none });
    check(&series("1000000", "+Inf"), DroppedSamples { infinite: 1, ..none });
    check(&series("1000000", "-Inf"), DroppedSamples { infinite: 1, ..none });
    check(&series("1000000", "1e308"), DroppedSamples { infinite: 1, ..none });
    check(&series("999699.999", "1"), DroppedSamples { stale: 1, ..none });
    check(&series("-1e300", "1"), DroppedSamples { stale: 1, ..none });
    check(
        r#"{"metric":{"namespace":"shop","pod":"a"},"histogram":[1000000,{"count":"3"}]}"#,
        DroppedSamples { not_a_number: 1, ..none },
    );
}

#[test]
fn the_first_of_two_equal_series_stays() {
    let other = r#"{"metric":{"namespace":"shop","pod":"a","container":"app"},"value":[1000000,"3"]}"#;
    let all = [&series("1000000", "1"), &series("1000000", "2"), other, &series("999999", "4")];
    let answer = read(&vector(&all.join(",")), "count").expect("readable");
    assert_eq!(told(&answer), ["Pod shop/a = 1", "Pod shop/a app = 3"]);
    assert_eq!(answer.dropped, DroppedSamples { duplicate: 2, ..DroppedSamples::default() });
}

#[test]
fn a_sample_from_the_future_is_dated_now() {
    let check = |time: &str, expect: &str, warning: Option<&str>| {
        let answer = read(&vector(&series(time, "1")), "count").expect(time);
        let expect: Timestamp = Timestamp::from_second(expect.parse().expect("seconds")).expect("in range");
        assert_eq!(answer.samples[0].time, expect, "{time}");
        assert_eq!(answer.warnings, warning.into_iter().collect::<Vec<_>>(), "{time}");
    };
    check("999700", "999700", None);
    check("1000030", "1000000", None);
    let warning = "samples are dated up to 7m later than the clock here; which clock is wrong?";
    check("1000420.5", "1000000", Some(warning));
}

#[test]
fn warnings_are_passed_on() {
    let body = r#"{"status":"success","warnings":["half of the stores are away"],"data":{"result":[],"resultType":"vector"}}"#;
    assert_eq!(read(body, "count").expect("readable").warnings, ["half of the stores are away"]);
}

#[test]
fn a_scalar_names_no_object() {
    let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1000000.5,"1"]}}"#;
    let answer = read(body, "count").expect("readable");
    assert_eq!(answer.dropped, DroppedSamples { unidentified: 1, ..DroppedSamples::default() });
    assert_eq!(answer.warnings, ["the query gives a scalar, which names no object; leave the labels in"]);
}

#[test]
fn what_is_no_answer_says_so() {
    let check = |body: &str, expect: &str| {
        let error = read(body, "count").expect_err(body).to_string();
        assert!(error.starts_with(expect), "{body}: {error}");
    };
    let foreign = "not a Prometheus API response";
    let whole = vector(&series("1000000", "1"));
    check("", "the answer breaks off");
    check(&whole[..whole.len() / 2], "the answer breaks off");
    check("<html>", foreign);
    check("[]", foreign);
    check("null", foreign);
    check("{}", foreign);
    check(r#"{"status":"success"}"#, foreign);
    check(r#"{"status":"success","data":null}"#, foreign);
    check(r#"{"status":"success","data":{"resultType":"vector","result":7}}"#, foreign);
    check(r#"{"status":"success","data":{"resultType":"vector","result":[7,null]}}"#, foreign);
    check(&format!("{whole}x"), foreign);
    check(&vector(r#"{"metric":[],"value":[1,"1"]}"#), foreign);
    check(&vector(r#"{"metric":{},"value":["1",1]}"#), foreign);
    check(
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]}]}}"#,
        "the query gives a matrix; an instant vector is needed: put the range",
    );
    check(
        r#"{"status":"success","data":{"resultType":"string","result":[1,"x"]}}"#,
        "the query gives a string; an instant vector is needed",
    );
    check(r#"{"status":"error","errorType":"bad_data","error":"no such thing"}"#, "bad_data: no such thing");
    check(&vector(&vec![series("1000000", "1"); 11].join(",")), "the answer has more than 10 samples");
    let error =
        normalise(b"{\"status\":\"\xff\"}", &query("x", "count"), &BOUNDS, now()).expect_err("not UTF-8");
    assert!(error.to_string().starts_with(foreign), "{error}");
}
