//! A real Prometheus that holds twenty minutes of a small cluster's history.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use kubewise_core::port::MetricSource as _;
use kubewise_core::{Rejection, Timestamp};
use kubewise_prometheus::default_catalogue;
use tempfile::TempDir;

use crate::{at, query, source, told};

/// Every series: its labels, its value at the start and its growth in a second.
const HISTORY: &str = r#"
kube_pod_container_status_restarts_total{namespace="shop",pod="cart-1",container="app",uid="1",instance="a"} 3 0
kube_pod_container_status_restarts_total{namespace="shop",pod="cart-1",container="app",uid="1",instance="b"} 3 0
kube_pod_init_container_status_restarts_total{namespace="shop",pod="cart-1",container="init",uid="1",instance="a"} 1 0
kube_pod_container_status_waiting_reason{namespace="shop",pod="cart-1",container="app",reason="CrashLoopBackOff"} 1 0
kube_pod_container_status_waiting_reason{namespace="shop",pod="cart-1",container="app",reason="ErrImagePull"} 0 0
kube_pod_init_container_status_waiting_reason{namespace="shop",pod="cart-2",container="init",reason="ImagePullBackOff"} 1 0
kube_pod_container_status_last_terminated_reason{namespace="shop",pod="cart-1",container="app",reason="OOMKilled"} 1 0
kube_pod_status_ready{namespace="shop",pod="cart-1",condition="true"} 0 0
kube_pod_status_ready{namespace="shop",pod="cart-1",condition="false"} 1 0
kube_pod_status_ready{namespace="shop",pod="backup-1",condition="true"} 0 0
kube_pod_status_phase{namespace="shop",pod="backup-1",phase="Succeeded"} 1 0
kube_pod_status_phase{namespace="shop",pod="cart-1",phase="Running"} 1 0
container_cpu_usage_seconds_total{namespace="shop",pod="cart-1",container="app",cpu="total",id="/a/b",job="cadvisor"} 0 0.25
container_cpu_usage_seconds_total{namespace="shop",pod="cart-1",container="app",job="resource"} 0 0.25
container_cpu_usage_seconds_total{namespace="shop",pod="cart-1",container="POD",cpu="total",id="/a/c"} 0 0.1
container_cpu_usage_seconds_total{namespace="shop",pod="cart-1",container="",cpu="total",id="/a"} 0 0.35
kube_pod_container_resource_requests{namespace="shop",pod="cart-1",container="app",resource="cpu",unit="core"} 0.1 0
kube_pod_container_resource_requests{namespace="shop",pod="cart-1",container="app",resource="memory",unit="byte"} 1000000 0
kube_pod_container_resource_limits{namespace="shop",pod="cart-1",container="app",resource="cpu",unit="core"} 0.5 0
kube_pod_container_resource_limits{namespace="shop",pod="cart-1",container="app",resource="memory",unit="byte"} 4000000 0
container_cpu_cfs_periods_total{namespace="shop",pod="cart-1",container="app",id="/a/b"} 0 10
container_cpu_cfs_throttled_periods_total{namespace="shop",pod="cart-1",container="app",id="/a/b"} 0 4
container_memory_working_set_bytes{namespace="shop",pod="cart-1",container="app",id="/a/b"} 1000000 1000
container_memory_working_set_bytes{namespace="shop",pod="cart-1",container="",id="/a"} 9000000 0
kube_deployment_spec_replicas{namespace="shop",deployment="cart"} 3 0
kube_deployment_status_replicas_available{namespace="shop",deployment="cart"} 1 0
kube_statefulset_replicas{namespace="shop",statefulset="db"} 2 0
kube_statefulset_status_replicas_available{namespace="shop",statefulset="db"} 2 0
kube_daemonset_status_desired_number_scheduled{namespace="infra",daemonset="agent"} 5 0
kube_daemonset_status_number_available{namespace="infra",daemonset="agent"} 4 0
kube_horizontalpodautoscaler_status_current_replicas{namespace="shop",horizontalpodautoscaler="cart"} 9 0
kube_horizontalpodautoscaler_spec_max_replicas{namespace="shop",horizontalpodautoscaler="cart"} 10 0
kube_node_status_condition{node="n1",condition="Ready",status="true"} 1 0
kube_node_status_condition{node="n1",condition="Ready",status="unknown"} 0 0
kube_node_status_condition{node="n1",condition="DiskPressure",status="true"} 0 0
kubelet_volume_stats_used_bytes{namespace="shop",persistentvolumeclaim="data-db-0",instance="n1"} 80 0
kubelet_volume_stats_capacity_bytes{namespace="shop",persistentvolumeclaim="data-db-0",instance="n1"} 100 0
kube_resourcequota{namespace="shop",resourcequota="team",resource="pods",type="used"} 19 0
kube_resourcequota{namespace="shop",resourcequota="team",resource="pods",type="hard"} 20 0
kube_resourcequota{namespace="shop",resourcequota="team",resource="secrets",type="used"} 0 0
kube_resourcequota{namespace="shop",resourcequota="team",resource="secrets",type="hard"} 0 0
"#;

/// What the default catalogue makes of it.
const ANSWERS: &[(&str, &[&str])] = &[
    ("container_restarts", &["Pod shop/cart-1 app = 3", "Pod shop/cart-1 init = 1"]),
    (
        "container_waiting",
        &["Pod shop/cart-1 app CrashLoopBackOff = 1", "Pod shop/cart-2 init ImagePullBackOff = 1"],
    ),
    ("container_terminated", &["Pod shop/cart-1 app OOMKilled = 1"]),
    ("pod_ready", &["Pod shop/cart-1 = 0"]),
    ("container_cpu", &["Pod shop/cart-1 app = 0.25"]),
    ("container_cpu_of_request", &["Pod shop/cart-1 app = 2.5"]),
    ("container_cpu_of_limit", &["Pod shop/cart-1 app = 0.5"]),
    ("container_cpu_throttling", &["Pod shop/cart-1 app = 0.4"]),
    ("container_memory", &["Pod shop/cart-1 app = 2200000"]),
    ("container_memory_of_limit", &["Pod shop/cart-1 app = 0.55"]),
    ("container_memory_trend", &["Pod shop/cart-1 app = 1000"]),
    ("deployment_desired", &["Deployment shop/cart = 3"]),
    ("deployment_available", &["Deployment shop/cart = 1"]),
    ("statefulset_desired", &["StatefulSet shop/db = 2"]),
    ("statefulset_available", &["StatefulSet shop/db = 2"]),
    ("daemonset_desired", &["DaemonSet infra/agent = 5"]),
    ("daemonset_available", &["DaemonSet infra/agent = 4"]),
    ("autoscaler_saturation", &["HorizontalPodAutoscaler shop/cart = 0.9"]),
    ("node_condition", &["Node n1 DiskPressure = 0", "Node n1 Ready = 1"]),
    ("volume_usage", &["PersistentVolumeClaim shop/data-db-0 = 0.8"]),
    ("quota_usage", &["ResourceQuota shop/team pods = 0.95"]),
];

const SPAN: i64 = 20 * 60;
const STEP: usize = 30;

/// Ends with its owner.
pub(crate) struct Running {
    process: Child,
    pub(crate) url: String,
    /// The time of the last sample.
    pub(crate) now: Timestamp,
    _directory: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Prometheus with the history; `None` where there is no Prometheus.
pub(crate) fn prometheus() -> Result<Option<Running>> {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !there("prometheus") || !there("promtool") {
        ensure!(std::env::var_os("CI").is_none(), "prometheus or promtool is missing; run scripts/setup");
        writeln!(
            std::io::stderr(),
            "skipped: prometheus or promtool is missing; scripts/setup installs them"
        )?;
        return Ok(None);
    }
    let directory = tempfile::tempdir()?;
    let within = |name: &str| directory.path().join(name).display().to_string();
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    fs::write(within("history"), history(now.as_second()))?;
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", &within("history"), &within("data")])
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(within("configuration"), "{}")?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let process = Command::new("prometheus")
        .arg(format!("--config.file={}", within("configuration")))
        .arg(format!("--storage.tsdb.path={}", within("data")))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let running = Running { process, url: format!("http://{address}"), now, _directory: directory };
    kubewise_testbed::wait_for("Prometheus", Duration::from_secs(30), || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        ensure!(reply.starts_with("HTTP/1.0 200"), "{reply}");
        Ok(())
    })?;
    Ok(Some(running))
}

/// The history in OpenMetrics text, up to `end`, and two series that ended before.
fn history(end: i64) -> String {
    let mut text = String::new();
    let start = end - SPAN;
    for line in HISTORY.lines().filter(|line| !line.is_empty()) {
        let mut parts = line.rsplitn(3, ' ');
        let mut number = || parts.next().and_then(|part| part.parse::<f64>().ok()).expect("a number");
        let (growth, first) = (number(), number());
        let name = parts.next().expect("a series");
        for time in (start..=end).step_by(STEP) {
            let _ = writeln!(text, "{name} {} {time}", first + growth * (time - start) as f64);
        }
    }
    for (pod, age) in [("recent", 120), ("old", 360)] {
        let _ = writeln!(text, "ended{{namespace=\"shop\",pod=\"{pod}\"}} 1 {}", end - age);
    }
    text.push_str("# EOF\n");
    text
}

#[tokio::test]
async fn the_default_catalogue_is_understood() -> Result<()> {
    let Some(prometheus) = prometheus()? else { return Ok(()) };
    let source = source(at(&prometheus.url))?;
    let catalogue = default_catalogue();
    let names: Vec<&str> = catalogue.iter().map(|query| query.name.as_str()).collect();
    assert_eq!(names, ANSWERS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (query, (name, expect)) in catalogue.iter().zip(ANSWERS) {
        let answer = source.sample(query, prometheus.now).await?;
        assert_eq!(told(&answer), *expect, "{name}");
        assert_eq!((answer.dropped.total(), answer.warnings.len()), (0, 0), "{name}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn its_own_message_is_shown_and_old_samples_are_not() -> Result<()> {
    let Some(prometheus) = prometheus()? else { return Ok(()) };
    let source = source(at(&prometheus.url))?;
    let ask = async |promql: &str| source.sample(&query(promql, "count"), prometheus.now).await;
    for (promql, expect) in [
        ("rate(", r#"bad_data: invalid parameter "query": 1:6: parse error: unclosed left parenthesis"#),
        ("kube_resourcequota * on (namespace) kube_pod_status_ready", "execution: found duplicate series"),
        ("ended[5m]", "the query gives a matrix"),
        ("'text'", "the query gives a string"),
    ] {
        let failure = ask(promql).await.expect_err(promql);
        assert!(
            failure.is(Rejection::Invalid) && failure.message().starts_with(expect),
            "{promql}: {failure}"
        );
    }
    assert_eq!(ask("scalar(ended)").await?.dropped.unidentified, 1);
    assert_eq!(told(&ask("ended").await?), ["Pod shop/recent = 1"], "six minutes are too old");
    Ok(())
}
