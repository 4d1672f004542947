//! Every connection of the program on one screen: which adapter stands behind which port, and what is put around it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use kubewise_core::Period;
use kubewise_core::plan::Mode;
use kubewise_core::port::{Clock, Journal, PlanAuthor, RecordStore};
use kubewise_llm::LanguageModel;
use kubewise_prometheus::Prometheus;
use kubewise_remediation::playbook::Playbooks;
use kubewise_replay::{Bystander, Replay};
use kubewise_runtime::{
    AuthorOptions, Dependency, GuardedAuthor, GuardedCluster, GuardedJournal, GuardedMetrics, GuardedStore,
    Handle, Ports, Setup, SystemClock, Telemetry,
};
use kubewise_sim::{MemoryStore, World};
use kubewise_sqlite::Sqlite;

use crate::config::{Loaded, Settings, Sources};
use crate::exit::{Ended, Exit};
use crate::late_cluster::LateCluster;
use crate::playbooks;

/// The namespace of a pod, as Kubernetes tells it to each.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The ports of a real cluster.
pub(crate) fn production(
    loaded: Loaded,
    telemetry: &Telemetry,
) -> Result<(Ports, Setup, kubewise_api::Options)> {
    let settings = loaded.settings;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let seed = std::process::id().into(); // replicas must not poll in step
    let resilience = settings.runtime.resilience;
    let dependency = |name| Dependency::new(name, &resilience, clock.clone(), telemetry.clone(), seed);

    let playbooks = playbooks::load(settings.playbooks.directory.as_deref())?;
    let prometheus = Arc::new(Prometheus::new(settings.prometheus.clone()).map_err(usage)?);
    settings.kubernetes.validate().map_err(usage)?;
    let kubernetes = Arc::new(LateCluster::new(settings.kubernetes.clone(), clock.clone()));
    let store = Arc::new(Sqlite::open(&sqlite(&settings)?).map_err(usage)?);

    let (to_prometheus, to_kubernetes, to_store) =
        (dependency("prometheus"), dependency("kubernetes"), dependency("store"));
    let cluster = Arc::new(GuardedCluster(kubernetes.clone(), to_kubernetes.clone()));
    let journal: Arc<dyn Journal> = Arc::new(GuardedJournal(store.clone(), to_store.clone()));
    #[cfg(debug_assertions)]
    let journal = crate::crash_points::around(journal);
    let mut dependencies = vec![to_prometheus.clone(), to_kubernetes.clone(), to_store.clone()];
    let model = LanguageModel::new(&settings.author.model_options()).map_err(usage)?;
    let author = model.map(|model| -> Arc<dyn PlanAuthor> {
        let to_author = dependency("author");
        dependencies.push(to_author.clone());
        Arc::new(GuardedAuthor(Arc::new(model), to_author, settings.author.deadline))
    });
    let ports = Ports {
        clock,
        metrics: Arc::new(GuardedMetrics(prometheus, to_prometheus.clone())),
        events: kubernetes.clone(),
        reader: cluster.clone(),
        actor: cluster,
        notifier: kubernetes.clone(),
        leadership: kubernetes,
        author,
        store: Arc::new(GuardedStore(store, to_store.clone())),
        journal,
        dependencies,
    };
    let setup = Setup {
        catalogue: settings.catalogue.queries(),
        retention: settings.store.retention,
        author: settings.author.asking(),
        own_namespace: std::fs::read_to_string(OWN_NAMESPACE).ok().map(|name| name.trim().to_owned()),
        options: settings.runtime,
        policy: settings.policy,
        detector: settings.detector,
        configuration: loaded.effective,
        playbooks,
        seed,
    };
    Ok((ports, setup, settings.api))
}

/// The ports of a simulated cluster: one process stands behind all of them, with the same decoration.
pub(crate) fn simulated(
    world: &World,
    store: &MemoryStore,
    telemetry: &Telemetry,
    seed: u64,
) -> Result<(Ports, Setup)> {
    let loaded = crate::settings_commands::load(&Sources::default())?;
    let mut settings = loaded.settings;
    settings.policy.mode = Mode::Auto;
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    let dependency =
        |name| Dependency::new(name, &settings.runtime.resilience, clock.clone(), telemetry.clone(), seed);
    let (to_prometheus, to_kubernetes, to_store) =
        (dependency("prometheus"), dependency("kubernetes"), dependency("store"));
    let process = world.process("kubewise", store);
    let cluster = Arc::new(GuardedCluster(process.clone(), to_kubernetes.clone()));
    let ports = Ports {
        clock,
        metrics: Arc::new(GuardedMetrics(process.clone(), to_prometheus.clone())),
        events: process.clone(),
        reader: cluster.clone(),
        actor: cluster,
        notifier: process.clone(),
        leadership: process.clone(),
        author: None,
        store: Arc::new(GuardedStore(process.clone(), to_store.clone())),
        journal: Arc::new(GuardedJournal(process, to_store.clone())),
        dependencies: vec![to_prometheus, to_kubernetes, to_store],
    };
    let setup = Setup {
        catalogue: settings.catalogue.queries(),
        retention: settings.store.retention,
        own_namespace: None,
        author: AuthorOptions::default(),
        options: settings.runtime,
        policy: settings.policy,
        detector: settings.detector,
        configuration: loaded.effective,
        playbooks: Playbooks::builtin(),
        seed,
    };
    Ok((ports, setup))
}

/// The ports of a past: the history answers, records are kept in memory, and a bystander stands where the cluster would
/// be written to. No breakers: a file is there or is not.
pub(crate) fn replayed(
    loaded: Loaded,
    clock: Arc<dyn Clock>,
    replay: Arc<Replay>,
    bystander: Arc<Bystander>,
    store: &MemoryStore,
) -> Result<(Ports, Setup)> {
    let settings = loaded.settings;
    let store = Arc::new(store.clone());
    let ports = Ports {
        clock,
        metrics: replay.clone(),
        events: replay.clone(),
        reader: replay,
        actor: bystander.clone(),
        notifier: bystander.clone(),
        leadership: bystander,
        author: None,
        store: store.clone(),
        journal: store,
        dependencies: Vec::new(),
    };
    let setup = Setup {
        catalogue: settings.catalogue.queries(),
        // What was noticed at the beginning is reported at the end.
        retention: Period::from(std::time::Duration::MAX),
        own_namespace: None,
        author: AuthorOptions::default(),
        playbooks: playbooks::load(settings.playbooks.directory.as_deref())?,
        options: settings.runtime,
        policy: settings.policy,
        detector: settings.detector,
        configuration: loaded.effective,
        seed: 0, // the same history gives the same bytes
    };
    Ok((ports, setup))
}

/// The API over a runtime and its store.
pub(crate) fn api(
    handle: &Handle,
    store: Arc<dyn RecordStore>,
    options: &kubewise_api::Options,
) -> Result<kubewise_api::Api> {
    let handle = Arc::new(handle.clone());
    let access = options.access().map_err(usage)?;
    Ok(kubewise_api::Api {
        store,
        control: handle.clone(),
        inquiry: handle.clone(),
        introspection: handle,
        access,
    })
}

fn sqlite(settings: &Settings) -> Result<kubewise_sqlite::Options> {
    let url = &settings.store.url;
    let path = url
        .strip_prefix("sqlite:")
        .filter(|path| !path.is_empty())
        .with_context(|| format!("store.url: `{url}` is not a store; write sqlite:PATH"))?;
    Ok(kubewise_sqlite::Options { path: PathBuf::from(path) })
}

/// What the operator has to mend before it can start.
fn usage(error: impl std::error::Error) -> anyhow::Error {
    Ended::error(Exit::Usage, kubewise_core::failure::chain(&error))
}
