//! The past of a query: what is sent, what is read, and a real Prometheus' own.

use anyhow::Result;
use kubewise_core::metric::MetricAnswer;
use kubewise_core::{Failure, Period, Timestamp};
use kubewise_prometheus::{Bounds, Options, Unreadable, normalise_range};
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::{at, query, source, told};

const JSON: &str = "application/json";

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn read(body: &str, max_samples: usize) -> Result<MetricAnswer, Unreadable> {
    let bounds = Bounds { staleness: Period::from_mins(5), max_samples };
    normalise_range(body.as_bytes(), &query("x", "percent"), &bounds)
}

fn matrix(series: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#)
}

const TWO: &str = r#"{"metric":{"namespace":"shop","pod":"a","reason":""},"values":[[20,"50"],[10,"NaN"],[30,"+Inf"]]},
    {"metric":{"namespace":"shop","pod":"b"},"values":[[10.5,"100"]]},
    {"metric":{"pod":"c"},"values":[[10,"1"],[20,"1"]]},{"metric":{"namespace":"shop","pod":"d"},"histograms":[]}"#;

#[test]
fn series_become_samples_in_order_of_time() {
    let answer = read(&matrix(TWO), 10).expect("readable");
    let samples: Vec<_> =
        answer.samples.iter().map(|one| (one.time.as_millisecond(), &*one.object.name, one.value)).collect();
    assert_eq!(samples, [(10_500, "b", 1.0), (20_000, "a", 0.5)]);
    let dropped = answer.dropped;
    assert_eq!((dropped.not_a_number, dropped.infinite, dropped.unidentified), (1, 1, 2));
    let twice = r#"{"metric":{"namespace":"s","pod":"a"},"values":[[1,"1"],[1,"2"]]}"#;
    assert_eq!(read(&matrix(twice), 10).expect("readable").dropped.duplicate, 1);
}

#[test]
fn what_is_no_matrix_is_told() {
    let check = |body: &str, expect: &str| {
        let error = read(body, 10).expect_err(body).to_string();
        assert!(error.starts_with(expect), "{error}");
    };
    check(&matrix(TWO)[..60], "the answer breaks off in the middle");
    check("[]", "not a Prometheus API response");
    check(r#"{"status":"success"}"#, "not a Prometheus API response");
    check(r#"{"status":"error","errorType":"bad_data","error":"what"}"#, "bad_data: what");
    check(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, "the query gives a vector");
    assert!(matches!(read(&matrix(TWO), 5), Err(Unreadable::TooMany { limit: 5 })));
}

/// Every piece of a range, as `(samples, requests so far)`.
async fn pieces(options: Options, server: &MockServer, until: i64) -> Result<Vec<(usize, usize)>, Failure> {
    let source = source(options).expect("usable");
    let mut range = source.range(&query("up", "count"), second(0), second(until), Period::from_secs(1));
    let mut pieces = Vec::new();
    while let Some(answer) = range.next().await? {
        let asked = server.received_requests().await.expect("recorded").len();
        pieces.push((answer.samples.len(), asked));
    }
    Ok(pieces)
}

/// Answers with one sample for each second of what is asked for.
fn seconds(request: &Request) -> ResponseTemplate {
    let body = String::from_utf8_lossy(&request.body).replace("%3A", ":");
    let value = |key: &str| -> Timestamp {
        let text = body.split('&').find_map(|pair| pair.strip_prefix(key)).expect(key);
        text.parse().expect("a time")
    };
    let points: Vec<_> = (value("start=").as_second()..=value("end=").as_second())
        .map(|second| format!("[{second},\"1\"]"))
        .collect();
    let series = format!(r#"{{"metric":{{"namespace":"s","pod":"a"}},"values":[{}]}}"#, points.join(","));
    ResponseTemplate::new(200).set_body_raw(matrix(&series), JSON)
}

async fn server() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/query_range"))
        .and(body_string_contains("query=up"))
        .and(body_string_contains("step=1"))
        .and(body_string_contains("lookback_delta=300"))
        .respond_with(seconds)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_range_is_asked_for_in_pieces_without_gap_or_overlap() {
    let server = server().await;
    let asked = pieces(at(server.uri()), &server, 24_999).await;
    assert_eq!(asked, Ok(vec![(11_000, 1), (11_000, 2), (3_000, 3)]));
}

#[tokio::test]
async fn a_piece_that_holds_too_much_is_halved() {
    let server = server().await;
    let small = Options { max_samples: 6_000, ..at(server.uri()) };
    assert_eq!(pieces(small, &server, 11_999).await, Ok(vec![(5_500, 2), (5_500, 3), (1_000, 4)]));
    let server = self::server().await;
    let short = Options { max_answer_bytes: 60_000, ..at(server.uri()) };
    let all = pieces(short, &server, 11_999).await.expect("answered");
    assert_eq!(all.iter().map(|(samples, _)| samples).sum::<usize>(), 12_000, "{all:?}");
}

#[tokio::test]
async fn a_failure_ends_it() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(503)).mount(&server).await;
    assert!(matches!(pieces(at(server.uri()), &server, 9).await, Err(Failure::Unavailable { .. })));
    assert_eq!(server.received_requests().await.map(|all| all.len()), Some(1), "nothing is asked again");
}

#[tokio::test]
async fn a_real_prometheus_tells_of_the_past_what_it_told_then() -> Result<()> {
    use kubewise_core::port::MetricSource as _;
    let Some(prometheus) = crate::real::prometheus()? else { return Ok(()) };
    let source = source(at(prometheus.url()))?;
    let since = Period::from_mins(2).before(prometheus.now);
    for query in kubewise_prometheus::default_catalogue() {
        let mut range = source.range(&query, since, prometheus.now, Period::from_secs(60));
        let mut past = Vec::new();
        while let Some(answer) = range.next().await? {
            past.extend(answer.samples);
        }
        for minutes in 0..=2 {
            let moment = Period::from_mins(minutes).after(since);
            let then = source.sample(&query, moment).await?;
            let now = past.iter().filter(|sample| sample.time == moment).cloned().collect();
            let now = MetricAnswer { samples: now, ..MetricAnswer::default() };
            assert_eq!(told(&now), told(&then), "{} at {moment}", query.name);
        }
    }
    Ok(())
}
