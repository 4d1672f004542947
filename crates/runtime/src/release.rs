//! Giving back what a stuck repair holds, once a person has seen to it.

use kubewise_core::Failure;
use kubewise_core::failure::Rejection;
use kubewise_core::id::IncidentId;
use kubewise_core::incident::{Incident, IncidentStatus};
use kubewise_remediation::saga::Saga;

use crate::feedback;
use crate::runtime::Shared;

pub(crate) async fn release(
    shared: &Shared,
    id: &IncidentId,
    by: &str,
    reason: &str,
) -> Result<Incident, Failure> {
    let (incident, _) = feedback::known(shared, id).await?;
    if incident.status != IncidentStatus::Stuck {
        let message = format!("incident {id} is {}, only a Stuck one holds anything", incident.status);
        return Err(Failure::Rejected { reason: Rejection::Conflict, message });
    }
    let Some(epoch) = shared.leader.seek().await else {
        let message = "only the leader writes to the journal, and this process does not lead".into();
        return Err(Failure::Unavailable { message });
    };
    let (now, words) = (shared.clock.now(), format!("released by {by}: {reason}"));
    // One that was released just before a crash is none of these any more; then only its incident has to be told.
    for saga in shared.ports.journal.unfinished().await? {
        let entries = shared.ports.journal.read(&saga).await?;
        if let Some(entry) = Saga::release(&entries, id, epoch, &words, now) {
            shared.ports.journal.append(&entry).await?;
        }
    }
    Ok(shared.incidents.released(incident, &words, now))
}
