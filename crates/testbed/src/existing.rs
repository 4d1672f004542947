//! A cluster that somebody else started, used only when it is plainly meant for play.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::image::run;

/// What its nodes pull.
pub(crate) const IMAGE: &str = "busybox:1.36";

/// Writes a kubeconfig that holds the current context alone, so that switching the context in another
/// terminal cannot lead a running test elsewhere.
pub(crate) fn kubeconfig(directory: &Path) -> Result<PathBuf> {
    let context = run(Command::new("kubectl").args(["config", "current-context"]))
        .context("KUBEWISE_TESTBED=existing needs kubectl and a current context")?;
    let context = context.trim();
    let named = std::env::var("KUBEWISE_TESTBED_CONTEXT").ok();
    ensure!(
        may_use(context, named.as_deref()),
        "the current context {context:?} is not one of kind, k3d or minikube; tests create and break workloads \
         there, so set KUBEWISE_TESTBED_CONTEXT={context} if that is what you want"
    );
    let view = ["config", "view", "--minify", "--flatten", "--context", context];
    let path = directory.join("kubeconfig");
    fs::write(&path, run(Command::new("kubectl").args(view))?)?;
    Ok(path)
}

fn may_use(context: &str, named: Option<&str>) -> bool {
    context == "minikube"
        || ["kind-", "k3d-", "minikube-"].iter().any(|prefix| context.starts_with(prefix))
        || named == Some(context)
}

#[cfg(test)]
mod tests {
    use super::may_use;

    #[test]
    fn only_local_or_named_contexts_are_used() {
        for (context, named, expected) in [
            ("kind-dev", None, true),
            ("k3d-dev", None, true),
            ("minikube", None, true),
            ("production", None, false),
            ("production", Some("staging"), false),
            ("staging", Some("staging"), true),
            ("unkind-dev", None, false),
        ] {
            assert_eq!(may_use(context, named), expected, "{context} {named:?}");
        }
    }
}
