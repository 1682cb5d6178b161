//! What a batch does to the head: find all its series, judge every sample, apply what is good.
//!
//! The whole batch is one step under the commit lock. It goes in passes, because what costs is waiting for memory: the first
//! pass only looks series up, one after the other and each independent of the last, so that the processor waits for many
//! at once; the second judges and applies while the records are near. Samples are judged twice, as Prometheus does:
//! against the series as it was before the batch, and that verdict is reported; and against the series as it is
//! by now, and a sample that fails only here was overtaken by its own batch.

use sarsen_block::{Histogram, Sample, SeriesNo, Timestamp, Value};
use sarsen_wal::SeriesId;

use super::Head;
use super::histograms::Row;
use super::judge::{Bounds, Kind, Newest, STALE_DIGEST, Verdict};
use super::staged::{Batch, Staged};
use crate::error::Error;
use crate::outcome::{Committed, Reason, Refusal};

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
    /// Whether it has grown out of proportion: then it is better made anew.
    pub(crate) fn is_large(&self) -> bool {
        self.found.capacity() > 1 << 15
    }
}

/// A series of the batch as it was before the batch.
#[derive(Debug, Clone, Copy)]
struct Found {
    no: Option<SeriesNo>,
    newest: Newest,
}

impl Head {
    /// What a batch may hold whose first sample is at `first`. In order is what lies at most half a block range behind the
    /// newest sample of the head, and not in a range that was cut; late is what lies at most the window behind it. An
    /// empty head counts from the first sample.
    fn bounds(&self, first: Timestamp, max: Timestamp) -> Bounds {
        let newest = if self.times.max == Timestamp::MIN { first } else { self.times.max };
        let oldest = newest.saturating_sub(self.settings.block_range / 2).max(self.times.floor);
        let window = self.settings.late_window;
        Bounds { oldest, late: (window > 0).then(|| newest.saturating_sub(window)), max }
    }

    /// Judges the samples of a batch and applies what is good. `applied` is filled anew; samples after `max_time` are
    /// refused.
    pub(super) fn apply_samples(
        &mut self,
        batch: &Batch<'_>,
        max_time: Timestamp,
        applied: &mut Applied,
    ) -> Result<Committed, Error> {
        applied.log.clear();
        (applied.births, applied.accepted) = (0, 0);
        let mut outcome = Committed::default();
        let Some(first) = batch.samples.first() else { return Ok(outcome) };
        if self.store.is_full() {
            let refuse = |sample| Refusal { sample, reason: Reason::HeadFull };
            outcome.refused = (0..batch.samples.len() as u32).map(refuse).collect();
            return Ok(outcome);
        }
        let bounds = self.bounds(first.t, max_time);
        self.find_all(batch, &mut applied.found);
        for (index, staged) in batch.samples.iter().enumerate() {
            let Some(found) = applied.found.get(staged.series as usize).copied() else { continue };
            if self.apply_plain(&found, staged, &bounds, applied) {
                continue;
            }
            let verdict = if staged.is_plain() {
                bounds.judge(found.newest, staged.t, Kind::Float, staged.bits)
            } else {
                judge_other(&bounds, found.newest, batch, staged)
            };
            let reason = match verdict {
                Verdict::Good | Verdict::Late => {
                    let no = found.no.or_else(|| self.born_in(batch, staged.series, applied));
                    let Some(no) = no else {
                        outcome.refused.push(Refusal { sample: index as u32, reason: Reason::HeadFull });
                        continue;
                    };
                    self.apply_one(no, (batch, staged), &bounds, applied, &mut outcome)?;
                    continue;
                }
                Verdict::Duplicate => {
                    outcome.duplicates += 1;
                    continue;
                }
                Verdict::Refused(reason) => reason,
            };
            outcome.refused.push(Refusal { sample: index as u32, reason });
        }
        outcome.accepted = applied.accepted;
        outcome.births = applied.births;
        self.counts.samples += outcome.accepted;
        self.counts.late += outcome.late;
        Ok(outcome)
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
                Some(series) if series.hash() == hash => found.newest = series.newest(),
                _ => {
                    found.no = self.find(hash);
                    let series = found.no.and_then(|no| self.series.get(no));
                    found.newest = series.map_or(Newest::NONE, super::MemSeries::newest);
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

    /// Takes a plain float that goes behind the plain floats of its series, as nearly all samples do, and says so. Anything
    /// else is left alone.
    #[inline]
    fn apply_plain(
        &mut self,
        found: &Found,
        staged: &Staged,
        bounds: &Bounds,
        applied: &mut Applied,
    ) -> bool {
        let t = staged.t;
        let is_good = staged.is_plain() && t > found.newest.t && t >= bounds.oldest && t <= bounds.max;
        let (true, false, Some(no)) = (is_good, self.settings.xor2, found.no) else { return false };
        let Some(series) = self.series.get_mut(no).filter(|series| series.goes_behind(t)) else {
            return false;
        };
        let begun = series.append(&mut self.store, no, t, f64::from_bits(staged.bits));
        self.counts.chunks += u64::from(begun);
        self.times.min = self.times.min.min(t);
        self.times.max = self.times.max.max(t);
        applied.log.sample(SeriesId(u64::from(no.0)), t, staged.bits);
        applied.accepted += 1;
        true
    }

    /// Judges a sample against its series as it is by now, and takes it.
    fn apply_one(
        &mut self,
        no: SeriesNo,
        (batch, staged): (&Batch<'_>, &Staged),
        bounds: &Bounds,
        applied: &mut Applied,
        outcome: &mut Committed,
    ) -> Result<(), Error> {
        let Some(series) = self.series.get_mut(no) else { return Ok(()) };
        let newest = series.newest();
        let kind = if staged.is_plain() { Kind::Float } else { batch.kind(staged) };
        match bounds.judge(newest, staged.t, kind, staged.bits) {
            Verdict::Good => {}
            Verdict::Late => return self.apply_late(no, (batch, staged), newest, applied, outcome),
            Verdict::Duplicate => {
                outcome.duplicates += 1;
                return Ok(());
            }
            Verdict::Refused(_) => {
                outcome.overtaken += 1;
                return Ok(());
            }
        }
        if !staged.is_plain() || series.has_other() || self.settings.xor2 {
            self.apply_other(no, (batch, staged), newest, applied)?;
        } else {
            let v = f64::from_bits(staged.bits);
            self.counts.chunks += u64::from(series.append(&mut self.store, no, staged.t, v));
            self.times.min = self.times.min.min(staged.t);
            self.times.max = self.times.max.max(staged.t);
            applied.log.sample(SeriesId(u64::from(no.0)), staged.t, staged.bits);
        }
        applied.accepted += 1;
        Ok(())
    }

    /// Appends a sample where a plain float does not follow plain floats.
    #[cold]
    fn apply_other(
        &mut self,
        no: SeriesNo,
        (batch, staged): (&Batch<'_>, &Staged),
        newest: Newest,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let (id, t) = (SeriesId(u64::from(no.0)), staged.t);
        let start = self.start_of(batch, staged);
        let marker = stale_marker(batch, staged, newest);
        let histogram = marker.as_ref().or_else(|| batch.histogram(staged));
        let bits = if marker.is_some() { STALE_DIGEST } else { staged.bits };
        self.put(no, Row { t, start, bits, histogram })?;
        match histogram {
            Some(histogram) => applied.log.histogram(id, t, start, histogram),
            None if start == 0 => applied.log.sample(id, t, bits),
            None => applied.log.sample_with_start(id, t, start, bits),
        }
        Ok(())
    }

    /// The start time of a sample as far as it is kept.
    fn start_of(&self, batch: &Batch<'_>, staged: &Staged) -> Timestamp {
        if self.settings.xor2 { batch.start(staged) } else { 0 }
    }

    /// Keeps a sample beside its series.
    #[cold]
    fn apply_late(
        &mut self,
        no: SeriesNo,
        (batch, staged): (&Batch<'_>, &Staged),
        newest: Newest,
        applied: &mut Applied,
        outcome: &mut Committed,
    ) -> Result<(), Error> {
        let (t, start) = (staged.t, self.start_of(batch, staged));
        let histogram = stale_marker(batch, staged, newest).or_else(|| batch.histogram(staged).cloned());
        let value = match histogram {
            Some(histogram) => Value::Histogram(Box::new(histogram)),
            None => Value::Float(f64::from_bits(staged.bits)),
        };
        let sample = Sample { t, start, value };
        if !self.late.insert(no, sample.clone())? {
            // Which of two values stays is settled; the sender cannot better it.
            outcome.duplicates += 1;
            return Ok(());
        }
        applied.log.late(SeriesId(u64::from(no.0)), t, start, &sample.value);
        applied.accepted += 1;
        outcome.late += 1;
        Ok(())
    }
}

/// Judges what is not a plain float. A histogram that is none is refused after one that is outside of all bounds, as in
/// Prometheus.
#[cold]
fn judge_other(bounds: &Bounds, newest: Newest, batch: &Batch<'_>, staged: &Staged) -> Verdict {
    if batch.is_broken(staged) && !bounds.is_outside(staged.t) {
        return Verdict::Refused(Reason::BrokenHistogram);
    }
    bounds.judge(newest, staged.t, batch.kind(staged), staged.bits)
}

/// The stale histogram that a float stale marker becomes behind a histogram.
fn stale_marker(batch: &Batch<'_>, staged: &Staged, newest: Newest) -> Option<Histogram> {
    let turns = newest.turns(batch.kind(staged), staged.bits);
    turns.then(|| Histogram::stale(newest.kind == Kind::FloatHistogram))
}
