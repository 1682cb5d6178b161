//! Windows to wider windows, from aggregates only.
//!
//! Whole chunks are joined, so that the raw values at both ends of their counters stay what they are. Counts and sums are added, the
//! least of the least and the greatest of the greatest taken, counters followed over their resets. A chunk of raw samples that
//! strayed into a downsampled block is first made into windows of five minutes.

use sarsen_block::{Chunk, Encoding, Error, SampleIter, TimeRange, TimedChunk, Timestamp, Value};

use crate::aggr::{AggrChunk, Aggregate};
use crate::counter::CounterIter;
use crate::floats::{FloatParts, Floats, Totals, walk};
use crate::histogram::{self, HistogramParts, Timed, Window};
use crate::raw::Raw;
use crate::window::{Resolution, chunk_count};

/// Makes wider windows of windows.
#[derive(Debug)]
pub(crate) struct Again {
    step: i64,
    width: i64,
    raw: Raw,
    floats: Floats,
    parts: FloatParts,
}

/// A chunk that was taken apart.
#[derive(Debug)]
struct Source {
    range: TimeRange,
    parts: AggrChunk,
}

impl Again {
    /// Windows of `width` milliseconds of such that are `step` apart.
    pub(crate) fn new(step: i64, width: i64) -> Self {
        let raw = Raw::new(Resolution::FiveMinutes.ms());
        Self { step, width, raw, floats: Floats::default(), parts: FloatParts::default() }
    }

    /// Appends the wider aggregate chunks of a series to `into`.
    ///
    /// # Errors
    /// `Corrupt` if a chunk is damaged.
    pub(crate) fn series(&mut self, chunks: &[TimedChunk], into: &mut Vec<TimedChunk>) -> Result<(), Error> {
        let mut sources = Vec::with_capacity(chunks.len());
        for timed in chunks {
            if timed.chunk.encoding == Encoding::Aggregate {
                sources.push(Source { range: timed.range, parts: AggrChunk::parse(&timed.chunk)? });
            } else if timed.chunk.num_samples()? > 0 {
                let mut made = Vec::new();
                self.raw.series(std::slice::from_ref(timed), &mut made)?;
                for timed in &made {
                    sources.push(Source { range: timed.range, parts: AggrChunk::parse(&timed.chunk)? });
                }
            }
        }
        let kind = |source: &Source| source.parts.is_of_histograms();
        for run in sources.chunk_by(|a, b| kind(a) == kind(b)) {
            for group in run.chunks(self.group_size(run)?) {
                if group.first().is_some_and(kind) {
                    self.histograms(group, into)?;
                } else {
                    self.floats(group, into)?;
                }
            }
        }
        Ok(())
    }

    /// How many chunks of a run of one kind are joined.
    fn group_size(&self, run: &[Source]) -> Result<usize, Error> {
        let mut samples = 0;
        for source in run {
            samples += usize::from(source.parts.num_windows()?);
        }
        let (min, max) = (run.first().map_or(0, |s| s.range.min), run.last().map_or(0, |s| s.range.max));
        let chunks = chunk_count(TimeRange::new(min, max), self.step, self.width, samples);
        Ok((run.len() / chunks).max(1))
    }

    fn floats(&mut self, group: &[Source], into: &mut Vec<TimedChunk>) -> Result<(), Error> {
        type Told = (Aggregate, fn(&Totals) -> f64);
        const PARTS: [Told; 4] = [
            (Aggregate::Count, |totals| totals.sum),
            (Aggregate::Sum, |totals| totals.sum),
            (Aggregate::Min, |totals| totals.min),
            (Aggregate::Max, |totals| totals.max),
        ];
        let Self { width, floats, parts, .. } = self;
        for (aggregate, told) in PARTS {
            floats.clear();
            for chunk in each(group, aggregate) {
                floats.extend(chunk)?;
            }
            walk(&floats.times, &floats.values, *width, |t, totals| {
                parts.put_window(aggregate, t, told(totals))
            })?;
        }
        floats.clear();
        let mut counter = CounterIter::new(each(group, Aggregate::Counter));
        let mut last = 0;
        while let Some(sample) = counter.next()? {
            if let Value::Float(total) = sample.value
                && sample.t >= last
            {
                floats.push(sample.t, total);
                last = sample.t;
            }
        }
        if let (Some(&t), Some(&first)) = (floats.times.first(), floats.values.first()) {
            parts.put(Aggregate::Counter, t, first)?;
            let put = |t, totals: &Totals| parts.put_window(Aggregate::Counter, t, totals.counter);
            if let Some(stamp) = walk(&floats.times, &floats.values, *width, put)? {
                parts.put(Aggregate::Counter, stamp, counter.true_value())?;
            }
        }
        into.extend(parts.finish());
        Ok(())
    }

    /// The parts are gathered one by one, for they need not have the same windows: what Thanos wrote may lack some.
    fn histograms(&mut self, group: &[Source], into: &mut Vec<TimedChunk>) -> Result<(), Error> {
        let width = self.width;
        let sums = gathered(each(group, Aggregate::Sum), width, |totals| totals.sum.clone())?;
        let counters = gathered(each(group, Aggregate::Counter), width, |totals| totals.counter.clone())?;
        self.floats.clear();
        for chunk in each(group, Aggregate::Count) {
            self.floats.extend(chunk)?;
        }
        let mut counts = Vec::new();
        walk(&self.floats.times, &self.floats.values, width, |t, totals| {
            counts.push((t, totals.sum));
            Ok(())
        })?;
        let (mut sums, mut counters) = (sums.into_iter().peekable(), counters.into_iter().peekable());
        let mut counts = counts.into_iter().peekable();
        let mut parts = HistogramParts::new(into);
        loop {
            let times = [counts.peek().map(|c| c.0), sums.peek().map(|s| s.0), counters.peek().map(|c| c.0)];
            let Some(t) = times.into_iter().flatten().min() else { break };
            let count = counts.next_if(|count| count.0 == t).map(|count| count.1);
            let sum = sums.next_if(|sum| sum.0 == t);
            let counter = counters.next_if(|counter| counter.0 == t);
            let told = |timed: &Option<Timed>| timed.as_ref().map(|timed| timed.1.clone());
            let (sum, counter) = (told(&sum), told(&counter));
            parts.put(t, Window { count, sum: sum.as_ref(), counter: counter.as_ref() })?;
        }
        parts.finish();
        Ok(())
    }
}

/// The parts that hold `aggregate`.
fn each(group: &[Source], aggregate: Aggregate) -> impl Iterator<Item = &Chunk> {
    group.iter().filter_map(move |source| source.parts.get(aggregate))
}

/// What is told of each wider window of one part.
fn gathered<'a>(
    chunks: impl Iterator<Item = &'a Chunk>,
    width: i64,
    told: impl Fn(&histogram::Totals) -> sarsen_block::Histogram,
) -> Result<Vec<Timed>, Error> {
    let mut samples: Vec<Timed> = Vec::new();
    for chunk in chunks {
        histogram::extend(chunk, &mut samples)?;
    }
    let mut windows: Vec<Timed> = Vec::new();
    let mut rest = &samples[..];
    while !rest.is_empty() {
        let (same, behind) = rest.split_at_checked(histogram::together(rest)).unwrap_or((rest, &[]));
        histogram::walk(same, width, |t: Timestamp, totals| {
            windows.push((t, told(totals)));
            Ok(())
        })?;
        rest = behind;
    }
    Ok(windows)
}
