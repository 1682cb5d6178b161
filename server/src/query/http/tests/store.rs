//! The golden data set as a store: one block, as it was recorded from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sarsen_block::{
    Counts, EncodeOptions, Histogram, Labels, Matcher, ResetHint, STALE_NAN_BITS, Sample, Span, TimeRange,
    Value, encode_chunks,
};
use serde::Deserialize;

use crate::store::{
    ChunkParts, Frame, FrameSender, LabelsAnswer, LabelsQuery, SeriesQuery, Store, StoreChunk, StoreError,
    StoreInfo, StoreSeries,
};

/// The values in the lines of a packed file of `testdata/promql`.
pub(super) fn lines<T: for<'de> Deserialize<'de>>(name: &str) -> Vec<T> {
    let path: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../testdata/promql/{name}.jsonl.zst"));
    let packed = std::fs::File::open(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let text = String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap();
    let values: Vec<T> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!values.is_empty(), "{} is empty", path.display());
    values
}

/// Series in memory, by labels.
#[derive(Debug)]
pub(super) struct Recorded(Vec<StoreSeries>);

impl Recorded {
    pub(super) fn golden() -> Self {
        let mut series: Vec<StoreSeries> = lines::<Row>("dataset").into_iter().map(Row::read).collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self(series)
    }

    fn fits<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = &'a StoreSeries> {
        let fits = move |series: &&StoreSeries| {
            matchers.iter().all(|one| one.matches(series.labels.as_ref().get(one.name()).unwrap_or_default()))
        };
        self.0.iter().filter(fits)
    }

    /// The block as a whole decides which labels are seen.
    fn seen(&self, range: TimeRange) -> bool {
        let chunks = || self.0.iter().flat_map(|series| &series.chunks);
        chunks().any(|chunk| chunk.range.min <= range.max)
            && chunks().any(|chunk| chunk.range.max >= range.min)
    }

    fn listed<'a>(
        &'a self,
        query: &'a LabelsQuery,
        list: impl Fn(&'a Labels) -> Vec<&'a [u8]>,
    ) -> Result<LabelsAnswer, StoreError> {
        let found = self.fits(&query.matchers).filter(|_| self.seen(query.range));
        let found: BTreeSet<&[u8]> = found.flat_map(|series| list(&series.labels)).collect();
        let most = if query.limit == 0 { usize::MAX } else { usize::try_from(query.limit).unwrap() };
        let values = found.into_iter().take(most).map(Bytes::copy_from_slice).collect();
        Ok(LabelsAnswer { values, ..LabelsAnswer::default() })
    }
}

#[async_trait]
impl Store for Recorded {
    fn info(&self) -> StoreInfo {
        StoreInfo::empty("receive")
    }

    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError> {
        for series in self.fits(&query.matchers) {
            let inside = |chunk: &&StoreChunk| {
                chunk.range.min <= query.range.max && chunk.range.max >= query.range.min
            };
            let chunks: Vec<StoreChunk> = series.chunks.iter().filter(inside).cloned().collect();
            if !chunks.is_empty() {
                let chunks = if query.skip_chunks { Vec::new() } else { chunks };
                frames.send(Frame::Series(StoreSeries { labels: series.labels.clone(), chunks })).await?;
            }
        }
        Ok(())
    }

    async fn label_names(&self, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        self.listed(&query, |labels| labels.as_ref().iter().map(|(name, _)| name).collect())
    }

    async fn label_values(&self, name: Bytes, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        self.listed(&query, |labels| labels.as_ref().get(&name).into_iter().collect())
    }
}

/// A series as the file has it.
#[derive(Deserialize)]
struct Row {
    labels: Vec<(String, String)>,
    #[serde(default)]
    floats: Vec<(i64, String, String)>,
    #[serde(default)]
    histograms: Vec<At>,
}

#[derive(Deserialize)]
struct At {
    t: i64,
    h: Shape,
}

#[derive(Deserialize)]
struct Shape {
    counter_reset_hint: String,
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    count: f64,
    sum: Bits,
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
struct Bits {
    bits: String,
}

fn float(bits: &str) -> f64 {
    if bits == "stale" {
        return f64::from_bits(STALE_NAN_BITS);
    }
    f64::from_bits(u64::from_str_radix(bits, 16).unwrap())
}

impl Row {
    fn read(self) -> StoreSeries {
        let floats = self.floats.iter().map(|(t, bits, _)| Sample::float(*t, float(bits)));
        let histograms = self.histograms.into_iter().map(|at| {
            let value = Value::Histogram(Box::new(at.h.read()));
            Sample { t: at.t, value, ..Sample::float(at.t, 0.0) }
        });
        let mut samples: Vec<Sample> = floats.chain(histograms).collect();
        samples.sort_by_key(|sample| sample.t);
        let chunks = encode_chunks(&samples, EncodeOptions::default()).unwrap();
        let chunk = |one: sarsen_block::TimedChunk| StoreChunk {
            range: one.range,
            parts: ChunkParts::Raw(one.chunk),
        };
        StoreSeries {
            labels: Labels::from_pairs(self.labels).unwrap(),
            chunks: chunks.into_iter().map(chunk).collect(),
        }
    }
}

impl Shape {
    fn read(self) -> Histogram {
        let spans =
            |spans: &[(i32, u32)]| spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        Histogram {
            hint: match self.counter_reset_hint.as_str() {
                "reset" => ResetHint::Reset,
                "not_reset" => ResetHint::NotReset,
                "gauge" => ResetHint::Gauge,
                _ => ResetHint::Unknown,
            },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: float(&self.sum.bits),
            positive_spans: spans(&self.positive_spans),
            negative_spans: spans(&self.negative_spans),
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
