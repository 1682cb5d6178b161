//! The golden data set in memory, and the series of it that a selection finds.
//!
//! Samples come cut to the range of the selection, so that a plan which asks for too little is seen.

#![allow(dead_code, reason = "each test file uses the part it needs")]

pub(crate) mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::{Counts, Histogram, Labels, ResetHint, STALE_NAN_BITS, Span, TimeRange, Timestamp};
use sarsen_promql::{Error, InputSeries, Samples, Selection, SeriesData, SeriesSet};
use serde::Deserialize;

/// The values in the lines of a packed file of `testdata/promql`.
pub(crate) fn lines<T: for<'de> Deserialize<'de>>(name: &str) -> Vec<T> {
    let path = folder().join(format!("{name}.jsonl.zst"));
    let packed = std::fs::File::open(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let text = String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap();
    let values: Vec<T> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!values.is_empty(), "{} is empty", path.display());
    values
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/promql")
}

/// Series in memory, by rising labels.
#[derive(Debug, Clone)]
pub(crate) struct DataSet {
    pub(crate) series: Vec<(Labels, Arc<Samples>)>,
}

impl DataSet {
    pub(crate) fn new(mut series: Vec<(Labels, Arc<Samples>)>) -> Self {
        series.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(series.is_sorted_by(|a, b| a.0 < b.0), "a series stands twice");
        Self { series }
    }

    /// The golden one.
    pub(crate) fn golden() -> Self {
        Self::new(lines::<TheSeries>("dataset").into_iter().map(TheSeries::read).collect())
    }

    /// What `selection` finds.
    pub(crate) fn select(&self, selection: &Selection) -> Box<dyn SeriesSet> {
        let accepts = |labels: &Labels| {
            let value = |name| labels.get(name).unwrap_or_default();
            selection.matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
        };
        let found: Vec<_> = self.series.iter().filter(|(labels, _)| accepts(labels)).cloned().collect();
        Box::new(Found { series: found.into_iter(), range: selection.range })
    }
}

struct Found {
    series: std::vec::IntoIter<(Labels, Arc<Samples>)>,
    range: TimeRange,
}

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        let next = self.series.next();
        let range = self.range;
        Ok(next.map(|(labels, samples)| InputSeries { labels, data: Box::new(Cut { samples, range }) }))
    }
}

#[derive(Debug)]
struct Cut {
    samples: Arc<Samples>,
    range: TimeRange,
}

impl SeriesData for Cut {
    fn read(&self, into: &mut Samples) -> Result<(), Error> {
        let inside = |t: Timestamp| t >= self.range.min && t <= self.range.max;
        let all = &*self.samples;
        for (at, t) in all.times.iter().enumerate().filter(|(_, t)| inside(**t)) {
            into.times.push(*t);
            into.floats.push(all.floats[at]);
        }
        for (at, t) in all.histogram_times.iter().enumerate().filter(|(_, t)| inside(**t)) {
            into.histogram_times.push(*t);
            into.histograms.push(all.histograms[at].clone());
        }
        Ok(())
    }
}

/// A series as the file has it.
#[derive(Deserialize)]
struct TheSeries {
    labels: Vec<(String, String)>,
    #[serde(default)]
    floats: Vec<(Timestamp, String, String)>,
    #[serde(default)]
    histograms: Vec<TheSample>,
}

#[derive(Deserialize)]
struct TheSample {
    t: Timestamp,
    h: TheHistogram,
}

#[derive(Deserialize)]
struct TheHistogram {
    counter_reset_hint: String,
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    count: f64,
    sum: TheNumber,
    #[serde(default)]
    positive_spans: Vec<(i32, u32)>,
    #[serde(default)]
    negative_spans: Vec<(i32, u32)>,
    #[serde(default)]
    positive_counts: Vec<f64>,
    #[serde(default)]
    negative_counts: Vec<f64>,
    #[serde(default)]
    custom_values: Vec<f64>,
}

#[derive(Deserialize)]
struct TheNumber {
    bits: String,
}

fn float(bits: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(bits, 16).unwrap())
}

impl TheSeries {
    fn read(self) -> (Labels, Arc<Samples>) {
        let value = |bits: &str| if bits == "stale" { f64::from_bits(STALE_NAN_BITS) } else { float(bits) };
        let samples = Samples {
            times: self.floats.iter().map(|(t, _, _)| *t).collect(),
            floats: self.floats.iter().map(|(_, bits, _)| value(bits)).collect(),
            histogram_times: self.histograms.iter().map(|sample| sample.t).collect(),
            histograms: self.histograms.into_iter().map(|sample| sample.h.read()).collect(),
            ..Samples::default()
        };
        assert!(samples.times.is_sorted() && samples.histogram_times.is_sorted());
        (Labels::from_pairs(self.labels).unwrap(), Arc::new(samples))
    }
}

impl TheHistogram {
    fn read(self) -> Histogram {
        let spans = |spans: Vec<(i32, u32)>| {
            spans.into_iter().map(|(offset, length)| Span { offset, length }).collect::<Vec<_>>()
        };
        Histogram {
            hint: match self.counter_reset_hint.as_str() {
                "unknown" => ResetHint::Unknown,
                "reset" => ResetHint::Reset,
                "not_reset" => ResetHint::NotReset,
                "gauge" => ResetHint::Gauge,
                other => panic!("hint {other}"),
            },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: float(&self.sum.bits),
            positive_spans: spans(self.positive_spans),
            negative_spans: spans(self.negative_spans),
            custom_values: self.custom_values,
            counts: Counts::Float {
                count: self.count,
                zero: self.zero_count,
                positive: self.positive_counts,
                negative: self.negative_counts,
            },
        }
    }
}
