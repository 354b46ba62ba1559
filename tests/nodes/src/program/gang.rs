//! The ranks of one program together: they gather, train, and end.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_protocol::{CheckpointAsk, CheckpointDone, Reply};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::checkpoints::Checkpoint;
use super::reporter::Reporter;
use super::settings::Settings;
use super::training::{HANGING, Place, Training, WAITING};
use super::{Key, Member, Message, Programs};
use crate::node::Load;
use crate::pod::Ended;

/// How long a program takes from its first step to the allocation that fails.
const FAILS_AFTER: Duration = Duration::from_millis(500);
/// How long ranks wait for one that is gone.
const NCCL_PATIENCE: Duration = Duration::from_secs(30);
const NCCL_WORDS: &str = "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp, remote process exited \
                          or there was a network error. ncclRemoteError: A call failed possibly due to a network error \
                          or a remote process exiting prematurely.";

/// One program.
pub(super) struct Gang {
    programs: Programs,
    key: Key,
    mail: mpsc::UnboundedReceiver<Message>,
    members: BTreeMap<String, Member>,
    replies: mpsc::UnboundedReceiver<Reply>,
    reply_to: mpsc::UnboundedSender<Reply>,
    state: State,
}

enum State {
    /// Not all ranks are there yet.
    Gathering,
    /// All ranks are there.
    Training(Box<Loop>),
    /// One is gone; the others wait for it, until then.
    Halted(Instant),
}

/// A training in its loop.
struct Loop {
    training: Training,
    reporter: Option<Reporter>,
    /// Up to when its steps are counted.
    counted: Instant,
    report_at: Instant,
    /// When it writes a checkpoint of its own accord.
    save_at: Instant,
    /// When the allocation fails.
    fails_at: Option<Instant>,
    writing: Option<Writing>,
}

/// A checkpoint that is being written. Training pauses meanwhile.
struct Writing {
    done_at: Instant,
    stop: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Gang {
    pub(super) fn new(programs: Programs, key: Key, mail: mpsc::UnboundedReceiver<Message>) -> Self {
        let (reply_to, replies) = mpsc::unbounded_channel();
        Self { programs, key, mail, members: BTreeMap::new(), replies, reply_to, state: State::Gathering }
    }

    /// Runs until no pod takes part any more.
    pub(super) async fn run(mut self) {
        loop {
            let wake = self.next(Instant::now());
            tokio::select! {
                message = self.mail.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                Some(reply) = self.replies.recv() => self.obey(&reply),
                () = sleep_until(wake) => {}
            }
            self.turn(Instant::now()).await;
            if self.members.is_empty() && self.programs.retire(&self.key, &self.mail) {
                return;
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Join(member) => {
                member.node.devices().work(&member.uid, WAITING);
                self.members.insert(member.uid.clone(), member);
            }
            Message::Leave(uid) => {
                if self.members.remove(&uid).is_some() && matches!(self.state, State::Training(_)) {
                    self.halt();
                }
            }
            Message::Terminate(ready) => self.terminate(ready),
        }
    }

    /// SIGTERM to one pod. A program that can writes a checkpoint first; either way it trains no more.
    fn terminate(&mut self, ready: oneshot::Sender<()>) {
        let now = Instant::now();
        let State::Training(running) = &mut self.state else {
            let _ = ready.send(());
            return;
        };
        running.count(now, self.programs.world.time_scale);
        let settings = &running.training.settings;
        let saves = settings.on_signal && !settings.checkpoint_dir.is_empty() && running.fails_at.is_none();
        if saves {
            running.save(now, false).waiting.push(ready);
            self.show(WAITING);
        } else {
            let _ = ready.send(());
            self.halt();
        }
    }

    fn obey(&mut self, reply: &Reply) {
        let now = Instant::now();
        let State::Training(running) = &mut self.state else { return };
        let plan = &reply.plan;
        if plan.revision != running.training.settings.revision || running.fails_at.is_some() {
            return;
        }
        running.count(now, self.programs.world.time_scale);
        let mut load = None;
        if running.training.settings.live {
            let truth = &self.programs.world.truth;
            if running.training.change_batch(truth, plan.micro_batch, plan.accumulation) {
                tracing::info!(job = self.key.1, plan.micro_batch, plan.accumulation, "a program changes its batch");
                running.fails_at = (!running.training.fits()).then(|| now + FAILS_AFTER);
                load = Some(running.training.load());
            }
        }
        let can_save = !running.training.settings.checkpoint_dir.is_empty();
        let asked = plan.checkpoint == CheckpointAsk::Now && can_save;
        if plan.stop_after_checkpoint || (asked && !running.training.is_saved()) {
            running.save(now, plan.stop_after_checkpoint);
            load = Some(WAITING);
        }
        if let Some(load) = load {
            self.show(load);
        }
    }

    /// Does what is due.
    async fn turn(&mut self, now: Instant) {
        match &mut self.state {
            State::Gathering => self.gather(now),
            State::Halted(until) if now >= *until => {
                self.exit_all(&Ended { code: 1, message: NCCL_WORDS.to_owned() });
            }
            State::Halted(_) => {}
            State::Training(running) => {
                running.count(now, self.programs.world.time_scale);
                if running.fails_at.is_some_and(|at| now >= at) {
                    self.run_out_of_memory();
                } else if running.writing.as_ref().is_some_and(|writing| now >= writing.done_at) {
                    self.saved(now).await;
                } else if running.training.is_done() && running.writing.is_none() {
                    self.finish().await;
                } else if now >= running.save_at && running.writing.is_none() {
                    self.save_in_passing(now);
                } else if now >= running.report_at {
                    running.report(now, self.programs.world.report_interval);
                }
            }
        }
    }

    /// When something is due next.
    fn next(&self, now: Instant) -> Instant {
        let far = now + Duration::from_secs(3600);
        match &self.state {
            State::Gathering => far,
            State::Halted(until) => {
                if self.members.is_empty() {
                    far
                } else {
                    *until
                }
            }
            State::Training(running) => running.next(now, self.programs.world.time_scale),
        }
    }

    /// Begins once every rank is there.
    fn gather(&mut self, now: Instant) {
        let Some(first) = self.members.values().min_by_key(|member| member.rank) else { return };
        let settings = match Settings::of(&first.pod) {
            Ok(settings) => settings,
            Err(error) => return self.exit_all(&Ended { code: 2, message: error.to_string() }),
        };
        if (self.members.len() as u64) < u64::from(settings.pods) {
            return;
        }
        let world = self.programs.world.clone();
        let (namespace, job, _) = &self.key;
        // Not from its own folder: another job of the same name may have left something there.
        let from = world.checkpoints.read(namespace, &settings.resume_dir).unwrap_or_default();
        let place = self.place(format!("{namespace}/{job}"), first.node.product.clone());
        let reporter = settings
            .report
            .clone()
            .map(|to| Reporter::start(world.client.clone(), first.pod.clone(), to, self.reply_to.clone()));
        let profile = settings.profile.clone();
        let Some(training) = Training::begin(&world.truth, settings, place, from) else {
            let message = format!("the ground truth has no profile {profile:?}");
            return self.exit_all(&Ended { code: 2, message });
        };
        tracing::info!(job, revision = self.key.2, step = from.step, pods = self.members.len(), "a program trains");
        let fails_at = (!training.fits()).then(|| now + FAILS_AFTER);
        let load = training.load();
        let mut running =
            Loop { training, reporter, counted: now, report_at: now, save_at: now, fails_at, writing: None };
        running.save_later(now, world.time_scale);
        self.state = State::Training(Box::new(running));
        self.show(load);
    }

    fn place(&self, job: String, product: String) -> Place {
        let mut pods: Vec<&Member> = self.members.values().collect();
        pods.sort_by_key(|member| member.rank);
        let gpus = |member: &&Member| {
            let wanted = crate::pod::wanted_devices(&member.pod);
            wanted.iter().map(|(_, count)| *count).sum()
        };
        Place { job, product, gpus_per_pod: pods.iter().map(gpus).collect() }
    }

    /// A checkpoint that was asked for is complete.
    async fn saved(&mut self, now: Instant) {
        let State::Training(running) = &mut self.state else { return };
        let Some(writing) = running.writing.take() else { return };
        let checkpoint = running.training.checkpoint();
        let done = write(&self.programs, &self.key, &mut running.training, checkpoint);
        tracing::info!(job = self.key.1, step = done.step, stop = writing.stop, "a checkpoint is complete");
        running.save_later(now, self.programs.world.time_scale);
        let (load, was_told) = (running.training.load(), !writing.waiting.is_empty());
        if writing.stop {
            self.finish().await;
        } else if was_told {
            self.halt();
        } else {
            running.report(now, self.programs.world.report_interval);
            self.show(load);
        }
        for ready in writing.waiting {
            let _ = ready.send(());
        }
    }

    /// The program's own checkpoints are written beside its training.
    fn save_in_passing(&mut self, now: Instant) {
        let State::Training(running) = &mut self.state else { return };
        if !running.training.settings.checkpoint_dir.is_empty() && !running.training.is_saved() {
            let checkpoint = running.training.checkpoint();
            write(&self.programs, &self.key, &mut running.training, checkpoint);
        }
        running.save_later(now, self.programs.world.time_scale);
    }

    /// The program ends well, in all pods.
    async fn finish(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Halted(Instant::now() + NCCL_PATIENCE));
        self.show(WAITING);
        if let State::Training(running) = state
            && let Some(reporter) = running.reporter
        {
            reporter.finish(running.training.report()).await;
        }
        self.exit_all(&Ended::with(0));
    }

    /// The allocation fails on the first rank; the others hang in a collective.
    fn run_out_of_memory(&mut self) {
        let State::Training(running) = &self.state else { return };
        let message = running.training.out_of_memory();
        tracing::info!(job = self.key.1, revision = self.key.2, message, "a program runs out of memory");
        self.halt();
        let first = self.members.values().min_by_key(|member| member.rank).map(|member| member.uid.clone());
        if let Some(member) = first.and_then(|uid| self.members.remove(&uid)) {
            let _ = member.exit.send(Ended { code: 1, message });
        }
    }

    fn halt(&mut self) {
        self.state = State::Halted(Instant::now() + NCCL_PATIENCE);
        self.show(HANGING);
    }

    fn exit_all(&mut self, how: &Ended) {
        for (_, member) in std::mem::take(&mut self.members) {
            // One that is being deleted does not listen any more.
            let _ = member.exit.send(how.clone());
        }
    }

    /// Lets the devices of all pods do the same.
    fn show(&self, load: Load) {
        for member in self.members.values() {
            member.node.devices().work(&member.uid, load);
        }
    }
}

impl Loop {
    /// Counts the steps since the last time.
    fn count(&mut self, now: Instant, scale: f64) {
        let time = now.saturating_duration_since(self.counted);
        self.counted = now;
        if self.writing.is_none() && self.fails_at.is_none() {
            self.training.advance(time, scale);
        }
    }

    fn report(&mut self, now: Instant, interval: Duration) {
        self.report_at = now + interval;
        if let Some(reporter) = &self.reporter
            && self.fails_at.is_none()
        {
            reporter.send(self.training.report());
        }
    }

    /// Begins to write a checkpoint, or joins the one that is being written.
    fn save(&mut self, now: Instant, stop: bool) -> &mut Writing {
        // What is on disk already is not written again.
        let saved = self.training.is_saved() || self.training.settings.checkpoint_dir.is_empty();
        let time = if saved { Duration::ZERO } else { self.training.settings.checkpoint_time };
        let writing =
            self.writing.get_or_insert_with(|| Writing { done_at: now + time, stop: false, waiting: Vec::new() });
        writing.stop |= stop;
        writing
    }

    fn save_later(&mut self, now: Instant, scale: f64) {
        // Not more often than once in two seconds of this machine.
        let pause = (self.training.settings.checkpoint_interval / scale).max(2.0);
        self.save_at = now + Duration::try_from_secs_f64(pause).unwrap_or(Duration::from_secs(3600));
    }

    fn next(&self, now: Instant, scale: f64) -> Instant {
        let end = match &self.writing {
            Some(writing) => writing.done_at,
            None => now + self.training.left(scale).min(Duration::from_secs(3600)) + Duration::from_millis(1),
        };
        let due = self.report_at.min(end);
        let due = if self.writing.is_none() { due.min(self.save_at) } else { due };
        self.fails_at.map_or(due, |at| due.min(at))
    }
}

fn write(programs: &Programs, key: &Key, training: &mut Training, checkpoint: Checkpoint) -> CheckpointDone {
    let settings = &training.settings;
    let path = settings.checkpoint_dir.clone();
    let done = CheckpointDone {
        step: checkpoint.step,
        path: Some(path.clone()),
        seconds: Some(settings.checkpoint_time.as_secs_f64()),
    };
    if path.is_empty() {
        return done;
    }
    if let Err(error) = programs.world.checkpoints.write(&key.0, &path, checkpoint) {
        tracing::error!(job = key.1, path, %error, "a checkpoint was not written to disk");
    }
    training.newest = Some(done.clone());
    done
}
