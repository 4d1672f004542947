//! `kubewise run`: load, wire, spawn the loops, serve the API, end in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kubewise_runtime::{Handle, Runtime, Telemetry};
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cli::ConfigArgs;
use crate::wiring;
use crate::{logging, settings_commands, signals};

/// What requests under way may still take once the end is announced.
const API_GRACE: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: ConfigArgs) -> Result<()> {
    let loaded = settings_commands::load(&args.sources())?;
    logging::start(&loaded.settings.log)?;
    let telemetry = Telemetry::new();
    let (ports, setup, api_options) = wiring::production(loaded, &telemetry)?;
    let listener = TcpListener::bind(api_options.listen)
        .await
        .with_context(|| format!("api.listen: cannot listen on {}", api_options.listen))?;
    let store = ports.store.clone();
    let mode = setup.policy.mode;
    let runtime = Runtime::new(ports, setup, telemetry).await.context("the store cannot be read")?;
    let handle = runtime.handle();
    let mut loops = JoinSet::new();
    for (name, future) in runtime.loops() {
        loops.spawn(async move {
            future.await;
            tracing::debug!(name, "loop ended");
        });
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %mode, listen = %listener.local_addr()?, "kubewise runs");
    let mut broken = serve_until_the_end(&handle, store, &api_options, listener, &mut loops).await?;
    let late = handle.shutdown().await;
    if late.is_empty() {
        while let Some(ended) = loops.join_next().await {
            broken = broken.or(ended.err());
        }
        tracing::info!("ended in order");
    } else {
        tracing::warn!(?late, "ended, though not all phases in time");
    }
    broken.map_or(Ok(()), |broken| Err(broken).context("a loop broke; the journal knows where"))
}

/// The first loop that panics. One that only ends has done its work.
async fn panicked(loops: &mut JoinSet<()>) -> JoinError {
    loop {
        match loops.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return error,
            None => std::future::pending().await,
        }
    }
}

/// Serves until a signal comes or a loop breaks, which is given back; then accepts no more, and gives requests under way
/// a moment to end.
async fn serve_until_the_end(
    handle: &Handle,
    store: Arc<dyn kubewise_core::port::RecordStore>,
    options: &kubewise_api::Options,
    listener: TcpListener,
    loops: &mut JoinSet<()>,
) -> Result<Option<JoinError>> {
    let stop = CancellationToken::new();
    let api = wiring::api(handle, store, options)?;
    let server = tokio::spawn(kubewise_api::serve(listener, kubewise_api::router(api), stop.clone()));
    let broken = tokio::select! {
        signal = signals::terminated() => {
            tracing::info!(signal = signal?, "ending");
            None
        }
        broken = panicked(loops) => {
            tracing::error!(%broken, "a loop broke; ending, to be started again");
            Some(broken)
        }
    };
    stop.cancel();
    if let Ok(ended) = tokio::time::timeout(API_GRACE, server).await {
        ended.context("the API broke")?.context("the API failed")?;
    } else {
        tracing::warn!("requests under way were cut off");
    }
    Ok(broken)
}
