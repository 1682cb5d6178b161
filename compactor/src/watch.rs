//! Watches the writing of a block: tells how far a job has come, and ends it when it is told to stop.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use sarsen_block::BlockSink;

use crate::observer::{CompactorObserver, Progress};
use crate::plan::Job;

/// Tells a compactor to stop, from wherever: jobs under way end soon and leave nothing behind that counts.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on nothing is begun, and what has begun ends at its next write.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a job under way looks at and tells.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Shared>);

struct Shared {
    job: Arc<Job>,
    observer: Arc<dyn CompactorObserver>,
    stop: Stop,
    /// Told when nobody waits for the job any more.
    left: Stop,
    /// Bytes of the blocks of the job that have been read.
    read: Arc<AtomicU64>,
    /// The percentage that was told last.
    told: AtomicU8,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({})", self.0.job.group)
    }
}

impl Watch {
    /// Of `job`, which counts what it reads in `read`. It ends when one of the two is told.
    pub(crate) fn new(
        job: Arc<Job>,
        observer: Arc<dyn CompactorObserver>,
        [stop, left]: [Stop; 2],
        read: Arc<AtomicU64>,
    ) -> Self {
        Self(Arc::new(Shared { job, observer, stop, left, read, told: AtomicU8::new(0) }))
    }

    /// Something is about to be written.
    fn look(&self) -> io::Result<()> {
        let shared = &*self.0;
        if shared.stop.is_stopped() || shared.left.is_stopped() {
            return Err(io::Error::other("told to stop"));
        }
        let progress = Progress { read: shared.read.load(Ordering::Relaxed), bytes: shared.job.bytes };
        let percent = progress.percent();
        if shared.told.fetch_max(percent, Ordering::Relaxed) < percent {
            shared.observer.job_progressed(&shared.job, progress);
        }
        Ok(())
    }

    /// A sink that is watched.
    pub(crate) const fn over<S>(self, sink: S) -> Watched<S> {
        Watched { sink, watch: self }
    }
}

/// A sink that is watched.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    sink: S,
    watch: Watch,
}

impl<S> Watched<S> {
    pub(crate) fn into_inner(self) -> S {
        self.sink
    }
}

/// A file of a sink that is watched.
#[derive(Debug)]
pub(crate) struct WatchedFile<F> {
    file: F,
    watch: Watch,
}

impl<F: Write> Write for WatchedFile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watch.look()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<S: BlockSink> BlockSink for Watched<S> {
    type File = WatchedFile<S::File>;

    fn create(&mut self, rel_path: &str) -> io::Result<Self::File> {
        self.watch.look()?;
        Ok(WatchedFile { file: self.sink.create(rel_path)?, watch: self.watch.clone() })
    }

    fn finish(&mut self, file: Self::File) -> io::Result<()> {
        self.sink.finish(file.file)
    }
}
