//! Blocks that tests make, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{
    Block, BlockId, BlockMeta, BlockSink, BlockWriter, BlockWriterOptions, Chunk, Labels, Source, ThanosMeta,
    TimeRange, TimedChunk, Tombstones, XorAppender,
};

/// The files of a block, with its tombstones.
pub(crate) struct Made {
    pub(crate) meta: BlockMeta,
    pub(crate) files: BTreeMap<String, Bytes>,
    pub(crate) tombstones: Tombstones,
}

pub(crate) const STEP: i64 = 1000;

/// Samples one step apart, 20 from `from` on.
pub(crate) fn chunk(from: i64) -> TimedChunk {
    chunk_of(from, 20)
}

/// The same, as many as are asked for.
pub(crate) fn chunk_of(from: i64, count: i64) -> TimedChunk {
    let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
    for at in from..from + count {
        appender.append(
            &mut bytes,
            at * STEP,
            (at * 37 % 11) as f64 / 7.0 + if count > 20 { (at as f64).sqrt() } else { 0.0 },
        );
    }
    let range = TimeRange::new(from * STEP, (from + count - 1) * STEP);
    TimedChunk { range, chunk: Chunk::xor(appender.finish(&bytes)) }
}

/// A block of these series, without tombstones.
pub(crate) fn write(series: &BTreeMap<Labels, Vec<TimedChunk>>, limit: u64) -> Made {
    let symbols: BTreeSet<Vec<u8>> = series
        .keys()
        .flat_map(|l| l.iter().flat_map(|(n, v)| [n.to_vec(), v.to_vec()]).collect::<Vec<_>>())
        .collect();
    let options = BlockWriterOptions { segment_size: limit };
    let mut writer = BlockWriter::new(Named::default(), options, symbols.iter().map(Vec::as_slice)).unwrap();
    series.iter().for_each(|(labels, chunks)| writer.add(labels.as_ref(), chunks).unwrap());
    let written = writer.finish().unwrap();
    let files: BTreeMap<String, Bytes> = written.sink.done.into_iter().map(|(k, v)| (k, v.into())).collect();
    let mut meta =
        BlockMeta::fresh(BlockId::from_parts(1, 2), TimeRange::new(0, 10_000 * STEP), written.stats);
    meta.thanos = Some(ThanosMeta { source: "test".to_owned(), ..ThanosMeta::default() });
    Made { meta, files, tombstones: Tombstones::default() }
}

pub(crate) fn make(series: &BTreeMap<Labels, u8>, stones: &[(usize, i64, i64)], limit: u64) -> Made {
    let chunks = |count: u8| (0..i64::from(count)).map(|number| chunk(number * 25)).collect();
    let mut made =
        write(&series.iter().map(|(labels, count)| (labels.clone(), chunks(*count))).collect(), limit);
    let numbers = open_plain(&made).postings(&[]).unwrap();
    for &(number, min, length) in stones {
        if let Some(no) = numbers.get(number % numbers.len().max(1)) {
            made.tombstones.add(*no, TimeRange::new(min * STEP, (min + length) * STEP));
        }
    }
    if !made.tombstones.is_empty() {
        made.files.insert("tombstones".to_owned(), made.tombstones.to_bytes().into());
        made.meta.stats.num_tombstones = made.tombstones.count() as u64;
    }
    made
}

/// A sink that remembers which file is which, also when two are open at a time.
#[derive(Default)]
struct Named {
    done: BTreeMap<String, Vec<u8>>,
}

struct NamedFile(String, Vec<u8>);

impl std::io::Write for NamedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl BlockSink for Named {
    type File = NamedFile;
    fn create(&mut self, path: &str) -> std::io::Result<NamedFile> {
        Ok(NamedFile(path.to_owned(), Vec::new()))
    }
    fn finish(&mut self, file: NamedFile) -> std::io::Result<()> {
        self.done.insert(file.0, file.1);
        Ok(())
    }
}

pub(crate) fn open_plain(made: &Made) -> Block {
    let index = Arc::new(made.files["index"].clone()) as Arc<dyn Source>;
    let segments = made.files.iter().filter(|(name, _)| name.starts_with("chunks/"));
    let segments = segments.map(|(_, bytes)| Arc::new(bytes.clone()) as Arc<dyn Source>).collect();
    Block::open(index, segments, made.meta.clone(), made.tombstones.clone()).unwrap()
}

pub(crate) fn labels((name, job, pod): (String, String, String)) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", job), ("pod", pod)]).unwrap()
}
