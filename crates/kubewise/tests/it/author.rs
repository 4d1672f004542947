//! The author as it is wired in the program: the real adapter asks a provider on loopback, the pipeline runs on a
//! simulated cluster. While an answer is awaited, virtual time goes with real time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use kubewise_core::author::{AuthorCall, CallOutcome};
use kubewise_core::incident::{Incident, IncidentStatus};
use kubewise_core::plan::{Author, Mode, RemediationPlan};
use kubewise_core::port::{Clock, Inquiry as _, RecordStore as _};
use kubewise_core::record::{MAX_PAGE, Record, RecordKind, RecordQuery};
use kubewise_core::{ObjectRef, Period};
use kubewise_llm::{LanguageModel, Options, Provider};
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy;
use kubewise_runtime::{
    AuthorOptions, Dependency, GuardedAuthor, Handle, Ports, ResilienceOptions, Runtime, Setup, Telemetry,
};
use kubewise_sim::{Change, MemoryStore, Simulation, Workload, World};
use kubewise_testbed::{ModelEnding, ModelReply, ModelRequest, ModelServer, ModelText};
use serde_json::{Value, json};

/// Virtual seconds in a real one while an answer is awaited.
const PACE: f64 = 20.0;
/// Of the adapter; 20 s of virtual time.
const TIMEOUT: Period = Period::from_secs(1);
const DEADLINE: Period = Period::from_secs(30);
/// In which every trouble here is over.
const LONG: Period = Period::from_mins(60);
pub(crate) const KEY: &str = "key-of-the-tests-3f9a71c2";

/// A simulated cluster, the KubeWise that watches it, and the provider that it asks.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) store: MemoryStore,
    simulation: Simulation,
    pub(crate) handle: Handle,
    pub(crate) provider: ModelServer,
    /// Where the adapter's connections live.
    pub(crate) executor: tokio::runtime::Runtime,
}

pub(crate) fn cart() -> ObjectRef {
    Workload::deployment("shop", "cart").object()
}

impl Stage {
    pub(crate) fn new(provider: ModelServer, workload: Workload) -> Result<Self> {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = World::new(7);
        world.node("node-1", 16.0, 64.0 * 1_073_741_824.0);
        world.add(workload);
        for name in ["catalog", "checkout", "prices"] {
            world.add(Workload::deployment("shop", name));
        }
        let store = MemoryStore::default();
        let clock: Arc<dyn Clock> = Arc::new(world.clock());
        let telemetry = Telemetry::new();
        let dependency =
            Dependency::new("author", &ResilienceOptions::default(), clock.clone(), telemetry.clone(), 1);
        let options = Options {
            provider: Provider::OpenAiCompatible,
            model: Some("some-model".into()),
            endpoint: Some(format!("{}/v1", provider.url())),
            api_key: Some(KEY.into()),
            timeout: TIMEOUT,
            ..Options::default()
        };
        let model = LanguageModel::new(&options)?.context("no model")?;
        let process = world.process("kubewise", &store);
        let ports = Ports {
            clock,
            metrics: process.clone(),
            events: process.clone(),
            reader: process.clone(),
            actor: process.clone(),
            store: process.clone(),
            journal: process.clone(),
            notifier: process.clone(),
            leadership: process,
            author: Some(Arc::new(GuardedAuthor(Arc::new(model), dependency.clone(), DEADLINE))),
            dependencies: vec![dependency],
        };
        let setup = Setup {
            options: kubewise_runtime::Options::default(),
            author: AuthorOptions { deadline: DEADLINE, ..AuthorOptions::default() },
            policy: policy::Options { mode: Mode::Auto, ..policy::Options::default() },
            playbooks: Playbooks::builtin(),
            catalogue: kubewise_prometheus::default_catalogue(),
            detector: kubewise_detector::Options::default(),
            retention: LONG,
            own_namespace: None,
            configuration: Value::Null,
            seed: 1,
        };
        let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut simulation = Simulation::new(world.clone());
        let runtime = simulation
            .complete(LONG.after(world.now()), Runtime::new(ports, setup, telemetry))
            .context("the simulation stands still")??;
        let handle = runtime.handle();
        for (_, future) in runtime.loops() {
            simulation.spawn(future);
        }
        let mut stage = Stage { world, store, simulation, handle, provider, executor };
        stage.live(Period::from_mins(5), None, |_| false);
        Ok(stage)
    }

    /// Releases a revision that crashes, and lives until its incident is over.
    pub(crate) fn crash_and_repair(&mut self) -> Result<()> {
        let image = "shop/cart:2-crash".into();
        self.world.change(Change::Image { workload: cart(), image })?;
        let asked = |store: &MemoryStore| !calls(store).is_empty();
        self.live(LONG, None, asked);
        self.live(LONG, Some(PACE), |store| !plans(store).is_empty());
        self.live(LONG, None, |store| {
            incident(store).is_some_and(|one| one.status == IncidentStatus::Repaired)
        });
        Ok(())
    }

    /// Until `reached`, at most so long.
    pub(crate) fn live(&mut self, most: Period, pace: Option<f64>, reached: impl Fn(&MemoryStore) -> bool) {
        let _context = self.executor.enter();
        let store = self.store.clone();
        self.simulation.run_while(most.after(self.world.now()), pace, || !reached(&store));
    }

    fn image(&self) -> String {
        let document = self.world.get(&cart());
        let image = document.as_ref().and_then(|found| found.text("/spec/template/spec/containers/0/image"));
        image.unwrap_or_default().to_owned()
    }
}

pub(crate) fn records(store: &MemoryStore, kind: RecordKind) -> Vec<Record> {
    // The store in memory answers at once.
    let query = RecordQuery { limit: MAX_PAGE, ..RecordQuery::of(kind) };
    let page = store.find(&query).now_or_never();
    page.and_then(Result::ok).map(|page| page.records).unwrap_or_default()
}

fn calls(store: &MemoryStore) -> Vec<AuthorCall> {
    let records = records(store, RecordKind::Call).into_iter();
    records.filter_map(|record| if let Record::Call(one) = record { Some(one) } else { None }).collect()
}

fn plans(store: &MemoryStore) -> Vec<RemediationPlan> {
    let records = records(store, RecordKind::Plan).into_iter();
    records.filter_map(|record| if let Record::Plan(one) = record { Some(one) } else { None }).collect()
}

pub(crate) fn incident(store: &MemoryStore) -> Option<Incident> {
    records(store, RecordKind::Incident)
        .into_iter()
        .find_map(|record| if let Record::Incident(one) = record { Some(one) } else { None })
}

/// The first offer of the case, as a proposal.
pub(crate) fn sound(request: &ModelRequest) -> ModelReply {
    let messages = request.body["messages"].as_array().cloned().unwrap_or_default();
    let case: String = messages.iter().filter_map(|message| message["content"].as_str()).collect();
    let offer = case.lines().find_map(|line| line.strip_prefix("- {")).unwrap_or_default();
    let offer: Value = serde_json::from_str(&format!("{{{offer}")).unwrap_or_default();
    let id =
        case.lines().find_map(|line| Some(line.strip_prefix('[')?.split_once(']')?.0)).unwrap_or_default();
    let proposal = json!({
        "reasoning": "The new revision crashes.",
        "rootCause": { "text": "The new revision.", "evidence": [id] },
        "actions": [offer], "priority": "Critical", "verification": [], "confidence": 0.9,
    });
    ModelText::new(proposal.to_string()).usage(2_000, 150).into()
}

#[test]
fn a_models_proposal_is_carried_out_and_paid_for() -> Result<()> {
    let mut stage = Stage::new(ModelServer::answering(sound)?, Workload::deployment("shop", "cart"))?;
    stage.crash_and_repair()?;
    let [plan] = plans(&stage.store).try_into().map_err(|plans| anyhow::anyhow!("{plans:#?}"))?;
    let name = "openai-compatible/some-model";
    ensure!(matches!(&plan.author, Author::Model { name: by, .. } if by == name), "{:?}", plan.author);
    ensure!(stage.image() == "shop/cart:1", "{}", stage.image());
    let spending = stage.handle.spending();
    ensure!((spending.month.calls, spending.month.tokens) == (1, 2_150), "{spending:#?}");
    let [request] = stage.provider.requests().try_into().map_err(|all| anyhow::anyhow!("{all:#?}"))?;
    let call = calls(&stage.store).remove(0);
    for part in [&call.prompt.instructions, &call.prompt.case] {
        let sent = request.body.to_string();
        ensure!(sent.contains(json!(part).to_string().trim_matches('"')), "not as recorded: {part}");
    }
    Ok(())
}

#[test]
fn with_a_provider_that_fails_the_playbooks_repair_within_the_deadline() -> Result<()> {
    let half = ModelText::new("{\"reasoning\": \"The new rev").ending(ModelEnding::Truncated);
    let withheld = ModelText::new("").ending(ModelEnding::Withheld);
    let wrong = ModelText::new("{\"plan\": \"restart everything\"}");
    let failed = &[CallOutcome::Failed][..];
    let unknown = &[CallOutcome::Unknown][..];
    let refused = &[CallOutcome::Refused; 2][..];
    let slowly = ModelReply::from(wrong.clone()).drip(Duration::from_secs(1));
    let cases = [
        ("hangs", ModelReply::hang(), unknown),
        ("429", ModelReply::raw("{}").status(429).header("Retry-After", "120"), failed),
        ("503", ModelReply::raw("{}").status(503), failed),
        ("half JSON", half.into(), refused),
        ("wrong schema", wrong.into(), refused),
        ("safety", withheld.into(), refused),
        ("10 MB", ModelReply::raw("x".repeat(10_000_000)), unknown),
        ("a byte a second", slowly, unknown),
    ];
    for (what, reply, outcomes) in cases {
        let provider = ModelServer::answering(move |_| reply.clone())?;
        let mut stage = Stage::new(provider, Workload::deployment("shop", "cart"))?;
        stage.crash_and_repair().context(what)?;
        let found = incident(&stage.store).context(what)?;
        ensure!(found.status == IncidentStatus::Repaired, "{what}: {found:#?}");
        ensure!(stage.image() == "shop/cart:1", "{what}: {}", stage.image());
        let [plan] = plans(&stage.store).try_into().map_err(|plans| anyhow::anyhow!("{what}: {plans:#?}"))?;
        ensure!(matches!(plan.author, Author::Playbook { .. }), "{what}: {plan:#?}");
        let calls = calls(&stage.store);
        let took = calls.iter().map(|call| Period::between(call.asked_at, plan.created_at)).max();
        ensure!(took.is_some_and(|took| took <= DEADLINE), "{what}: planned after {took:?}");
        let found: Vec<_> = calls.iter().map(|call| call.outcome).collect();
        ensure!(found == outcomes, "{what}: {calls:#?}");
    }
    Ok(())
}
