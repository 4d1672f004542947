//! The programs a cluster is made of, with the flags and files each is given.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::audit::{self, USER};
use crate::pki::{Pki, SERVICE_ADDRESS};

pub(crate) const NODE: &str = "n1";

/// How much of a cluster a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// etcd, apiserver and controller-manager: pods are created but never scheduled.
    ControlPlane,
    /// The scheduler, a node that runs containers, kube-state-metrics and Prometheus as well.
    Node,
}

impl Tier {
    /// In the order in which they can start.
    pub(crate) fn programs(self) -> &'static [Program] {
        use Program::{
            ApiServer, Containerd, ControllerManager, Etcd, KubeStateMetrics, Kubelet, Prometheus, Scheduler,
        };
        match self {
            Self::ControlPlane => &[Etcd, ApiServer, ControllerManager],
            Self::Node => &[
                Etcd,
                Containerd,
                Prometheus,
                ApiServer,
                ControllerManager,
                Scheduler,
                Kubelet,
                KubeStateMetrics,
            ],
        }
    }
}

/// One of a cluster's processes, to be killed, paused or restarted by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    Containerd,
    Kubelet,
    KubeStateMetrics,
    Prometheus,
}

impl Program {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::KubeStateMetrics => "kube-state-metrics",
            Self::Prometheus => "prometheus",
        }
    }

    pub(crate) fn arguments(self, layout: &Layout) -> Vec<String> {
        let Layout { directory, address, event_ttl, .. } = layout;
        let directory = directory.display();
        let pki = format!("{directory}/pki");
        match self {
            Self::Etcd => vec![
                format!("--data-dir={directory}/etcd"),
                "--unsafe-no-fsync".into(),
                // All addresses, so that a test can ask for a compaction from the root namespace.
                "--listen-client-urls=http://0.0.0.0:2379".into(),
                "--advertise-client-urls=http://127.0.0.1:2379".into(),
                "--listen-peer-urls=http://127.0.0.1:2380".into(),
                "--log-level=warn".into(),
            ],
            Self::ApiServer => vec![
                "--etcd-servers=http://127.0.0.1:2379".into(),
                "--bind-address=0.0.0.0".into(),
                // The port of the Service, so that its address needs no translation.
                "--secure-port=443".into(),
                format!("--advertise-address={address}"),
                "--service-cluster-ip-range=10.0.0.0/24".into(),
                "--authorization-mode=Node,RBAC".into(),
                "--allow-privileged=true".into(),
                "--enable-aggregator-routing=true".into(),
                "--kubelet-preferred-address-types=InternalIP".into(),
                format!("--event-ttl={}s", event_ttl.as_secs()),
                format!("--audit-policy-file={directory}/audit.yaml"),
                format!("--audit-log-path={}", layout.audit_log().display()),
                format!("--cert-dir={directory}/apiserver"),
                format!("--client-ca-file={pki}/ca.crt"),
                format!("--tls-cert-file={pki}/apiserver.crt"),
                format!("--tls-private-key-file={pki}/apiserver.key"),
                format!("--kubelet-certificate-authority={pki}/ca.crt"),
                format!("--kubelet-client-certificate={pki}/admin.crt"),
                format!("--kubelet-client-key={pki}/admin.key"),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
                format!("--service-account-key-file={pki}/tokens.pub"),
                format!("--service-account-signing-key-file={pki}/tokens.key"),
            ],
            Self::ControllerManager => vec![
                format!("--kubeconfig={pki}/controller-manager.kubeconfig"),
                "--leader-elect=false".into(),
                "--use-service-account-credentials=true".into(),
                format!("--root-ca-file={pki}/ca.crt"),
                format!("--service-account-private-key-file={pki}/tokens.key"),
                // At the default 20 a second its own forty accounts alone take four seconds.
                "--kube-api-qps=200".into(),
                "--kube-api-burst=400".into(),
                // A lost node and a metric's change are noticed within a test's patience.
                "--node-monitor-period=1s".into(),
                "--node-monitor-grace-period=8s".into(),
                "--horizontal-pod-autoscaler-sync-period=5s".into(),
            ],
            Self::Scheduler => {
                vec![format!("--kubeconfig={pki}/scheduler.kubeconfig"), "--leader-elect=false".into()]
            }
            Self::Containerd => vec![format!("--config={directory}/containerd.toml")],
            Self::Kubelet => vec![
                format!("--config={directory}/kubelet.yaml"),
                format!("--kubeconfig={pki}/kubelet.kubeconfig"),
                format!("--root-dir={directory}/kubelet"),
                format!("--hostname-override={NODE}"),
                format!("--node-ip={address}"),
                // For cAdvisor: without it, its series do not say which container they are of.
                format!("--containerd={}", layout.containerd_socket()),
                // Prometheus scrapes every two seconds; an older sample would look like a flat line.
                "--housekeeping-interval=2s".into(),
            ],
            Self::KubeStateMetrics => vec![
                format!("--kubeconfig={pki}/admin.kubeconfig"),
                "--host=0.0.0.0".into(),
                "--port=8080".into(),
                "--telemetry-host=127.0.0.1".into(),
                "--telemetry-port=8081".into(),
            ],
            Self::Prometheus => vec![
                format!("--config.file={directory}/prometheus.yaml"),
                format!("--storage.tsdb.path={directory}/prometheus"),
                "--web.listen-address=0.0.0.0:9090".into(),
                "--web.enable-remote-write-receiver".into(),
            ],
        }
    }
}

/// Where one cluster's files and addresses are.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) directory: PathBuf,
    /// Of the namespace, the control group and the pods' network.
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) event_ttl: Duration,
}

impl Layout {
    pub(crate) fn log(&self, program: Program) -> PathBuf {
        self.directory.join("logs").join(format!("{}.log", program.name()))
    }

    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.directory.join("pki/admin.kubeconfig")
    }

    pub(crate) fn user_kubeconfig(&self) -> PathBuf {
        self.directory.join("pki").join(format!("{USER}.kubeconfig"))
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.directory.join("logs/audit.log")
    }

    pub(crate) fn containerd_socket(&self) -> String {
        format!("{}/containerd.sock", self.directory.display())
    }

    /// Certificates, kubeconfigs and the files that the arguments name.
    pub(crate) fn write(&self) -> Result<()> {
        fs::create_dir_all(self.directory.join("logs"))?;
        fs::create_dir_all(self.directory.join("cni"))?;
        self.write_pki()?;
        for (file, text) in [
            ("containerd.toml", self.containerd()),
            ("cni/10-pods.conflist", self.cni()),
            ("kubelet.yaml", self.kubelet()),
            ("prometheus.yaml", self.prometheus()),
            ("audit.yaml", audit::policy()),
        ] {
            fs::write(self.directory.join(file), text)?;
        }
        Ok(())
    }

    fn write_pki(&self) -> Result<()> {
        let node = format!("system:node:{NODE}");
        let address = self.address.to_string();
        let server = ["localhost", "kubernetes.default.svc", "127.0.0.1", &address]
            .map(str::to_owned)
            .into_iter()
            .chain([SERVICE_ADDRESS.to_string()])
            .collect::<Vec<_>>();
        let directory = self.directory.join("pki");
        let pki = Pki::create(&directory)?;
        pki.issue("apiserver", "kube-apiserver", "kubewise-testbed", &server)?;
        for (file, name, organization, addresses) in [
            ("admin", "admin", "system:masters", vec![]),
            ("controller-manager", "system:kube-controller-manager", "kubewise-testbed", vec![]),
            ("scheduler", "system:kube-scheduler", "kubewise-testbed", vec![]),
            ("kubelet", &*node, "system:nodes", vec![NODE.to_owned(), address]),
            (USER, USER, "kubewise-testbed", vec![]),
        ] {
            pki.issue(file, name, organization, &addresses)?;
            pki.kubeconfig(file, self.address)?;
        }
        Ok(())
    }

    fn containerd(&self) -> String {
        let directory = self.directory.display();
        let socket = self.containerd_socket();
        format!(
            r#"version = 2
root = "{directory}/containerd/root"
state = "{directory}/containerd/state"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{directory}/cni"
[plugins."io.containerd.internal.v1.opt"]
path = "{directory}/containerd/opt"
"#
        )
    }

    fn cni(&self) -> String {
        serde_json::json!({
            "cniVersion": "0.4.0",
            "name": self.name,
            "plugins": [{
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "dataDir": self.directory.join("cni-addresses"),
                    "ranges": [[{"subnet": "10.88.0.0/24"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        })
        .to_string()
    }

    fn kubelet(&self) -> String {
        let Self { name, address, .. } = self;
        let directory = self.directory.display();
        let socket = self.containerd_socket();
        format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {directory}/pki/ca.crt}}
authorization: {{mode: Webhook}}
tlsCertFile: {directory}/pki/kubelet.crt
tlsPrivateKeyFile: {directory}/pki/kubelet.key
containerRuntimeEndpoint: unix://{socket}
podLogsDir: {directory}/pods
cgroupDriver: cgroupfs
cgroupRoot: /{name}
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
nodeStatusUpdateFrequency: 2s
registerNode: true
# A pod that waits to be restarted is looked at again after this time. With the default minute, which is
# longer than the first back-offs, its status would not say CrashLoopBackOff before the fourth restart.
syncFrequency: 3s
"
        )
    }

    fn prometheus(&self) -> String {
        let Self { address, .. } = self;
        let pki = format!("{}/pki", self.directory.display());
        let secure = format!(
            "scheme: https
  tls_config: {{ca_file: {pki}/ca.crt, cert_file: {pki}/admin.crt, key_file: {pki}/admin.key}}"
        );
        format!(
            "global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 2s}}
scrape_configs:
- job_name: kubelet-cadvisor
  metrics_path: /metrics/cadvisor
  {secure}
  static_configs: [{{targets: ['{address}:10250'], labels: {{node: {NODE}}}}}]
- job_name: kubelet-resource
  metrics_path: /metrics/resource
  # cAdvisor has the containers under the same names; twice, they would double every sum.
  metric_relabel_configs: [{{source_labels: [__name__], regex: 'container_.*', action: drop}}]
  {secure}
  static_configs: [{{targets: ['{address}:10250'], labels: {{node: {NODE}}}}}]
- job_name: kubelet
  {secure}
  static_configs: [{{targets: ['{address}:10250'], labels: {{node: {NODE}}}}}]
- job_name: apiserver
  # Thousands of histogram buckets each time: less often.
  scrape_interval: 5s
  {secure}
  static_configs: [{{targets: ['{address}:443']}}]
- job_name: kube-state-metrics
  honor_labels: true
  static_configs: [{{targets: ['{address}:8080']}}]
"
        )
    }
}
