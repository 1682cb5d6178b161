//! What scripts load: series in memory whose histograms went through chunks, as in the head of a Prometheus.
//!
//! Chunks matter because counter resets are told by them: a histogram that begins a chunk says nothing of the one before it, those behind
//! it in the chunk say that the counters went on. So histograms are encoded by the rules of Prometheus' head, with start timestamps
//! and blocks of a day as its test storage has them, and decoded again before a query sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use sarsen_block::{
    Appended, Chunk, Histogram, HistogramChunk, HistogramCut, Labels, Matcher, SampleIter as _, TimeRange,
    Timestamp, Value,
};

use crate::{Error, InputSeries, Samples, Selection, SeriesData, SeriesSet};

/// The head of the test storage cuts at whole days.
const BLOCK_RANGE_MS: i64 = 24 * 60 * 60 * 1000;

/// A value of a series.
#[derive(Debug, Clone)]
pub(super) enum Loaded {
    Float(f64),
    Histogram(Histogram),
}

/// What was loaded so far.
#[derive(Debug, Default)]
pub(super) struct Storage {
    /// In the order in which they are found.
    series: BTreeMap<Labels, Series>,
}

#[derive(Debug, Default)]
struct Series {
    /// Numbers as they came, and histograms of finished chunks as they are read.
    samples: Arc<Samples>,
    open: Option<Open>,
    last: Option<(Timestamp, Loaded)>,
}

#[derive(Debug)]
struct Open {
    chunk: HistogramChunk,
    cut: HistogramCut,
}

impl Storage {
    /// Appends a sample.
    ///
    /// # Errors
    /// What is wrong with it: it is not newer than the last one of its series, or a histogram that is none.
    pub(super) fn append(
        &mut self,
        labels: &Labels,
        t: Timestamp,
        start: Timestamp,
        value: Loaded,
    ) -> Result<(), String> {
        let series = self.series.entry(labels.clone()).or_default();
        series.append(t, start, value).map_err(|why| format!("{}: {why}", labels.as_ref()))
    }

    /// Makes everything that was appended readable.
    ///
    /// # Errors
    /// If a chunk cannot be read back.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        for series in self.series.values_mut() {
            series.settle()?;
        }
        Ok(())
    }

    /// The series that `selection` asks for, cut to its range: what lies outside of it must not be needed.
    pub(super) fn select(&self, selection: &Selection) -> Box<dyn SeriesSet> {
        let accepts = |labels: &Labels| {
            let of = |matcher: &Matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default());
            selection.matchers.iter().all(of)
        };
        let accepted = self.series.iter().filter(|(labels, _)| accepts(labels));
        let found = accepted.map(|(labels, series)| InputSeries {
            labels: labels.clone(),
            data: Box::new(Stored { samples: Arc::clone(&series.samples), range: selection.range }),
        });
        Box::new(Found(found.collect::<Vec<_>>().into_iter()))
    }
}

impl Series {
    fn append(&mut self, t: Timestamp, start: Timestamp, value: Loaded) -> Result<(), String> {
        if let Some((last, before)) = &self.last {
            if t == *last && same(before, &value) {
                return Ok(());
            }
            if t <= *last {
                return Err(format!("a sample at {t} ms is not behind the last one at {last} ms"));
            }
        }
        match &value {
            Loaded::Float(float) => {
                self.settle()?;
                self.open = None;
                let samples = Arc::make_mut(&mut self.samples);
                samples.times.push(t);
                samples.floats.push(*float);
                samples.starts.push(start);
            }
            Loaded::Histogram(histogram) => self.append_histogram(t, start, histogram)?,
        }
        self.last = Some((t, value));
        Ok(())
    }

    fn append_histogram(
        &mut self,
        t: Timestamp,
        start: Timestamp,
        histogram: &Histogram,
    ) -> Result<(), String> {
        let text = |error: sarsen_block::Error| error.to_string();
        let mut before = None;
        if let Some(Open { chunk, cut }) = &mut self.open {
            if cut.is_due(t, chunk) {
                let full = self.finish()?;
                before = full.map(|open| open.chunk);
            } else {
                if let Appended::NewChunk(next) = chunk.append(None, t, start, histogram).map_err(text)? {
                    let next = Open { chunk: *next, cut: cut.begin_forced(t, BLOCK_RANGE_MS) };
                    self.finish()?;
                    self.open = Some(next);
                }
                return Ok(());
            }
        }
        let mut chunk = HistogramChunk::begin(true, true);
        chunk.append(before.as_ref(), t, start, histogram).map_err(text)?;
        self.open = Some(Open { chunk, cut: HistogramCut::begin(t, BLOCK_RANGE_MS) });
        Ok(())
    }

    /// Takes the open chunk off, its samples made readable.
    fn finish(&mut self) -> Result<Option<Open>, String> {
        self.settle()?;
        Ok(self.open.take())
    }

    /// Reads the open chunk anew into the samples.
    fn settle(&mut self) -> Result<(), String> {
        let Some(open) = &self.open else { return Ok(()) };
        let samples = Arc::make_mut(&mut self.samples);
        let keep = samples.histogram_times.partition_point(|t| *t < open.cut.start());
        samples.histogram_times.truncate(keep);
        samples.histograms.truncate(keep);
        samples.histogram_starts.truncate(keep);
        read_histograms(&open.chunk.to_chunk(), samples).map_err(|error| error.to_string())
    }
}

fn read_histograms(chunk: &Chunk, samples: &mut Samples) -> Result<(), sarsen_block::Error> {
    let mut iter = chunk.samples()?;
    while let Some(sample) = iter.next()? {
        if let Value::Histogram(histogram) = sample.value {
            samples.histogram_times.push(sample.t);
            samples.histogram_starts.push(sample.start);
            samples.histograms.push(*histogram);
        }
    }
    Ok(())
}

fn same(a: &Loaded, b: &Loaded) -> bool {
    match (a, b) {
        (Loaded::Float(a), Loaded::Float(b)) => a.to_bits() == b.to_bits(),
        (Loaded::Histogram(a), Loaded::Histogram(b)) => a == b,
        _ => false,
    }
}

#[derive(Debug)]
struct Stored {
    samples: Arc<Samples>,
    range: TimeRange,
}

impl SeriesData for Stored {
    fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        let within = |times: &[Timestamp]| {
            let from = times.partition_point(|t| *t < self.range.min);
            from..times.partition_point(|t| *t <= self.range.max).max(from)
        };
        let all = &*self.samples;
        let range = within(&all.times);
        samples.times.extend_from_slice(all.times.get(range.clone()).unwrap_or_default());
        samples.floats.extend_from_slice(all.floats.get(range.clone()).unwrap_or_default());
        samples.starts.extend_from_slice(all.starts.get(range).unwrap_or_default());
        let range = within(&all.histogram_times);
        samples.histogram_times.extend_from_slice(all.histogram_times.get(range.clone()).unwrap_or_default());
        samples.histograms.extend_from_slice(all.histograms.get(range.clone()).unwrap_or_default());
        samples.histogram_starts.extend_from_slice(all.histogram_starts.get(range).unwrap_or_default());
        Ok(())
    }
}

struct Found(std::vec::IntoIter<InputSeries>);

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        Ok(self.0.next())
    }
}
