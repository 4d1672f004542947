//! Language models behind core's `PlanAuthor`: Gemini, OpenAI, what speaks OpenAI's protocol, and Anthropic.
//!
//! [`LanguageModel`] sends a prompt once and tells what came: an answer with its ending, or a classified failure. It
//! adds nothing to the prompt, keeps nothing, logs nothing, and neither retries nor breaks the circuit.
//!
//! The three protocols are written out here, each in one file, instead of taken from a library. The best kept one,
//! `genai`, reads a reply to its end whatever its length (0.7.2), writes it to the log, does not tell a refusal or a
//! blocked prompt, and turns on `serde_json/preserve_order` and `tokio/test-util` for the whole program, which would
//! change the order of keys in all that KubeWise writes. None of this can be mended from outside. What is needed of
//! each protocol is one request, without streaming or tools. That they are spoken right is not for us to say: the
//! tests hold each request against the providers' own published types, and let the providers' own clients read what
//! the tests' server answers.
//!
//! The process must have installed a rustls crypto provider before [`LanguageModel::new`].

mod connection;
mod model;
mod options;
mod protocol;
mod reply;
mod schema;

pub use model::LanguageModel;
pub use options::{Effort, Error, Fault, Options, Provider};
