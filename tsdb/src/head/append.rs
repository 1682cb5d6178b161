//! What a batch does to the head: find all its series, judge every sample, apply what is good.
//!
//! The whole batch is one step under the commit lock. It goes in passes, because what costs is waiting for memory: the first
//! pass only looks series up, one after the other and each independent of the last, so that the processor waits for many
//! at once; the second judges and applies while the records are near. Samples are judged twice, as Prometheus does:
//! against the series as it was before the batch, and that verdict is reported; and against the series as it is
//! by now, and a sample that fails only here was overtaken by its own batch.

use sarsen_block::{LabelsRef, SeriesHash, SeriesNo, Timestamp};
use sarsen_wal::SeriesId;

use super::{Head, Notes};
use crate::exemplars::ExemplarRef;
use crate::outcome::{Committed, Reason, Refusal};

/// Samples that wait to be committed. Labels are borrowed.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    series: Vec<(SeriesHash, LabelsRef<'a>)>,
    samples: Vec<StagedSample>,
    pub(crate) notes: Notes<'a>,
}

#[derive(Debug, Clone, Copy)]
struct StagedSample {
    /// Index into the series of the batch.
    series: u32,
    t: Timestamp,
    v: f64,
}

impl<'a> Batch<'a> {
    /// Adds a sample. Samples of one series in a row share its entry.
    #[inline]
    pub(crate) fn push(&mut self, labels: LabelsRef<'a>, hash: SeriesHash, t: Timestamp, v: f64) {
        if self.series.last().is_none_or(|&(last, _)| last != hash) {
            self.series.push((hash, labels));
        }
        self.samples.push(StagedSample { series: (self.series.len() - 1) as u32, t, v });
    }

    /// The sample staged last, if it is one of the series with this hash.
    fn last_sample_of(&self, hash: SeriesHash) -> Option<u32> {
        let index = self.series.len().checked_sub(1)?;
        let is_same = self.series.last()?.0 == hash && self.samples.last()?.series as usize == index;
        is_same.then(|| (self.samples.len() - 1) as u32)
    }

    /// Adds an exemplar.
    pub(crate) fn push_exemplar(&mut self, hash: SeriesHash, exemplar: ExemplarRef<'a>) {
        let sample = self.last_sample_of(hash);
        self.notes.push_exemplar(hash, exemplar, sample);
    }

    /// Makes room for about this many more series, with one sample each.
    pub(crate) fn reserve(&mut self, series: usize) {
        self.series.reserve(series);
        self.samples.reserve(series);
    }

    /// How many samples wait.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }
}

/// What a batch did to the head.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// For the log: births and accepted samples.
    pub(crate) log: sarsen_wal::Batch,
    /// What each series of the batch was before it.
    found: Vec<Found>,
    births: u64,
    accepted: u64,
}

impl Applied {
    /// An empty one; its records for the log are packed where that pays, if `compress`.
    pub(crate) fn new(compress: bool) -> Self {
        let log = if compress { sarsen_wal::Batch::new() } else { sarsen_wal::Batch::uncompressed() };
        Self { log, ..Self::default() }
    }
}

/// A series of the batch as it was before the batch.
#[derive(Debug, Clone, Copy)]
struct Found {
    no: Option<SeriesNo>,
    newest: Newest,
}

/// Time and bits of the newest sample; `t` is `Timestamp::MIN` if there is none.
#[derive(Debug, Clone, Copy)]
struct Newest {
    t: Timestamp,
    bits: u64,
    is_any: bool,
}

impl Newest {
    const NONE: Self = Self { t: Timestamp::MIN, bits: 0, is_any: false };

    #[inline]
    const fn of(newest: Option<(Timestamp, u64)>) -> Self {
        match newest {
            Some((t, bits)) => Self { t, bits, is_any: true },
            None => Self::NONE,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Duplicate,
    Refused(Reason),
}

/// Judges a sample that lies within the bounds.
#[inline]
fn judge(newest: Newest, t: Timestamp, v: f64) -> Verdict {
    if t > newest.t || !newest.is_any {
        Verdict::Good
    } else if t < newest.t {
        Verdict::Refused(Reason::OutOfOrder)
    } else if v.to_bits() == newest.bits {
        Verdict::Duplicate
    } else {
        Verdict::Refused(Reason::DuplicateValue)
    }
}

impl Head {
    /// The oldest time that a batch may hold whose first sample is at `first`: half a block range behind the newest
    /// sample of the head, and not in a range that was cut. An empty head counts from the first sample.
    fn oldest_valid(&self, first: Timestamp) -> Timestamp {
        let newest = if self.times.max == Timestamp::MIN { first } else { self.times.max };
        newest.saturating_sub(self.block_range / 2).max(self.times.floor)
    }

    /// Judges the samples of a batch and applies what is good. `applied` is filled anew; samples after `max_time` are
    /// refused.
    pub(super) fn apply_samples(
        &mut self,
        batch: &Batch<'_>,
        max_time: Timestamp,
        applied: &mut Applied,
    ) -> Committed {
        applied.log.clear();
        (applied.births, applied.accepted) = (0, 0);
        let mut outcome = Committed::default();
        let Some(first) = batch.samples.first() else { return outcome };
        if self.store.is_full() {
            let refuse = |sample| Refusal { sample, reason: Reason::HeadFull };
            outcome.refused = (0..batch.samples.len() as u32).map(refuse).collect();
            return outcome;
        }
        let bounds = (self.oldest_valid(first.t), max_time);
        self.find_all(batch, &mut applied.found);
        for (index, staged) in batch.samples.iter().enumerate() {
            let refuse = |outcome: &mut Committed, reason| {
                outcome.refused.push(Refusal { sample: index as u32, reason });
            };
            if staged.t < bounds.0 {
                refuse(&mut outcome, Reason::OutOfBounds);
                continue;
            }
            if staged.t > bounds.1 {
                refuse(&mut outcome, Reason::TooFarInFuture);
                continue;
            }
            let Some(found) = applied.found.get(staged.series as usize).copied() else { continue };
            match judge(found.newest, staged.t, staged.v) {
                Verdict::Duplicate => outcome.duplicates += 1,
                Verdict::Refused(reason) => refuse(&mut outcome, reason),
                Verdict::Good => {
                    let no = found.no.or_else(|| self.born_in(batch, staged.series, applied));
                    match no {
                        Some(no) => self.apply_one(no, staged, applied, &mut outcome),
                        None => refuse(&mut outcome, Reason::HeadFull),
                    }
                }
            }
        }
        outcome.accepted = applied.accepted;
        outcome.births = applied.births;
        self.counts.samples += outcome.accepted;
        outcome
    }

    /// The first pass. A table is asked by 38 bits of the hash; that the series found is the right one is proven by its
    /// record, in a loop of its own whose loads do not wait for one another.
    fn find_all(&self, batch: &Batch<'_>, found: &mut Vec<Found>) {
        found.clear();
        found.extend(batch.series.iter().map(|&(hash, _)| Found {
            no: self.map.find(hash.0, |_| true).map(SeriesNo),
            newest: Newest::NONE,
        }));
        for (found, &(hash, _)) in found.iter_mut().zip(&batch.series) {
            let Some(no) = found.no else { continue };
            match self.series.get(no) {
                Some(series) if series.hash() == hash => found.newest = Newest::of(series.newest()),
                _ => {
                    found.no = self.find(hash);
                    let series = found.no.and_then(|no| self.series.get(no));
                    found.newest = Newest::of(series.and_then(super::MemSeries::newest));
                }
            }
        }
    }

    /// The series that an earlier sample of this batch gave birth to, or a new one.
    #[cold]
    fn born_in(&mut self, batch: &Batch<'_>, index: u32, applied: &mut Applied) -> Option<SeriesNo> {
        let &(hash, labels) = batch.series.get(index as usize)?;
        if let Some(no) = self.find(hash) {
            return Some(no);
        }
        let no = self.birth(hash, labels)?;
        applied.log.birth(SeriesId(u64::from(no.0)), labels);
        applied.births += 1;
        Some(no)
    }

    /// Judges a sample against its series as it is by now, and appends it.
    #[inline]
    fn apply_one(
        &mut self,
        no: SeriesNo,
        staged: &StagedSample,
        applied: &mut Applied,
        outcome: &mut Committed,
    ) {
        let Some(series) = self.series.get_mut(no) else { return };
        match judge(Newest::of(series.newest()), staged.t, staged.v) {
            Verdict::Good => {}
            Verdict::Duplicate => {
                outcome.duplicates += 1;
                return;
            }
            Verdict::Refused(_) => {
                outcome.overtaken += 1;
                return;
            }
        }
        self.counts.chunks += u64::from(series.append(&mut self.store, no, staged.t, staged.v));
        self.times.min = self.times.min.min(staged.t);
        self.times.max = self.times.max.max(staged.t);
        applied.log.sample(SeriesId(u64::from(no.0)), staged.t, staged.v.to_bits());
        applied.accepted += 1;
    }
}
