//! The server for probes and scrapes: `/livez`, `/readyz`, `/metrics`.

use std::fmt::Write;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::{Readiness, Registry};

/// The server for probes and scrapes, bound to its address.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

/// Why the admin server stopped or did not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be had.
    #[error("failed to bind the admin address {address}")]
    Bind {
        /// The address as given.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server ended early.
    #[error("failed to serve the admin address {address}")]
    Serve {
        /// The address that it was bound to.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

#[derive(Clone)]
struct Shown {
    registry: Registry,
    readiness: Readiness,
}

impl AdminServer {
    /// Takes the address. From here on connections queue; they are answered by [`AdminServer::serve`].
    pub async fn bind(address: SocketAddr, registry: Registry, readiness: Readiness) -> Result<Self, AdminError> {
        let listener = TcpListener::bind(address).await.map_err(|source| AdminError::Bind { address, source })?;
        let address = listener.local_addr().map_err(|source| AdminError::Bind { address, source })?;
        Ok(Self { listener, address, router: router(registry, readiness) })
    }

    /// The address in use; it has the real port where port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done, then finishes the answers begun.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), AdminError> {
        let address = self.address;
        tracing::info!(%address, "admin server listens");
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(shutdown)
            .await
            .map_err(|source| AdminError::Serve { address, source })
    }
}

/// The routes alone, for a process that has a server already.
pub fn router(registry: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Shown { registry, readiness })
}

async fn ready(State(shown): State<Shown>) -> Response {
    let missing = shown.readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    let body = missing.iter().fold(String::new(), |mut body, (name, what)| {
        // Writing to a String cannot fail.
        let _ = writeln!(body, "{name}: {what}");
        body
    });
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    match shown.registry.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, Registry::MEDIA_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics cannot be shown");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{self, Body};
    use axum::http::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_lists_what_is_missing_while_livez_stays_well() {
        let readiness = Readiness::new();
        let driver = readiness.condition("driver");
        driver.missing("no library");
        let router = router(Registry::new("test", "0").unwrap(), readiness);

        assert_eq!(ask(&router, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "driver: no library\n".to_owned()));
        assert_eq!(ask(&router, "/livez").await, (StatusCode::OK, "ok\n".to_owned()));
        driver.met();
        assert_eq!(ask(&router, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn metrics_are_shown_as_text() {
        let router = router(Registry::new("test", "0").unwrap(), Readiness::new());
        let (status, text) = ask(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("plimsoll_build_info"));
        assert_eq!(ask(&router, "/else").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_server_answers_on_the_bound_port_and_ends_when_told() {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let server = AdminServer::bind(address, Registry::new("test", "0").unwrap(), Readiness::new()).await.unwrap();
        let address = server.address();
        assert_ne!(address.port(), 0);
        let serving = tokio::spawn(server.serve(async move {
            let _ = stopped.await;
        }));

        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_taken_address_is_named_in_the_error() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error =
            AdminServer::bind(address, Registry::new("test", "0").unwrap(), Readiness::new()).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()));
    }
}
