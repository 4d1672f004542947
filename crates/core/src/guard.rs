//! The guards of KubeWise by name: each rule that keeps it from doing harm.
//!
//! A guard counts as proven when a scenario that injects its fault ends well, and ends badly once the guard is
//! taken out (`cargo xtask prove-guards`). So each guard asks [`Guards::stands`] before it guards. In a build
//! without the feature `guard-mutation` the answer is always yes and a [`Guards`] holds nothing: there is no way
//! to take one out. `cargo xtask check` shows that the program is built so, and a release with the feature does
//! not compile.
//!
//! Adding a guard is one line here, one in `docs/guards.md`, and one scenario in the tests of its place; without the
//! scenario `prove-guards` fails.

use std::fmt;

/// Where a guard is at work, and so which crate's tests prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The rules that a plan is held against: `remediation::policy`.
    Policy,
    /// The execution of a plan: `remediation::saga`.
    Saga,
    /// The loops: `runtime`.
    Runtime,
    /// The durable journal: `adapters/sqlite`.
    Journal,
    /// What a model is told and what is taken from its answer: `remediation::author`.
    Author,
    /// What is asked of the API server: `adapters/kubernetes`.
    Cluster,
}

macro_rules! guards {
    ($($place:ident { $($(#[doc = $doc:literal])+ $guard:ident,)+ })+) => {
        /// A guard by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Guard {
            $($($(#[doc = $doc])+ $guard,)+)+
        }

        impl Guard {
            pub const ALL: &'static [Guard] = &[$($(Guard::$guard,)+)+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $($(Guard::$guard => stringify!($guard),)+)+
                }
            }

            /// What it sees to.
            pub fn meaning(self) -> &'static str {
                match self {
                    $($(Guard::$guard => concat!($($doc),+).trim_ascii_start(),)+)+
                }
            }

            pub fn place(self) -> Place {
                match self {
                    $($(Guard::$guard)|+ => Place::$place,)+
                }
            }
        }
    };
}

guards! {
    Policy {
        /// The cluster's own namespaces, KubeWise's own and configured ones are never written.
        ProtectedNamespace,
        /// A step is exactly what its action means here and now.
        Lowering,
        /// Only the incident's workload, its pods and what refers to it are touched.
        OwnHierarchy,
        /// A field that something else reconciles is never written.
        FieldOwnership,
        /// The replicas are the HorizontalPodAutoscaler's, if there is one.
        OwnedByAutoscaler,
        /// The replicas are KEDA's, if it scales the workload.
        OwnedByKeda,
        /// The resources are the VerticalPodAutoscaler's, if there is one.
        OwnedByVerticalAutoscaler,
        /// What an operator's object controls is changed by way of that object.
        OwnedByController,
        /// What Argo CD manages is changed at its source.
        OwnedByArgoCd,
        /// What Flux manages is changed at its source.
        OwnedByFlux,
        /// What Fleet manages is changed at its source.
        OwnedByFleet,
        /// What Config Sync manages is changed at its source.
        OwnedByConfigSync,
        /// What a Helm release installed is changed by an upgrade, unless a person allows otherwise.
        OwnedByHelm,
        /// A field whose manager reconciles it is that manager's.
        OwnedByManager,
        /// A revision that KubeWise made is not undone as if a person had made it.
        OwnRevision,
        /// A rollout is undone only to a revision that is there and was healthy.
        RevisionStillThere,
        /// No template change while somebody holds the rollout.
        PausedRollout,
        /// No template change under `Recreate` while pods are ready.
        RecreateStrategy,
        /// Nothing is scaled to zero.
        NeverToZero,
        /// No StatefulSet is scaled down.
        NoStatefulSetScaleDown,
        /// No workload, no autoscaler's bound and no claim becomes more than twice as large at once.
        AtMostTwice,
        /// Limits stay between use and cap, and within limit ranges, quotas and the room on nodes.
        LimitBounds,
        /// No limit is below what is used.
        AboveUse,
        /// No limit is raised above the cap.
        BelowCap,
        /// What a LimitRange of the namespace forbids is not asked for.
        LimitRanges,
        /// Nothing is asked for that the quotas of the namespace have no room for.
        Quotas,
        /// Nothing is asked for that no node has room for.
        NodeRoom,
        /// Only pods that come back are evicted.
        Evictions,
        /// Only so many repairs of one workload within a window.
        Attempts,
        /// What was treated without success so often is a person's, over restarts and changed pod names.
        Escalation,
        /// A field that somebody else keeps putting back is not fought over.
        Oscillation,
        /// A workload is left alone for a while after an action.
        Cooldown,
        /// No two repairs of one object, and only so many at one time.
        Concurrency,
        /// Only so many pods may become unavailable at one time.
        DisruptionBudget,
        /// When too much is unhealthy, the cause is elsewhere: only observing goes on.
        Storm,
        /// While one workload after the other falls ill, it waits to see whether that becomes a storm.
        GatheringStorm,
        /// While nothing can be measured, nothing is begun.
        Telemetry,
        /// Nothing is begun in a change freeze.
        Freeze,
        /// Nothing is begun while a person has paused KubeWise.
        Pause,
        /// An action acts by itself only where it has proven itself, if autonomy is to be earned.
        EarnedAutonomy,
        /// A plan is no longer than a person can read.
        PlanSize,
        /// What cannot be undone comes last, and once.
        IrreversibleLast,
    }
    Saga {
        /// Every write tests the uid of the object that is meant.
        UidTest,
        /// Every write tests the value that each touched field had.
        BeforeTest,
        /// Every write tests the fence that was read.
        FenceTest,
        /// A successor raises the fence before it goes on with what was begun.
        FenceFirst,
        /// A leader that finds the fence of a newer one stops.
        NewerFence,
        /// No effect before its journal entry is durable.
        JournalBeforeAct,
        /// The server judges a step before it is journalled as prepared.
        DryRun,
        /// What a step takes down is saved before.
        Capture,
        /// What may have been applied is read back, not taken for failed.
        ReadBack,
        /// A request without an answer is sent only so often.
        SentThrice,
        /// Policy is asked before each act.
        CheckBeforeAct,
        /// An old plan is not begun.
        PlanAge,
        /// Opening takes the lock of every object that is written.
        Locks,
        /// Only a field that still holds our value is put back.
        UndoOnlyOurs,
        /// What was only tested, such as whose container an index means, still holds before an undo.
        UndoMeantOnly,
        /// Ownership and protection are asked before an undo as well.
        CheckBeforeUndo,
        /// What did no harm is not undone for lack of success.
        UndoOnlyForHarm,
        /// What replaced something that was itself failing is kept when a later step fails.
        KeepForFailing,
        /// One bad measurement is not yet harm.
        WorseTwice,
        /// No verdict without a sample newer than the act.
        FreshSample,
        /// The trouble must stay gone for the settle time.
        SettleTime,
        /// While anything of the workload fires it does not count as repaired.
        TroubleGone,
        /// Harm to those that need the workload is harm.
        Dependants,
        /// What is not proven to have helped never ends as repaired.
        InconclusiveNeverCloses,
        /// After an undo that failed the locks are kept for a person.
        StuckKeepsLocks,
    }
    Runtime {
        /// In observe nothing is written to the cluster.
        Observe,
        /// In propose a person decides.
        Approval,
        /// Only the leader acts.
        LeaderOnly,
        /// What an earlier process left is taken up before anything new begins.
        RecoveryFirst,
    }
    Journal {
        /// An older leader cannot write.
        JournalEpoch,
        /// No entry is written twice, differently, or with a gap before it.
        JournalSequence,
        /// No two open sagas hold one object.
        JournalLocks,
    }
    Author {
        /// Of an object only listed fields are told to a model.
        EgressAllowList,
        /// Secrets are taken out of text that leaves for a model.
        Redaction,
        /// Text from the cluster cannot end the part of a prompt that is marked as data.
        Fence,
        /// A cause is taken only with evidence that was shown.
        CitedEvidence,
        /// A model arranges what playbooks offer, and names nothing else.
        OfferedOnly,
        /// A model changes an amount only the way that is offered, and not much further.
        AmountBounds,
        /// A model that would do nothing does not keep a playbook from repairing.
        NoVeto,
    }
    Cluster {
        /// An eviction names the uid of the pod that is meant.
        EvictionUid,
        /// The Lease is taken only as it was read.
        LeaseCompareAndSwap,
        /// A write is sent once, whatever the answer.
        SentOnce,
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Guard {
    type Err = UnknownGuard;

    fn from_str(text: &str) -> Result<Self, UnknownGuard> {
        let found = Guard::ALL.iter().find(|guard| guard.as_str() == text);
        found.copied().ok_or_else(|| UnknownGuard(text.into()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a guard")]
pub struct UnknownGuard(String);

/// The guards that stand: all of them, except where a test took one out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    #[cfg(feature = "guard-mutation")]
    out: Option<Guard>,
}

impl Guards {
    /// Whether a guard can be taken out in this build.
    pub const MUTABLE: bool = cfg!(feature = "guard-mutation");

    #[cfg(not(feature = "guard-mutation"))]
    pub fn stands(self, _: Guard) -> bool {
        true
    }

    #[cfg(feature = "guard-mutation")]
    pub fn stands(self, guard: Guard) -> bool {
        self.out != Some(guard)
    }

    #[cfg(feature = "guard-mutation")]
    pub fn without(guard: Guard) -> Self {
        Guards { out: Some(guard) }
    }
}

#[cfg(feature = "guard-mutation")]
pub mod proof;

#[cfg(all(feature = "guard-mutation", not(debug_assertions)))]
compile_error!("a release has all its guards: build it without the feature `guard-mutation`");
