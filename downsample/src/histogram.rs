//! The same for histograms: gathered window by window, and the three parts that are written from them.
//!
//! A histogram has a count, a sum that is a gauge, and a counter; no least and no greatest. All histograms of a batch are brought to the
//! lowest schema in it. A chunk holds one zero threshold and one set of custom bounds, so where those of a sum or a counter change, a
//! new chunk begins with that window, in which the counter goes on: Thanos keeps only the samples behind such a change, and
//! loses those before it.

use sarsen_block::{
    Appended, CUSTOM_BUCKETS, Chunk, Encoding, Error, Histogram, HistogramChunk, ResetHint, SampleIter,
    TimeRange, TimedChunk, Timestamp, Value, XorAppender,
};

use crate::aggr::AggrChunk;
use crate::window::window_end;

/// A histogram of float counts at a time.
pub(crate) type Timed = (Timestamp, Histogram);

/// Appends the histograms of `chunk` with float counts: no stale markers, none that goes back in time or lies before the epoch.
///
/// # Errors
/// `Corrupt` if the chunk is damaged, `Invalid` if it is one of floats.
pub(crate) fn extend(chunk: &Chunk, into: &mut Vec<Timed>) -> Result<(), Error> {
    let mut samples = chunk.samples()?;
    let mut last = into.last().map_or(0, |(t, _)| *t);
    while let Some(sample) = samples.next()? {
        let Value::Histogram(histogram) = sample.value else {
            return Err(Error::invalid("chunk", "floats where histograms are expected"));
        };
        if sample.t >= last && !histogram.is_stale() {
            into.push((sample.t, histogram.to_float()));
            last = sample.t;
        }
    }
    Ok(())
}

/// What is known of the histograms so far: of the present window, and of the counter since the batch began.
#[derive(Debug)]
pub(crate) struct Totals {
    schema: i32,
    pub(crate) count: u64,
    pub(crate) sum: Histogram,
    pub(crate) counter: Histogram,
    previous: Histogram,
}

impl Totals {
    /// What is known behind `first`.
    fn begin(schema: i32, first: &Histogram) -> Self {
        let first = reduced(first, schema);
        Self { schema, count: 1, sum: as_gauge(first.clone()), counter: first.clone(), previous: first }
    }

    /// Adds a histogram; it is the first of a window if `opens`.
    fn add(&mut self, histogram: &Histogram, opens: bool) -> Result<(), Error> {
        let own = reduced(histogram, self.schema);
        if own.hint != ResetHint::Gauge && histogram.is_reset_since(&self.previous)? {
            self.counter.add(&own)?;
        } else {
            let mut gain = own.clone();
            gain.subtract(&self.previous)?;
            self.counter.add(&gain)?;
        }
        if opens {
            (self.count, self.sum) = (1, as_gauge(own.clone()));
        } else {
            self.count += 1;
            self.sum.add(&own)?;
        }
        self.previous = own;
        Ok(())
    }
}

/// The sum of a window may be less than that of the one before.
fn as_gauge(mut histogram: Histogram) -> Histogram {
    histogram.hint = ResetHint::Gauge;
    histogram
}

/// `histogram` with no more than `schema`. As with Thanos, one that is changed says nothing of the one before it any more.
fn reduced(histogram: &Histogram, schema: i32) -> Histogram {
    let mut own = histogram.clone();
    if own.schema > schema {
        own.reduce_resolution(schema);
        own.hint = ResetHint::Unknown;
    }
    own
}

/// Goes over the histograms, which must go together, window by window, as [`floats::walk`](crate::floats::walk) does.
pub(crate) fn walk(
    samples: &[Timed],
    width: i64,
    mut emit: impl FnMut(Timestamp, &mut Totals) -> Result<(), Error>,
) -> Result<(), Error> {
    let schema = samples.iter().map(|(_, histogram)| histogram.schema).min();
    let (Some(schema), Some((last, _)), Some(((first_time, first), others))) =
        (schema, samples.last(), samples.split_first())
    else {
        return Ok(());
    };
    let mut totals = Totals::begin(schema, first);
    let mut time = window_end(*first_time, width).min(*last);
    for (t, histogram) in others {
        let opens = *t > time;
        if opens {
            emit(time, &mut totals)?;
            time = window_end(*t, width).min(*last);
        }
        totals.add(histogram, opens)?;
    }
    emit(time, &mut totals)
}

/// How many of the first samples can be gathered together: exponential and custom buckets cannot, and what began as a counter does not
/// go on as a gauge.
pub(crate) fn together(samples: &[Timed]) -> usize {
    let Some((_, first)) = samples.first() else { return 0 };
    let custom = first.schema == CUSTOM_BUCKETS;
    let counter = first.hint != ResetHint::Gauge;
    let goes = |histogram: &Histogram| {
        (histogram.schema == CUSTOM_BUCKETS) == custom && !(counter && histogram.hint == ResetHint::Gauge)
    };
    samples.iter().take_while(|(_, histogram)| goes(histogram)).count()
}

/// The parts of a chunk that is being written, and those that are finished.
#[derive(Debug)]
pub(crate) struct HistogramParts<'a> {
    open: Option<Open>,
    /// The counter part of the chunk before, if it was ended by a change.
    ended: Option<HistogramChunk>,
    finished: &'a mut Vec<TimedChunk>,
}

#[derive(Debug)]
struct Open {
    counts: XorAppender,
    bytes: Vec<u8>,
    sums: HistogramChunk,
    counters: HistogramChunk,
    range: TimeRange,
}

impl Open {
    const fn at(t: Timestamp) -> Self {
        Self {
            counts: XorAppender::new(),
            bytes: Vec::new(),
            sums: HistogramChunk::begin(false, true),
            counters: HistogramChunk::begin(false, true),
            range: TimeRange::new(t, t),
        }
    }

    fn into_chunk(self, sums: Chunk) -> TimedChunk {
        let part = |chunk: Chunk, empty: bool| (!empty).then_some(chunk);
        let counts = Chunk::xor(self.counts.finish(&self.bytes));
        let parts = [
            part(counts, self.counts.num_samples() == 0),
            part(sums, self.sums.is_empty()),
            None,
            None,
            part(self.counters.to_chunk(), self.counters.is_empty()),
        ];
        TimedChunk { range: self.range, chunk: AggrChunk::new(parts).to_chunk() }
    }
}

/// What is known of a window; any of it may be missing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window<'a> {
    pub(crate) count: Option<f64>,
    pub(crate) sum: Option<&'a Histogram>,
    pub(crate) counter: Option<&'a Histogram>,
}

impl<'a> HistogramParts<'a> {
    pub(crate) const fn new(finished: &'a mut Vec<TimedChunk>) -> Self {
        Self { open: None, ended: None, finished }
    }

    /// Appends a window behind the others.
    pub(crate) fn put(&mut self, t: Timestamp, window: Window<'_>) -> Result<(), Error> {
        let mut open = self.open.take().unwrap_or_else(|| Open::at(t));
        if let Some(sum) = window.sum
            && !append(&mut open.sums, None, t, sum)?
        {
            open = self.end(open, None, t);
            append(&mut open.sums, None, t, sum)?;
        }
        if let Some(counter) = window.counter
            && !self.append_counter(&mut open, t, counter)?
        {
            // The sum of this window is in already; it moves on with the counter.
            let before = open.sums.to_chunk().without(&[TimeRange::new(t, t)])?.pop();
            open = self.end(open, before.map(|timed| timed.chunk), t);
            if let Some(sum) = window.sum {
                append(&mut open.sums, None, t, sum)?;
            }
            self.append_counter(&mut open, t, counter)?;
        }
        if let Some(count) = window.count
            && !open.counts.append(&mut open.bytes, t, count)
        {
            return Err(Error::invalid("aggregate chunk", "it cannot hold so many windows"));
        }
        open.range.max = open.range.max.max(t);
        self.open = Some(open);
        Ok(())
    }

    /// The first counter of a chunk is compared with the last one before it. Of the very first Thanos says that it went on.
    fn append_counter(&self, open: &mut Open, t: Timestamp, counter: &Histogram) -> Result<bool, Error> {
        if !open.counters.is_empty() {
            return append(&mut open.counters, None, t, counter);
        }
        if let Some(ended) = &self.ended {
            return append(&mut open.counters, Some(ended), t, counter);
        }
        let mut same = HistogramChunk::begin(false, true);
        append(&mut same, None, t, counter)?;
        append(&mut open.counters, Some(&same), t, counter)
    }

    /// Finishes `open`, of whose sums `sums` are left if they are told, and begins a chunk at `t`.
    fn end(&mut self, open: Open, sums: Option<Chunk>, t: Timestamp) -> Open {
        self.ended = Some(open.counters.clone());
        if open.counts.num_samples() > 0 || !open.counters.is_empty() {
            let sums = sums.unwrap_or_else(|| open.sums.to_chunk());
            self.finished.push(open.into_chunk(sums));
        }
        Open::at(t)
    }

    /// Finishes the last chunk.
    pub(crate) fn finish(self) {
        if let Some(open) = self.open {
            let sums = open.sums.to_chunk();
            self.finished.push(open.into_chunk(sums));
        }
    }
}

/// Whether `histogram` went into `chunk`.
fn append(
    chunk: &mut HistogramChunk,
    previous: Option<&HistogramChunk>,
    t: Timestamp,
    histogram: &Histogram,
) -> Result<bool, Error> {
    debug_assert_eq!(chunk.encoding(), Encoding::FloatHistogram);
    Ok(!matches!(chunk.append(previous, t, 0, histogram)?, Appended::NewChunk(_)))
}
