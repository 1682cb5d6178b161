//! What a bucket tells the one who watches it, and the clock and the waiting that it is given.
//!
//! This crate reads no clock and never sleeps by itself: both are objects of the caller, so that tests need no time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// What was asked of the store, in the words of Thanos' metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A listing.
    Iter,
    /// A whole object.
    Get,
    /// Part of an object.
    GetRange,
    /// Whether an object is there.
    Exists,
    /// An object written.
    Upload,
    /// An object removed.
    Delete,
    /// Size and time of an object.
    Attributes,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 7] =
        [Self::Iter, Self::Get, Self::GetRange, Self::Exists, Self::Upload, Self::Delete, Self::Attributes];

    /// The value of the metrics' label `operation`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iter => "iter",
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Exists => "exists",
            Self::Upload => "upload",
            Self::Delete => "delete",
            Self::Attributes => "attributes",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// The object is not there, and the caller had said that this may be.
    Missing,
    /// It failed, after all tries.
    Failed,
}

/// An operation that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// What was asked for.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes of content that were read or written.
    pub bytes: u64,
    /// How long it took, all tries included.
    pub took: Duration,
    /// How many times it was tried again.
    pub retries: u32,
}

/// Hears of every operation when it ends, and of bytes as they move. Called from the task that asked for it, so it must be quick.
pub trait BucketObserver: Send + Sync {
    /// An operation has ended.
    fn finished(&self, _operation: &Finished) {}

    /// Bytes of content were read or written: a whole object or range, or one part of an object that is written in parts. Tries
    /// that fail afterwards have moved bytes too, so the sum may exceed that of [`finished`](Self::finished).
    fn moved(&self, _operation: Operation, _bytes: u64) {}
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl BucketObserver for Unobserved {}

/// A future in a box.
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Measures and waits, for a crate that may do neither by itself.
pub trait Timer: Send + Sync {
    /// Time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;

    /// Comes back after `duration`.
    fn wait(&self, duration: Duration) -> Wait<'_>;
}

/// A timer for which no time passes: nothing is measured, and every wait is over at once. For tests and one-shot tools.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTime;

impl Timer for NoTime {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn wait(&self, _duration: Duration) -> Wait<'_> {
        Box::pin(std::future::ready(()))
    }
}
