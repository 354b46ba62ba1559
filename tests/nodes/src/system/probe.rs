//! The kubelet's readiness probe.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time between two probes of a container that is not ready.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// Whether a path answers with success.
pub(super) async fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        // "HTTP/1.1 200" is all that matters.
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await?;
        std::io::Result::Ok(begin)
    };
    matches!(tokio::time::timeout(PERIOD, ask).await, Ok(Ok(begin)) if begin[9] == b'2')
}
