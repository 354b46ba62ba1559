//! The training program of one revision, from its first pod to its last.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_protocol::{CheckpointAsk, CheckpointDone, Reply, TerminationMessage};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::Reporter;
use super::gang::{Crew, Exit, Key, Word};
use super::report;
use super::simulation::{Happening, Simulation};
use crate::node::Load;
use crate::record::Training;
use crate::truth::usable_bytes;
use crate::world::World;

/// How long a program runs before it runs out of memory.
const SHORTLY: Duration = Duration::from_secs(2);
/// How long ranks take to notice that another one is gone.
const NOTICE: Duration = Duration::from_secs(2);
/// Share of time in which a kernel is resident while a program trains: collectives are kernels too.
pub(super) const BUSY: f64 = 0.98;
/// SIGTERM, unhandled.
const TERMINATED: i32 = 143;

struct Program {
    world: Arc<World>,
    key: Key,
    crew: Crew,
    simulation: Simulation,
    product: String,
    reporter: Option<Reporter>,
    checkpoint_dir: String,
    last_checkpoint: Option<CheckpointDone>,
    /// What the last answer said about a checkpoint: the same wish is said again and again.
    asked: CheckpointAsk,
    stops_by_signal: bool,
    since: Instant,
}

/// What a turn of the loop came to.
enum Turn {
    GoOn,
    End,
    Broken,
    OutOfMemory(u64),
}

/// Trains with the pods that say so in `words`.
pub(super) async fn run(world: Arc<World>, key: Key, mut words: UnboundedReceiver<Word>) {
    let Some(crew) = gather(&mut words).await else { return };
    let Some(mut program) = Program::begin(world, key, crew) else { return };
    let mut report_at = Instant::now() + Duration::from_secs_f64(program.world.spec.report_interval);
    let mut turn = program.check_memory();
    program.note(None);
    loop {
        match turn {
            Turn::GoOn => {}
            Turn::End => return,
            Turn::Broken => return program.dissolve(&mut words).await,
            Turn::OutOfMemory(bytes) => return program.run_out(bytes, &mut words).await,
        }
        let wake = report_at.min(Instant::now() + program.simulation.next());
        let mut reply = None;
        let mut word = None;
        tokio::select! {
            said = words.recv() => match said {
                Some(said) => word = Some(said),
                None => return,
            },
            answer = Reporter::reply(program.reporter.as_mut()) => reply = Some(answer),
            () = sleep_until(wake) => {}
        }
        turn = program.advance().await;
        if !matches!(turn, Turn::GoOn) {
            continue;
        }
        if let Some(word) = word {
            turn = program.hear(word);
        } else if let Some(reply) = reply {
            turn = program.obey(&reply);
        }
        if Instant::now() >= report_at {
            report_at = Instant::now() + Duration::from_secs_f64(program.world.spec.report_interval);
            program.report();
        }
    }
}

/// Waits until all pods of the revision run. `None` when they went away before.
async fn gather(words: &mut UnboundedReceiver<Word>) -> Option<Crew> {
    let mut crew = Crew::default();
    while !crew.is_complete() {
        match words.recv().await? {
            Word::Join(member, exit) => crew.join(*member, exit),
            Word::Terminate(uid) => {
                crew.terminate(uid);
                crew.exit_terminated(TERMINATED);
            }
            Word::Leave(uid) => {
                crew.leave(&uid);
                if crew.is_empty() {
                    return None;
                }
            }
        }
    }
    Some(crew)
}

impl Program {
    fn begin(world: Arc<World>, key: Key, crew: Crew) -> Option<Self> {
        let first = crew.first()?;
        let orders = first.orders.clone();
        let Some(truth) = world.truth.job(&orders.profile, &format!("{}/{}", key.namespace, key.job)) else {
            tracing::error!(?key, "no profile, not even the default one");
            return None;
        };
        let product = first.node.product.clone();
        let run = orders.run(&product, crew.members().map(|member| member.gpus).collect());
        let held = |folder: &str| world.storage.read(&key.namespace, folder).map(|held| held.step);
        // A program begins where it is told to, whatever its own folder holds. One that an earlier fleet ran goes on there.
        let own = first.ran_before.then(|| held(&orders.checkpoint_dir)).flatten();
        let step = own.or_else(|| held(&orders.resume_dir)).unwrap_or(0);
        let total = orders.steps.unwrap_or(truth.total_steps());
        let reports = truth.habits().reports && !orders.url.is_empty();
        let has_folder = !orders.checkpoint_dir.is_empty();
        let simulation = Simulation::new(truth, run, world.spec.time_scale, step, total, has_folder);
        let reporter = reports.then(|| Reporter::start(&world, first, name(&key)));
        let outcome = simulation.outcome();
        tracing::info!(
            job = key.job,
            revision = key.revision,
            profile = simulation.truth().profile(),
            pods = orders.pods,
            step,
            total,
            step_seconds = outcome.step_seconds,
            sm_activity = outcome.sm_activity,
            memory_mib = outcome.memory_bytes() >> 20,
            "trains"
        );
        Some(Self {
            world,
            key,
            crew,
            simulation,
            product,
            reporter,
            checkpoint_dir: orders.checkpoint_dir,
            last_checkpoint: None,
            asked: CheckpointAsk::None,
            stops_by_signal: false,
            since: Instant::now(),
        })
    }

    /// Lets the devices work, unless they have too little memory.
    fn check_memory(&self) -> Turn {
        let outcome = self.simulation.outcome();
        match outcome.runs_out_of(usable_bytes(&self.product)) {
            Some(bytes) => Turn::OutOfMemory(bytes),
            None => {
                let memory_bytes = self.simulation.device_bytes();
                self.crew.work(Load { busy: BUSY, sm: outcome.sm_activity, memory_bytes });
                Turn::GoOn
            }
        }
    }

    /// Lets time pass.
    async fn advance(&mut self) -> Turn {
        let now = Instant::now();
        let happened = self.simulation.advance(now - self.since);
        self.since = now;
        for happening in happened {
            match happening {
                Happening::Saved { step, seconds, then_stop } => {
                    self.save(step, seconds);
                    if then_stop {
                        self.last_word().await;
                        return self.stopped();
                    }
                    // Whoever asked for it need not wait for the next report.
                    self.report();
                }
                Happening::Finished => {
                    self.last_word().await;
                    self.note(Some("completed"));
                    self.crew.exit(&Exit { code: 0, message: None }, |_| true);
                    return Turn::End;
                }
            }
        }
        Turn::GoOn
    }

    fn save(&mut self, step: u64, seconds: f64) {
        if let Err(error) = self.world.storage.write(&self.key.namespace, &self.checkpoint_dir, step) {
            tracing::error!(%error, folder = self.checkpoint_dir, "a checkpoint was not written");
            return;
        }
        let path = Some(self.checkpoint_dir.clone());
        self.last_checkpoint = Some(CheckpointDone { step, path, seconds: Some(seconds) });
    }

    /// The end after a checkpoint.
    fn stopped(&mut self) -> Turn {
        self.note(Some("stopped"));
        if self.stops_by_signal {
            self.crew.exit_terminated(0);
            return if self.crew.runs() { Turn::Broken } else { Turn::End };
        }
        self.crew.exit(&Exit { code: 0, message: None }, |_| true);
        Turn::End
    }

    fn hear(&mut self, word: Word) -> Turn {
        match word {
            // There is no place for another; it fails when its place is dropped.
            Word::Join(..) => Turn::GoOn,
            Word::Terminate(uid) => {
                self.crew.terminate(uid);
                if self.simulation.truth().habits().on_signal && self.simulation.ask_checkpoint(true) {
                    self.stops_by_signal = true;
                    return Turn::GoOn;
                }
                Turn::Broken
            }
            Word::Leave(uid) if self.crew.leave(&uid) => Turn::Broken,
            Word::Leave(_) => Turn::GoOn,
        }
    }

    /// Does what the answer to a report says.
    fn obey(&mut self, reply: &Reply) -> Turn {
        let plan = &reply.plan;
        if plan.revision != self.key.revision {
            return Turn::GoOn;
        }
        let before = std::mem::replace(&mut self.asked, plan.checkpoint);
        let wish =
            plan.checkpoint == CheckpointAsk::Now && (before == CheckpointAsk::None || plan.stop_after_checkpoint);
        if wish && !self.simulation.ask_checkpoint(plan.stop_after_checkpoint) && plan.stop_after_checkpoint {
            return self.stopped();
        }
        let run = self.simulation.run();
        let differs = (run.micro_batch, run.accumulation) != (plan.micro_batch, plan.accumulation);
        if differs && plan.micro_batch > 0 && self.simulation.truth().habits().live {
            tracing::info!(job = self.key.job, from = run.micro_batch, to = plan.micro_batch, "changes its batch");
            self.simulation.set_batch(plan.micro_batch, plan.accumulation);
            self.note(None);
            return self.check_memory();
        }
        Turn::GoOn
    }

    fn report(&mut self) {
        self.note(None);
        if let Some(reporter) = &self.reporter {
            reporter.offer(report::report(self.key.revision, &self.simulation, self.last_checkpoint.as_ref()));
        }
    }

    /// The last report, which must arrive.
    async fn last_word(&mut self) {
        if let Some(reporter) = self.reporter.take() {
            let last = report::report(self.key.revision, &self.simulation, self.last_checkpoint.as_ref());
            reporter.finish(last).await;
        }
    }

    fn note(&self, ended: Option<&str>) {
        let (simulation, outcome) = (&self.simulation, self.simulation.outcome());
        self.world.record.training(&name(&self.key), |training| {
            *training = Training {
                profile: simulation.truth().profile().to_owned(),
                step: simulation.step(),
                total_steps: simulation.total(),
                micro_batch: simulation.run().micro_batch,
                accumulation: simulation.run().accumulation,
                step_seconds: outcome.step_seconds,
                sm_activity: outcome.sm_activity,
                allocated_bytes: outcome.allocated_bytes,
                ended: ended.map(str::to_owned),
                reports_answered: training.reports_answered,
                reports_lost: training.reports_lost,
            };
        });
    }

    /// Every rank asks for more than its card has, as CUDA programs do: at the first step that is large enough.
    async fn run_out(mut self, bytes: u64, words: &mut UnboundedReceiver<Word>) {
        let memory_bytes = usable_bytes(&self.product);
        self.crew.work(Load { busy: BUSY, sm: self.simulation.outcome().sm_activity, memory_bytes });
        let until = Instant::now() + SHORTLY;
        while let Ok(Some(word)) = timeout(until - Instant::now(), words.recv()).await {
            match word {
                Word::Join(..) => {}
                Word::Terminate(uid) => {
                    self.crew.terminate(uid);
                    self.crew.exit_terminated(TERMINATED);
                }
                Word::Leave(uid) => {
                    self.crew.leave(&uid);
                }
            }
        }
        tracing::info!(job = self.key.job, revision = self.key.revision, bytes, "runs out of device memory");
        self.note(Some("out of memory"));
        let message =
            TerminationMessage { reason: TerminationMessage::OUT_OF_MEMORY.to_owned(), peak_memory_bytes: Some(bytes) };
        let message = serde_json::to_string(&message).ok();
        self.crew.exit(&Exit { code: 1, message }, |_| true);
    }

    /// Ranks whose gang is broken: some are ended by the same signal, the others fail in their next collective.
    async fn dissolve(mut self, words: &mut UnboundedReceiver<Word>) {
        self.note(Some(if self.stops_by_signal { "stopped" } else { "broken" }));
        let patience = sleep(NOTICE);
        tokio::pin!(patience);
        self.crew.exit_terminated(TERMINATED);
        while self.crew.runs() {
            tokio::select! {
                word = words.recv() => match word {
                    Some(Word::Terminate(uid)) => {
                        self.crew.terminate(uid);
                        self.crew.exit_terminated(TERMINATED);
                    }
                    Some(Word::Leave(uid)) => { self.crew.leave(&uid); },
                    Some(Word::Join(..)) => {}
                    None => break,
                },
                () = &mut patience => self.crew.exit(&Exit { code: 1, message: None }, |_| true),
            }
        }
    }
}

/// Its name in the account.
fn name(key: &Key) -> String {
    format!("{}/{}/{}", key.namespace, key.job, key.revision)
}
