//! The samples of one row of chunks, as narrow as they are: most rows are numbers and nothing else.

use sarsen_block::{Histogram, Sample, Timestamp, Value};
use sarsen_downsample::Sink;
use sarsen_promql::Samples;

/// Columns as an evaluation wants them.
#[derive(Debug)]
pub(super) struct Columns<'a>(pub(super) &'a mut Samples);

impl Columns<'_> {
    /// Appends a sample of any kind.
    pub(super) fn sample(&mut self, sample: Sample) {
        match sample.value {
            Value::Float(value) => self.float(sample.t, sample.start, value),
            Value::Histogram(value) => self.histogram(sample.t, sample.start, value),
        }
    }
}

/// Puts a start timestamp where none was known up to now.
fn put_start(starts: &mut Vec<Timestamp>, known: usize, start: Timestamp) {
    if start != 0 || !starts.is_empty() {
        starts.resize(known, 0);
        starts.push(start);
    }
}

impl Sink for Columns<'_> {
    #[inline]
    fn float(&mut self, t: Timestamp, start: Timestamp, value: f64) {
        put_start(&mut self.0.starts, self.0.times.len(), start);
        self.0.times.push(t);
        self.0.floats.push(value);
    }

    fn histogram(&mut self, t: Timestamp, start: Timestamp, value: Box<Histogram>) {
        put_start(&mut self.0.histogram_starts, self.0.histogram_times.len(), start);
        self.0.histogram_times.push(t);
        self.0.histograms.push(value.to_float());
    }

    fn expect(&mut self, floats: usize) {
        self.0.times.reserve(floats);
        self.0.floats.reserve(floats);
    }
}

/// The samples of a row.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Numbers without start timestamps; none if anything else is in the row.
    pub(super) floats: Vec<(Timestamp, f64)>,
    /// Everything, if there is anything else.
    mixed: Option<Vec<Sample>>,
}

impl Row {
    /// Whether it is numbers and nothing else.
    pub(super) const fn is_plain(&self) -> bool {
        self.mixed.is_none()
    }

    /// The samples as samples of any kind.
    pub(super) fn into_mixed(mut self) -> Vec<Sample> {
        std::mem::take(self.mixed())
    }

    fn mixed(&mut self) -> &mut Vec<Sample> {
        let floats = &mut self.floats;
        self.mixed.get_or_insert_with(|| {
            std::mem::take(floats).into_iter().map(|(t, value)| Sample::float(t, value)).collect()
        })
    }
}

impl Sink for Row {
    #[inline]
    fn float(&mut self, t: Timestamp, start: Timestamp, value: f64) {
        if start == 0 && self.mixed.is_none() {
            self.floats.push((t, value));
        } else {
            self.mixed().push(Sample { t, start, value: Value::Float(value) });
        }
    }

    fn histogram(&mut self, t: Timestamp, start: Timestamp, value: Box<Histogram>) {
        self.mixed().push(Sample { t, start, value: Value::Histogram(value) });
    }

    fn expect(&mut self, samples: usize) {
        match &mut self.mixed {
            None => self.floats.reserve(samples),
            Some(mixed) => mixed.reserve(samples),
        }
    }
}

/// More samples than these are in no window of the coarsest resolution, at one a millisecond.
const MOST: f64 = 3_600_000.0;

/// Makes of a count as many samples, a millisecond apart, the last at the time of the count. As many milliseconds before it nothing else is,
/// because the samples that were counted had times of their own.
#[derive(Debug)]
pub(super) struct Each<'a, S> {
    into: &'a mut S,
    min: Timestamp,
    last: Option<Timestamp>,
    /// Whether what comes are counts; else they are samples.
    pub(super) is_count: bool,
}

impl<'a, S: Sink> Each<'a, S> {
    /// Lets nothing through that is before `min`.
    pub(super) const fn new(min: Timestamp, into: &'a mut S) -> Self {
        Self { into, min, last: None, is_count: false }
    }

    /// Whether what is later than `t` has come.
    pub(super) fn is_behind(&self, t: Timestamp) -> bool {
        self.last.is_some_and(|last| last > t)
    }

    /// The first time that is free.
    fn free(&self) -> Timestamp {
        self.last.map_or(self.min, |last| self.min.max(last.saturating_add(1)))
    }
}

impl<S: Sink> Sink for Each<'_, S> {
    fn float(&mut self, t: Timestamp, start: Timestamp, value: f64) {
        let count = if self.is_count { value.clamp(1.0, MOST) as i64 } else { 1 };
        for at in self.free().max(t.saturating_sub(count - 1))..=t {
            self.into.float(at, start, value);
        }
        self.last = self.last.max(Some(t));
    }

    fn histogram(&mut self, t: Timestamp, start: Timestamp, value: Box<Histogram>) {
        if t >= self.free() {
            self.into.histogram(t, start, value);
            self.last = Some(t);
        }
    }

    fn expect(&mut self, samples: usize) {
        self.into.expect(samples);
    }
}
