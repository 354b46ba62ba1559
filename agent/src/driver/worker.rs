//! One thread per device, so that a device under which the driver hangs keeps nobody else waiting.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use nvml_wrapper::Nvml;
use tokio::sync::mpsc::UnboundedSender;

use super::gpm::Turn;
use super::reader::{ReadError, Reader};
use super::{Driver, Reading};

/// Enough for the driver's library and for us; the default would be mapped once per device.
const STACK_BYTES: usize = 512 << 10;

/// What a device answered.
#[derive(Debug)]
pub struct Reply {
    /// Position of the device in [`Driver::devices`].
    pub device: usize,
    /// The reading, or why there is none.
    pub outcome: Result<Reading, ReadError>,
    /// When the answer was complete.
    pub at: Instant,
}

/// The thread of one device. It ends with this value, or never where the driver hangs under it.
#[derive(Debug)]
pub struct Worker {
    requests: SyncSender<()>,
}

/// The thread did not start.
#[derive(Debug, thiserror::Error)]
#[error("failed to start the thread of a device")]
pub struct SpawnError(#[source] io::Error);

impl Worker {
    /// Starts a thread for each device; all answer to `replies`.
    pub fn spawn_all(driver: &Driver, replies: &UnboundedSender<Reply>) -> Result<Vec<Self>, SpawnError> {
        let turn = Arc::new(Turn::default());
        let spawn = |(device, identity): (usize, &super::Identity)| {
            let (requests, received) = sync_channel(1);
            let (nvml, index) = (driver.nvml, identity.index);
            let (turn, replies) = (Arc::clone(&turn), replies.clone());
            thread::Builder::new()
                .name(format!("gpu-{index}"))
                .stack_size(STACK_BYTES)
                .spawn(move || serve(device, nvml, index, &turn, &received, &replies))
                .map_err(SpawnError)?;
            Ok(Self { requests })
        };
        driver.devices.iter().enumerate().map(spawn).collect()
    }

    /// Asks for one reading. While the last one is not answered the question is dropped: the thread is busy with it.
    pub fn ask(&self) {
        let _ = self.requests.try_send(());
    }
}

fn serve(
    device: usize,
    nvml: &'static Nvml,
    index: u32,
    turn: &Arc<Turn>,
    requests: &Receiver<()>,
    replies: &UnboundedSender<Reply>,
) {
    let mut reader = None;
    while requests.recv().is_ok() {
        let outcome = match &mut reader {
            Some(reader) => Reader::read(reader),
            None => Reader::new(nvml, index, Arc::clone(turn)).and_then(|fresh| reader.insert(fresh).read()),
        };
        if matches!(outcome, Err(ReadError::Lost(_))) {
            // A device that comes back after a reset has another handle.
            reader = None;
        }
        if replies.send(Reply { device, outcome, at: Instant::now() }).is_err() {
            return;
        }
    }
}
