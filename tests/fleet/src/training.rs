//! Training programs: one for each revision of a job, simulated in sped-up time, with its pods as its ranks.

mod checkpoint;
mod connection;
mod gang;
mod orders;
mod program;
mod report;
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use plimsoll_crds::labels;

pub(crate) use checkpoint::Storage;
pub(crate) use gang::Gangs;

use crate::node::{Load, Node};
use crate::pod::contents::Contents;
use crate::pod::environment::{Addresses, variables};
use crate::pod::status::{self, End, State, View};
use crate::pod::{self, Ending, Sight};
use crate::truth::{Truth, usable_bytes};
use crate::world::World;
use gang::{Exit, Member};
use orders::Orders;

/// A container that did not end within its grace was killed.
const KILLED: i32 = 137;

/// What a pod of a job makes its devices do, where its own container computes the steps; `None` while it does not run, or
/// when it is no job's.
pub(crate) fn load(truth: &Truth, product: &str, pod: &Pod) -> Option<Load> {
    let job = pod.metadata.labels.as_ref()?.get(labels::JOB_NAME).filter(|_| pod::is_running(pod))?;
    let trainer = pod::trainer(pod)?;
    let environment = variables(pod, trainer, Addresses::default(), &Contents::default());
    let orders = Orders::read(pod, &environment);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    // All pods of a job have as many devices.
    let gpus_per_pod = vec![pod::gpus(trainer); orders.pods as usize];
    let outcome = truth.job(&orders.profile, &format!("{namespace}/{job}"))?.run(&orders.run(product, gpus_per_pod));
    let memory_bytes = outcome.memory_bytes().min(usable_bytes(product));
    Some(Load { busy: program::BUSY, sm: outcome.sm_activity, memory_bytes })
}

/// Plays a pod of a training job: devices, start, training, end.
pub(crate) async fn play(world: &Arc<World>, node: &Arc<Node>, sight: &mut Sight) {
    let pod = sight.pod();
    let Some(trainer) = pod::trainer(&pod).cloned() else { return };
    if !pod::admit(world, node, &pod) {
        let free = node.devices().all().iter().filter(|device| device.holder.is_none()).count();
        let message = format!("requested {} devices, {free} are free", pod::gpus(&trainer));
        world.put_status(&pod, &status::rejected(&message)).await;
        return;
    }
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let ip = world.address(&pod);
    let view = |state| View {
        main: &trainer.name,
        state,
        last: None,
        restarts: 0,
        ready: true,
        ip: &ip,
        host_ip: node.address(),
        now: Timestamp::now(),
    };
    let end = |code, message, started| End { code, message, started, finished: Timestamp::now() };

    // An earlier fleet may have started it.
    if !pod::is_running(&pod) {
        world.put_status(&pod, &view(State::Waiting("ContainerCreating")).status(&pod)).await;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs_f64(world.spec.startup_seconds)) => {}
            ending = sight.ending() => {
                node.devices().release(&uid);
                if let Ending::Deleted(_) = ending {
                    let now = Timestamp::now();
                    world.put_status(&pod, &view(State::Ended(end(KILLED, None, now))).status(&pod)).await;
                }
                return;
            }
        }
    }
    let started = Timestamp::now();
    world.put_status(&pod, &view(State::Running(started)).status(&sight.pod())).await;

    let addresses = Addresses { pod: &ip, host: node.address().unwrap_or_default() };
    let environment = variables(&pod, &trainer, addresses, &Contents::default());
    let orders = Orders::read(&pod, &environment);
    let mut seat = world.gangs.join(world, Member::new(&pod, node, &trainer, orders));
    let exit = tokio::select! {
        exit = seat.exit() => exit,
        ending = sight.ending() => match ending {
            Ending::Deleted(grace) => {
                seat.terminate();
                tokio::time::timeout(grace, seat.exit()).await.unwrap_or(Exit { code: KILLED, message: None })
            }
            Ending::Gone | Ending::FleetStops => {
                node.devices().release(&uid);
                return;
            }
        },
    };
    drop(seat);
    // Before the status, so that a pod which the scheduler puts in its place finds them free.
    node.devices().release(&uid);
    let ended = State::Ended(end(exit.code, exit.message, started));
    world.put_status(&pod, &view(ended).status(&sight.pod())).await;
}
