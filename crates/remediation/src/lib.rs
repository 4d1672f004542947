//! From an incident to evidence, candidates (offers and a proposal, if a model is asked), a plan, its saga and the verdict.
//!
//! Everything here is a value or a function of values: the runtime gathers what [`evidence`] asks for, and
//! performs what a [`saga`] asks for.

pub mod action;
pub mod author;
pub mod capture;
pub mod evidence;
mod facts;
mod field;
mod network;
pub mod planner;
pub mod playbook;
pub mod policy;
mod revision;
pub mod saga;
mod selector;
pub mod verify;
