//! A real Kubernetes for tests, started in seconds, as root on one Linux machine.
//!
//! [`Tier::ControlPlane`] is etcd, apiserver and controller-manager. [`Tier::Node`] adds a scheduler,
//! a node that runs containers, kube-state-metrics and Prometheus, so that crash loops, kills for
//! memory and failed pulls are the real ones. `scripts/setup` installs the programs.
//!
//! Each cluster lives in a network namespace of its own, so its ports clash with nothing and several
//! run side by side. A pair of virtual interfaces joins it to the root namespace: tests reach the
//! apiserver and Prometheus at `10.99.SLOT.1` like any other host, without entering anything. Pods
//! (10.88.0.0/24) and Services are reached only from inside: [`Cluster::command`].
//!
//! A cluster ends with its owner, however that ends; see `slot.rs`. [`Past`] is a Prometheus alone, with a history.
//!
//! [`ModelServer`] stands in for a provider of language models, and needs nothing installed.
//!
//! | variable | meaning |
//! |---|---|
//! | `CI` | a missing program fails the tests instead of skipping them |
//! | `KUBEWISE_TESTBED=existing` | use kubectl's current context, if it is one of kind, k3d or minikube |
//! | `KUBEWISE_TESTBED_CONTEXT` | the name of another context that may be used so |
//! | `KUBEWISE_TESTBED_LOGS` | a directory that receives the programs' logs when a cluster ends |

mod audit;
pub mod by_hand;
mod cluster;
mod existing;
mod http;
mod image;
mod machine;
mod model;
mod past;
mod pki;
mod program;
mod proxy;
mod slot;
mod tools;
mod wait;
mod workload;

pub use audit::{USER, Write};
pub use cluster::{Cluster, Options, for_test, shared};
pub use model::{ModelEnding, ModelReply, ModelRequest, ModelServer, ModelText};
pub use past::Past;
pub use program::{Program, Tier};
pub use proxy::Proxy;
pub use tools::Missing;
pub use wait::wait_for;
pub use workload::{Behaviour, Workload};
