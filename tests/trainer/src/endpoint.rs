//! The progress endpoint, over HTTP/1.0 by hand: one small POST does not ask for a client of its own.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use plimsoll_protocol::{Reply, Report};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long connecting, and each read or write, may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Largest answer that is read.
const LARGEST: u64 = 64 * 1024;

/// A report was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("failed to read the address {0:?}")]
    Url(String),
    #[error("failed to read {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("failed to set up TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to reach the endpoint")]
    Exchange(#[source] io::Error),
    #[error("failed to be heard: the endpoint says {0}")]
    Refused(String),
    #[error("failed to read the answer")]
    Answer(#[source] serde_json::Error),
}

/// Where reports go.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// `http` or `https`.
    pub(crate) url: String,
    /// File with the bearer token. Read for each report, since the kubelet renews it.
    pub(crate) token: Option<PathBuf>,
    /// File with the authority's certificates; for `https` it must be given.
    pub(crate) authority: Option<PathBuf>,
}

impl Endpoint {
    /// Sends a report. Blocks, for as long as a few times [`PATIENCE`].
    pub(crate) fn post(&self, report: &Report) -> Result<Reply, EndpointError> {
        let bad_url = || EndpointError::Url(self.url.clone());
        let uri: Uri = self.url.parse().map_err(|_| bad_url())?;
        let authority = uri.authority().ok_or_else(bad_url)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad_url()),
        };
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = self.request(authority.as_str(), path, report)?;
        let stream = connect(host, port).map_err(EndpointError::Exchange)?;
        let answer = if secure {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| bad_url())?;
            let connection = ClientConnection::new(self.tls()?, name).map_err(|e| EndpointError::Tls(Box::new(e)))?;
            exchange(StreamOwned::new(connection, stream), &request)
        } else {
            exchange(stream, &request)
        };
        parse(&answer.map_err(EndpointError::Exchange)?)
    }

    fn request(&self, host: &str, path: &str, report: &Report) -> Result<Vec<u8>, EndpointError> {
        let body = serde_json::to_vec(report).map_err(EndpointError::Answer)?;
        let mut head = format!("POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n");
        if let Some(file) = &self.token {
            let token = std::fs::read_to_string(file).map_err(|source| EndpointError::File(file.clone(), source))?;
            head.push_str(&format!("Authorization: Bearer {}\r\n", token.trim()));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        Ok([head.into_bytes(), body].concat())
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, EndpointError> {
        let boxed = |error: rustls::Error| EndpointError::Tls(Box::new(error));
        let file = self.authority.as_deref().unwrap_or(Path::new(""));
        let mut roots = RootCertStore::empty();
        let unreadable = |error| EndpointError::File(file.to_owned(), io::Error::other(error));
        for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
            roots.add(certificate.map_err(unreadable)?).map_err(boxed)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Ok(Arc::new(builder.map_err(boxed)?.with_root_certificates(roots).with_no_client_auth()))
    }
}

/// Tries each of a name's addresses.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(LARGEST).read_to_end(&mut answer) {
        // Some servers close without saying so over TLS; a body cut short is no JSON.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

fn parse(answer: &[u8]) -> Result<Reply, EndpointError> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let (head, body) = answer.split_at(end);
    let head = String::from_utf8_lossy(head);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(EndpointError::Refused(format!("{status:?}")));
    }
    serde_json::from_slice(body.get(4..).unwrap_or_default()).map_err(EndpointError::Answer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const REPLY: &str =
        r#"{"plan":{"revision":2,"microBatch":8,"accumulation":1,"checkpoint":"now","stopAfterCheckpoint":true}}"#;

    /// Reads one request to its end and answers it.
    fn serve(mut stream: impl Read + Write, answer: &str) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n{}") {
            let mut part = [0; 512];
            let read = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.flush().unwrap();
        String::from_utf8(request).unwrap()
    }

    fn answered(answer: String) -> (String, Result<Reply, EndpointError>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "secret\n").unwrap();
        let url = format!("http://{}/status?a=b", listener.local_addr().unwrap());
        let endpoint = Endpoint { url, token: Some(token), authority: None };
        let server = std::thread::spawn(move || serve(listener.accept().unwrap().0, &answer));
        let reply = endpoint.post(&Report::default());
        (server.join().unwrap(), reply)
    }

    #[test]
    fn only_an_endpoint_of_the_given_authority_is_believed() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let server = Arc::new(server);
        let listener = TcpListener::bind("localhost:0").unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let endpoint = Endpoint { url, token: None, authority: Some(file.clone()) };

        std::fs::write(&file, made.cert.pem()).unwrap();
        let own = Arc::clone(&server);
        let accepting = listener.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            let connection = rustls::ServerConnection::new(own).unwrap();
            // It closes without a word, as some do.
            serve(
                StreamOwned::new(connection, accepting.accept().unwrap().0),
                &format!("HTTP/1.1 200 OK\r\n\r\n{REPLY}"),
            )
        });
        assert_eq!(endpoint.post(&Report::default()).unwrap().plan.micro_batch, 8);
        thread.join().unwrap();

        std::fs::write(&file, other.cert.pem()).unwrap();
        let thread = std::thread::spawn(move || {
            let connection = rustls::ServerConnection::new(server).unwrap();
            StreamOwned::new(connection, listener.accept().unwrap().0).read(&mut [0; 1]).unwrap_err()
        });
        assert!(matches!(endpoint.post(&Report::default()), Err(EndpointError::Exchange(_))));
        thread.join().unwrap();
    }

    #[test]
    fn a_report_carries_the_token_and_its_reply_is_read() {
        let (request, reply) = answered(format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{REPLY}", REPLY.len()));
        assert!(request.starts_with("POST /status?a=b HTTP/1.0\r\n"), "{request}");
        assert!(request.contains("\r\nAuthorization: Bearer secret\r\n"), "{request}");
        assert!(reply.unwrap().plan.stop_after_checkpoint);
    }

    #[test]
    fn a_refusal_is_told_in_the_endpoint_s_words() {
        let (_, reply) = answered("HTTP/1.0 403 Forbidden\r\n\r\n".to_owned());
        assert_eq!(reply.unwrap_err().to_string(), r#"failed to be heard: the endpoint says "HTTP/1.0 403 Forbidden""#);
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let endpoint = Endpoint { url: "ftp://x/".to_owned(), token: None, authority: None };
        assert!(matches!(endpoint.post(&Report::default()), Err(EndpointError::Url(_))));
    }
}
