//! Blocks with samples of all kinds, overlaps and deletes rewritten as one, replicas or not: against a plain model; damaged ones, which
//! are named; and how the inputs are read.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use golden::whole::opened_files;
use proptest::prelude::*;
use sarsen_block::{
    Advice, Ancestry, Block, BlockId, BlockMeta, BlockWriter, BlockWriterOptions, Checks, ChunkSet, Counts,
    EncodeOptions, Files, Histogram, Labels, Overlap, RewriteOptions, Sample, Source, TimeRange, TimedChunk,
    Tombstones, Value, decode_chunks, encode_chunks, rewrite, verify, verify_quick,
};

/// Floats, integer histograms, float histograms.
type Kind = u8;
/// Time, kind, value.
type Told = (i64, Kind, u64);

fn sample((t, kind, value): Told) -> Sample {
    let sum = value as f64;
    let value = match kind {
        0 => Value::Float(sum),
        1 => Value::Histogram(Box::new(Histogram { sum, ..Histogram::default() })),
        _ => {
            let counts = Counts::Float { count: 0.0, zero: 0.0, positive: Vec::new(), negative: Vec::new() };
            Value::Histogram(Box::new(Histogram { sum, counts, ..Histogram::default() }))
        }
    };
    Sample { t, start: 0, value }
}

fn told(sample: &Sample) -> Told {
    match &sample.value {
        Value::Float(value) => (sample.t, 0, *value as u64),
        Value::Histogram(histogram) => (sample.t, 1 + u8::from(histogram.is_float()), histogram.sum as u64),
    }
}

fn labels(name: u8) -> Labels {
    let mut pairs = vec![("__name__", vec![b'a' + name]), ("odd", vec![b'0' + name % 2])];
    if name.is_multiple_of(3) {
        pairs.push(("third", vec![b'x']));
    }
    Labels::from_pairs(pairs).unwrap()
}

/// The chunks of a series: times rising, all of one kind in each.
type Chunks = Vec<Vec<Told>>;

#[derive(Debug, Clone)]
struct Given {
    series: BTreeMap<u8, Chunks>,
    deletes: Vec<(u8, i64, i64)>,
}

fn chunks() -> impl Strategy<Value = Chunks> {
    let chunk = (prop_oneof![3 => Just(0u8), 1 => 1..3u8], 1..40usize);
    let steps = proptest::collection::vec((1..4000i64, 0..3u64), 200);
    (0..20_000i64, proptest::collection::vec(chunk, 1..5), steps).prop_map(|(start, lengths, steps)| {
        let (mut t, mut steps) = (start, steps.into_iter());
        let one = |(kind, length): (u8, usize)| {
            steps
                .by_ref()
                .take(length)
                .map(|(step, value)| {
                    t += step;
                    (t, kind, value)
                })
                .collect()
        };
        lengths.into_iter().map(one).collect()
    })
}

fn given() -> impl Strategy<Value = Given> {
    let deletes = proptest::collection::vec((0..6u8, 0..60_000i64, 0..20_000i64), 0..3);
    (proptest::collection::btree_map(0..6u8, chunks(), 1..5), deletes)
        .prop_map(|(series, deletes)| Given { series, deletes })
}

/// What of the chunks of a series is left.
fn left(given: &Given, name: u8) -> Chunks {
    let gone =
        |t: i64| given.deletes.iter().any(|&(of, min, len)| of == name && (min..=min + len).contains(&t));
    let chunks = given.series.get(&name).cloned().unwrap_or_default().into_iter();
    chunks
        .map(|chunk| chunk.into_iter().filter(|&(t, ..)| !gone(t)).collect::<Vec<_>>())
        .filter(|chunk| !chunk.is_empty())
        .collect()
}

fn written(given: &Given, segment_size: u64) -> (Files, BlockMeta) {
    let mut symbols: Vec<Vec<u8>> = given
        .series
        .keys()
        .flat_map(|&name| labels(name).iter().flat_map(|(n, v)| [n.to_vec(), v.to_vec()]).collect::<Vec<_>>())
        .collect();
    symbols.push(b"unused".to_vec());
    symbols.sort();
    symbols.dedup();
    let mut writer =
        BlockWriter::new(Files::default(), BlockWriterOptions { segment_size }, symbols).unwrap();
    for (&name, chunks) in &given.series {
        let chunks: Vec<TimedChunk> = chunks
            .iter()
            .flat_map(|chunk| {
                let samples: Vec<_> = chunk.iter().copied().map(sample).collect();
                encode_chunks(&samples, EncodeOptions::default()).unwrap()
            })
            .collect();
        writer.add(labels(name).as_ref(), &chunks).unwrap();
    }
    let written = writer.finish().unwrap();
    let meta = BlockMeta::fresh(BlockId::NONE, written.range.unwrap(), written.stats);
    (written.sink, meta)
}

fn block(number: u64, given: &Given) -> Block {
    let (files, mut meta) = written(given, 2000);
    meta.id = BlockId::from_parts(number, 0);
    let block = opened_files(&files, meta);
    let numbers = block.postings(&[]).unwrap();
    let mut stones = Tombstones::default();
    for &(name, min, len) in &given.deletes {
        if let Some(at) = given.series.keys().position(|&other| other == name) {
            stones.add(numbers[at], TimeRange::new(min, min + len));
        }
    }
    block.with_tombstones(stones)
}

fn series_of(block: &Block) -> BTreeMap<Labels, Vec<Told>> {
    let mut set = block.select(&[], TimeRange::ALL).unwrap();
    std::iter::from_fn(|| set.next().unwrap())
        .map(|series| {
            let samples = decode_chunks(&series.chunks, TimeRange::ALL).unwrap();
            (series.labels, samples.iter().map(told).collect())
        })
        .collect()
}

fn options(overlap: Overlap) -> RewriteOptions<'static> {
    let mut options = RewriteOptions::new(BlockId::from_parts(9, 9), Ancestry::Compacted);
    options.overlap = overlap;
    options
}

/// Penalty deduplication of two runs, as it is told in words.
fn folded(a: &[Told], b: &[Told]) -> Vec<Told> {
    let (mut used, mut from, mut penalty): (Vec<Told>, _, _) = (Vec::new(), [i64::MIN; 2], [0i64; 2]);
    loop {
        let last = used.last().map(|used| used.0);
        for i in 0..2 {
            from[i] = last.map_or(i64::MIN, |last| from[i].max(last + 1 + penalty[i]));
        }
        let next = |run: &[Told], from| run.iter().copied().find(|sample| sample.0 >= from);
        let (found, winner) = match (next(a, from[0]), next(b, from[1])) {
            (None, None) => return used,
            (Some(a), Some(b)) => {
                let winner = usize::from(b.0 < a.0);
                let found = if winner == 0 { a } else { b };
                penalty[1 - winner] = last.map_or(5000, |last| 2 * (found.0 - last));
                (found, winner)
            }
            (Some(a), None) => (a, 0),
            (None, Some(b)) => (b, 1),
        };
        penalty[winner] = 0;
        used.push(found);
    }
}

/// The samples of replicas: chunks that hang together are deduplicated, each kind in itself. `None` where the order of chunks with equal times
/// decides.
fn deduplicated(mut chunks: Chunks) -> Option<Vec<Told>> {
    let ends = |chunk: &Vec<Told>| (chunk[0].0, chunk[chunk.len() - 1].0);
    chunks.sort_by_key(ends);
    if chunks.windows(2).any(|pair| ends(&pair[0]) == ends(&pair[1])) {
        return None;
    }
    let mut all = Vec::new();
    let mut rest = chunks.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut end = ends(&first).1;
        let mut kinds: Vec<Vec<Told>> = vec![first];
        while let Some(next) = rest.next_if(|next| next[0].0 <= end) {
            end = end.max(ends(&next).1);
            match kinds.iter_mut().find(|kind| kind[0].1 == next[0].1) {
                Some(kind) => *kind = folded(kind, &next),
                None => kinds.push(next),
            }
        }
        let mut samples: Vec<_> = kinds.concat();
        samples.sort_by_key(|sample| sample.0);
        samples.dedup_by_key(|sample| sample.0);
        all.extend(samples);
    }
    Some(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_left_is_there(inputs in proptest::collection::vec(given(), 1..5), penalty in any::<bool>()) {
        let blocks: Vec<_> = (1..).zip(&inputs).map(|(number, given)| block(number, given)).collect();
        let overlap = if penalty { Overlap::Penalty } else { Overlap::Chain };
        let rewritten = rewrite(&blocks, Files::default(), options(overlap)).unwrap();
        let again = opened_files(&rewritten.written.sink, rewritten.meta.clone());
        let report = verify(&again);
        prop_assert!(report.is_sound(), "{:?}", report.faults);
        prop_assert_eq!(&verify_quick(&again), &report);
        prop_assert_eq!(report.stats, rewritten.meta.stats);
        let checks = Checks::of(&again).unwrap();
        prop_assert_eq!(&checks, &rewritten.written.checks);
        prop_assert_eq!(checks.verify(&rewritten.written.sink.0["index"].clone().into() as &Bytes, again.segments()).unwrap(), []);

        let mut found = series_of(&again);
        for name in 0..6 {
            let holders: Vec<Chunks> = inputs.iter().map(|given| left(given, name)).filter(|left| !left.is_empty()).collect();
            let found = found.remove(&labels(name)).unwrap_or_default();
            if let [alone] = &holders[..] {
                prop_assert_eq!(found, alone.concat());
            } else if penalty {
                if let Some(expected) = deduplicated(holders.concat()) {
                    prop_assert_eq!(found, expected);
                }
            } else {
                let mut candidates: BTreeMap<i64, Vec<Told>> = BTreeMap::new();
                for told in holders.concat().concat() {
                    candidates.entry(told.0).or_default().push(told);
                }
                prop_assert_eq!(found.iter().map(|told| told.0).collect::<Vec<_>>(), candidates.keys().copied().collect::<Vec<_>>());
                prop_assert!(found.iter().all(|told| candidates[&told.0].contains(told)));
            }
        }
        prop_assert!(found.is_empty());
    }

    /// Bytes that are damaged either were not needed, or the block that they are in is named and to be set aside.
    #[test]
    fn the_damaged_block_is_named(
        inputs in proptest::collection::vec(given(), 2..4),
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        in_index in any::<bool>(),
    ) {
        let mut blocks: Vec<_> = (1..).zip(&inputs).map(|(number, given)| block(number, given)).collect();
        let sound = rewrite(&blocks, Files::default(), options(Overlap::Chain)).unwrap().written.sink.0;
        let which = which.index(blocks.len());
        let victim = blocks[which].clone();
        let (mut files, _) = written(&inputs[which], 2000);
        let name = if in_index { "index" } else { "chunks/000001" };
        let bytes = files.0.get_mut(name).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let file = |bytes: &Vec<u8>| Arc::new(Bytes::from(bytes.clone())) as Arc<dyn Source>;
        let segments = files.0.range("chunks".to_owned().."d".to_owned()).map(|(_, bytes)| file(bytes)).collect();
        let opened = Block::open_unread(file(&files.0["index"]), segments, victim.meta().clone(), victim.tombstones().clone());
        let Ok(damaged) = opened else { return Ok(()) };
        blocks[which] = damaged;
        match rewrite(&blocks, Files::default(), options(Overlap::Chain)) {
            Ok(rewritten) => prop_assert_eq!(rewritten.written.sink.0, sound),
            Err(error) => {
                prop_assert_eq!(error.block(), Some(victim.meta().id), "{}", error);
                prop_assert_eq!(error.advice(), Advice::SetAside);
            }
        }
    }
}

/// What was read of one file.
type Reads = Arc<Mutex<Vec<Range<u64>>>>;

struct Watched(Bytes, Reads);

impl Source for Watched {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.1.lock().unwrap().push(range.clone());
        self.0.read(range)
    }
}

/// A source in a bucket fetches ahead, and keeps little of what is behind.
#[test]
fn chunk_files_are_read_once_from_front_to_back() {
    let long: Chunks = (0..400)
        .map(|chunk| (0..120).map(|i| (chunk * 1200 + i * 10, 0, (i as u64).pow(7) % 977)).collect())
        .collect();
    let given = Given { series: (0..6).map(|name| (name, long.clone())).collect(), deletes: Vec::new() };
    let (files, meta) = written(&given, 1 << 20);
    let mut watched: Vec<(u64, Reads)> = Vec::new();
    let mut blocks = Vec::new();
    for number in 1..3 {
        let mut watch = |bytes: &Vec<u8>| {
            let reads = Reads::default();
            watched.push((bytes.len() as u64, Arc::clone(&reads)));
            Arc::new(Watched(bytes.clone().into(), reads)) as Arc<dyn Source>
        };
        let segments =
            files.0.range("chunks".to_owned().."d".to_owned()).map(|(_, bytes)| watch(bytes)).collect();
        let mut meta = meta.clone();
        meta.id = BlockId::from_parts(number, 0);
        let index = Arc::new(Bytes::from(files.0["index"].clone()));
        blocks.push(Block::open_unread(index, segments, meta, Tombstones::default()).unwrap());
    }
    let rewritten = rewrite(&blocks, Files::default(), options(Overlap::Chain)).unwrap();
    assert_eq!(rewritten.meta.stats, meta.stats, "the same block twice is that block");
    assert!(watched.iter().any(|(length, _)| *length > 600_000), "several windows");
    for (length, reads) in watched {
        // The first read is that of the header, when the block was opened.
        let reads = reads.lock().unwrap().split_off(1);
        assert!(reads.iter().all(|read| read.end - read.start <= 256 << 10));
        assert!(reads.windows(2).all(|pair| pair[0].start < pair[1].start), "{reads:?}");
        let twice: u64 = reads.windows(2).map(|pair| pair[0].end.saturating_sub(pair[1].start)).sum();
        assert!(twice * 10 <= length + 10_000, "{twice} of {length} bytes twice");
    }
}
