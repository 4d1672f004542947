//! One query, one request, one answer.

use std::time::Instant;

use async_trait::async_trait;
use kubewise_core::metric::{MetricAnswer, MetricQuery};
use kubewise_core::port::MetricSource;
use kubewise_core::{Failure, Period, Rejection, Timestamp, failure};
use reqwest::Response;

use crate::answer::{Bounds, CLOCK_SKEW, normalise};
use crate::connection::{Call, Connection};
use crate::options::{Error, Options};
use crate::reply::Reply;

/// Bytes read of a reply that is not an answer.
const MAX_FAILURE_BYTES: usize = 64 * 1024;

/// A source of samples. Sends each query once.
#[derive(Debug)]
pub struct Prometheus {
    connection: Connection,
    options: Options,
}

impl Prometheus {
    /// Checks the options, reads the files that they name, and connects to nothing.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Prometheus { connection: Connection::new(&options)?, options })
    }

    fn cut(&self, error: &reqwest::Error) -> Failure {
        let message = failure::chain(error);
        if error.is_timeout() {
            return Failure::Unavailable {
                message: format!("no answer within {}: {message}", self.options.timeout),
            };
        }
        Failure::Unavailable { message }
    }

    /// At most `limit` bytes of the body, and whether that is all.
    async fn body(&self, response: &mut Response, limit: usize) -> Result<(Vec<u8>, bool), Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken_off(&error, body.len()))? {
            let room = limit - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Ok((body, false));
            }
        }
        Ok((body, true))
    }

    fn broken_off(&self, error: &reqwest::Error, after: usize) -> Failure {
        if error.is_timeout() {
            return self.cut(error);
        }
        let message = failure::chain(error);
        Failure::Unavailable { message: format!("the answer broke off after {after} bytes: {message}") }
    }
}

#[async_trait]
impl MetricSource for Prometheus {
    async fn sample(&self, query: &MetricQuery, now: Timestamp) -> Result<MetricAnswer, Failure> {
        let Answered { reply, body, here } = self.ask(&query.promql, Call::Now(now), now).await?;
        let bounds = self.bounds();
        let query = query.clone();
        // A large answer takes a tenth of a second, too long between two polls of other tasks.
        let read = tokio::task::spawn_blocking(move || (normalise(&body, &query, &bounds, now), body));
        let (answer, body) = read.await.map_err(|error| Failure::unavailable(&error))?;
        let mut answer = answer.map_err(|error| reply.unreadable(&error, &body))?;
        answer.warnings.extend(reply.date().and_then(|there| clock_warning(here, there)));
        Ok(answer)
    }
}

/// A whole body, with what it came with.
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    pub(crate) body: Vec<u8>,
    /// When it came, by the clock here.
    here: Timestamp,
}

impl Prometheus {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { staleness: self.options.staleness, max_samples: self.options.max_samples }
    }

    /// Sends one request.
    pub(crate) async fn ask(&self, promql: &str, call: Call, now: Timestamp) -> Result<Answered, Failure> {
        let prepared =
            self.connection.query(promql, call).await.map_err(|error| Failure::unavailable(&error))?;
        let asked = Instant::now();
        let mut response =
            self.connection.client.execute(prepared.request).await.map_err(|error| self.cut(&error))?;
        let here = Period::from(asked.elapsed()).after(now);
        let reply = Reply {
            status: response.status(),
            headers: response.headers().clone(),
            secrets: prepared.secrets,
        };
        if !reply.status.is_success() {
            // The status tells what happened even if the body does not come.
            let body =
                self.body(&mut response, MAX_FAILURE_BYTES).await.map(|(body, _)| body).unwrap_or_default();
            return Err(reply.failure(&body, here));
        }
        let (body, whole) = self.body(&mut response, self.options.max_answer_bytes).await?;
        if !whole {
            return Err(Failure::Rejected { reason: Rejection::Invalid, message: self.too_long() });
        }
        Ok(Answered { reply, body, here })
    }

    pub(crate) fn too_long(&self) -> String {
        let limit = self.options.max_answer_bytes;
        format!(
            "the answer has more than {limit} bytes; narrow the query or raise prometheus.max_answer_bytes"
        )
    }
}

/// An answer that belongs to another moment looks as good as any, so that only the clocks can tell.
fn clock_warning(here: Timestamp, there: Timestamp) -> Option<String> {
    let (way, by) = if there > here {
        ("behind", Period::between(here, there))
    } else {
        ("ahead of", Period::between(there, here))
    };
    let whole = Period::from_secs(by.as_duration().as_secs());
    (by > CLOCK_SKEW).then(|| {
        format!("the clock here is {whole} {way} the server's; its answers are of another moment than now")
    })
}
