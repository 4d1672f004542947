//! A recorded demo, lived through again: the same troubles, the same bytes, and nothing invented.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use kubewise_testbed::Past;
use serde_json::Value;

use crate::installation::kubewise;

fn record(folder: &Path) -> Result<()> {
    let recorded = kubewise().args(["demo", "--speed", "0", "--record"]).arg(folder).output()?;
    ensure!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    Ok(())
}

fn backtest(arguments: &[&str]) -> Result<Output> {
    Ok(kubewise().arg("backtest").args(arguments).output()?)
}

fn sound(arguments: &[&str]) -> Result<String> {
    let output = backtest(arguments)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.stderr.is_empty(), "a progress bar without a terminal: {:?}", output.stderr);
    Ok(String::from_utf8(output.stdout)?)
}

const LABELS: &str = "namespace,kind,name,start,end,reason\n\
    shop,Deployment,cart,2026-01-05T08:10:00Z,2026-01-05T08:12:00Z,CrashLoopBackOff\n\
    shop,Deployment,search,2026-01-05T08:45:00Z,2026-01-05T08:47:00Z,OOMKilled\n\
    web,Deployment,frontend,2026-01-05T09:15:00Z,2026-01-05T09:17:00Z,ImagePullBackOff\n\
    payments,Deployment,ledger,2026-01-05T09:50:00Z,2026-01-05T09:55:00Z,ProgressDeadlineExceeded\n\
    media,Deployment,thumbnails,2026-01-05T10:20:00Z,2026-01-05T11:00:00Z,CrashLoopBackOff\n\
    shop,Deployment,checkout,2026-01-05T09:00:00Z,2026-01-05T09:10:00Z,Latency\n\
    shop,Deployment,cart,2025-01-05T09:00:00Z,2025-01-05T09:10:00Z,Latency\n";

#[test]
fn a_recorded_demo_shows_the_same_five_troubles_and_what_would_have_been_done() -> Result<()> {
    let place = tempfile::tempdir()?;
    let (folder, labels, report) =
        (place.path().join("demo"), place.path().join("labels.csv"), place.path().join("report.html"));
    record(&folder)?;
    fs::write(&labels, LABELS)?;
    let [folder, labels, page] = [&folder, &labels, &report].map(|path| path.to_str().unwrap_or_default());
    let arguments = ["--from", folder, "--mode", "auto", "--labels", labels, "--report", page, "-o", "json"];
    let told = sound(&arguments)?;
    let outcome: Value = serde_json::from_str(&told)?;
    let incidents = outcome["incidents"].as_array().map_or(&[][..], Vec::as_slice);
    let seen: Vec<_> = incidents
        .iter()
        .map(|one| {
            let step = one["plan"]["steps"][0].as_str().unwrap_or_default().to_owned();
            let step = step.split(" for ").next().unwrap_or_default().to_owned();
            (
                one["workload"]["name"].as_str().unwrap_or_default(),
                one["reason"].as_str().unwrap_or_default(),
                step,
            )
        })
        .collect();
    let expect = [
        ("cart", "CrashLoopBackOff", "roll Deployment shop/cart back"),
        ("search", "OOMKilled", "set the memory limit from 256Mi to 384Mi"),
        ("frontend", "ImagePullBackOff", "roll Deployment web/frontend back"),
        ("ledger", "ProgressDeadlineExceeded", "roll Deployment payments/ledger back"),
        ("thumbnails", "CrashLoopBackOff", "hand over"),
    ];
    ensure!(seen.len() == expect.len(), "{seen:#?}");
    for ((workload, reason, step), wanted) in seen.iter().zip(expect) {
        ensure!(*workload == wanted.0 && *reason == wanted.1 && step.contains(wanted.2), "{seen:#?}");
    }
    // What was asked for is told, and was refused.
    ensure!(incidents[0]["writes"][0]["verb"] == "patch", "{:#}", incidents[0]["writes"]);
    ensure!(
        incidents[0]["story"].to_string().contains("a backtest touches nothing"),
        "{:#}",
        incidents[0]["story"]
    );

    let scores = &outcome["scores"];
    ensure!(scores["precision"] == 1.0 && scores["found"] == 5 && scores["labels"] == 6, "{scores:#}");
    ensure!(scores["outside"] == 1, "{scores:#}");
    ensure!(scores["foundByReason"]["Latency"]["count"] == 0, "{scores:#}");
    ensure!(scores["medianDelaySeconds"].as_f64().is_some_and(|delay| delay < 60.0), "{scores:#}");

    let written = fs::read_to_string(&report)?;
    for part in ["<svg", "<polyline", "Deployment shop/cart", "Precision", "memory limit"] {
        ensure!(written.contains(part), "the report lacks {part}");
    }
    for outside in ["http:", "https:", "<script", "url(", "@import", "src="] {
        ensure!(!written.contains(outside), "the report holds {outside}");
    }

    ensure!(sound(&arguments)? == told, "another outcome the second time");
    ensure!(fs::read_to_string(&report)? == written, "another report the second time");
    Ok(())
}

const SAMPLES: &str = "timestamp,metric,value,unit,namespace,kind,name,container,detail\n";

/// A pod of a Deployment that restarts again and again, known by samples alone.
fn restarts() -> String {
    let mut samples = SAMPLES.to_owned();
    for minute in 0..60_i64 {
        let restarts = (minute - 30).clamp(0, 9);
        for (metric, value) in [("restarts", restarts), ("ready", i64::from(minute < 30))] {
            let container = if metric == "restarts" { "app" } else { "" };
            let seconds = 1_767_600_000 + minute * 60;
            let _ = writeln!(
                samples,
                "{seconds},{metric},{value},count,shop,Pod,cart-7d9f8b6c5d-x2x4z,{container},"
            );
        }
        if minute > 30 {
            let seconds = 1_767_600_000 + minute * 60;
            for (metric, reason) in [("waiting", "CrashLoopBackOff"), ("terminated", "Error")] {
                let _ = writeln!(
                    samples,
                    "{seconds},{metric},1,count,shop,Pod,cart-7d9f8b6c5d-x2x4z,app,{reason}"
                );
            }
        }
    }
    samples
}

#[test]
fn what_the_history_does_not_hold_is_not_invented() -> Result<()> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("samples.csv");
    fs::write(&file, restarts())?;
    let told = sound(&["--from", file.to_str().unwrap_or_default(), "--mode", "auto", "-o", "json"])?;
    let outcome: Value = serde_json::from_str(&told)?;
    let incident = &outcome["incidents"][0];
    ensure!(
        incident["workload"]["name"] == "cart" && incident["reason"] == "CrashLoopBackOff",
        "{outcome:#}"
    );
    ensure!(incident["incomplete"] == "the history holds no state of Deployment shop/cart", "{incident:#}");
    ensure!(incident["plan"].is_null() && incident["writes"] == Value::Array(Vec::new()), "{incident:#}");
    ensure!(outcome["history"]["guessedOwners"] == 1, "{outcome:#}");
    let table = sound(&["--from", file.to_str().unwrap_or_default()])?;
    ensure!(table.contains("evidence incomplete"), "{table}");
    Ok(())
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() -> Result<()> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("samples.csv");
    let path = file.to_str().unwrap_or_default();
    let check = |arguments: &[&str], expect: &str| -> Result<()> {
        let output = backtest(arguments)?;
        let complaint = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(2), "{complaint}");
        ensure!(complaint.contains(expect), "{complaint}");
        Ok(())
    };
    check(&["--from", path], "samples.csv: cannot be read")?;
    fs::write(&file, format!("{SAMPLES}yesterday,ready,1,count,shop,Pod,a,,\n"))?;
    check(&["--from", path], "samples.csv:2: `yesterday` is no time")?;
    fs::write(&file, SAMPLES)?;
    check(&["--from", path], "the files hold nothing that could be replayed")?;
    fs::write(&file, format!("{SAMPLES}1767600000,ready,1,count,shop,Pod,a,,\n"))?;
    check(&["--from", path, "--since", "soon"], "--since: `soon` is no time")?;
    check(&["--from", path, "--since", "2026-02-01T00:00:00Z"], "nothing lies between")?;
    check(&[], "--prometheus")?;
    let absent = backtest(&["--prometheus", "http://127.0.0.1:1"])?;
    ensure!(absent.status.code() == Some(4), "{}", String::from_utf8_lossy(&absent.stderr));
    Ok(())
}

/// The same trouble as raw series, with its owners, up to `end`.
fn series(end: i64) -> String {
    let mut text = String::new();
    let labels = "namespace=\"shop\",pod=\"cart-1\",container=\"app\"";
    let start = end - 60 * 60;
    let mut add = |name: &str, value: &dyn Fn(i64) -> Option<i64>| {
        for minute in 0..60 {
            if let Some(value) = value(minute) {
                let _ = writeln!(text, "{name} {value} {}", start + minute * 60);
            }
        }
    };
    add(&format!("kube_pod_container_status_restarts_total{{{labels}}}"), &|minute| {
        Some((minute - 30).clamp(0, 9))
    });
    let broken = |minute: i64| (minute > 30).then_some(1);
    add(
        &format!("kube_pod_container_status_waiting_reason{{{labels},reason=\"CrashLoopBackOff\"}}"),
        &broken,
    );
    add(&format!("kube_pod_container_status_last_terminated_reason{{{labels},reason=\"Error\"}}"), &broken);
    add(
        "kube_pod_owner{namespace=\"shop\",pod=\"cart-1\",owner_kind=\"ReplicaSet\",owner_name=\"cart-x\"}",
        &|_| Some(1),
    );
    add(
        "kube_replicaset_owner{namespace=\"shop\",replicaset=\"cart-x\",owner_kind=\"Deployment\",owner_name=\"cart\"}",
        &|_| Some(1),
    );
    text + "# EOF\n"
}

#[test]
fn a_real_prometheus_and_its_dump_tell_the_same() -> Result<()> {
    let place = tempfile::tempdir()?;
    let end = jiff::Timestamp::now().as_second();
    let Some(prometheus) = Past::of(&series(end))? else { return Ok(()) };
    let until = jiff::Timestamp::from_second(end)?.to_string();
    let ask = ["--prometheus", &prometheus.url, "--since", "70m", "--until", &until, "-o", "json"];
    let dump = place.path().join("dump.om");
    // Before Prometheus 2.54 there is only `dump`, which KubeWise reads as well.
    let dumped = Command::new("promtool").args(["tsdb", "dump"]).arg(prometheus.data()).output()?;
    ensure!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    fs::write(&dump, &dumped.stdout)?;
    for arguments in [&ask[..], &["--from", dump.to_str().unwrap_or_default(), "-o", "json"][..]] {
        let outcome: Value = serde_json::from_str(&sound(arguments)?)?;
        let incidents = outcome["incidents"].as_array().map_or(&[][..], Vec::as_slice);
        ensure!(incidents.len() == 1, "{outcome:#}");
        ensure!(incidents[0]["workload"]["kind"] == "Deployment", "{outcome:#}");
        ensure!(incidents[0]["workload"]["name"] == "cart", "{outcome:#}");
        ensure!(incidents[0]["reason"] == "CrashLoopBackOff", "{outcome:#}");
        ensure!(incidents[0]["incomplete"].is_string(), "{outcome:#}");
    }
    Ok(())
}
