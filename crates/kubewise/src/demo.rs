//! `kubewise demo`: the pipeline of `run` on a simulated cluster in virtual time, told as it goes.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets};
use futures::FutureExt;
use indicatif::{ProgressBar, ProgressStyle};
use kubewise_core::id::IncidentId;
use kubewise_core::incident::{Chapter, Incident, IncidentStatus};
use kubewise_core::port::RecordStore;
use kubewise_core::record::{Record, RecordKind, RecordQuery};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_runtime::{Handle, Runtime, Telemetry};
use kubewise_sim::{Demo, MemoryStore, Outcome, Simulation, demo_world};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::DemoArgs;
use crate::recording::Recording;
use crate::terminal::say;
use crate::{signals, wiring};

/// The story is looked at this often, in virtual time.
const LOOK_EVERY: Period = Period::from_secs(5);
/// Where the terminal does not tell its width.
const WIDTH: u16 = 120;

pub(crate) fn demo(args: &DemoArgs) -> Result<ExitCode> {
    let Demo { world, episodes, expectations, end } = demo_world(args.seed);
    let store = MemoryStore::default();
    let telemetry = Telemetry::new();
    let (mut ports, setup) = wiring::simulated(&world, &store, &telemetry, args.seed)?;
    let recording = args.record.as_deref().map(|folder| Recording::begin(folder, &world)).transpose()?;
    if let Some(recording) = &recording {
        recording.listen(&mut ports);
    }
    let mut simulation = Simulation::new(world.clone());
    let runtime = simulation
        .complete(end, Runtime::new(ports, setup, telemetry))
        .context("the simulation stands still")?
        .context("the store cannot be read")?;
    let handle = runtime.handle();
    for (_, future) in runtime.loops() {
        simulation.spawn(future);
    }
    let api = args.serve.then(|| serve(&handle, &store, args)).transpose()?;

    let start = world.now();
    let pods = world.list(&Kind::Pod, None).len();
    let length = Period::between(start, end);
    say!(
        "KubeWise watches a simulated cluster of {pods} pods (seed {}). {length} pass; five troubles come.\n",
        args.seed
    );
    let mut teller = Teller::new(start, end, store.clone());
    let mut coming = episodes.iter().peekable();
    let pace = (args.speed > 0.0).then_some(args.speed);
    let interrupted = || api.as_ref().is_some_and(|stopped| stopped.load(Ordering::Relaxed));
    simulation.run_while(end, pace, || {
        let now = world.now();
        while let Some(episode) = coming.next_if(|episode| episode.time <= now) {
            let mark = if episode.trouble { "▶ trouble:" } else { "▷ all is well:" };
            teller.say(&format!("\n{}  {mark} ", teller.elapsed(episode.time)), episode.title, usize::MAX);
        }
        teller.look(now);
        !interrupted()
    });
    teller.look(end);
    teller.bar.finish_and_clear();
    if let (Some(recording), Some(folder)) = (&recording, &args.record) {
        recording.finish()?;
        say!("\nRecorded; try `kubewise backtest --from {}`.", folder.display());
    }

    let incidents = teller.incidents();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "WORKLOAD", "WHAT HAPPENED", "HOW IT ENDED", "AS IT SHOULD"]);
    let mut wrong = Vec::new();
    for (expectation, episode) in expectations.iter().zip(&episodes) {
        let incident = incidents.values().find(|incident| incident.workload == expectation.workload);
        let told = match (&expectation.outcome, incident.map(|incident| incident.status)) {
            (Outcome::RolledBack { .. } | Outcome::LimitRaised { .. }, Some(IncidentStatus::Repaired))
            | (Outcome::LeftToPeople, Some(IncidentStatus::HandedOver))
            | (Outcome::LeftAlone { .. }, None) => Ok(()),
            (_, None) => Err("it was not noticed".to_owned()),
            (_, Some(status)) => Err(format!("its incident ended as {status}")),
        };
        let verdict = told.and_then(|()| expectation.check(&world));
        let ended =
            incident.map_or_else(|| "no incident, no action".to_owned(), |one| one.status.to_string());
        let sound = if verdict.is_ok() { "✓" } else { "✗" };
        table.add_row([
            sound,
            &expectation.workload.to_string(),
            episode.title,
            &ended,
            &expectation.outcome.to_string(),
        ]);
        wrong.extend(verdict.err().map(|what| format!("{}: {what}", expectation.workload)));
    }
    let concerned = |workload: &ObjectRef| expectations.iter().any(|one| one.workload == *workload);
    let strangers = incidents.values().filter(|incident| !concerned(&incident.workload));
    wrong.extend(
        strangers
            .map(|one| format!("{}: an incident although nothing happened: {}", one.workload, one.summary)),
    );
    let touched = world.wrongly_touched(&expectations);
    wrong.extend(
        touched.iter().map(|object| format!("{object}: written to although nothing was to be repaired")),
    );
    say!("\n{table}\n");
    let code = if wrong.is_empty() {
        say!("Every trouble ended as it should; nothing else was touched.");
        ExitCode::SUCCESS
    } else {
        say!("Not as it should be:\n  {}", wrong.join("\n  "));
        ExitCode::FAILURE
    };
    if args.serve {
        say!("The API stays up at http://{}; try `kubewise incidents`. Ctrl-C ends it.", args.listen);
        simulation.run_while(Timestamp::MAX, Some(1.0), || !interrupted());
    }
    Ok(code)
}

fn name(workload: &ObjectRef) -> String {
    format!("{}/{}", workload.namespace_or_empty(), workload.name)
}

/// Serves the API from a thread of its own until a signal comes; the flag tells that one has.
fn serve(handle: &Handle, store: &MemoryStore, args: &DemoArgs) -> Result<Arc<AtomicBool>> {
    let token = std::env::var("KUBEWISE_TOKEN").ok().filter(|token| !token.is_empty()).map(Into::into);
    let options = kubewise_api::Options { listen: args.listen, token, token_file: None };
    let api = wiring::api(handle, Arc::new(store.clone()), &options)?;
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = executor.block_on(TcpListener::bind(args.listen)).context("the API cannot listen")?;
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    std::thread::spawn(move || {
        executor.block_on(async {
            let stop = CancellationToken::new();
            let server = kubewise_api::serve(listener, kubewise_api::router(api), stop);
            tokio::select! {
                _ = server => {}
                _ = signals::terminated() => {}
            }
        });
        flag.store(true, Ordering::Relaxed);
    });
    Ok(stopped)
}

/// Tells what is new in the incidents' stories.
struct Teller {
    start: Timestamp,
    store: MemoryStore,
    looked_at: Timestamp,
    /// Entries told of each incident.
    told: BTreeMap<IncidentId, usize>,
    bar: ProgressBar,
    width: u16,
}

impl Teller {
    fn new(start: Timestamp, end: Timestamp, store: MemoryStore) -> Self {
        let bar = ProgressBar::new(Period::between(start, end).as_duration().as_secs());
        let style = ProgressStyle::with_template("{wide_bar} {msg} {percent}%");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Teller {
            start,
            store,
            looked_at: start,
            told: BTreeMap::new(),
            bar,
            width: Table::new().width().unwrap_or(WIDTH),
        }
    }

    fn look(&mut self, now: Timestamp) {
        if Period::between(self.looked_at, now) < LOOK_EVERY {
            return;
        }
        self.looked_at = now;
        self.bar.set_position(Period::between(self.start, now).as_duration().as_secs());
        self.bar.set_message(self.elapsed(now));
        let mut news = Vec::new();
        for (id, incident) in self.incidents() {
            let told = self.told.entry(id).or_default();
            let entries = incident.story.iter().skip(*told);
            news.extend(entries.map(|entry| (entry.time, incident.workload.clone(), entry.clone())));
            *told = incident.story.len();
        }
        news.sort_by_key(|(time, ..)| *time);
        for (time, workload, entry) in news {
            let subject = name(&workload);
            let chapter = entry.chapter.to_string().to_lowercase();
            let label = format!("{}  {subject:<17} {chapter:<9} ", self.elapsed(time));
            // Of the evidence a line each; the API and `incidents show` have all of it.
            let lines = if entry.chapter == Chapter::Evidence { 1 } else { usize::MAX };
            self.say(&label, &entry.text, lines);
        }
    }

    /// Prints a text behind a label, wrapped to the terminal under its own beginning, in so many lines at most.
    fn say(&self, label: &str, text: &str, most: usize) {
        let room = usize::from(self.width).saturating_sub(label.len()).max(40);
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let line = lines.last().map_or(0, |line| line.chars().count());
            if line > 0 && line + 1 + word.chars().count() > room {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(if line.is_empty() { "" } else { " " });
                line.push_str(word);
            }
        }
        if lines.len() > most {
            lines.truncate(most);
            if let Some(last) = lines.last_mut() {
                *last = last.chars().take(room - 1).chain(['…']).collect();
            }
        }
        let indent = format!("\n{}", " ".repeat(label.chars().count()));
        self.bar.suspend(|| say!("{label}{}", lines.join(&indent)));
    }

    fn elapsed(&self, now: Timestamp) -> String {
        let seconds = Period::between(self.start, now).as_duration().as_secs();
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    fn incidents(&self) -> BTreeMap<IncidentId, Incident> {
        // The store in memory answers at once.
        let page = self.store.find(&RecordQuery::of(RecordKind::Incident)).now_or_never();
        let records = page.and_then(Result::ok).map(|page| page.records).unwrap_or_default();
        records
            .into_iter()
            .filter_map(
                |record| if let Record::Incident(one) = record { Some((one.id.clone(), one)) } else { None },
            )
            .collect()
    }
}
