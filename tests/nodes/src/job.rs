//! Pods of training jobs: devices, status, and their part in a training program. Pods that kwok plays hold devices too.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::node::Node;
use crate::pod::{self, ContainerState, Ended, Fate, News, Picture, Writer, fate, gone, is_final};
use crate::program::Joined;
use crate::site::Site;

/// How a program ends that was told to with SIGTERM.
const TERMINATED: i32 = 143;
/// How a container ends that never came to run.
const NEVER_RAN: i32 = 137;

/// Plays one pod of a training job until it is gone.
pub(crate) async fn play(site: Arc<Site>, node: Arc<Node>, mut news: News) {
    let pod = news.borrow().clone();
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let writer = Writer::of(&site.client, &pod);
    if !is_final(&pod) {
        let fate = run(&site, &node, &mut news, &writer, &pod, &uid).await;
        node.devices().release(&uid);
        if fate == Fate::Gone {
            return;
        }
    }
    if fate(&mut news).await != Fate::Gone {
        writer.let_go().await;
        gone(&mut news).await;
    }
}

/// Runs the pod from its devices to its end, which is in its status when this returns.
async fn run(site: &Site, node: &Arc<Node>, news: &mut News, writer: &Writer, pod: &Arc<Pod>, uid: &str) -> Fate {
    // Where a pod ends before somebody deletes it.
    const ENDED: Fate = Fate::Deleted { grace: 0 };
    let given = node.devices().allocate(&pod::wanted_devices(pod));
    if let Err(error) = given {
        tracing::error!(pod = pod.metadata.name, node = node.name, %error, "a node is over-committed");
        site.register.overcommitted();
        writer.refuse(pod, "UnexpectedAdmissionError", &error.to_string()).await;
        return ENDED;
    }
    let mut picture = Picture::new(pod, Timestamp::now());
    writer.status(pod, &picture).await;
    tokio::select! {
        () = tokio::time::sleep(site.startup()) => (),
        fate = fate(news) => return end(node, writer, pod, picture, NEVER_RAN, fate).await,
    }
    picture.set_all(&ContainerState::Running { since: Timestamp::now(), ready: true });
    writer.status(pod, &picture).await;
    let trainer = pod::trainer(pod).map(|container| container.name.clone()).unwrap_or_default();
    let mut joined = site.programs.join(pod, node);
    let fate = tokio::select! {
        how = joined.ended() => {
            picture.end(Some(&trainer), &how, Timestamp::now());
            if !matches!(picture.phase(), pod::Phase::Running) {
                // Devices come back before anybody learns that they did.
                node.devices().release(uid);
                writer.status(pod, &picture).await;
                return ENDED;
            }
            writer.status(pod, &picture).await;
            // What stands beside the trainer runs on.
            fate(news).await
        }
        fate = fate(news) => {
            terminate(&mut joined, fate).await;
            fate
        }
    };
    drop(joined);
    end(node, writer, pod, picture, TERMINATED, fate).await
}

/// Lets a program that writes a checkpoint when it is told to end do so, as long as the grace lasts.
async fn terminate(joined: &mut Joined, fate: Fate) {
    if let Fate::Deleted { grace } = fate {
        // One that is killed has no checkpoint: nothing is left to do.
        let _ = tokio::time::timeout(Duration::from_secs(grace), joined.terminate()).await;
    }
}

async fn end(node: &Node, writer: &Writer, pod: &Pod, mut picture: Picture, code: i32, fate: Fate) -> Fate {
    node.devices().release(pod.metadata.uid.as_deref().unwrap_or_default());
    if fate != Fate::Gone {
        picture.end(None, &Ended::with(code), Timestamp::now());
        writer.status(pod, &picture).await;
    }
    fate
}

/// Holds the devices of a pod that kwok plays, until it ends.
pub(crate) async fn hold(site: Arc<Site>, node: Arc<Node>, mut news: News) {
    let pod = news.borrow().clone();
    if is_final(&pod) {
        return;
    }
    if let Err(error) = node.devices().allocate(&pod::wanted_devices(&pod)) {
        tracing::error!(pod = pod.metadata.name, node = node.name, %error, "a node is over-committed");
        site.register.overcommitted();
    }
    // Ended, or gone.
    let _ = news.wait_for(|pod| is_final(pod)).await;
    node.devices().release(pod.metadata.uid.as_deref().unwrap_or_default());
}
