//! Who owns whom, as far as a history tells.
//!
//! Samples name pods, and what is learnt belongs to workloads. Objects say who owns them; a CSV file can say it in
//! lines of the metric `owner`. Where neither does, the name of a pod tells: a Deployment's pods end in the hash of
//! their template and five random letters, both of an alphabet without vowels, which names given by people hardly
//! meet by chance. Any other pod stands for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kubewise_core::metric::NormalizedMetric;
use kubewise_core::state::{ContainerState, NodeState, ObjectState, Owner, PodState, StateDetail};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp, Uid};

/// Objects that a history may name; the detector follows 2 million series, and each is of an object.
pub(crate) const MAX_OBJECTS: usize = 2_000_000;
/// The letters of generated names in Kubernetes.
const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";
/// What no sample has named for this long is gone: Prometheus' own lookback.
const GONE_AFTER: Period = Period::from_mins(5);

/// An object that samples name, from the first to the last.
#[derive(Clone, Debug)]
struct Life {
    first: Timestamp,
    last: Timestamp,
    containers: BTreeSet<Arc<str>>,
}

#[derive(Debug, Default)]
pub(crate) struct Owners {
    of: BTreeMap<ObjectRef, ObjectRef>,
    lives: BTreeMap<ObjectRef, Life>,
    /// When the state of an object is first told.
    told: BTreeMap<ObjectRef, Timestamp>,
}

/// A state of which only the identity is known, or the end of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shadow {
    Applied(Box<ObjectState>),
    Gone(ObjectRef, Uid),
}

impl Owners {
    pub(crate) fn len(&self) -> usize {
        self.lives.len() + self.told.len() + self.of.len()
    }

    pub(crate) fn own(&mut self, object: ObjectRef, owner: ObjectRef) {
        self.of.insert(object, owner);
    }

    pub(crate) fn told(&mut self, object: ObjectRef, time: Timestamp) {
        let first = self.told.entry(object).or_insert(time);
        *first = time.min(*first);
    }

    pub(crate) fn is_told(&self, object: &ObjectRef) -> bool {
        self.told.contains_key(object)
    }

    pub(crate) fn sampled(&mut self, sample: &NormalizedMetric) {
        if !matches!(sample.object.kind, Kind::Pod | Kind::Node) {
            return;
        }
        let life = self.lives.entry(sample.object.clone()).or_insert_with(|| Life {
            first: sample.time,
            last: sample.time,
            containers: BTreeSet::new(),
        });
        life.first = life.first.min(sample.time);
        life.last = life.last.max(sample.time);
        if let Some(container) = &sample.container
            && !life.containers.contains(container)
        {
            life.containers.insert(container.clone());
        }
    }

    /// What stands in for the states of objects that samples name before, or without, their state being told; and
    /// of how many the owner was guessed from the name.
    pub(crate) fn shadows(&self) -> (Vec<(Timestamp, Shadow)>, u64) {
        let mut shadows = Vec::new();
        let mut guessed = 0;
        for (object, life) in &self.lives {
            let told = self.told.get(object);
            if told.is_some_and(|told| *told <= life.first) {
                continue;
            }
            let (owner, guess) = self.owner_of(object);
            guessed += u64::from(guess);
            let state = shadow(object, owner, life);
            if told.is_none() {
                let gone = Shadow::Gone(object.clone(), state.uid.clone());
                shadows.push((GONE_AFTER.after(life.last), gone));
            }
            shadows.push((life.first, Shadow::Applied(Box::new(state))));
        }
        shadows.sort_by_key(|(time, _)| *time);
        (shadows, guessed)
    }

    /// The topmost known owner, and whether it was guessed.
    fn owner_of(&self, object: &ObjectRef) -> (Option<ObjectRef>, bool) {
        let above = self.of.get(object).and_then(|owner| {
            // Both have an owner above them as a rule, which must not be taken for absent.
            if matches!(owner.kind, Kind::ReplicaSet | Kind::Job) {
                self.of.get(owner).cloned().or_else(|| deployment_of(owner, &owner.name))
            } else {
                Some(owner.clone())
            }
        });
        if above.is_some() || object.kind != Kind::Pod {
            return (above, false);
        }
        let set = object.name.rsplit_once('-').filter(|(_, end)| end.len() == 5 && is_generated(end));
        let guess = set.and_then(|(set, _)| deployment_of(object, set));
        let guessed = guess.is_some();
        (guess, guessed)
    }
}

/// The Deployment whose ReplicaSet has this name.
fn deployment_of(object: &ObjectRef, set: &str) -> Option<ObjectRef> {
    let (name, hash) = set.rsplit_once('-')?;
    let is_hash = (8..=10).contains(&hash.len()) && is_generated(hash) && !name.is_empty();
    is_hash.then(|| ObjectRef {
        kind: Kind::Deployment,
        namespace: object.namespace.clone(),
        name: name.into(),
    })
}

fn is_generated(text: &str) -> bool {
    text.chars().all(|letter| ALPHABET.contains(letter))
}

fn uid(object: &ObjectRef) -> Uid {
    Uid(format!("history:{object}").into())
}

fn shadow(object: &ObjectRef, owner: Option<ObjectRef>, life: &Life) -> ObjectState {
    let container = |name: &Arc<str>| ContainerState { name: name.clone(), ..ContainerState::default() };
    let detail = if object.kind == Kind::Node {
        StateDetail::Node(NodeState::default())
    } else {
        StateDetail::Pod(PodState {
            phase: "Running".into(),
            containers: life.containers.iter().map(container).collect(),
            ..PodState::default()
        })
    };
    ObjectState {
        object: object.clone(),
        uid: uid(object),
        resource_version: "".into(),
        generation: 0,
        created: None,
        deleted: None,
        held_by: Vec::new(),
        owner: owner.map(|owner| Owner { uid: uid(&owner), object: owner, controller: true }),
        annotations: BTreeMap::new(),
        detail,
    }
}
