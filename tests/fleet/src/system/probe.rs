//! The readiness probe of a program.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a program is asked that is not ready yet.
const EAGER: Duration = Duration::from_millis(500);

/// The readiness probe of a program.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    address: SocketAddr,
    path: String,
    period: Duration,
}

impl Probe {
    /// The probe of a container whose admin server listens at `address`; `None` where it has none.
    pub(super) fn of(container: &Container, address: SocketAddr) -> Option<Self> {
        let probe = container.readiness_probe.as_ref()?;
        let path = probe.http_get.as_ref()?.path.clone().unwrap_or_else(|| "/".to_owned());
        let seconds = u64::try_from(probe.period_seconds.unwrap_or(10)).unwrap_or(10).max(1);
        Some(Self { address, path, period: Duration::from_secs(seconds) })
    }

    /// Asks at a time; without a probe, never.
    pub(super) async fn after(probe: Option<&Self>, at: Instant) -> bool {
        let Some(probe) = probe else { return std::future::pending().await };
        tokio::time::sleep_until(at).await;
        tokio::time::timeout(PATIENCE, probe.ask()).await.is_ok_and(|answer| answer.unwrap_or(false))
    }

    /// How long to wait until the next question.
    pub(super) fn pause(&self, ready: bool) -> Duration {
        if ready { self.period } else { EAGER }
    }

    async fn ask(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.path, self.address);
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        Ok(head.starts_with(b"HTTP/1.1 2") || head.starts_with(b"HTTP/1.1 3"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn ready_is_what_answers_with_success() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe =
            Probe { address: listener.local_addr().unwrap(), path: "/readyz".into(), period: Duration::from_secs(5) };
        let server = tokio::spawn(async move {
            for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /readyz "));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        assert!(!Probe::after(Some(&probe), Instant::now()).await);
        assert!(Probe::after(Some(&probe), Instant::now()).await);
        server.await.unwrap();
        assert!(!Probe::after(Some(&probe), Instant::now()).await, "nobody listens any more");
    }
}
