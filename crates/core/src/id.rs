//! Identifiers of records. They are derived from content, so that the same inputs give the same ids.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use fnv::FnvHasher;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// An id from the parts that make the thing what it is; the same parts give the same id.
            pub fn derive(parts: &[&dyn fmt::Display]) -> Self {
                $name(format!("{}{}", $prefix, digest(parts)).into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// One anomaly of one workload: from workload, reason and the time it began.
    AnomalyId "a-";
    /// From workload and the time of its first anomaly.
    IncidentId "i-";
    /// From incident, attempt and content.
    PlanId "p-";
    /// From the plan.
    SagaId "s-";
    /// From saga, step and direction.
    ActionId "x-";
    /// From plan and step.
    CaptureId "c-";
    /// A Kubernetes Event's uid and count.
    EventId "e-";
    /// From incident and the time of saying.
    FeedbackId "f-";
    /// From incident, purpose, attempt and the time of asking.
    CallId "c-";
}

/// 12 characters of base 32 (60 bits): with a million records a clash has a chance below one in two million. Whoever
/// wants a clash can make one, so nothing may be trusted for its digest.
pub fn digest(parts: &[&dyn fmt::Display]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut hasher = FnvHasher::default();
    for part in parts {
        hasher.write(part.to_string().as_bytes());
        hasher.write_u8(0xff); // "a","bc" and "ab","c" differ
    }
    let mut bits = hasher.finish();
    (0..12)
        .map(|_| {
            let digit = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
            char::from(digit)
        })
        .collect()
}
