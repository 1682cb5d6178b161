//! What a store gateway must answer, worked out the long way: every block in memory, every series looked at, every time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sarsen_benches::BlockFolder;
use sarsen_benches::storeapi::{AggrChunk, ChunkPart, Label, LabelMatcher, SeriesRequest, StoreSeries};
use sarsen_block::{Chunk, Encoding, MatchOp, Matcher, TimeRange, TimedChunk};
use sarsen_downsample::{AggrChunk as Aggregates, Aggregate};

/// Names to values.
pub(crate) type Set = BTreeMap<Vec<u8>, Vec<u8>>;

/// A series of a block: its labels, its chunks, and what of it is deleted.
struct Series {
    labels: Set,
    chunks: Vec<TimedChunk>,
    deleted: Vec<TimeRange>,
}

/// A block, all of it.
struct Block {
    external: Set,
    resolution: i64,
    range: TimeRange,
    series: Vec<Series>,
}

/// All blocks that count.
pub(crate) struct Model {
    blocks: Vec<Block>,
}

impl Model {
    /// Of a bucket that is a folder. Blocks with a deletion mark or without meta do not count.
    pub(crate) fn read(bucket: &Path) -> Self {
        let folders = std::fs::read_dir(bucket).unwrap().map(|entry| entry.unwrap().path());
        let counts = |folder: &std::path::PathBuf| {
            folder.join("meta.json").exists() && !folder.join("deletion-mark.json").exists()
        };
        Self { blocks: folders.filter(counts).map(|folder| read(&folder)).collect() }
    }

    /// The blocks of each set of external labels that a request is answered from.
    fn chosen(&self, request: &SeriesRequest) -> Vec<&Block> {
        let mut groups: BTreeMap<&Set, Vec<&Block>> = BTreeMap::new();
        for block in &self.blocks {
            groups.entry(&block.external).or_default().push(block);
        }
        let range = TimeRange::new(request.min_time, request.max_time);
        let resolutions: Vec<i64> =
            [3_600_000, 300_000, 0].into_iter().filter(|ms| *ms <= request.max_resolution_window).collect();
        groups.values().flat_map(|group| covering(group, range, &resolutions)).collect()
    }

    /// The series of the answer. Hashes of chunks are 0; chunks of which nothing is wanted are left out.
    pub(crate) fn series(&self, request: &SeriesRequest) -> Vec<StoreSeries> {
        let range = TimeRange::new(request.min_time, request.max_time);
        let mut merged = BTreeMap::<Vec<(Vec<u8>, Vec<u8>)>, BTreeSet<AggrChunk>>::new();
        for block in self.chosen(request) {
            let Some(matchers) = block.remaining(&request.matchers) else { continue };
            // Matchers on external labels alone select nothing.
            if matchers.is_empty() {
                continue;
            }
            for series in block.series.iter().filter(|series| all_match(&matchers, &series.labels)) {
                let chunks: Vec<AggrChunk> = series.within(range, &request.aggregates);
                if chunks.is_empty() {
                    continue;
                }
                let mut labels = series.labels.clone();
                labels.extend(block.external.clone());
                for name in &request.without_replica_labels {
                    labels.remove(name.as_bytes());
                }
                let merged = merged.entry(labels.into_iter().collect()).or_default();
                let filled = |chunk: &AggrChunk| !super::text::parts(chunk).is_empty();
                merged.extend(chunks.into_iter().filter(|chunk| !request.skip_chunks && filled(chunk)));
            }
        }
        let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
        let series = merged.into_iter().take(limit).map(|(labels, chunks)| StoreSeries {
            labels: labels.into_iter().map(|(name, value)| Label { name, value }).collect(),
            chunks: chunks.into_iter().collect(),
        });
        series.collect()
    }

    /// The names of all labels of the series that match, over the blocks that `range` touches.
    pub(crate) fn names(&self, matchers: &[LabelMatcher], range: TimeRange) -> BTreeSet<Vec<u8>> {
        self.sets(matchers, range).iter().flat_map(|set| set.keys().cloned()).collect()
    }

    /// The values of a label of the series that match.
    pub(crate) fn values(
        &self,
        name: &str,
        matchers: &[LabelMatcher],
        range: TimeRange,
    ) -> BTreeSet<Vec<u8>> {
        self.sets(matchers, range).iter().filter_map(|set| set.get(name.as_bytes()).cloned()).collect()
    }

    fn sets(&self, matchers: &[LabelMatcher], range: TimeRange) -> Vec<Set> {
        let mut sets = Vec::new();
        for block in self.blocks.iter().filter(|block| block.range.overlaps(range)) {
            let Some(matchers) = block.remaining(matchers) else { continue };
            for series in block.series.iter().filter(|series| all_match(&matchers, &series.labels)) {
                // Without a matcher a block is asked as a whole.
                if matchers.is_empty() || series.chunks.iter().any(|chunk| chunk.range.overlaps(range)) {
                    let mut labels = series.labels.clone();
                    labels.extend(block.external.clone());
                    sets.push(labels);
                }
            }
        }
        sets
    }
}

fn read(folder: &Path) -> Block {
    let block = BlockFolder::open(folder).unwrap();
    let meta = block.meta().clone();
    let thanos = meta.thanos.as_ref().unwrap();
    let bytes = |(name, value): (&String, &String)| (name.clone().into_bytes(), value.clone().into_bytes());
    let series = block.postings(&[]).unwrap().into_iter().map(|no| {
        let entry = block.series(no).unwrap();
        let chunk = |meta: &sarsen_block::ChunkMeta| TimedChunk {
            range: meta.range,
            chunk: block.chunk(meta.chunk_ref).unwrap(),
        };
        Series {
            labels: entry.labels.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            chunks: entry.chunks.iter().map(chunk).collect(),
            deleted: block.tombstones().of(no).to_vec(),
        }
    });
    Block {
        external: thanos.labels.iter().map(bytes).collect(),
        resolution: thanos.resolution,
        range: meta.range(),
        series: series.collect(),
    }
}

/// The blocks of one group for a range: of the first resolution, and for what lies between them of the next ones.
fn covering<'a>(group: &[&'a Block], range: TimeRange, resolutions: &[i64]) -> Vec<&'a Block> {
    let Some((first, finer)) = resolutions.split_first() else { return Vec::new() };
    if range.is_empty() {
        return Vec::new();
    }
    let mut own: Vec<&Block> = group.iter().copied().filter(|block| block.resolution == *first).collect();
    own.retain(|block| block.range.overlaps(range));
    own.sort_by_key(|block| block.range.min);
    let mut chosen = Vec::new();
    let mut from = range.min;
    for block in own {
        chosen.extend(covering(group, TimeRange::new(from, block.range.min - 1), finer));
        chosen.push(block);
        from = block.range.max + 1;
    }
    chosen.extend(covering(group, TimeRange::new(from, range.max), finer));
    chosen
}

impl Block {
    /// The matchers that are left when those on external labels have matched; nothing if one does not.
    fn remaining(&self, matchers: &[LabelMatcher]) -> Option<Vec<Matcher>> {
        let mut left = Vec::new();
        for one in matchers {
            let op =
                [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex][one.kind as usize];
            let matcher = Matcher::new(op, &one.name, &one.value).unwrap();
            match self.external.get(&one.name) {
                None => left.push(matcher),
                Some(value) if matcher.matches(value) => (),
                Some(_) => return None,
            }
        }
        Some(left)
    }
}

fn all_match(matchers: &[Matcher], labels: &Set) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).map_or(&[][..], Vec::as_slice)))
}

impl Series {
    /// Chunks that touch the range, without what is deleted.
    fn within(&self, range: TimeRange, aggregates: &[i32]) -> Vec<AggrChunk> {
        let mut found = Vec::new();
        for timed in self.chunks.iter().filter(|timed| timed.range.overlaps(range)) {
            if !self.deleted.iter().any(|deleted| deleted.overlaps(timed.range)) {
                found.push(wire(timed, aggregates));
                continue;
            }
            let left = timed.chunk.without(&self.deleted).unwrap();
            found.extend(left.iter().map(|left| wire(left, aggregates)));
        }
        found
    }
}

fn wire(timed: &TimedChunk, aggregates: &[i32]) -> AggrChunk {
    let part = |chunk: &Chunk| ChunkPart {
        kind: i32::from(chunk.encoding.byte()) - 1,
        data: chunk.data.to_vec(),
        hash: 0,
    };
    let mut out = AggrChunk { min_time: timed.range.min, max_time: timed.range.max, ..AggrChunk::default() };
    if timed.chunk.encoding != Encoding::Aggregate {
        out.raw = Some(part(&timed.chunk.to_plain().unwrap()));
        return out;
    }
    let all = Aggregates::parse(&timed.chunk).unwrap();
    let wanted =
        |number: i32, aggregate| all.get(aggregate).filter(|_| aggregates.contains(&number)).map(part);
    out.count = wanted(1, Aggregate::Count);
    out.sum = wanted(2, Aggregate::Sum);
    out.min = wanted(3, Aggregate::Min);
    out.max = wanted(4, Aggregate::Max);
    out.counter = wanted(5, Aggregate::Counter);
    out
}
