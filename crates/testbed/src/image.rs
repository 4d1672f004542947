//! The one image that the node needs, made of Debian's static busybox, so that no registry is asked.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::tools::Tools;
use crate::workload::IDLE;

/// A shell and the usual small programs.
pub(crate) const IMAGE: &str = "localhost/busybox:1";
/// The same one, under the name that holds a pod's namespaces.
const PAUSE: &str = "localhost/pause:1";

/// Writes an archive that `ctr images import` reads, and returns where.
pub(crate) fn write(tools: &Tools, directory: &Path) -> Result<std::path::PathBuf> {
    let root = directory.join("image/root");
    fs::create_dir_all(root.join("bin"))?;
    fs::DirBuilder::new().mode(0o1777).create(root.join("tmp"))?;
    let busybox = std::env::split_paths(&tools.path)
        .map(|directory| directory.join("busybox"))
        .find(|path| path.is_file())
        .context("busybox is not on PATH")?;
    fs::copy(&busybox, root.join("bin/busybox"))?;
    for applet in run(tools.command("busybox").arg("--list"))?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }

    let image = directory.join("image");
    let layer = image.join("layer.tar");
    run(tools
        .command("tar")
        .arg("-C")
        .arg(&root)
        .args(["--owner=0", "--group=0", "-cf"])
        .arg(&layer)
        .arg("."))?;
    let sum = run(tools.command("sha256sum").arg(&layer))?;
    let digest = sum.split(' ').next().unwrap_or_default();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Cmd": ["/bin/sh", "-c", IDLE], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE, PAUSE], "Layers": ["layer.tar"]}]);
    fs::write(image.join("config.json"), config.to_string())?;
    fs::write(image.join("manifest.json"), manifest.to_string())?;
    let archive = directory.join("image.tar");
    let members = ["manifest.json", "config.json", "layer.tar"];
    run(tools.command("tar").arg("-C").arg(&image).arg("-cf").arg(&archive).args(members))?;
    Ok(archive)
}

/// Standard output; an unsuccessful end is an error that carries standard error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{}", command.get_program().display()))?;
    let what = || {
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        format!("{} {}", command.get_program().display(), arguments.join(" "))
    };
    ensure!(
        output.status.success(),
        "{}: {}: {}",
        what(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
