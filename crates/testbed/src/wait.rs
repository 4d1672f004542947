//! Waiting for what a real cluster does in its own time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Often enough not to be noticed, seldom enough to leave the cores to the cluster.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until the answer is `Ok`. An error means "not yet"; after `limit` the last one is told.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn ready_replicas() -> anyhow::Result<u32> { Ok(2) }
/// kubewise_testbed::wait_for("two ready replicas", Duration::from_secs(30), || {
///     let ready = ready_replicas()?;
///     anyhow::ensure!(ready == 2, "{ready} ready");
///     Ok(())
/// })?;
/// # anyhow::Ok(())
/// ```
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(last) if started.elapsed() >= limit => {
                bail!("waited {} s for {what}; last seen: {last:#}", limit.as_secs())
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
