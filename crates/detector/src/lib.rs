//! Observations to anomalies to incidents.
//!
//! One synchronous call, [`Detector::observe`], takes what was seen and the time, and returns what changed;
//! [`Detector::tick`] does the same for time that passes. The same observations at the same times give the same
//! changes, byte for byte.
//!
//! The thread: an observation changes what is known (`world`, `history`); `rules` read from it the symptoms of a
//! workload as they are now; `series_book` adds measures that left their normal level (`work`: less is done, or nothing
//! moves), `exhaustion` those that will be full, `models` what people's labels say; `anomalies` turns symptoms that come
//! and go into anomalies that fire and resolve, and those into incidents; `causes` tells whose, `prelude` what led up to
//! it (from `events` and their known `orders`). `healthy` tells revisions that work.

mod agenda;
mod anomalies;
mod causes;
mod detector;
mod events;
mod exhaustion;
mod healthy;
mod history;
mod models;
mod off;
mod options;
mod orders;
mod prelude;
mod records;
mod rhythm;
mod rules;
mod samples;
mod series;
mod series_book;
mod services;
mod serving;
mod suppressions;
mod symptom;
mod telemetry;
mod text;
mod work;
mod world;

pub use anomalies::leading;
pub use detector::{Detector, Stats};
pub use options::{BoundOptions, DeviationOptions, ExhaustionOptions, Options, RuleOptions};

use jiff::Timestamp;
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::event::EventRecord;
use kubewise_core::feedback::Feedback;
use kubewise_core::id::{AnomalyId, IncidentId};
use kubewise_core::incident::Incident;
use kubewise_core::metric::NormalizedMetric;
use kubewise_core::port::WatchItem;
use kubewise_core::record::HealthyRevision;
use kubewise_core::service::ServingService;

/// Something seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    Metric(NormalizedMetric),
    Watch(WatchItem),
    /// A query of the catalogue was answered, or was not.
    Query {
        name: String,
        answered: bool,
    },
    /// What a person said of an incident, or a verified repair showed, with the anomalies that it is about.
    Feedback {
        feedback: Box<Feedback>,
        anomalies: Vec<AnomalyRecord>,
    },
}

/// What an observation changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new, updated or resolved anomaly, to be saved.
    Anomaly(Box<AnomalyRecord>),
    /// Comes before its first anomaly.
    IncidentOpened(Box<Incident>),
    /// A further anomaly of an open incident.
    IncidentJoined { incident: IncidentId, anomaly: AnomalyId, text: String },
    /// All anomalies of an incident have been resolved for the settle time. A later anomaly of the workload
    /// opens another incident.
    IncidentQuiet { incident: IncidentId, since: Timestamp },
    /// A deviation that labels held back, now that it is over: it never fired and has no incident.
    HeldBack(Box<AnomalyRecord>),
    /// A workload is fully available on a revision.
    Healthy(Box<HealthyRevision>),
    /// A Service leads to ready pods.
    Serving(Box<ServingService>),
    /// An Event, with its workload, to be saved.
    Event(Box<EventRecord>),
}
