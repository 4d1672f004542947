//! What pods and their containers show.

use jiff::Timestamp;
use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::state::{ContainerState, PodState};
use kubewise_core::{Kind, ObjectRef, Period};

use crate::history::{ContainerHistory, PodHistory, is_image_trouble};
use crate::rhythm::Rhythm;
use crate::rules::{MESSAGE, Scene};
use crate::symptom::Symptom;
use crate::text;
use crate::world::Known;

/// A container that is ready again this soon after a restart has not shown yet that it stays up.
const FRESH: Period = Period::from_secs(60);

pub(crate) fn symptoms(scene: &Scene<'_>) -> Vec<Symptom> {
    let mut symptoms = Vec::new();
    for known in scene.objects {
        let Some((state, history)) = known.pod() else { continue };
        if is_leaving(scene, known, state) {
            continue;
        }
        let pod = Pod { object: &known.state.object, history, scene };
        symptoms.extend(pod.unschedulable(state));
        for container in &state.containers {
            let Some(past) = history.containers.get(&container.name) else { continue };
            let one = Container { pod: &pod, state: container, past };
            symptoms.extend(one.image());
            symptoms.extend(one.config());
            symptoms.extend(one.killed());
            symptoms.extend(one.crash_loop());
            symptoms.extend(one.rhythm());
        }
    }
    symptoms
}

/// Ended, being deleted, or of a ReplicaSet that is scaled away: what it shows now concerns nobody.
pub(crate) fn is_leaving(scene: &Scene<'_>, known: &Known, pod: &PodState) -> bool {
    matches!(&*pod.phase, "Succeeded" | "Failed") || is_unwanted(scene, known)
}

/// Being deleted, or of a ReplicaSet that is scaled away.
pub(crate) fn is_unwanted(scene: &Scene<'_>, known: &Known) -> bool {
    let owner = known.state.owner.as_ref().filter(|owner| owner.object.kind == Kind::ReplicaSet);
    let set = owner.and_then(|owner| scene.world.get(&owner.object));
    known.state.deleted.is_some() || set.and_then(Known::replica_set).is_some_and(|set| set.desired == 0)
}

struct Pod<'a> {
    object: &'a ObjectRef,
    history: &'a PodHistory,
    scene: &'a Scene<'a>,
}

impl Pod<'_> {
    fn unschedulable(&self, state: &PodState) -> Option<Symptom> {
        let message = state.unschedulable.as_ref()?;
        let since = self.history.unschedulable_since?;
        let text = format!(
            "{} has found no node for {}: {}",
            text::name(self.object),
            text::span(since, self.scene.now),
            text::brief(message, MESSAGE)
        );
        let ripe_at = self.scene.options.scheduling_grace.after(since);
        Some(Symptom::new(Reason::FailedScheduling, self.object, ripe_at, text))
    }

    /// `; last ready 5m ago`.
    fn last_ready(&self) -> String {
        match self.history.ready_at {
            Some(_) if self.history.ready => String::new(),
            Some(at) => format!("; last ready {} ago", text::span(at, self.scene.now)),
            None => "; never seen ready".into(),
        }
    }
}

struct Container<'a> {
    pod: &'a Pod<'a>,
    state: &'a ContainerState,
    past: &'a ContainerHistory,
}

impl Container<'_> {
    fn name(&self) -> String {
        let role = if self.state.init { "init container" } else { "container" };
        format!("{role} {} of {}", self.state.name, text::name(self.pod.object))
    }

    fn waits(&self) -> &str {
        self.state.waiting.as_ref().map_or("", |waiting| &*waiting.reason)
    }

    /// What the kubelet says about the waiting, after a colon.
    fn words(&self) -> String {
        let words = self.state.waiting.as_ref().map_or("", |waiting| waiting.message.as_str());
        if words.is_empty() { String::new() } else { format!(": {}", text::brief(words, MESSAGE)) }
    }

    fn symptom(&self, reason: Reason, ripe_at: Timestamp, text: String) -> Symptom {
        Symptom::new(reason, self.pod.object, ripe_at, text).container(&self.state.name)
    }

    fn image(&self) -> Option<Symptom> {
        let since = self.past.image_since?;
        let waits = self.waits();
        debug_assert!(is_image_trouble(waits));
        let never = matches!(waits, "InvalidImageName" | "ErrImageNeverPull");
        let grace = if never { Period::ZERO } else { self.pod.scene.options.image_pull_grace };
        let text =
            format!("{} cannot get its image {} ({waits}){}", self.name(), self.state.image, self.words());
        Some(self.symptom(Reason::ImagePullBackOff, grace.after(since), text))
    }

    fn config(&self) -> Option<Symptom> {
        let since = self.past.config_since?;
        let ripe_at = self.pod.scene.options.config_error_grace.after(since);
        let text = format!("{} cannot be configured{}", self.name(), self.words());
        Some(self.symptom(Reason::CreateContainerConfigError, ripe_at, text))
    }

    fn killed(&self) -> Option<Symptom> {
        let now = self.pod.scene.now;
        let ended = self.state.terminated.as_ref().filter(|ended| &*ended.reason == "OOMKilled")?;
        // Samples tell the reason and not the time; the restart that followed does.
        let at = ended.finished_at.or(self.past.last_restart())?.min(now);
        let age = Period::between(at, now);
        let recent = age < self.pod.scene.options.restart_window && !self.state.ready;
        if !(age < FRESH || recent || self.waits() == "CrashLoopBackOff") {
            return None;
        }
        let limit = self.state.memory_limit.map_or_else(
            || " (it has no memory limit: the node ran out of memory)".into(),
            |bytes| format!(" at its memory limit of {}", kubewise_core::quantity::mebibytes(bytes)),
        );
        let text = format!(
            "{} was killed{limit} {} ago, {} restarts so far{}",
            self.name(),
            text::span(at, now),
            self.state.restarts,
            self.pod.last_ready()
        );
        let mut symptom = self
            .symptom(Reason::OomKilled, now, text)
            .feature("restarts", f64::from(self.state.restarts), None)
            .feature("exit_code", ended.exit_code as f64, Some(0.0));
        if let Some(limit) = self.state.memory_limit {
            symptom = symptom.feature("memory_limit_bytes", limit, None);
        }
        symptom.interval = self.interval();
        Some(symptom)
    }

    fn crash_loop(&self) -> Option<Symptom> {
        let Pod { scene, .. } = self.pod;
        let recent = self.past.restarts_since(scene.options.restart_window.before(scene.now));
        let again = recent.len() >= scene.options.crash_restarts as usize
            && (!self.state.ready
                || recent.last().is_some_and(|last| Period::between(*last, scene.now) < FRESH));
        if self.waits() != "CrashLoopBackOff" && !again {
            return None;
        }
        let exit = self.state.terminated.as_ref();
        let code = exit.map_or_else(String::new, |ended| format!(", exit code {}", ended.exit_code));
        let times = match recent.first() {
            Some(first) if recent.len() > 1 => {
                format!("restarted {} times in {}", recent.len(), text::span(*first, scene.now))
            }
            _ => format!("ends again and again, {} restarts so far", self.state.restarts),
        };
        let text = format!("{} {times}{code}{}", self.name(), self.pod.last_ready());
        let mut symptom = self.symptom(Reason::CrashLoopBackOff, scene.now, text).feature(
            "restarts",
            f64::from(self.state.restarts),
            None,
        );
        if let Some(ended) = exit {
            symptom = symptom.feature("exit_code", ended.exit_code as f64, Some(0.0));
        }
        symptom.interval = self.interval();
        Some(symptom)
    }

    /// Restarts that come regularly, each after the container was well for longer than a crash loop lets it be.
    fn rhythm(&self) -> Option<Symptom> {
        let Pod { scene, .. } = self.pod;
        let rhythm = Rhythm::of(self.past.moments(), scene.options.restart_window)?;
        let last = self.past.last_restart()?;
        if rhythm.is_over(last, scene.now) {
            return None;
        }
        let exit = self.state.terminated.as_ref();
        let code = exit.map_or_else(String::new, |ended| {
            format!(", last with exit code {} ({})", ended.exit_code, ended.reason)
        });
        let text = format!(
            "{} restarts by error about every {}: {} times in a row after {} to {}{code} (so regular by chance in about \
             1 of {:.0})",
            self.name(),
            text::whole(rhythm.interval),
            rhythm.beats,
            text::whole(rhythm.shortest),
            text::whole(rhythm.longest),
            1.0 / rhythm.chance()
        );
        let mut symptom = self
            .symptom(Reason::RestartRhythm, last, text)
            .severity(Severity::Warning)
            .feature("restarts", f64::from(self.state.restarts), None)
            .feature("beats", rhythm.beats as f64, Some(0.0))
            .feature("interval_seconds", rhythm.interval.as_secs_f64(), None)
            .feature("spread", rhythm.spread(), Some(1.0))
            .feature("chance", rhythm.chance(), None);
        symptom.interval = Some(rhythm.interval);
        Some(symptom)
    }

    /// How long the failure takes to come back: as seen, or at least the back-off that the kubelet tells.
    fn interval(&self) -> Option<Period> {
        let told = self.state.waiting.as_ref().and_then(|waiting| {
            waiting.message.strip_prefix("back-off ")?.split(' ').next()?.parse::<Period>().ok()
        });
        self.past.interval().max(told)
    }
}
