//! The pipe from a store to the connection: bounded by bytes, closed from the far end.
//!
//! A frame takes room while it waits; a store that is faster than its caller waits in [`FrameSender::send`]. When the caller goes,
//! the next `send` says so. Frames come out in the order in which they went in.

use std::sync::Arc;
#[cfg(feature = "query")]
use std::sync::OnceLock;
#[cfg(feature = "query")]
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Frame;
#[cfg(feature = "query")]
use super::SelectLimits;

/// Room is counted in units of this many bytes; each frame takes at least one.
const UNIT: usize = 256;

/// Nobody listens any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// A pipe in which frames of about `room` bytes may wait.
pub(crate) fn frames(room: usize) -> (FrameSender, FrameReceiver) {
    let (into, out) = unbounded_channel();
    let units = (room / UNIT).clamp(1, Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(units));
    let sender = FrameSender {
        into,
        room: Arc::clone(&room),
        units,
        #[cfg(feature = "query")]
        meter: None,
    };
    (sender, FrameReceiver { out, room })
}

/// Where a store puts its frames. Clones feed the same pipe; it ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct FrameSender {
    into: UnboundedSender<(Frame, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    units: usize,
    #[cfg(feature = "query")]
    meter: Option<Arc<Meter>>,
}

/// Counts the series that go into a pipe, within bounds.
#[cfg(feature = "query")]
#[derive(Debug)]
pub(super) struct Meter {
    limits: SelectLimits,
    series: AtomicU64,
    chunks: AtomicU64,
    /// What was too much, and the words for it.
    exceeded: OnceLock<(&'static str, String)>,
}

#[cfg(feature = "query")]
impl Meter {
    pub(super) const fn new(limits: SelectLimits) -> Self {
        let exceeded = OnceLock::new();
        Self { limits, series: AtomicU64::new(0), chunks: AtomicU64::new(0), exceeded }
    }

    /// Series and chunks up to now.
    pub(super) fn sent(&self) -> (u64, u64) {
        (self.series.load(Ordering::Relaxed), self.chunks.load(Ordering::Relaxed))
    }

    /// What was too much: of `series` or of `chunks`, and the words of Thanos for it.
    pub(super) fn exceeded(&self) -> Option<(&'static str, String)> {
        self.exceeded.get().cloned()
    }

    fn pass(&self, frame: &Frame) -> Result<(), Gone> {
        let Frame::Series(series) = frame else { return Ok(()) };
        let chunks = series.chunks.len() as u64;
        let sent = self.series.fetch_add(1, Ordering::Relaxed) + 1;
        let samples = (self.chunks.fetch_add(chunks, Ordering::Relaxed) + chunks).saturating_mul(120);
        let over = |limit: u64, got: u64| limit > 0 && got > limit;
        let words = |limit: u64, got: u64| format!("limit {limit} violated (got {got})");
        let SelectLimits { series, samples: most } = self.limits;
        let exceeded = if over(series, sent) {
            ("series", format!("failed to send series: {}", words(series, sent)))
        } else if over(most, samples) {
            ("chunks", format!("failed to send samples: {}", words(most, samples)))
        } else {
            return Ok(());
        };
        let _first = self.exceeded.set(exceeded);
        Err(Gone)
    }
}

impl FrameSender {
    /// The same pipe, whose frames are counted; who sends more than it may finds nobody listening.
    #[cfg(feature = "query")]
    pub(super) fn metered(mut self, meter: &Arc<Meter>) -> Self {
        self.meter = Some(Arc::clone(meter));
        self
    }

    fn pass(&self, frame: &Frame) -> Result<(), Gone> {
        #[cfg(feature = "query")]
        if let Some(meter) = &self.meter {
            return meter.pass(frame);
        }
        let _ = frame;
        Ok(())
    }

    /// Hands the frame on, when there is room for it.
    ///
    /// # Errors
    /// [`Gone`] if nobody listens any more.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), Gone> {
        self.pass(&frame)?;
        // A frame larger than the pipe waits until the pipe is empty.
        let units = frame.bytes().div_ceil(UNIT).clamp(1, self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| Gone)?;
        self.into.send((frame, permit)).map_err(|_| Gone)
    }

    /// The same from a thread that may wait, as those of `spawn_blocking`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) fn send_waiting(&self, frame: Frame) -> Result<(), Gone> {
        let units = frame.bytes().div_ceil(UNIT).clamp(1, self.units);
        let at_once =
            u32::try_from(units).ok().and_then(|n| Arc::clone(&self.room).try_acquire_many_owned(n).ok());
        match at_once {
            Some(permit) => {
                self.pass(&frame)?;
                self.into.send((frame, permit)).map_err(|_| Gone)
            }
            None => tokio::runtime::Handle::current().block_on(self.send(frame)),
        }
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.into.is_closed()
    }

    /// Waits until nobody listens any more.
    pub(crate) async fn closed(&self) {
        self.into.closed().await;
    }
}

/// The near end of the pipe.
#[derive(Debug)]
pub(crate) struct FrameReceiver {
    out: UnboundedReceiver<(Frame, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl FrameReceiver {
    /// The next frame, `None` when the store has finished. Its room is free from here on.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        self.out.recv().await.map(|(frame, _room)| frame)
    }

    /// A frame that waits already, if there is one.
    pub(crate) fn try_next(&mut self) -> Option<Frame> {
        self.out.try_recv().ok().map(|(frame, _room)| frame)
    }
}

impl Drop for FrameReceiver {
    fn drop(&mut self) {
        // Whoever waits for room would wait for ever.
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(length: usize) -> Frame {
        Frame::Warning("w".repeat(length))
    }

    #[tokio::test]
    async fn a_full_pipe_makes_its_sender_wait() {
        let (sender, mut receiver) = frames(2 * UNIT);
        sender.send(warning(UNIT)).await.unwrap();
        sender.send(warning(1)).await.unwrap();
        let mut third = Box::pin(sender.send(warning(100 * UNIT)));
        assert!(futures_util::poll!(&mut third).is_pending());
        assert_eq!(receiver.next().await, Some(warning(UNIT)));
        assert!(futures_util::poll!(&mut third).is_pending(), "it needs the whole pipe");
        assert_eq!(receiver.try_next(), Some(warning(1)));
        third.await.unwrap();
        assert_eq!(receiver.next().await, Some(warning(100 * UNIT)));
        drop(sender);
        assert_eq!(receiver.next().await, None);
    }

    #[tokio::test]
    async fn a_caller_who_goes_frees_whoever_waits() {
        let (sender, receiver) = frames(UNIT);
        sender.send(warning(1)).await.unwrap();
        let waiting = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(warning(1)).await }
        });
        tokio::task::yield_now().await;
        assert!(!sender.is_closed());
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), Err(Gone));
        sender.closed().await;
        assert!(sender.is_closed());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn threads_wait_too() {
        let (sender, mut receiver) = frames(UNIT);
        let sent = tokio::task::spawn_blocking(move || {
            (0..100).map(|n| sender.send_waiting(warning(n))).collect::<Result<Vec<()>, Gone>>()
        });
        for n in 0..100 {
            assert_eq!(receiver.next().await, Some(warning(n)));
        }
        assert!(sent.await.unwrap().is_ok());
    }
}
