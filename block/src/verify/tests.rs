//! Sound blocks have no fault, and each kind of fault is found where it is.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::checks::Checks;
use crate::chunk::{ChunkRef, HistogramChunk, TimedChunk, XorAppender};
use crate::files::Files;
use crate::histogram::Histogram;
use crate::index::IndexWriter;
use crate::meta::{BlockId, BlockMeta};
use crate::source::Source;
use crate::tombstones::Tombstones;
use crate::writer::{BlockWriter, BlockWriterOptions};

fn chunk(times: &[i64]) -> TimedChunk {
    let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
    times.iter().for_each(|&t| assert!(appender.append(&mut bytes, t, t as f64)));
    let range = TimeRange::new(times[0], times[times.len() - 1]);
    TimedChunk { range, chunk: Chunk::xor(appender.finish(&bytes)) }
}

fn histograms(times: &[i64]) -> TimedChunk {
    let mut chunk = HistogramChunk::begin(false, false);
    for &t in times {
        chunk.append(None, t, 0, &Histogram { sum: t as f64, ..Histogram::default() }).unwrap();
    }
    TimedChunk { range: TimeRange::new(times[0], times[times.len() - 1]), chunk: chunk.to_chunk() }
}

fn labels(value: &str) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("job", value)]).unwrap()
}

/// Index, chunk file and meta of a block of three series.
fn parts() -> (Vec<u8>, Vec<u8>, BlockMeta) {
    let symbols = ["__name__", "a", "b", "c", "job", "up"];
    let mut writer = BlockWriter::new(Files::default(), BlockWriterOptions::default(), symbols).unwrap();
    writer.add(labels("a").as_ref(), &[chunk(&[10, 20, 30]), chunk(&[40])]).unwrap();
    writer.add(labels("b").as_ref(), &[chunk(&[15, 99])]).unwrap();
    writer.add(labels("c").as_ref(), &[histograms(&[11, 12])]).unwrap();
    let mut written = writer.finish().unwrap();
    let meta = BlockMeta::fresh(BlockId::from_parts(1, 1), TimeRange::new(10, 99), written.stats);
    let mut file = |name: &str| written.sink.0.remove(name).unwrap();
    (file("index"), file("chunks/000001"), meta)
}

fn block(index: Vec<u8>, chunks: Vec<u8>, meta: BlockMeta) -> Result<Block, Error> {
    let segments = vec![Arc::new(Bytes::from(chunks)) as Arc<dyn Source>];
    Block::open(Arc::new(Bytes::from(index)), segments, meta, Tombstones::default())
}

/// The index anew, with other chunks for each series.
fn reindexed(change: impl Fn(usize, &mut Vec<ChunkMeta>)) -> Vec<u8> {
    let (index, chunks, meta) = parts();
    let block = block(index, chunks, meta).unwrap();
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    block.index().symbols().for_each(|symbol| writer.add_symbol(symbol.unwrap()).unwrap());
    for (i, no) in block.postings(&[]).unwrap().into_iter().enumerate() {
        let mut series = block.series(no).unwrap();
        change(i, &mut series.chunks);
        writer.add_series(series.labels.as_ref(), &series.chunks).unwrap();
    }
    writer.finish().unwrap().0
}

fn faults(index: Vec<u8>, chunks: Vec<u8>, meta: BlockMeta) -> Vec<String> {
    let block = block(index, chunks, meta).unwrap();
    let told = |report: Report| report.faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (all, quick) = (told(verify(&block)), told(verify_quick(&block)));
    let decoded = |fault: &String| fault.contains("the index says");
    assert!(!quick.is_empty() || all.iter().all(decoded), "{all:?}");
    all
}

#[test]
fn a_sound_block_has_no_fault() {
    let (index, chunks, meta) = parts();
    let stats = meta.stats;
    let report = verify(&block(index, chunks, meta).unwrap());
    assert_eq!(report.faults, []);
    assert_eq!(report.stats, stats);
    let (index, chunks, meta) = parts();
    assert_eq!(verify_quick(&block(index, chunks, meta).unwrap()), report);
    assert_eq!((stats.num_series, stats.num_chunks, stats.num_samples), (3, 4, 8));
}

#[test]
fn a_damaged_chunk_is_named_with_its_place() {
    let (index, mut chunks, meta) = parts();
    chunks[12] ^= 1;
    let found = faults(index, chunks, meta);
    assert!(found[0].starts_with("chunks/000001 at offset 8: checksum"), "{found:?}");
    assert!(
        found.iter().all(|fault| fault.contains("chunks/000001 at offset 8") || fault.contains("meta.json"))
    );
}

#[test]
fn times_and_references_that_are_not_those_of_the_samples() {
    let (_, chunks, meta) = parts();
    let index = reindexed(|i, metas| metas[0].range.max += i64::from(i == 2));
    assert!(faults(index, chunks.clone(), meta.clone())[0].contains("the index says (11, 13)"));
    let index = reindexed(|i, metas| metas[0].range.min -= i64::from(i == 0) * 5);
    assert!(faults(index, chunks.clone(), meta.clone())[0].contains("outside the block"));
    let index = reindexed(|i, metas| {
        if i == 2 {
            metas[0].chunk_ref = ChunkRef::new(1, 8);
        }
    });
    assert!(faults(index, chunks, meta)[0].contains("chunks/000002, which is not there"));
}

#[test]
fn counts_of_the_meta() {
    let (index, chunks, mut meta) = parts();
    meta.stats.num_samples += 1;
    assert_eq!(faults(index, chunks, meta), ["meta.json at offset 0: it says 9 samples, the block has 8"]);
}

#[test]
fn postings_that_leave_a_series_out() {
    let (mut index, chunks, meta) = parts();
    let reader = IndexReader::open(Arc::new(Bytes::from(index.clone()))).unwrap();
    let (_, _, up) = reader.lists().map(Result::unwrap).find(|list| list.0 == b"__name__").unwrap();
    // The last number of the list becomes another, under a good checksum.
    let (start, end) = (up as usize + 4, up as usize + 4 + 16);
    index[end - 1] += 1;
    let crc = crate::codec::crc32c(&index[start..end]);
    index[end..end + 4].copy_from_slice(&crc.to_be_bytes());
    let found = faults(index, chunks, meta);
    assert_eq!(
        found,
        [format!("index at offset {up}: postings __name__=\"up\" name 3 series, 3 series have it")]
    );
}

/// Lists that name other series than have the label, each in the right order and under a good checksum.
#[test]
fn lists_that_were_exchanged() {
    let (index, chunks, meta) = parts();
    let reader = IndexReader::open(Arc::new(Bytes::from(index.clone()))).unwrap();
    let list = |value: &[u8]| {
        let (_, _, at) = reader.lists().map(Result::unwrap).find(|list| list.1 == value).unwrap();
        at as usize + 8..at as usize + 16
    };
    let (a, b) = (list(b"a"), list(b"b"));
    let mut exchanged = index.clone();
    exchanged[a.clone()].copy_from_slice(&index[b.clone()]);
    exchanged[b].copy_from_slice(&index[a]);
    assert_eq!(faults(exchanged, chunks, meta).len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_flipped_bit_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8, in_index in any::<bool>()) {
        let (mut index, mut chunks, meta) = parts();
        let (good_index, good_chunks) = (index.clone(), chunks.clone());
        let bytes = if in_index { &mut index } else { &mut chunks };
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Padding has no checksum; the version may be another that is read the same way.
        let padding = if in_index { good_index[at] == 0 || at == 4 } else { good_chunks[at] == 0 && at < 8 };
        if let Ok(block) = block(index.clone(), chunks.clone(), meta.clone()) {
            prop_assert!(!verify(&block).is_sound() || padding, "byte {at} of index: {in_index}");
        }
        // And the quick one finds as much, though nothing was checked when the block was opened.
        let segments = vec![Arc::new(Bytes::from(chunks)) as Arc<dyn Source>];
        if let Ok(block) = Block::open_unread(Arc::new(Bytes::from(index)), segments, meta, Tombstones::default()) {
            prop_assert!(!verify_quick(&block).is_sound() || padding, "byte {at} of index: {in_index}");
            // The sums beside the block see padding too.
            let (index, chunks, meta) = parts();
            let checks = Checks::of(&super::tests::block(index, chunks, meta).unwrap()).unwrap();
            let faults = checks.verify(block.index().source(), block.segments()).unwrap();
            prop_assert_eq!(faults.len(), 1);
            prop_assert_eq!(faults[0].file.starts_with("index"), in_index);
        }
    }
}
