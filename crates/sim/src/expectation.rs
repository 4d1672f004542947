//! How a story should end, judged on the state of the cluster and never on a text.

use std::fmt;

use kubewise_core::ObjectRef;
use kubewise_core::document::Document;

use crate::read::{count, quantity};
use crate::world::{World, WriteKind};

/// What should have become of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    pub workload: ObjectRef,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Runs this image again, whole.
    RolledBack { image: String },
    /// Its memory limit (bytes) was raised within bounds, and it stays up.
    LimitRaised { above: f64, at_most: f64 },
    /// Nothing was done to it: a person has to look.
    LeftToPeople,
    /// Runs this image with so many replicas, and nothing was done to it.
    LeftAlone { image: String, replicas: u32 },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::RolledBack { image } => write!(f, "rolled back to {image}"),
            Outcome::LimitRaised { .. } => f.write_str("memory limit raised"),
            Outcome::LeftToPeople => f.write_str("handed over, untouched"),
            Outcome::LeftAlone { .. } => f.write_str("healthy, untouched"),
        }
    }
}

impl Expectation {
    /// What differs from it now.
    pub fn check(&self, world: &World) -> Result<(), String> {
        let document = world.get(&self.workload).ok_or_else(|| format!("{} is gone", self.workload))?;
        let touched = touched_by_us(world).contains(&self.workload);
        let expect = |holds: bool, otherwise: String| if holds { Ok(()) } else { Err(otherwise) };
        match &self.outcome {
            Outcome::RolledBack { image } => {
                runs(&document, image).and_then(|()| whole(world, &self.workload, &document))
            }
            Outcome::LimitRaised { above, at_most } => {
                let limit =
                    quantity(document.0.pointer("/spec/template/spec/containers/0/resources/limits/memory"));
                let limit = limit.unwrap_or(0.0);
                expect(limit > *above && limit <= *at_most, format!("the limit is {limit} bytes"))?;
                whole(world, &self.workload, &document)
            }
            Outcome::LeftToPeople => expect(!touched, "KubeWise wrote to it".into()),
            Outcome::LeftAlone { image, replicas } => {
                expect(!touched, "KubeWise wrote to it".into())?;
                let wanted = count(&document, "/spec/replicas");
                expect(wanted == *replicas, format!("{wanted} replicas are wanted"))?;
                runs(&document, image)?;
                whole(world, &self.workload, &document)
            }
        }
    }
}

impl World {
    /// Objects that KubeWise wrote to although none of the expectations speaks of a repair of them.
    pub fn wrongly_touched(&self, expectations: &[Expectation]) -> Vec<ObjectRef> {
        let repaired = |object: &ObjectRef| {
            expectations.iter().any(|expectation| {
                expectation.workload == *object
                    && matches!(expectation.outcome, Outcome::RolledBack { .. } | Outcome::LimitRaised { .. })
            })
        };
        let mut wrong = touched_by_us(self);
        wrong.retain(|object| !repaired(object));
        wrong.sort();
        wrong.dedup();
        wrong
    }
}

/// Objects patched or pods evicted; Events and the Lease touch nothing.
fn touched_by_us(world: &World) -> Vec<ObjectRef> {
    let writes = world.writes().into_iter();
    writes
        .filter(|write| matches!(write.kind, WriteKind::Patch | WriteKind::Evict))
        .map(|write| write.object)
        .collect()
}

fn runs(document: &Document, image: &str) -> Result<(), String> {
    let found = document.text("/spec/template/spec/containers/0/image").unwrap_or_default();
    if found == image { Ok(()) } else { Err(format!("the template has image {found}, not {image}")) }
}

/// Every replica is of the newest template, available and not restarting.
fn whole(world: &World, workload: &ObjectRef, document: &Document) -> Result<(), String> {
    let desired = count(document, "/spec/replicas");
    for field in ["replicas", "updatedReplicas", "availableReplicas"] {
        let found = count(document, &format!("/status/{field}"));
        if found != desired {
            return Err(format!("{field} is {found} of {desired}"));
        }
    }
    for pod in world.pods_of(workload) {
        for status in pod.list("/status/containerStatuses") {
            if status["ready"] != true {
                return Err(format!("{} is not ready", pod.text("/metadata/name").unwrap_or_default()));
            }
        }
    }
    Ok(())
}
