//! Asks the devices again and again and keeps the snapshot.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_telemetry::Condition;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use crate::attribution::Attribution;
use crate::devices::Devices;
use crate::driver::{Driver, OpenError, ReadError, Reply, SpawnError, Worker, open};
use crate::metrics::AgentMetrics;
use crate::snapshot::{DriverState, Snapshot};

/// First and longest wait after a driver that could not be opened.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A driver that refuses for so long will not stop.
const GIVE_UP: Duration = Duration::from_secs(60);

/// What a sampler needs to know.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// NVIDIA's management library.
    pub library: PathBuf,
    /// How often each device is asked.
    pub every: Duration,
    /// How much time a window covers.
    pub window: Duration,
    /// When a silent device is unresponsive.
    pub driver_timeout: Duration,
}

/// Asks the devices again and again and keeps the snapshot.
#[derive(Debug)]
pub struct Sampler {
    pulse: Pulse,
    attribution: watch::Receiver<Arc<Attribution>>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    metrics: AgentMetrics,
    condition: Condition,
}

/// Sampling cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A device has no thread.
    #[error("failed to watch the devices")]
    Spawn(#[source] SpawnError),
    /// The driver refuses every question about every device, as after an upgrade of the driver, or when the system
    /// took the container's access to the devices away. A fresh process gets a fresh start.
    #[error("failed to read any device: the driver has refused for {} s", GIVE_UP.as_secs())]
    Refused,
    /// The thread that looks for the driver did not start.
    #[error("failed to look for the driver")]
    Look(#[source] std::io::Error),
}

impl Sampler {
    /// A sampler, and where its snapshots can be had.
    #[must_use]
    pub fn new(
        pulse: Pulse,
        attribution: watch::Receiver<Arc<Attribution>>,
        metrics: AgentMetrics,
        condition: Condition,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let (snapshots, receiver) = watch::channel(Arc::new(Snapshot::starting(Instant::now())));
        (Self { pulse, attribution, snapshots, metrics, condition }, receiver)
    }

    /// Samples for ever.
    pub async fn run(mut self) -> Result<(), SampleError> {
        let mut ticks = interval(self.pulse.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let driver = self.await_driver(&mut ticks).await?;
        self.metrics.driver_up.set(1);
        self.condition.met();
        tracing::info!(devices = driver.devices.len(), version = driver.version, "driver works");

        let (sender, mut replies) = mpsc::unbounded_channel();
        let workers = Worker::spawn_all(&driver, &sender).map_err(SampleError::Spawn)?;
        let Driver { version, devices, .. } = driver;
        let state = DriverState::Present { version };
        let Pulse { window, driver_timeout, .. } = self.pulse;
        let mut devices = Devices::new(devices, window, driver_timeout, Instant::now());
        loop {
            devices.hold(&self.attribution.borrow_and_update(), Instant::now());
            devices.check(Instant::now());
            self.publish(state.clone(), &devices);
            if devices.refused_for(Instant::now()) >= GIVE_UP {
                return Err(SampleError::Refused);
            }
            tokio::select! {
                _ = ticks.tick() => workers.iter().for_each(Worker::ask),
                Some(reply) = replies.recv() => {
                    self.take(&mut devices, reply);
                    // Devices answer close together; one snapshot is enough for those that have.
                    while let Ok(reply) = replies.try_recv() {
                        self.take(&mut devices, reply);
                    }
                }
                Ok(()) = self.attribution.changed() => {}
            }
        }
    }

    /// Looks for the driver until there is one with a device. Meanwhile the snapshot says that it is missing.
    async fn await_driver(&mut self, ticks: &mut Interval) -> Result<Driver, SampleError> {
        let (mut wait, longest) = BACKOFF;
        let nobody = Devices::new(Vec::new(), self.pulse.window, self.pulse.driver_timeout, Instant::now());
        loop {
            let mut looked = look(self.pulse.library.clone())?;
            let found = loop {
                tokio::select! {
                    found = &mut looked => break found,
                    () = sleep(self.pulse.driver_timeout) => self.condition.missing("the driver does not answer"),
                }
            };
            match found {
                Ok(Ok(driver)) => return Ok(driver),
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no driver");
                    self.condition.missing_because(&error);
                }
                Err(_) => self.condition.missing("the look at the driver ended early"),
            }
            let end = tokio::time::Instant::now() + wait;
            wait = (wait * 2).min(longest);
            // Ticks go on, so that whoever follows the snapshots does.
            while tokio::time::Instant::now() < end {
                self.publish(DriverState::Missing, &nobody);
                tokio::select! {
                    _ = ticks.tick() => {}
                    Ok(()) = self.attribution.changed() => {}
                    () = tokio::time::sleep_until(end) => {}
                }
            }
        }
    }

    fn take(&self, devices: &mut Devices, reply: Reply) {
        let outcome = match reply.outcome {
            Ok(_) => "read",
            Err(ReadError::Lost(_)) => "lost",
            Err(ReadError::Refused(_)) => "refused",
        };
        self.metrics.readings.with_label_values(&[outcome]).inc();
        devices.reply(reply);
    }

    fn publish(&self, driver: DriverState, devices: &Devices) {
        let taken = Instant::now();
        let attribution = Arc::clone(&self.attribution.borrow());
        let devices = devices.snapshot(taken);
        self.snapshots.send_replace(Arc::new(Snapshot { taken, driver, devices, attribution }));
    }
}

/// Opens the driver on a thread of its own, because it may hang there.
fn look(library: PathBuf) -> Result<oneshot::Receiver<Result<Driver, OpenError>>, SampleError> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("driver".to_owned())
        .spawn(move || sender.send(open(&library)))
        .map_err(SampleError::Look)?;
    Ok(receiver)
}
