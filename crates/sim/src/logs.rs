//! What containers write before they fail. A container also writes out its variable `SAYS`, as programs do that tell their
//! configuration at the start.

use kubewise_core::{Failure, ObjectRef, Rejection};

use crate::cluster::Cluster;
use crate::kubelet::Phase;
use crate::store::{not_found, stamp};

impl Cluster {
    pub(crate) fn logs(&self, pod: &ObjectRef, container: &str, previous: bool) -> Result<String, Failure> {
        let refused = |message: String| Failure::Rejected { reason: Rejection::Invalid, message };
        let run = self.pods.get(pod).ok_or_else(|| not_found(pod))?;
        let container = run
            .containers
            .iter()
            .find(|candidate| &*candidate.name == container)
            .ok_or_else(|| refused(format!("container {container} is not valid for {pod}")))?;
        let image = &container.image;
        let says = self.variable(pod, &container.name, "SAYS").map(|line| format!("INFO {line}\n"));
        let says = says.unwrap_or_default();
        let end = if previous { container.last.as_ref() } else { container.ended() };
        if let Some(end) = end {
            let (started, finished) = (stamp(end.started), stamp(end.finished));
            let last_words = match (end.reason, end.exit_code) {
                // The kernel gives no time for last words.
                ("OOMKilled", _) => format!("{finished} INFO cache holds 1284 entries"),
                (_, 0) => format!("{finished} INFO done"),
                _ => format!("{finished} ERROR cannot start: configuration key `upstream.url` is missing"),
            };
            return Ok(format!("{started} INFO starting {image}\n{says}{last_words}\n"));
        }
        match &container.phase {
            Phase::Running { since } if !previous => {
                let started = stamp(*since);
                let state = if container.ready { "INFO serving" } else { "WARN waiting for the database" };
                Ok(format!("{started} INFO starting {image}\n{says}{} {state}\n", stamp(self.now)))
            }
            Phase::Waiting { reason, .. } if !previous => {
                Err(refused(format!("container {} in {pod} is waiting to start: {reason}", container.name)))
            }
            Phase::Waiting { .. } | Phase::Running { .. } | Phase::Ended(_) => {
                Err(refused(format!("previous terminated container {} in {pod} not found", container.name)))
            }
        }
    }

    fn variable(&self, pod: &ObjectRef, container: &str, name: &str) -> Option<String> {
        let containers = self.store.get(pod)?.list("/spec/containers");
        let container = containers.iter().find(|candidate| candidate["name"] == *container)?;
        let variables = container["env"].as_array()?;
        let variable = variables.iter().find(|variable| variable["name"] == *name)?;
        variable["value"].as_str().map(Into::into)
    }
}
