//! One prompt, one request, one answer.

use async_trait::async_trait;
use kubewise_core::author::{Answer, Prompt};
use kubewise_core::failure::chain;
use kubewise_core::port::PlanAuthor;
use kubewise_core::{Failure, Period, Rejection, Timestamp};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::connection::Connection;
use crate::options::{Effort, Error, Options};
use crate::protocol::{Protocol, Question};
use crate::reply::Reply;

/// Bytes of a reply that are read. The longest answer that is asked for has some thousand tokens.
const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// A model that some provider serves. Sends each prompt once.
#[derive(Debug)]
pub struct LanguageModel {
    protocol: Protocol,
    connection: Connection,
    model: String,
    name: String,
    effort: Option<Effort>,
    timeout: Period,
}

impl LanguageModel {
    /// Checks the options, reads the files that they name, and connects to nothing. `None` if no model shall be asked.
    pub fn new(options: &Options) -> Result<Option<Self>, Error> {
        options.validate()?;
        let Some(protocol) = Protocol::of(options.provider) else { return Ok(None) };
        let model = options.model.as_deref().or(protocol.default_model()).unwrap_or_default();
        Ok(Some(LanguageModel {
            protocol,
            connection: Connection::new(options, protocol, model)?,
            model: model.to_owned(),
            name: format!("{}/{model}", protocol.name()),
            effort: options.effort,
            timeout: options.timeout,
        }))
    }

    /// Why no reply came, or not all of it. What was sent may have been answered, and charged.
    fn cut(&self, error: &reqwest::Error, what: &str) -> Failure {
        let message = chain(error);
        if error.is_connect() {
            return Failure::Unavailable { message };
        }
        if error.is_timeout() {
            return Failure::Unknown { message: format!("no answer within {}: {message}", self.timeout) };
        }
        Failure::Unknown { message: format!("{what}: {message}") }
    }

    /// At most [`MAX_REPLY_BYTES`] of the body, and whether that is all.
    async fn body(&self, response: &mut Response) -> Result<(Vec<u8>, bool), Failure> {
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                self.cut(&error, &format!("the answer broke off after {} bytes", body.len()))
            })?;
            let Some(chunk) = chunk else { return Ok((body, true)) };
            let room = MAX_REPLY_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Ok((body, false));
            }
        }
    }
}

#[async_trait]
impl PlanAuthor for LanguageModel {
    async fn answer(&self, prompt: &Prompt) -> Result<Answer, Failure> {
        let invalid = |message| Failure::Rejected { reason: Rejection::Invalid, message };
        let question = Question { model: &self.model, effort: self.effort, prompt };
        let body = self.protocol.request(&question).map_err(|error| invalid(chain(&error)))?;
        let key = self.connection.key().await?;
        let request = self
            .connection
            .client
            .post(self.connection.url.clone())
            .headers(self.protocol.headers(key.as_ref()))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        let mut response = request.send().await.map_err(|error| self.cut(&error, "no answer came"))?;
        let reply = Reply {
            status: response.status(),
            headers: response.headers().clone(),
            key,
            time: Timestamp::now(),
        };
        if !reply.status.is_success() {
            // The status tells what happened even if the body does not come.
            let body = self.body(&mut response).await.map(|(body, _)| body).unwrap_or_default();
            return Err(reply.failure(&body));
        }
        let (body, whole) = self.body(&mut response).await?;
        if !reply.is_json() {
            return Err(invalid(reply.foreign(&body)));
        }
        if !whole {
            return Err(invalid(format!("the answer has more than {MAX_REPLY_BYTES} bytes")));
        }
        self.protocol.read(&body, &self.model).map_err(|unreadable| reply.unreadable(&unreadable, &body))
    }

    fn name(&self) -> &str {
        &self.name
    }
}
