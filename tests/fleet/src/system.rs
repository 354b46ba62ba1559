//! Plimsoll's own pods: real processes of this machine, with the environment, rights and end that a kubelet would give.

mod probe;
mod program;

use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::process::Child;
use tokio::time::Instant;

use crate::children;
use crate::node::Node;
use crate::pod::status::{End, State, View};
use crate::pod::{Ending, Sight};
use crate::record::SystemPod;
use crate::world::World;
use probe::Probe;
use program::{Component, Program};

/// First pause before a program that ended is started again; doubles, as a kubelet's does.
const BACKOFF: Duration = Duration::from_secs(1);
/// Longest such pause.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A program that ran for so long begins with the first pause again.
const STEADY: Duration = Duration::from_secs(30);

/// One program of a pod, from start to start.
struct Life<'a> {
    world: &'a World,
    pod: &'a Pod,
    program: Program,
    uid: String,
    ip: String,
    host_ip: Option<String>,
    restarts: i32,
    last: Option<End>,
}

/// Plays a pod of Plimsoll's.
pub(crate) async fn play(world: &World, node: &Node, sight: &mut Sight) {
    let pod = sight.pod();
    let Some(component) = Component::of(&pod) else {
        return idle(world, node, sight).await;
    };
    let ip = world.address(&pod);
    let program = loop {
        match Program::prepare(world, node, &pod, component, &ip).await {
            Ok(program) => break program,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a program is not prepared");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BACKOFF) => {}
            ending = sight.ending() => return if ending == Ending::Gone { world.record.forget(&uid_of(&pod)) },
        }
    };
    // A pod of an earlier fleet has a past.
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let restarts = statuses.and_then(|all| all.first()).map_or(0, |status| status.restart_count);
    let life = Life {
        uid: uid_of(&pod),
        host_ip: node.address().map(str::to_owned),
        world,
        pod: &pod,
        program,
        ip,
        restarts,
        last: None,
    };
    life.live(sight).await;
}

impl Life<'_> {
    async fn live(mut self, sight: &mut Sight) {
        let mut backoff = BACKOFF;
        loop {
            let (started, since) = (Timestamp::now(), Instant::now());
            let (child, probe) = match self.program.start() {
                Ok(started) => started,
                Err(error) => {
                    tracing::error!(%error, program = %self.program.path().display(), "a program did not start");
                    return;
                }
            };
            self.note(Some(&child));
            self.write(State::Running(started), probe.is_none()).await;
            let end = match self.run(child, probe, started, sight).await {
                Run::Ended(end) => end,
                Run::Over => return,
            };
            tracing::warn!(pod = self.pod.metadata.name, code = end.code, "a program ended and is started again");
            self.note(None);
            if since.elapsed() > STEADY {
                backoff = BACKOFF;
            }
            self.last = Some(end);
            self.write(State::Waiting("CrashLoopBackOff"), false).await;
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                ending = sight.ending() => {
                    if let (Ending::Deleted(_), Some(end)) = (ending, self.last.take()) {
                        self.write(State::Ended(end), false).await;
                    }
                    self.world.record.forget(&self.uid);
                    return;
                }
            }
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
            self.restarts += 1;
        }
    }

    /// Follows a program until it or its pod ends.
    async fn run(&mut self, mut child: Child, probe: Option<Probe>, started: Timestamp, sight: &mut Sight) -> Run {
        let mut ready = probe.is_none();
        let mut next = Instant::now();
        loop {
            let ending = tokio::select! {
                status = child.wait() => return Run::Ended(end_of(status.ok(), started)),
                ending = sight.ending() => ending,
                answer = Probe::after(probe.as_ref(), next) => {
                    next = Instant::now() + probe.as_ref().map_or(STEADY, |probe| probe.pause(answer));
                    if answer != ready {
                        ready = answer;
                        self.write(State::Running(started), ready).await;
                    }
                    continue;
                }
            };
            let grace = match ending {
                Ending::Deleted(grace) => grace,
                Ending::Gone => Duration::ZERO,
                Ending::FleetStops => Duration::from_secs(5),
            };
            let status = children::end(&mut child, grace).await.ok();
            if let Ending::Deleted(_) = ending {
                self.write(State::Ended(end_of(status, started)), false).await;
            }
            self.world.record.forget(&self.uid);
            return Run::Over;
        }
    }

    async fn write(&self, state: State, ready: bool) {
        let view = View {
            main: self.program.container(),
            state,
            last: self.last.clone(),
            restarts: self.restarts,
            ready,
            ip: &self.ip,
            host_ip: self.host_ip.as_deref(),
            now: Timestamp::now(),
        };
        self.world.put_status(self.pod, &view.status(self.pod)).await;
    }

    fn note(&self, child: Option<&Child>) {
        let entry = SystemPod {
            name: self.pod.metadata.name.clone().unwrap_or_default(),
            node: self.pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            component: self.program.component().name().to_owned(),
            pid: child.and_then(Child::id),
            admin: self.program.admin(),
            log: self.program.log().to_owned(),
            restarts: self.restarts,
        };
        self.world.record.system(&self.uid, entry);
    }
}

/// What came of a program.
enum Run {
    /// It ended by itself.
    Ended(End),
    /// Its pod is over.
    Over,
}

/// A pod of Plimsoll's that has no program here: it runs and does nothing.
async fn idle(world: &World, node: &Node, sight: &mut Sight) {
    let pod = sight.pod();
    let (ip, started) = (world.address(&pod), Timestamp::now());
    let main = crate::pod::trainer(&pod).map(|container| container.name.clone()).unwrap_or_default();
    let view = |state| View {
        main: &main,
        state,
        last: None,
        restarts: 0,
        ready: true,
        ip: &ip,
        host_ip: node.address(),
        now: Timestamp::now(),
    };
    world.put_status(&pod, &view(State::Running(started)).status(&pod)).await;
    if let Ending::Deleted(_) = sight.ending().await {
        let end = End { code: 0, message: None, started, finished: Timestamp::now() };
        world.put_status(&pod, &view(State::Ended(end)).status(&pod)).await;
    }
}

fn uid_of(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

/// How a process ended, as a container runtime tells it.
fn end_of(status: Option<ExitStatus>, started: Timestamp) -> End {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.map_or(255, |status| status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255));
    End { code, message: None, started, finished: Timestamp::now() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_killed_process_ends_with_137() {
        assert_eq!(end_of(Some(ExitStatus::from_raw(9)), Timestamp::UNIX_EPOCH).code, 137);
        assert_eq!(end_of(Some(ExitStatus::from_raw(3 << 8)), Timestamp::UNIX_EPOCH).code, 3);
    }
}
