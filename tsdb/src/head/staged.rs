//! Samples that wait to be committed, as the caller gave them.
//!
//! A plain float is one row of fixed size; what a histogram or a start timestamp adds lies beside it, so that the loops over
//! floats stay as they are. What can be found out about a sample without the head is found out here, before anybody holds the lock:
//! whether a histogram is one, and the digest by which it is told from another.

use sarsen_block::{Histogram, LabelsRef, Sample, SeriesHash, Timestamp, Value};

use super::Notes;
use super::judge::{Kind, digest};
use crate::exemplars::ExemplarRef;

/// Samples that wait to be committed. Labels are borrowed.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    pub(super) series: Vec<(SeriesHash, LabelsRef<'a>)>,
    pub(super) samples: Vec<Staged>,
    extras: Vec<Extra>,
    pub(crate) notes: Notes<'a>,
}

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Staged {
    /// Index into the series of the batch.
    pub(super) series: u32,
    /// 0 for a float without a start time; else one more than its place among the extras.
    extra: u32,
    pub(super) t: Timestamp,
    /// Of the float, or the digest of the histogram.
    pub(super) bits: u64,
}

/// What plain floats do not have.
#[derive(Debug)]
struct Extra {
    start: Timestamp,
    histogram: Option<Box<Histogram>>,
    /// Whether the histogram is none.
    is_broken: bool,
}

impl Staged {
    /// Whether this is a float without a start time.
    #[inline]
    pub(super) const fn is_plain(&self) -> bool {
        self.extra == 0
    }
}

impl<'a> Batch<'a> {
    /// Adds a float. Samples of one series in a row share its entry.
    #[inline]
    pub(crate) fn push(&mut self, labels: LabelsRef<'a>, hash: SeriesHash, t: Timestamp, v: f64) {
        self.stage(labels, hash, t, (v.to_bits(), 0));
    }

    /// Adds a sample of any kind.
    pub(crate) fn push_sample(&mut self, labels: LabelsRef<'a>, hash: SeriesHash, sample: Sample) {
        let Sample { t, start, value } = sample;
        let (bits, histogram) = match value {
            Value::Float(v) if start == 0 => return self.push(labels, hash, t, v),
            Value::Float(v) => (v.to_bits(), None),
            Value::Histogram(histogram) => (digest(&histogram), Some(histogram)),
        };
        let is_broken = histogram.as_ref().is_some_and(|histogram| histogram.check().is_err());
        self.extras.push(Extra { start, histogram, is_broken });
        self.stage(labels, hash, t, (bits, self.extras.len() as u32));
    }

    #[inline]
    fn stage(&mut self, labels: LabelsRef<'a>, hash: SeriesHash, t: Timestamp, (bits, extra): (u64, u32)) {
        if self.series.last().is_none_or(|&(last, _)| last != hash) {
            self.series.push((hash, labels));
        }
        self.samples.push(Staged { series: (self.series.len() - 1) as u32, extra, t, bits });
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

    fn extra(&self, staged: &Staged) -> Option<&Extra> {
        self.extras.get((staged.extra as usize).checked_sub(1)?)
    }

    /// When the counter behind a sample began; 0 if that is not known.
    pub(super) fn start(&self, staged: &Staged) -> Timestamp {
        self.extra(staged).map_or(0, |extra| extra.start)
    }

    /// The histogram of a sample that is not a float.
    pub(super) fn histogram(&self, staged: &Staged) -> Option<&Histogram> {
        self.extra(staged)?.histogram.as_deref()
    }

    /// Whether a sample is a histogram that contradicts itself.
    pub(super) fn is_broken(&self, staged: &Staged) -> bool {
        self.extra(staged).is_some_and(|extra| extra.is_broken)
    }

    /// What kind a sample is of.
    pub(super) fn kind(&self, staged: &Staged) -> Kind {
        match self.histogram(staged) {
            None => Kind::Float,
            Some(histogram) => Kind::of(histogram),
        }
    }
}
