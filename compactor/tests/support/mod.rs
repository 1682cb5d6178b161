//! Blocks made by hand, a plain model of samples, and a store with a clock of its own that dies when told to.
#![allow(dead_code, clippy::panic, reason = "every test uses a part of it, and may fail loudly")]

pub(crate) mod breaking;
pub(crate) mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{
    Block, BlockFile, BlockId, BlockMeta, BlockWriter, BlockWriterOptions, ChunkEnd, Decode, EncodeOptions,
    Files, Labels, Sample, SampleSet, Source, ThanosMeta, TimeRange, TimedChunk, Tombstones, UploadTime,
    Value, encode_chunks,
};
use sarsen_bucket::{Bucket, BucketSettings, Layout, MarkKind, Retry, View};
use store::SimStore;

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
/// A time at which every range of the compactor begins.
pub(crate) const START: i64 = 1400 * 14 * DAY;

/// The samples of a series: bits of the value by time.
pub(crate) type Samples = BTreeMap<i64, u64>;
/// Series with their samples.
pub(crate) type Content = BTreeMap<Labels, Samples>;

/// A bucket in `store`, whose operations are tried once.
pub(crate) fn bucket(store: &Arc<SimStore>) -> Bucket {
    let settings = BucketSettings { retry: Retry::NEVER, ..BucketSettings::default() };
    Bucket::builder(store.clone(), "test").settings(settings).build()
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

/// A well mixed number of two others.
pub(crate) fn mixed(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    for _ in 0..2 {
        x ^= x >> 32;
        x = x.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }
    x ^ (x >> 32)
}

/// Samples of `series` series every `step` milliseconds in `from..to`. The same series and time always give the same value, so
/// that blocks that overlap agree.
pub(crate) fn content(series: u64, from: i64, to: i64, step: i64) -> Content {
    let first = from + (step - from.rem_euclid(step)) % step;
    (0..series)
        .map(|i| {
            let (i_text, job) = (i.to_string(), ["api", "web"][i as usize % 2]);
            let set = labels(&[("__name__", "m"), ("i", &i_text), ("job", job)]);
            let times = (0..).map(|k| first + k * step).take_while(|t| *t < to);
            let value = |t: i64| (mixed(i, t as u64) % 100_000) as f64 / 8.0;
            (set, times.map(|t| (t, value(t).to_bits())).collect())
        })
        .collect()
}

/// A block as files, not in a bucket yet.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) meta: BlockMeta,
    /// By path in the block's folder, without the meta.
    pub(crate) files: BTreeMap<String, Bytes>,
}

/// Number `number` of the blocks of a test; later numbers are younger.
pub(crate) fn block_id(number: u64) -> BlockId {
    BlockId::from_parts((START - 40 * DAY) as u64 + number, u128::from(number))
}

/// How a block is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe<'a> {
    pub(crate) number: u64,
    pub(crate) range: (i64, i64),
    pub(crate) external: &'a [(&'a str, &'a str)],
    pub(crate) segment_size: u64,
}

impl<'a> Recipe<'a> {
    pub(crate) const fn new(number: u64, from: i64, to: i64, external: &'a [(&'a str, &'a str)]) -> Self {
        Self { number, range: (from, to), external, segment_size: 512 << 20 }
    }

    /// The block with the samples of `content` that lie in its range.
    pub(crate) fn of(self, content: &Content) -> Made {
        let series = content.iter().map(|(set, samples)| {
            let samples: Vec<Sample> = samples
                .range(self.range.0..self.range.1)
                .map(|(&t, &bits)| Sample::float(t, f64::from_bits(bits)))
                .collect();
            let options = EncodeOptions { xor2: false, end: ChunkEnd::Samples };
            (set.clone(), encode_chunks(&samples, options).unwrap())
        });
        self.of_chunks(series.collect())
    }

    /// The block with these chunks.
    pub(crate) fn of_chunks(self, series: Vec<(Labels, Vec<TimedChunk>)>) -> Made {
        let mut symbols: BTreeSet<Vec<u8>> = BTreeSet::new();
        for (name, value) in series.iter().flat_map(|(set, _)| set.iter()) {
            symbols.insert(name.to_vec());
            symbols.insert(value.to_vec());
        }
        let options = BlockWriterOptions { segment_size: self.segment_size };
        let mut writer = BlockWriter::new(Files::default(), options, symbols).unwrap();
        for (set, chunks) in &series {
            writer.add(set.as_ref(), chunks).unwrap();
        }
        let written = writer.finish().unwrap();
        let range = TimeRange::new(self.range.0, self.range.1 - 1);
        let mut meta = BlockMeta::fresh(block_id(self.number), range, written.stats);
        let files: BTreeMap<String, Bytes> =
            written.sink.0.into_iter().map(|(path, bytes)| (path, bytes.into())).collect();
        meta.thanos = Some(ThanosMeta {
            version: 1,
            labels: self.external.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
            source: "receive".to_owned(),
            segment_files: files
                .keys()
                .filter_map(|f| f.strip_prefix("chunks/"))
                .map(str::to_owned)
                .collect(),
            files: files
                .iter()
                .map(|(path, bytes)| BlockFile {
                    rel_path: path.clone(),
                    size_bytes: bytes.len() as u64,
                    hash: None,
                })
                .chain([BlockFile { rel_path: Layout::META.to_owned(), ..BlockFile::default() }])
                .collect(),
            index_stats: written.index_stats,
            upload_time: UploadTime::from_unix_ms(self.range.1 + 20 * MINUTE),
            ..ThanosMeta::default()
        });
        Made { meta, files }
    }
}

impl Made {
    pub(crate) const fn id(&self) -> BlockId {
        self.meta.id
    }

    /// Puts the block into a bucket, meta last.
    pub(crate) async fn put(&self, bucket: &Bucket) {
        for (path, bytes) in &self.files {
            bucket.put(&Layout::file(self.id(), path), bytes.clone()).await.unwrap();
        }
        bucket.put(&Layout::meta(self.id()), self.meta.to_bytes().into()).await.unwrap();
    }

    /// The block, open.
    pub(crate) fn open(&self) -> Block {
        let segments = self.files.iter().filter(|(path, _)| path.starts_with("chunks/"));
        let segments = segments.map(|(_, bytes)| Arc::new(bytes.clone()) as Arc<dyn Source>).collect();
        let index = Arc::new(self.files["index"].clone());
        Block::open(index, segments, self.meta.clone(), Tombstones::default()).unwrap()
    }
}

/// A block of the bucket as it lies there.
pub(crate) async fn fetch(bucket: &Bucket, meta: &BlockMeta) -> Made {
    let mut files = BTreeMap::new();
    for object in bucket.list(&Layout::block(meta.id)).await.unwrap() {
        let (_, path) = Layout::split(&object.name).unwrap();
        if path == "index" || path.starts_with("chunks/") {
            files.insert(path.to_owned(), bucket.get(&object.name).await.unwrap());
        }
    }
    Made { meta: meta.clone(), files }
}

/// The float samples of a block.
pub(crate) fn samples_of(block: &Block) -> Content {
    let mut found = Decode::new(block.select(&[], TimeRange::ALL).unwrap(), TimeRange::ALL);
    let mut content = Content::new();
    while let Some(series) = found.next().unwrap() {
        let samples = content.entry(series.labels).or_default();
        for sample in series.samples {
            let Value::Float(value) = sample.value else { panic!("only floats are in these blocks") };
            samples.insert(sample.t, value.to_bits());
        }
    }
    content
}

/// What is in a bucket for those who read it, by external labels.
pub(crate) type Readable = BTreeMap<BTreeMap<String, String>, Content>;

/// All raw samples of the complete blocks of `view` that `wanted` picks.
pub(crate) async fn readable(bucket: &Bucket, view: &View, wanted: impl Fn(&BlockMeta) -> bool) -> Readable {
    let mut all = Readable::new();
    for meta in view.blocks.values().filter(|meta| wanted(meta)) {
        let thanos = meta.thanos.clone().unwrap_or_default();
        if thanos.resolution != 0 {
            continue;
        }
        let content = samples_of(&fetch(bucket, meta).await.open());
        let into = all.entry(thanos.labels).or_default();
        for (set, samples) in content {
            let series = into.entry(set.clone()).or_default();
            for (t, bits) in samples {
                let before = series.insert(t, bits);
                assert!(before.is_none_or(|before| before == bits), "two values of {set:?} at {t}");
            }
        }
    }
    all
}

/// Adds samples to a plain model.
pub(crate) fn add(model: &mut Readable, external: &[(&str, &str)], content: &Content, range: (i64, i64)) {
    let external = external.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
    let into = model.entry(external).or_default();
    for (set, samples) in content {
        let series = into.entry(set.clone()).or_default();
        series.extend(samples.range(range.0..range.1).map(|(t, bits)| (*t, *bits)));
    }
}

/// What can be said of a block that does not change from run to run: its name is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Portrait {
    pub(crate) external: BTreeMap<String, String>,
    pub(crate) resolution: i64,
    pub(crate) range: (i64, i64),
    pub(crate) sources: Vec<BlockId>,
    pub(crate) samples: u64,
    pub(crate) marks: Vec<(MarkKind, String)>,
}

/// The blocks of a view that are not marked for deletion.
pub(crate) fn live(view: &View) -> Vec<Portrait> {
    let mut found: Vec<Portrait> = view
        .blocks
        .values()
        .filter(|meta| view.mark(meta.id, MarkKind::Deletion).is_none())
        .map(|meta| portrait(view, meta))
        .collect();
    found.sort();
    found
}

pub(crate) fn portrait(view: &View, meta: &BlockMeta) -> Portrait {
    let thanos = meta.thanos.clone().unwrap_or_default();
    let mut marks: Vec<(MarkKind, String)> = view
        .marks
        .get(&meta.id)
        .into_iter()
        .flatten()
        .map(|mark| (mark.kind, mark.reason.as_ref().map_or(String::new(), |r| r.as_str().to_owned())))
        .collect();
    marks.sort();
    Portrait {
        external: thanos.labels,
        resolution: thanos.resolution,
        range: (meta.min_time, meta.max_time),
        sources: meta.compaction.sources.clone(),
        samples: meta.stats.num_samples,
        marks,
    }
}

/// Every block directory directly below `dir`, with its files.
pub(crate) fn blocks_below(dir: &Path) -> Vec<Made> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.join(Layout::META).is_file() {
            let meta = BlockMeta::parse(&std::fs::read(path.join(Layout::META)).unwrap()).unwrap();
            let mut files = BTreeMap::new();
            files.insert(Layout::INDEX.to_owned(), std::fs::read(path.join(Layout::INDEX)).unwrap().into());
            for segment in std::fs::read_dir(path.join(Layout::CHUNKS)).unwrap() {
                let segment = segment.unwrap();
                let name = format!("chunks/{}", segment.file_name().to_str().unwrap());
                files.insert(name, std::fs::read(segment.path()).unwrap().into());
            }
            found.push(Made { meta, files });
        }
    }
    found.sort_by_key(Made::id);
    found
}
