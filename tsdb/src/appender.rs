//! Stage samples without a lock, commit them under one.
//!
//! A commit takes the lock of the head once for the whole batch, judges and applies it, places it in the buffer of the log
//! in the same hold, and lets go. So the order of the log is the order of applying. Nothing is on disk until the
//! [`Pending`] has been waited for. It waits to the end of the log that the commit saw, even if the batch added nothing:
//! a sample that was there already may itself still be on its way.

use sarsen_block::{LabelsRef, Sample, SeriesHash, Timestamp};
use sarsen_wal::Lead;

use crate::db::Shared;
use crate::error::Error;
use crate::exemplars::ExemplarRef;
use crate::head::Batch;
use crate::metadata::MetadataRef;
use crate::outcome::Committed;

/// A batch of samples for one database. Borrows the labels until it is committed.
#[derive(Debug)]
pub struct Appender<'a> {
    shared: &'a Shared,
    batch: Batch<'a>,
    max_time: Timestamp,
}

/// A batch that was judged, logged and applied.
#[derive(Debug)]
#[must_use = "a commit is not on disk before its pending has been waited for"]
pub struct Commit {
    /// What became of the samples.
    pub committed: Committed,
    /// Waits until they are on disk.
    pub pending: Pending,
}

/// A commit on its way to the disk.
#[derive(Debug)]
#[must_use = "a commit is not on disk before its wait has returned"]
pub struct Pending(sarsen_wal::Pending);

impl<'a> Appender<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, batch: Batch::default(), max_time: Timestamp::MAX }
    }

    /// Samples after `t` are to be refused as [`TooFarInFuture`](crate::Reason::TooFarInFuture).
    pub const fn max_time(&mut self, t: Timestamp) {
        self.max_time = t;
    }

    /// Makes room for about this many more series.
    pub fn reserve(&mut self, series: usize) {
        self.batch.reserve(series);
    }

    /// Stages a sample. Nothing is looked up yet.
    #[inline]
    pub fn append(&mut self, labels: LabelsRef<'a>, t: Timestamp, v: f64) {
        self.batch.push(labels, self.shared.hasher.hash(labels), t, v);
    }

    /// Stages a sample of a series whose hash the caller has from [`Db::hasher`](crate::Db::hasher). Samples of one
    /// series in a row share one lookup.
    #[inline]
    pub fn append_hashed(&mut self, labels: LabelsRef<'a>, hash: SeriesHash, t: Timestamp, v: f64) {
        self.batch.push(labels, hash, t, v);
    }

    /// Stages a sample of any kind: a histogram, or a value with a start time.
    pub fn append_sample(&mut self, labels: LabelsRef<'a>, sample: Sample) {
        self.batch.push_sample(labels, self.shared.hasher.hash(labels), sample);
    }

    /// Stages a sample of any kind of a series whose hash the caller has.
    pub fn append_sample_hashed(&mut self, labels: LabelsRef<'a>, hash: SeriesHash, sample: Sample) {
        self.batch.push_sample(labels, hash, sample);
    }

    /// Stages an exemplar of a series that the database has, or that a sample staged before brings to life. If the sample
    /// staged last is one of the same series and is refused, the exemplar is left out too.
    pub fn append_exemplar(&mut self, labels: LabelsRef<'_>, exemplar: ExemplarRef<'a>) {
        self.append_exemplar_hashed(self.shared.hasher.hash(labels), exemplar);
    }

    /// Stages an exemplar of a series whose hash the caller has from [`Db::hasher`](crate::Db::hasher).
    pub fn append_exemplar_hashed(&mut self, hash: SeriesHash, exemplar: ExemplarRef<'a>) {
        self.batch.push_exemplar(hash, exemplar);
    }

    /// Stages what a series means, which replaces what is known of it. A series that the database does not have, and that
    /// no sample staged brings to life, has no metadata.
    pub fn append_metadata(&mut self, labels: LabelsRef<'_>, metadata: MetadataRef<'a>) {
        self.append_metadata_hashed(self.shared.hasher.hash(labels), metadata);
    }

    /// Stages what a series means whose hash the caller has from [`Db::hasher`](crate::Db::hasher).
    pub fn append_metadata_hashed(&mut self, hash: SeriesHash, metadata: MetadataRef<'a>) {
        self.batch.notes.push_metadata(hash, metadata);
    }

    /// How many samples are staged. Exemplars and metadata are not counted.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether no sample, no exemplar and no metadata is staged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.batch.notes.is_empty()
    }

    /// Judges, applies and logs the batch as one step.
    ///
    /// # Errors
    /// [`Error::Log`] or [`Error::Latched`] if the log fails or has failed: nothing may be acknowledged, and the database
    /// is to be opened again. [`Error::Closed`] after [`Db::close`](crate::Db::close).
    pub fn commit(self) -> Result<Commit, Error> {
        let result = self.shared.commit(&self.batch, self.max_time);
        match &result {
            Ok(commit) => self.shared.observer.committed(&commit.committed),
            Err(_) => self.shared.observer.commit_failed(),
        }
        result
    }
}

impl Pending {
    pub(crate) const fn new(pending: sarsen_wal::Pending) -> Self {
        Self(pending)
    }

    /// Returns when the commit is on disk, as the sync policy understands it. The first who waits syncs for all.
    ///
    /// # Errors
    /// [`Error::Log`]: nobody knows whether the commit is on disk, it must not be acknowledged, and the database is to be
    /// opened again.
    pub fn wait(self) -> Result<(), Error> {
        Ok(self.0.wait()?)
    }

    /// Whether [`wait`](Self::wait) would return at once with success.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Calls `done` when [`wait`](Self::wait) would return, with what it would return, and holds no thread meanwhile. That
    /// may be at once; else it is on the thread of whoever brings the log to disk, so `done` must be quick and must not
    /// wait. If nobody has that duty yet it comes back: call [`Lead::run`] soon, on a thread that may block.
    pub fn on_done(self, done: impl FnOnce(Result<(), Error>) + Send + 'static) -> Option<Lead> {
        self.0.on_done(move |outcome| done(outcome.map_err(Error::from)))
    }
}

/// Waits for commits to several databases: all logs go to disk together, so that the wait is about that of one. The
/// results are in the order of `pendings`.
pub fn wait_all(pendings: Vec<Pending>) -> Vec<Result<(), Error>> {
    let inner = pendings.into_iter().map(|pending| pending.0).collect();
    sarsen_wal::wait_all(inner).into_iter().map(|result| result.map_err(Error::from)).collect()
}
