//! Saving what a step is about to take down.

use futures::future::try_join_all;
use kubewise_core::capture::{Capture, CaptureStatus, CapturedLog, CapturedPod};
use kubewise_core::document::Document;
use kubewise_core::id::CaptureId;
use kubewise_core::plan::Operation;
use kubewise_core::record::{Extra, Record, SchemaVersion};
use kubewise_core::{Failure, Kind};
use kubewise_remediation::saga::Saga;
use kubewise_remediation::{capture, evidence};

use crate::runtime::Shared;

/// Samples of the pods, about 150 bytes each.
const MAX_SAMPLES: usize = 500;

/// Saves the pods that a step takes down, with their logs and latest samples. It is durable when this returns. What is
/// gone already cannot be saved and is not missed; what could be read and was not is a failure.
pub(crate) async fn capture(shared: &Shared, saga: &Saga, step: usize) -> Result<(), Failure> {
    let plan = saga.plan();
    let Some(planned) = plan.actions.get(step) else { return Ok(()) };
    let mut status = CaptureStatus::Complete;
    let mut pods = Vec::new();
    for pod in capture::pods(planned, known(shared, saga, step).await?) {
        let Ok(object) = pod.object() else { continue };
        let mut logs = Vec::new();
        for (container, previous) in capture::logs(&pod) {
            let text = match shared.ports.reader.logs(&object, &container, previous).await {
                Ok(log) => {
                    let (text, cut) = capture::tail(&log);
                    if cut {
                        status = CaptureStatus::Partial;
                    }
                    text
                }
                // The kubelet keeps no such log; nothing is lost by the act.
                Err(failure @ Failure::Rejected { .. }) => {
                    status = CaptureStatus::Partial;
                    format!("({failure})")
                }
                Err(failure) => return Err(failure),
            };
            logs.push(CapturedLog { container, previous, text });
        }
        pods.push(CapturedPod { document: capture::redacted(&pod), pod: object, logs });
    }
    if pods.is_empty() {
        return Ok(());
    }
    let mut samples = shared.recent.of(&plan.workload);
    samples.retain(|sample| pods.iter().any(|captured| captured.pod == sample.object));
    samples.drain(..samples.len().saturating_sub(MAX_SAMPLES));
    let record = Capture {
        version: SchemaVersion::CURRENT,
        id: CaptureId::derive(&[&plan.id, &step]),
        incident: plan.incident.clone(),
        plan: plan.id.clone(),
        step,
        workload: plan.workload.clone(),
        status,
        pods,
        samples,
        taken_at: shared.clock.now(),
        extra: Extra::new(),
    };
    shared.ports.store.save(&[Record::Capture(Box::new(record))]).await
}

/// The pod that is evicted, or those of the workload.
async fn known(shared: &Shared, saga: &Saga, step: usize) -> Result<Vec<Document>, Failure> {
    let (plan, reader) = (saga.plan(), &shared.ports.reader);
    if let Some(Operation::Evict { pod, .. }) = plan.actions.get(step).map(|step| &step.operation) {
        return Ok(reader.get(pod).await?.into_iter().collect());
    }
    let workload = reader.get(&plan.workload).await?;
    let lists = evidence::lists(&plan.workload);
    let own = lists.iter().filter(|(kind, _)| matches!(kind, Kind::Pod | Kind::ReplicaSet | Kind::Job));
    let documents =
        try_join_all(own.map(|(kind, namespace)| reader.list(kind, namespace.as_deref()))).await?;
    Ok(evidence::pods_of(workload.as_ref(), &documents.concat()))
}
