//! `kubewise run`: load, wire, spawn the loops, serve the API, end in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kubewise_runtime::{Handle, Runtime, Telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    let loops = TaskTracker::new();
    for (name, future) in runtime.loops() {
        loops.spawn(async move {
            future.await;
            tracing::debug!(name, "loop ended");
        });
    }
    loops.close();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %mode, listen = %listener.local_addr()?, "kubewise runs");
    serve_until_signal(&handle, store, &api_options, listener).await?;
    let late = handle.shutdown().await;
    if late.is_empty() {
        loops.wait().await;
        tracing::info!("ended in order");
    } else {
        tracing::warn!(?late, "ended, though not all phases in time");
    }
    Ok(())
}

/// Serves until a signal comes; then accepts no more, and gives requests under way a moment to end.
async fn serve_until_signal(
    handle: &Handle,
    store: Arc<dyn kubewise_core::port::RecordStore>,
    options: &kubewise_api::Options,
    listener: TcpListener,
) -> Result<()> {
    let stop = CancellationToken::new();
    let api = wiring::api(handle, store, options)?;
    let server = tokio::spawn(kubewise_api::serve(listener, kubewise_api::router(api), stop.clone()));
    let signal = signals::terminated().await?;
    tracing::info!(signal, "ending");
    stop.cancel();
    if let Ok(ended) = tokio::time::timeout(API_GRACE, server).await {
        return ended.context("the API broke")?.context("the API failed");
    }
    tracing::warn!("requests under way were cut off");
    Ok(())
}
