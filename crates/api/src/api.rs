//! The router with everything around it, and serving it.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse as _, Response};
use kubewise_core::port::{Control, Inquiry, Introspection, RecordStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use crate::access::Access;
use crate::endpoint;
use crate::problem::Problem;

/// The store answers within this or not at all; a client that waits longer has gone.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A decision with a reason of some pages; nothing larger is ever sent to us.
const MAX_BODY: usize = 64 * 1024;

/// What the API stands on. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub store: Arc<dyn RecordStore>,
    pub control: Arc<dyn Control>,
    pub inquiry: Arc<dyn Inquiry>,
    pub introspection: Arc<dyn Introspection>,
    pub access: Access,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("access", &self.access).finish_non_exhaustive()
    }
}

/// All endpoints, with limits, access rules and errors in one shape.
pub fn router(api: Api) -> Router {
    endpoint::routes(&api.access)
        .fallback(async |uri: Uri| Problem::no_such_endpoint(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Problem::method_not_allowed(method.as_str(), uri.path())
        })
        .with_state(api)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(in_time))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
            Problem::of_panic(panic.as_ref()).into_response()
        }))
        .layer(map_response(guarded))
        .layer(TraceLayer::new_for_http())
}

/// Serves until `stop` is cancelled; then accepts no more and ends with the last request under way, which takes
/// at most 30 s. A connection that sends nothing can hold it up, so the caller bounds it.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable(format!("no answer within {} s", TIMEOUT.as_secs())).into_response(),
    }
}

/// Answers are the state of a moment, and never to be run by a browser as something else than what they say.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
