//! The HTTPS server that training programs report to. Client required for reviewing tokens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use plimsoll_protocol::{Reply, Report};
use plimsoll_scheduling::JobKey;

use super::auth::{Doorkeeper, Refusal};
use super::state::Progress;

/// Largest body of a report.
const LARGEST: usize = 64 * 1024;

/// The server could not be had.
#[derive(Debug, thiserror::Error)]
#[error("failed to serve the progress endpoint at {address}")]
pub struct ServeError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// What a request is answered from.
#[derive(Clone)]
struct Desk {
    progress: Progress,
    door: Arc<Doorkeeper>,
}

/// The routes of the endpoint.
pub fn router(progress: Progress, door: Arc<Doorkeeper>) -> Router {
    Router::new()
        .route("/v1alpha1/namespaces/{namespace}/trainingjobs/{name}/status", post(report))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(Desk { progress, door })
}

/// Listens until `shutdown` is done.
///
/// # Errors
/// When the address cannot be had, or the server ended early.
pub async fn serve(
    address: SocketAddr,
    tls: RustlsConfig,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let handle = Handle::new();
    let stopping = handle.clone();
    tokio::spawn(async move {
        shutdown.await;
        stopping.graceful_shutdown(Some(Duration::from_secs(2)));
    });
    tracing::info!(%address, "the progress endpoint listens");
    axum_server::bind_rustls(address, tls)
        .handle(handle)
        .serve(router.into_make_service())
        .await
        .map_err(|source| ServeError { address, source })
}

async fn report(
    State(desk): State<Desk>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let job = JobKey { namespace, name };
    let Some(live) = desk.progress.revision(&job) else { return refuse(StatusCode::NOT_FOUND, "no such job runs") };
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let Some(token) = token else { return refuse_with(&Refusal::Unauthenticated) };
    let revision = match desk.door.admit(&job, live, token, Instant::now()).await {
        Ok(revision) => revision,
        Err(refusal) => return refuse_with(&refusal),
    };
    let report: Report = match serde_json::from_slice(&body) {
        Ok(report) => report,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("the report cannot be read: {error}")),
    };
    match desk.progress.hear(&job, revision, report, Timestamp::now()) {
        Some(plan) => axum::Json(Reply { plan }).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no such job runs"),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn refuse_with(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Unauthenticated => StatusCode::UNAUTHORIZED,
        Refusal::Forbidden => StatusCode::FORBIDDEN,
        Refusal::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    refuse(status, &refusal.to_string())
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(serde_json::json!({"message": message}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_in_any_case_and_nothing_else_is() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer "), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
