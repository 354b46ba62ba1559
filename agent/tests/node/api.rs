//! The apiserver, played: it takes every request, tells the test, and answers as told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::rig::PATIENCE;

/// One request that the agent made.
#[derive(Debug)]
pub struct Asked {
    pub method: String,
    pub path_and_query: String,
    pub body: Value,
}

/// The requests that the agent makes.
pub struct Api {
    asked: UnboundedReceiver<Asked>,
    present: Arc<AtomicBool>,
}

impl Api {
    /// A client, and where its requests arrive. The AcceleratorNode is there.
    pub fn new() -> (Client, Self) {
        let (sender, asked) = unbounded_channel();
        let present = Arc::new(AtomicBool::new(true));
        let is_present = Arc::clone(&present);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (sender, is_present) = (sender.clone(), Arc::clone(&is_present));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let asked = Asked {
                    method: head.method.to_string(),
                    path_and_query: head.uri.path_and_query().unwrap().to_string(),
                    body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                };
                let answer = if is_present.load(Ordering::SeqCst) { echo(&asked.body) } else { absent() };
                // The test may be over.
                let _ = sender.send(asked);
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        (Client::new(service, "default"), Self { asked, present })
    }

    /// From now on the AcceleratorNode is there, or not.
    pub fn set_present(&self, present: bool) {
        self.present.store(present, Ordering::SeqCst);
    }

    /// The next request.
    pub async fn next(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("the agent asks the apiserver").unwrap()
    }

    /// The status of the first request that fits.
    pub async fn status(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let status = self.next().await.body["status"].clone();
            if fits(&status) {
                return status;
            }
        }
    }

    /// Requests that have arrived and were not looked at.
    pub fn waiting(&self) -> usize {
        self.asked.len()
    }
}

fn echo(body: &Value) -> Response<Body> {
    let mut object = body.clone();
    object["spec"] = json!({});
    answer(StatusCode::OK, &object)
}

fn absent() -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "acceleratornodes.plimsoll.dev \"node-1\" not found", "reason": "NotFound", "code": 404,
    });
    answer(StatusCode::NOT_FOUND, &status)
}

fn answer(code: StatusCode, body: &Value) -> Response<Body> {
    let body = Body::from(serde_json::to_vec(body).unwrap());
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}
