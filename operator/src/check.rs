//! `plimsoll-operator check`: whether an installation answers, asked from inside the cluster. `helm test` runs it.

use std::time::Duration;

use http::StatusCode;
use kube::{Client, Config};

/// Time between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to answer.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Where to ask. An http address must answer 200. An https one must answer at all: it asks for a token first
    #[arg(required = true, value_name = "URL")]
    urls: Vec<http::Uri>,
    /// Seconds within which all must have answered
    #[arg(long, default_value_t = 60)]
    within_seconds: u64,
}

/// Something did not answer.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No client can be made.
    #[error("failed to make a client for {url}")]
    Client {
        /// Where to.
        url: http::Uri,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// It did not answer as it should.
    #[error("failed to get an answer from {url} within {seconds} s: {last}")]
    Silent {
        /// Where to.
        url: http::Uri,
        /// How long it was tried.
        seconds: u64,
        /// What was seen last.
        last: String,
    },
}

/// Asks every address until it answers.
///
/// # Errors
/// The first that does not in time.
pub async fn run(args: &CheckArgs) -> Result<(), CheckError> {
    for url in &args.urls {
        let mut last = String::new();
        let asking = async {
            loop {
                match ask(url).await {
                    Ok(None) => return Ok(()),
                    Ok(Some(seen)) => last = seen,
                    Err(error) => return Err(error),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(args.within_seconds), asking).await {
            Ok(answered) => answered?,
            Err(_) => return Err(CheckError::Silent { url: url.clone(), seconds: args.within_seconds, last }),
        }
        tracing::info!(%url, "answers");
    }
    Ok(())
}

/// What is wrong with the answer, if anything.
async fn ask(url: &http::Uri) -> Result<Option<String>, CheckError> {
    let secure = url.scheme_str() == Some("https");
    // The path is the request's: the client puts its own before it.
    let mut base = url.clone().into_parts();
    base.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let mut config = Config::new(http::Uri::from_parts(base).unwrap_or_default());
    // Whether its certificate is good is for programs to find out, which have the authority's.
    config.accept_invalid_certs = true;
    // Else the client wants the system's, and an image has none.
    config.root_cert = Some(Vec::new());
    config.connect_timeout = Some(Duration::from_secs(3));
    config.read_timeout = Some(Duration::from_secs(3));
    let failed = |source| CheckError::Client { url: url.clone(), source: Box::new(source) };
    let client = Client::try_from(config).map_err(failed)?;
    let request = http::Request::get(url.path()).body(kube::client::Body::empty());
    let request = request.map_err(|error| failed(kube::Error::HttpError(error)))?;
    Ok(match client.send(request).await {
        Ok(answer) if answer.status() == StatusCode::OK || secure && !answer.status().is_server_error() => None,
        Ok(answer) => Some(format!("it says {}", answer.status())),
        Err(error) => Some(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_that_listens_is_told_by_its_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        drop(listener);
        let args = CheckArgs { urls: vec![url.parse().unwrap()], within_seconds: 1 };
        let error = run(&args).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("failed to get an answer from {url} within 1 s: ")), "{error}");
    }
}
