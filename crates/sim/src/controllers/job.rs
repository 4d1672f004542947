//! Jobs: pods that run to their end, tried again a few times.

use kubewise_core::event::EventType;
use kubewise_core::{ObjectRef, Period};
use serde_json::{Value, json};

use super::{now_of, set_condition};
use crate::cluster::{Cluster, Task};
use crate::kubelet::Phase;

const SOURCE: &str = "job-controller";
/// Between tries: 10 s, 20 s, … up to six minutes.
const FIRST_BACK_OFF: u64 = 10;
const LONGEST_BACK_OFF: u64 = 360;

impl Cluster {
    pub(crate) fn job(&mut self, object: &ObjectRef) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let Ok(uid) = document.uid() else { return };
        let mut conditions: Vec<Value> = document.list("/status/conditions").to_vec();
        let pods = self.pods_of(&uid);
        let runs: Vec<_> = pods.iter().filter_map(|pod| self.pods.get(pod)).collect();
        let failed = runs.iter().filter(|pod| pod.failed()).count();
        let succeeded = runs.iter().filter(|pod| pod.is_over() && !pod.failed()).count();
        let mut active = runs.iter().filter(|pod| pod.is_active()).count();
        let last_end = runs
            .iter()
            .filter(|pod| pod.failed())
            .flat_map(|pod| &pod.containers)
            .filter_map(
                |container| if let Phase::Ended(end) = &container.phase { Some(end.finished) } else { None },
            )
            .max();
        let wanted = |field: &str, default: u64| document.number(field).unwrap_or(default) as usize;
        let completions = wanted("/spec/completions", 1);
        let parallel = wanted("/spec/parallelism", 1);
        let over = !conditions.is_empty();
        let now = now_of(self);
        if !over && succeeded >= completions {
            set_condition(
                &mut conditions,
                "Complete",
                "True",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
                &now,
            );
            self.tell(object, EventType::Normal, "Completed", "Job completed", SOURCE);
        } else if !over && failed > wanted("/spec/backoffLimit", 6) {
            let message = "Job has reached the specified backoff limit";
            set_condition(&mut conditions, "Failed", "True", "BackoffLimitExceeded", message, &now);
            self.tell(object, EventType::Warning, "BackoffLimitExceeded", message, SOURCE);
        } else if !over {
            let back_off = match failed {
                0 => 0,
                failed => (FIRST_BACK_OFF << (failed - 1).min(10)).min(LONGEST_BACK_OFF),
            };
            let due = last_end.map_or(self.now, |end| Period::from_secs(back_off).after(end));
            let missing = parallel.min(completions - succeeded).saturating_sub(active);
            if due > self.now && missing > 0 {
                self.at(due, Task::Reconcile(object.clone()));
            } else {
                let template = document.0.pointer("/spec/template").cloned().unwrap_or_default();
                for _ in 0..missing {
                    let name = format!("{}-{}", object.name, self.suffix());
                    if self.create_for(object, &name, &template, &[], SOURCE).is_err() {
                        break;
                    }
                    active += 1;
                }
            }
        }
        let mut status = json!({ "active": active, "succeeded": succeeded, "failed": failed });
        if !conditions.is_empty() {
            status["conditions"] = json!(conditions);
        }
        self.store.set_status(object, status);
    }
}
