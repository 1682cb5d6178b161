//! Answers of queries as the series of remote write: floats and histograms of floats.

use bytes::Bytes;
use sarsen_block::{Counts, Histogram, Labels, Span};
use sarsen_promql::{InstantSample, Point, RangeSeries, Value};

use crate::wire::generated::prometheus_copy::{self as prompb, BucketSpan, Sample, TimeSeries, histogram};
use crate::wire::generated::thanos::Label;

/// The series of an answer; a number is a series without labels, a text is none.
pub(super) fn series_of(value: Value) -> Vec<TimeSeries> {
    match value {
        Value::Scalar(timestamp, value) => {
            vec![TimeSeries { samples: vec![Sample { value, timestamp }], ..Default::default() }]
        }
        Value::String(..) => Vec::new(),
        Value::Vector(samples) => samples.into_iter().map(instant).collect(),
        Value::Matrix(series) => series.into_iter().map(range).collect(),
    }
}

fn instant(sample: InstantSample) -> TimeSeries {
    let mut series = TimeSeries { labels: labels(&sample.labels), ..Default::default() };
    match sample.point {
        Point::Float(value) => series.samples.push(Sample { value, timestamp: sample.t }),
        Point::Histogram(histogram) => series.histograms.push(histogram_of(*histogram, sample.t)),
    }
    series
}

fn range(series: RangeSeries) -> TimeSeries {
    let histograms = series.histograms.into_iter().map(|(t, histogram)| histogram_of(histogram, t));
    TimeSeries {
        labels: labels(&series.labels),
        samples: series.floats.iter().map(|&(timestamp, value)| Sample { value, timestamp }).collect(),
        histograms: histograms.collect(),
    }
}

fn labels(labels: &Labels) -> Vec<Label> {
    let label = |(name, value): (&[u8], &[u8])| Label {
        name: Bytes::copy_from_slice(name),
        value: Bytes::copy_from_slice(value),
    };
    labels.iter().map(label).collect()
}

fn histogram_of(histogram: Histogram, timestamp: i64) -> prompb::Histogram {
    let spans = |spans: &[Span]| {
        spans.iter().map(|span| BucketSpan { offset: span.offset, length: span.length }).collect()
    };
    let mut sent = prompb::Histogram {
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        negative_spans: spans(&histogram.negative_spans),
        positive_spans: spans(&histogram.positive_spans),
        reset_hint: histogram.hint as i32,
        custom_values: histogram.custom_values,
        timestamp,
        ..Default::default()
    };
    match histogram.counts {
        Counts::Integer { count, zero, positive, negative } => {
            sent.count = Some(histogram::Count::CountInt(count));
            sent.zero_count = Some(histogram::ZeroCount::ZeroCountInt(zero));
            (sent.positive_deltas, sent.negative_deltas) = (positive, negative);
        }
        Counts::Float { count, zero, positive, negative } => {
            sent.count = Some(histogram::Count::CountFloat(count));
            sent.zero_count = Some(histogram::ZeroCount::ZeroCountFloat(zero));
            (sent.positive_counts, sent.negative_counts) = (positive, negative);
        }
    }
    sent
}
