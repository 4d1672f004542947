//! The testbed against the real programs.

mod control_plane;
mod node;
mod ownership;
