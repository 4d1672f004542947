//! One cluster's place on this machine: a number, and from it a directory, a network namespace, a
//! control group and a subnet.
//!
//! The owner holds a lock on the slot's lock file for as long as it lives; the kernel lets go of it
//! however the owner ends. A watchdog process waits for that lock. When it gets it, the owner is gone
//! and it sweeps. So a cluster in a `static`, which is never dropped, and one whose test was killed
//! are cleaned up at once; and should the watchdog die as well, the next start sweeps.

use std::fs::{self, File, TryLockError};
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

const ROOT: &str = "/var/lib/kubewise-testbed";
const SWEEP: &str = include_str!("sweep.sh");
/// The number becomes a byte of the subnet; more clusters than this would not fit into memory anyway.
const SLOTS: u8 = 100;

#[derive(Debug)]
pub(crate) struct Slot {
    number: u8,
    _lock: File,
    watchdog: Option<Child>,
}

impl Slot {
    /// Sweeps what dead owners left and takes the first free slot.
    pub(crate) fn claim() -> Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(ROOT).context(ROOT)?;
        let mut claimed = None;
        for number in 1..=SLOTS {
            let directory = directory_of(number);
            if claimed.is_some() && !directory.exists() {
                continue;
            }
            let Some(lock) = try_lock(number)? else { continue };
            sweep(number)?;
            if claimed.is_none() && !directory.exists() {
                fs::create_dir(&directory)?;
                claimed = Some(Self { number, _lock: lock, watchdog: Some(watch(number)?) });
            }
        }
        claimed.with_context(|| format!("all {SLOTS} slots in {ROOT} are taken"))
    }

    /// Leaves everything running when this process ends; [`take_down`] ends it. `note` is kept for
    /// [`kept`] to find.
    pub(crate) fn keep(mut self, note: &str) -> Result<()> {
        fs::write(self.directory().join("kept"), note)?;
        self.dismiss_watchdog();
        Ok(())
    }

    pub(crate) fn directory(&self) -> PathBuf {
        directory_of(self.number)
    }

    /// The name of the namespace, the control group and the link into the root namespace.
    pub(crate) fn name(&self) -> String {
        format!("kubewise-{}", self.number)
    }

    /// The node's address, reachable from the root namespace too.
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.number, 1)
    }

    /// The root namespace's end of the link.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.number, 254)
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.watchdog.is_some() && sweep(self.number).is_ok() {
            self.dismiss_watchdog();
        }
    }
}

/// The notes of the clusters that were kept, by slot number.
pub(crate) fn kept() -> Vec<(u8, String)> {
    (1..=SLOTS)
        .filter_map(|number| {
            fs::read_to_string(directory_of(number).join("kept")).ok().map(|note| (number, note))
        })
        .collect()
}

/// Ends a kept cluster.
pub(crate) fn take_down(number: u8) -> Result<()> {
    let Some(_lock) = try_lock(number)? else { bail!("slot {number} is in use by a running test") };
    fs::remove_file(directory_of(number).join("kept"))?;
    sweep(number)
}

pub(crate) fn name_of(number: u8) -> String {
    format!("kubewise-{number}")
}

fn directory_of(number: u8) -> PathBuf {
    Path::new(ROOT).join(number.to_string())
}

fn lock_path(number: u8) -> PathBuf {
    Path::new(ROOT).join(format!("{number}.lock"))
}

fn try_lock(number: u8) -> Result<Option<File>> {
    let lock = File::create(lock_path(number))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context("locking a slot"),
    }
}

fn watch(number: u8) -> Result<Child> {
    let mut command = Command::new("flock");
    command.arg(lock_path(number)).args(["sh", "-c", SWEEP, "sweep", &number.to_string()]);
    // A group of its own: Ctrl-C must end the tests, not their watchdog.
    command.arg(directory_of(number)).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("starting the watchdog (flock)")
}

fn sweep(number: u8) -> Result<()> {
    if !directory_of(number).exists() {
        return Ok(());
    }
    let output = Command::new("sh")
        .args(["-c", SWEEP, "sweep", &number.to_string()])
        .arg(directory_of(number))
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("sweeping slot {number}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
