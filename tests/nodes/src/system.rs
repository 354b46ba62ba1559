//! Pods of Plimsoll itself: each a real process on this machine.

mod child;
mod launch;
mod probe;
mod volumes;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::access::{self, Token};
use crate::node::Node;
use crate::pod::{ContainerState, Ended, Fate, News, Picture, Writer, fate, gone, is_final};
use crate::register::SystemPod;
use crate::site::{Site, stopped};
use child::Child;
use launch::Launch;

/// Pause before the first restart; doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long the apiserver may take to give a token.
const PATIENCE: Duration = Duration::from_secs(2);
/// A process that ran for so long is not in a crash loop.
const STEADY: Duration = Duration::from_secs(30);
/// How long a process has to end when the fleet ends.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// Plays one pod of Plimsoll until it is gone or the fleet ends.
pub(crate) async fn play(site: Arc<Site>, node: Arc<Node>, news: News) {
    let pod = news.borrow().clone();
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let mut played = Played::new(&site, &node, news, &pod);
    if !is_final(&pod) {
        match played.prepare(&pod).await {
            Ok(launch) => played.run(launch).await,
            Err(error) => {
                let name = &pod.metadata.name;
                tracing::error!(name, error = &error as &dyn std::error::Error, "a pod of Plimsoll cannot be started");
                played.picture.set_all(&ContainerState::Waiting("CreateContainerError"));
                played.write();
            }
        }
    }
    site.register.forget(&uid);
    let mut stop = site.stop.clone();
    tokio::select! {
        () = stopped(&mut stop) => (),
        fate = fate(&mut played.news) => if fate != Fate::Gone {
            played.picture.end(None, &Ended::with(143), Timestamp::now());
            played.let_go().await;
        },
    }
}

struct Played<'a> {
    site: &'a Site,
    node: &'a Node,
    news: News,
    picture: Picture,
    /// Where the picture goes from here.
    pictures: watch::Sender<Picture>,
    scribe: JoinSet<()>,
}

/// Why a run of a process is over.
enum Over {
    /// It ended by itself.
    Ended(Ended),
    /// Its pod is deleted or gone, or the fleet ends.
    Wanted,
}

impl<'a> Played<'a> {
    fn new(site: &'a Site, node: &'a Node, news: News, pod: &Pod) -> Self {
        let picture = Picture::new(pod, Timestamp::now());
        let (pictures, seen) = watch::channel(picture.clone());
        let mut scribe = JoinSet::new();
        scribe.spawn(Writer::of(&site.client, pod).follow(news.clone(), seen));
        Self { site, node, news, picture, pictures, scribe }
    }

    fn write(&self) {
        self.pictures.send_replace(self.picture.clone());
    }

    /// Writes the last picture and lets go of the pod.
    async fn let_go(mut self) {
        self.write();
        drop(self.pictures);
        while self.scribe.join_next().await.is_some() {}
        let pod = self.news.borrow().clone();
        Writer::of(&self.site.client, &pod).let_go().await;
        gone(&mut self.news).await;
    }

    async fn prepare(&self, pod: &Pod) -> Result<Launch, launch::LaunchError> {
        self.write();
        let launch = Launch::of(self.site, self.node, pod).await?;
        self.site.door.write_kubeconfig(&launch.kubeconfig(), &launch.token_file(), &launch.namespace)?;
        Ok(launch)
    }

    /// Runs the process, again whenever it ends, until it is not wanted any more.
    async fn run(&mut self, launch: Launch) {
        let mut pause = PAUSE;
        let mut admin = None;
        loop {
            let begun = Instant::now();
            let over = match self.run_once(&launch, &mut admin).await {
                Ok(Over::Wanted) => return,
                Ok(Over::Ended(how)) => how,
                Err(error) => Ended { code: 128, message: error.to_string() },
            };
            tracing::warn!(pod = launch.name, code = over.code, "a program of Plimsoll ended");
            if begun.elapsed() > STEADY {
                pause = PAUSE;
            } else if begun.elapsed() < Duration::from_secs(3) {
                // Perhaps somebody else has its port.
                admin = None;
            }
            self.picture.end(None, &over, Timestamp::now());
            self.picture.last = self.picture.containers.first().map(|(_, state)| state.clone());
            self.picture.set_all(&ContainerState::Waiting("CrashLoopBackOff"));
            self.picture.restarts += 1;
            self.write();
            let mut stop = self.site.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(pause) => (),
                _ = fate(&mut self.news) => return,
                () = stopped(&mut stop) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn run_once(&mut self, launch: &Launch, admin: &mut Option<SocketAddr>) -> io::Result<Over> {
        let address = match *admin {
            Some(address) => address,
            None => *admin.insert(free_address()?),
        };
        let mut refresh_at = Instant::now() + self.renew(launch).await;
        let mut child = Child::start(launch, address, self.site.spec.progress_bind)?;
        let about = SystemPod {
            name: launch.name.clone(),
            component: launch.component.name(),
            pid: child.pid(),
            admin: address,
            log: launch.log(),
        };
        self.site.register.tell(&launch.uid, about.clone());
        let since = Timestamp::now();
        let mut ready = launch.readiness.is_none();
        self.picture.set_all(&ContainerState::Running { since, ready });
        self.write();
        let mut stop = self.site.stop.clone();
        let mut probe_at = Instant::now() + probe::PERIOD;
        let how = loop {
            tokio::select! {
                how = child.ended() => break how?,
                fate = fate(&mut self.news) => {
                    let grace = if let Fate::Deleted { grace } = fate { Duration::from_secs(grace) } else { LAST_GRACE };
                    child.end(grace).await?;
                    return Ok(Over::Wanted);
                }
                () = stopped(&mut stop) => {
                    child.end(LAST_GRACE).await?;
                    return Ok(Over::Wanted);
                }
                () = sleep_until(refresh_at) => refresh_at = Instant::now() + self.renew(launch).await,
                () = sleep_until(probe_at), if launch.readiness.is_some() => {
                    let path = launch.readiness.as_deref().unwrap_or_default();
                    let now_ready = probe::answers(address, path).await;
                    if now_ready != ready {
                        ready = now_ready;
                        self.picture.set_all(&ContainerState::Running { since, ready });
                        self.write();
                    }
                    probe_at = Instant::now() + if ready { probe::PERIOD * 5 } else { probe::PERIOD };
                }
            }
        };
        self.site.register.tell(&launch.uid, SystemPod { pid: None, ..about });
        Ok(Over::Ended(how))
    }

    /// Writes a new token and says after how long the next is due.
    async fn renew(&self, launch: &Launch) -> Duration {
        let pod = self.news.borrow().clone();
        let asked = access::token(&self.site.client, &pod, None);
        // The last token is good for a while: an apiserver that does not answer must not hold up a restart.
        let Ok(token) = tokio::time::timeout(PATIENCE, asked).await else {
            tracing::warn!(pod = launch.name, "no new token: the apiserver does not answer");
            return Duration::from_secs(5);
        };
        let written = token.and_then(|Token { text, refresh_after }| {
            let path = launch.token_file();
            crate::file::write_atomically(&path, text.as_bytes())
                .map(|()| refresh_after)
                .map_err(|source| access::AccessError::Write { path, source })
        });
        written.unwrap_or_else(|error| {
            tracing::warn!(pod = launch.name, error = &error as &dyn std::error::Error, "no new token");
            Duration::from_secs(5)
        })
    }
}

/// An address that nobody listens on. Somebody may take it before the process does; then the process ends and gets
/// another.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}
