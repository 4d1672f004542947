//! The command line: what can be said, in kubectl's ways.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kubewise_core::plan::Mode;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, \
    4 server unreachable, 5 not permitted, 6 conflict (such as a plan that no longer waits).";

#[derive(Debug, Parser)]
#[command(name = "kubewise", version, about = "Notices trouble in a Kubernetes cluster, repairs it, and tells.", after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch a cluster. Only observes, unless the mode is raised
    Run(RunArgs),
    /// Watch a simulated cluster get into trouble and out of it; needs no cluster, no network, no key
    Demo(DemoArgs),
    /// Live through a history without touching anything: what would have been noticed, planned, blocked
    Backtest(BacktestArgs),
    /// Show how KubeWise itself is doing
    Status(ClientArgs),
    /// List incidents, or tell the whole story of one with `incidents show ID`
    Incidents(RecordArgs),
    /// List anomalies
    Anomalies(RecordArgs),
    /// List plans, or show what the author was asked with `plans prompt ID`
    Plans(PlansArgs),
    /// Tell what would be planned for an incident now
    Plan(PlanArgs),
    /// Tell an incident to a person: by the model, if there is one, else from a template
    Explain(ExplainArgs),
    /// Show what the model has cost, and the caps
    Spend(ClientArgs),
    /// List executed actions
    Actions(RecordArgs),
    /// List Kubernetes Events that were seen
    Events(RecordArgs),
    /// Let a proposed plan run
    Approve(ApproveArgs),
    /// Refuse a proposed plan
    Reject(RejectArgs),
    /// Give back what a stuck repair holds, once you have seen to it
    Release(ReleaseArgs),
    /// Say whether an incident was trouble, so that KubeWise learns; or that its like is expected for a while
    Feedback(FeedbackArgs),
    /// List what is expected for a while and held back, or end it with `suppressions end ID`
    Suppressions(SuppressionArgs),
    /// Score labelled recordings, and measure how good the scores are
    Eval(crate::eval::EvalArgs),
    /// Begin nothing until `resume`, also after a restart; harm is still undone
    Pause(PauseArgs),
    /// Take the pause back
    Resume(ResumeArgs),
    /// Show how far each action is trusted with each class of workloads, and what comes next
    Autonomy(ClientArgs),
    /// Check, try and explain playbooks; touches no cluster
    #[command(subcommand)]
    Playbook(PlaybookCommand),
    /// Look through the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

/// Flags that set configuration keys; every key can also be set as KUBEWISE_SECTION__KEY.
#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file, TOML or YAML [env: KUBEWISE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kubeconfig to reach the cluster with [env: KUBECONFIG]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<String>,
    /// Base URL of Prometheus [env: KUBEWISE_PROMETHEUS_URL]
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// Where records are kept, such as sqlite:kubewise.db [env: KUBEWISE_STORE]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// observe, propose or auto [env: KUBEWISE_MODE]
    #[arg(long)]
    mode: Option<Mode>,
    /// Address of the API [env: KUBEWISE_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Ask Prometheus this often, instead of each query's own interval
    #[arg(long, value_name = "DURATION")]
    poll_interval: Option<String>,
}

impl ConfigArgs {
    pub(crate) fn sources(self) -> crate::config::Sources {
        let flags: [(&'static str, &'static [&'static str], Option<String>); 6] = [
            ("--kubeconfig", &["kubernetes", "kubeconfig"], self.kubeconfig),
            ("--prometheus", &["prometheus", "url"], self.prometheus),
            ("--store", &["store", "url"], self.store),
            ("--mode", &["policy", "mode"], self.mode.map(|mode| mode.to_string())),
            ("--listen", &["api", "listen"], self.listen),
            ("--poll-interval", &["runtime", "collect", "interval"], self.poll_interval),
        ];
        let given = flags.into_iter().filter_map(|(flag, path, text)| Some((flag, path, text?))).collect();
        crate::config::Sources::of_process(self.config, given)
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The same seed gives the same story
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Simulated seconds a second; 0 for as fast as it goes
    #[arg(long, default_value_t = 400.0)]
    pub(crate) speed: f64,
    /// Keep the API up afterwards, to look around
    #[arg(long)]
    pub(crate) serve: bool,
    /// Address of the API with --serve
    #[arg(long, default_value = "127.0.0.1:8470")]
    pub(crate) listen: std::net::SocketAddr,
    /// Write what was measured and told into this folder, for `kubewise backtest --from`
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
}

/// Where a history comes from and what is made of it; docs/backtest.md describes the files.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["prometheus", "from"]))]
pub(crate) struct BacktestArgs {
    /// Fetch the history of the catalogue's queries from this Prometheus
    #[arg(long, value_name = "URL")]
    pub(crate) prometheus: Option<String>,
    /// Files, or folders of files: samples (.csv, OpenMetrics .om, .prom, .txt), objects and Events (.json, .jsonl),
    /// each also with .gz
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) from: Vec<PathBuf>,
    /// Begin here: a time (RFC 3339), or an age such as 7d before --until [default: all of the files, 1d of Prometheus]
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// End here: a time or an age [default: the end of the files, now with Prometheus]
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// Troubles that there were (CSV: namespace, kind, name, start, end and perhaps reason), to be scored against
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Pretend this mode: observe, propose or auto [default: that of the configuration]. Nothing is touched in any
    #[arg(long)]
    mode: Option<Mode>,
    /// Configuration file, TOML or YAML [env: KUBEWISE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = BacktestFormat::Table)]
    pub(crate) output: BacktestFormat,
    /// Write a readable report with plots into this file
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BacktestFormat {
    Table,
    Json,
}

impl BacktestArgs {
    pub(crate) fn sources(&self) -> crate::config::Sources {
        let flags: [(&'static str, &'static [&'static str], Option<String>); 2] = [
            ("--prometheus", &["prometheus", "url"], self.prometheus.clone()),
            ("--mode", &["policy", "mode"], self.mode.map(|mode| mode.to_string())),
        ];
        let given = flags.into_iter().filter_map(|(flag, path, text)| Some((flag, path, text?))).collect();
        crate::config::Sources::of_process(self.config.clone(), given)
    }
}

#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Address of KubeWise's API
    #[arg(long, env = "KUBEWISE_SERVER", default_value = "http://127.0.0.1:8470", global = true)]
    pub(crate) server: String,
    /// Token for the API
    #[arg(long, env = "KUBEWISE_TOKEN", hide_env_values = true, global = true)]
    pub(crate) token: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RecordArgs {
    #[command(subcommand)]
    pub(crate) show: Option<RecordCommand>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Only of this namespace
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Only of this workload, such as deployment/cart (with -n) or Deployment/shop/cart
    #[arg(long)]
    pub(crate) workload: Option<String>,
    /// Only with this status, such as Open or Repaired
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only of this incident
    #[arg(long)]
    pub(crate) incident: Option<String>,
    /// Only newer than this: a time (RFC 3339) or an age such as 1h
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecordCommand {
    /// Show one, whole
    Show {
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PlansArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PlansCommand>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlansCommand {
    /// Show one, whole
    Show {
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show exactly what was sent to the author, or would be
    Prompt {
        /// The id of a plan or an incident
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The incident's id
    pub(crate) incident: String,
    /// Keep and do nothing; the only way to ask, since `kubewise run` makes the plans
    #[arg(long, required = true)]
    dry_run: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The incident's id
    pub(crate) incident: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Whose word it is.
#[derive(Debug, Args)]
pub(crate) struct ByArgs {
    /// Who says so, for the record; of a suppression its owner
    #[arg(long, env = "USER", default_value = ByArgs::UNKNOWN, hide_env_values = true)]
    by: String,
}

impl ByArgs {
    const UNKNOWN: &str = "cli";

    /// An empty variable names nobody.
    pub(crate) fn name(&self) -> &str {
        Some(self.by.trim()).filter(|by| !by.is_empty()).unwrap_or(Self::UNKNOWN)
    }
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The plan's id
    pub(crate) plan: String,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    /// The plan's id
    pub(crate) plan: String,
    /// Why; kept in the story
    #[arg(long, default_value = "no reason given")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The incident's id
    pub(crate) incident: String,
    /// What was seen to; kept in the story and the audit log
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FeedbackArgs {
    /// The incident's id
    pub(crate) incident: String,
    /// true: it was trouble. false: it was none. expected: hold its like back for a while
    #[arg(value_enum)]
    pub(crate) label: FeedbackLabel,
    /// Why; needed for `expected`
    #[arg(long, required_if_eq("label", "expected"))]
    pub(crate) reason: Option<String>,
    /// How long it is expected, such as 12h or 7d; at most 90d. Needed for `expected`
    #[arg(long = "for", value_name = "DURATION", required_if_eq("label", "expected"))]
    pub(crate) period: Option<kubewise_core::Period>,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FeedbackLabel {
    True,
    False,
    Expected,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SuppressionArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SuppressionCommand>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// Why; shown to whoever asks for the status
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) by: ByArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SuppressionCommand {
    /// End one now
    End {
        id: String,
        #[command(flatten)]
        by: ByArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlaybookCommand {
    /// Tell every fault of the playbooks of a directory
    Check {
        /// Where the playbooks are
        directory: PathBuf,
    },
    /// Tell what would be tried for an example of trouble, such as CrashLoopBackOff
    Test {
        reason: String,
        /// Playbooks besides the built-in ones
        #[arg(long)]
        directory: Option<PathBuf>,
    },
    /// Tell what there is: playbooks in the order in which they are tried, the actions that they may name, and the
    /// variables of their conditions and parameters
    Explain {
        /// Only this playbook, action or variable
        name: Option<String>,
        /// Playbooks besides the built-in ones
        #[arg(long)]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Tell whether any entry was changed, removed or inserted, and the chain's newest hash
    Verify {
        /// The store's file
        #[arg(long, value_name = "FILE", default_value = "kubewise.db")]
        store: PathBuf,
        /// A hash that an earlier run gave: it must be in the chain
        #[arg(long, value_name = "HASH")]
        noted: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Tell every fault of the configuration and the playbooks; touches no cluster
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Print every key with its value, secrets masked
    Print {
        #[command(flatten)]
        config: ConfigArgs,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = ConfigFormat::Toml)]
        output: ConfigFormat,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigFormat {
    Toml,
    Json,
    Yaml,
}
