//! REST, OpenAPI and authentication over core's ports.
//!
//! An endpoint is a route and its description in one value; the router and the OpenAPI
//! document are both made from the list of them, so neither can have what the other lacks.

mod access;
mod api;
mod endpoint;
mod feedback;
mod filter;
mod inquiry;
mod masked;
mod openapi;
mod pause;
mod plans;
mod problem;
mod records;
mod said;
mod system;

pub use access::{Access, Error, Options};
pub use api::{Api, router, serve};
pub use openapi::openapi;
pub use problem::{ParameterError, Problem};
