//! Buckets full of small blocks, and requests to them, from a seed.
//!
//! Two tenants with two replicas each, blocks of two hours over half a day, some missing, some overlapping, some with a label of the
//! series named as an external one; floats and histograms, floats as XOR2 here and there; some downsampled, with or without the
//! blocks that they were made of; tombstones if they are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sarsen_benches::BlockFolder;
use sarsen_benches::storeapi::{LabelMatcher, SeriesRequest};
use sarsen_block::{
    BlockId, BlockMeta, BlockWriter, BlockWriterOptions, Counts, EncodeOptions, Histogram, Labels, Sample,
    Span, ThanosMeta, TimeRange, TimedChunk, Tombstones, encode_chunks,
};
use sarsen_downsample::{DownsampleOptions, Resolution, downsample_both};

use super::{matcher, request};

pub(crate) const START: i64 = 1_704_067_200_000;
const HOUR: i64 = 3_600_000;
const STEP: i64 = 30_000;
const BLOCKS: i64 = 6;

/// Numbers that follow from a seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// `percent` times of a hundred.
    pub(crate) fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// What the blocks of a bucket may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// Thanos' store does not look at them.
    pub(crate) tombstones: bool,
    /// Thanos' store cannot send it.
    pub(crate) xor2: bool,
    pub(crate) histograms: bool,
    /// Some blocks come as aggregates too.
    pub(crate) coarse: bool,
}

const METRICS: [&str; 5] = ["up", "requests_total", "requests_seconds", "temperature", "ünïcode"];
const NAMES: [&str; 3] = ["job", "pod", "zone"];
const VALUES: [&str; 7] = ["a", "b", "ab", "b-0", "b-1", "\"quoted\"", "ä"];

/// Labels of a series; a name may be missing.
fn labels(chance: &mut Chance) -> Labels {
    let mut pairs = BTreeMap::from([("__name__", chance.one_of(&METRICS))]);
    for name in NAMES {
        if chance.is(70) {
            pairs.insert(name, chance.one_of(&VALUES));
        }
    }
    if chance.is(8) {
        pairs.insert("replica", chance.one_of(&["r0", "own"]));
    }
    if chance.is(5) {
        pairs.remove("__name__");
        pairs.insert("nameless", "yes");
    }
    Labels::from_pairs(pairs).unwrap()
}

fn histogram(chance: &mut Chance, is_float: bool, step: i64) -> Histogram {
    let positive_spans = vec![Span { offset: 1, length: 2 }];
    let counts = if is_float {
        let positive = vec![step as f64 + 0.5, chance.below(9) as f64];
        Counts::Float { count: 12.0 + step as f64, zero: 1.5, positive, negative: Vec::new() }
    } else {
        let (first, second) = (step, step + chance.below(5) as i64);
        let count = (first + second + 2) as u64;
        Counts::Integer { count, zero: 2, positive: vec![first, second - first], negative: Vec::new() }
    };
    Histogram {
        schema: 2,
        zero_threshold: 0.001,
        sum: step as f64 * 1.25,
        positive_spans,
        counts,
        ..Histogram::default()
    }
}

fn samples(chance: &mut Chance, range: TimeRange, histograms: bool) -> Vec<Sample> {
    let (begin, end) = match chance.below(4) {
        0 => (range.min + chance.below(7_200_000) as i64, range.max),
        1 => (range.min, range.min + chance.below(7_200_000) as i64),
        _ => (range.min, range.max),
    };
    let kind = if histograms { chance.below(10) } else { 2 + chance.below(8) };
    let offset = chance.below(STEP as u64) as i64;
    let mut samples = Vec::new();
    let mut t = begin + offset;
    for step in 0.. {
        if t > end {
            break;
        }
        if !chance.is(3) {
            samples.push(match kind {
                0 => Sample::histogram(t, histogram(chance, false, step)),
                1 => Sample::histogram(t, histogram(chance, true, step)),
                2 => Sample::float(t, step as f64),
                _ => Sample::float(t, chance.below(1000) as f64 / 8.0),
            });
        }
        t += STEP;
    }
    samples
}

/// Fills an empty folder.
pub(crate) fn fill(bucket: &Path, seed: u64, traits: Traits) {
    let mut chance = Chance::new(seed);
    let mut number = 0;
    for tenant in ["a", "b"] {
        for replica in ["r0", "r1"] {
            let external = [("replica", replica), ("region", "eu"), ("tenant_id", tenant)];
            let external: BTreeMap<String, String> =
                external.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            for block in 0..BLOCKS {
                let times = if chance.is(15) { 0 } else { 1 + u64::from(chance.is(20)) };
                for _ in 0..times {
                    number += 1;
                    let start = START + block * 2 * HOUR;
                    let range = TimeRange::new(start, start + 2 * HOUR - 1);
                    one(bucket, &mut chance, BlockPlan { number, range, external: &external, traits });
                }
            }
        }
    }
}

struct BlockPlan<'a> {
    number: u64,
    range: TimeRange,
    external: &'a BTreeMap<String, String>,
    traits: Traits,
}

fn id(number: u64, chance: &mut Chance) -> BlockId {
    BlockId::from_parts(START as u64 + 86_400_000 + number, u128::from(chance.next()))
}

fn one(bucket: &Path, chance: &mut Chance, plan: BlockPlan<'_>) {
    let mut series: BTreeMap<Labels, Vec<TimedChunk>> = BTreeMap::new();
    for _ in 0..4 + chance.below(12) {
        let options = EncodeOptions { xor2: plan.traits.xor2 && chance.is(20), ..EncodeOptions::default() };
        let samples = samples(chance, plan.range, plan.traits.histograms);
        if !samples.is_empty() {
            series.insert(labels(chance), encode_chunks(&samples, options).unwrap());
        }
    }
    let mut symbols: BTreeSet<Vec<u8>> = BTreeSet::new();
    for labels in series.keys() {
        symbols.extend(labels.iter().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]));
    }
    let id_raw = id(plan.number * 4, chance);
    let folder = bucket.join(id_raw.to_string());
    // Small files, so that chunks lie in several.
    let options = BlockWriterOptions { segment_size: 4096 };
    let symbols: Vec<Vec<u8>> = symbols.into_iter().collect();
    let mut writer = BlockWriter::new(BlockFolder::new(&folder).unwrap(), options, symbols).unwrap();
    for (labels, chunks) in &series {
        writer.add(labels.as_ref(), chunks).unwrap();
    }
    let written = writer.finish().unwrap();
    let meta = BlockMeta::fresh(id_raw, plan.range, written.stats);
    let thanos = ThanosMeta {
        version: 1,
        labels: plan.external.clone(),
        source: "receive".to_owned(),
        ..ThanosMeta::default()
    };
    written.sink.complete(meta, thanos, written.segments).unwrap();
    if plan.traits.coarse && chance.is(40) {
        coarser(bucket, chance, &folder, plan.number);
    }
    if plan.traits.tombstones && chance.is(40) {
        bury(&folder, chance, plan.range);
    }
}

/// Both resolutions of a block; the block itself may go, as retention would have it.
fn coarser(bucket: &Path, chance: &mut Chance, folder: &Path, number: u64) {
    let block = BlockFolder::open(folder).unwrap();
    let ids = [id(number * 4 + 1, chance), id(number * 4 + 2, chance)];
    let sink = |at: usize| BlockFolder::new(&bucket.join(ids[at].to_string())).unwrap();
    let fine = (sink(0), DownsampleOptions::new(ids[0], Resolution::FiveMinutes));
    let coarse = (sink(1), DownsampleOptions::new(ids[1], Resolution::OneHour));
    for made in downsample_both(&block, fine, coarse).unwrap() {
        let folder = bucket.join(made.meta.id.to_string());
        let thanos = made.meta.thanos.clone().unwrap();
        let keep = !made.is_empty() && (thanos.resolution == 300_000 || chance.is(60));
        made.written.sink.complete(made.meta, thanos, made.written.segments).unwrap();
        if !keep {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
    if chance.is(25) {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// Deletes stretches of some series, of a few all of it.
fn bury(folder: &Path, chance: &mut Chance, range: TimeRange) {
    let Ok(block) = BlockFolder::open(folder) else { return };
    let mut tombstones = Tombstones::default();
    for no in block.postings(&[]).unwrap() {
        match chance.below(6) {
            0 => tombstones.add(no, range),
            1 => {
                let from = range.min + chance.below(7_200_000) as i64;
                tombstones.add(no, TimeRange::new(from, from + chance.below(3_600_000) as i64));
            }
            _ => (),
        }
    }
    std::fs::write(folder.join("tombstones"), tombstones.to_bytes()).unwrap();
    let mut meta = block.meta().clone();
    meta.stats.num_tombstones = tombstones.count() as u64;
    std::fs::write(folder.join("meta.json"), meta.to_bytes()).unwrap();
}

/// A matcher that may select something, or accept a missing label, or nothing.
fn any_matcher(chance: &mut Chance) -> LabelMatcher {
    let name = chance.one_of(&[
        "__name__",
        "job",
        "pod",
        "zone",
        "replica",
        "tenant_id",
        "region",
        "nosuch",
        "nameless",
    ]);
    let kind = chance.one_of(&["=", "!=", "=~", "!~"]);
    let literal = match name {
        "__name__" => chance.one_of(&METRICS),
        "replica" => chance.one_of(&["r0", "r1", "own", ""]),
        "tenant_id" => chance.one_of(&["a", "b", ""]),
        _ => chance.one_of(&["a", "b", "ab", "b-0", "b-1", "\"quoted\"", "ä", "", "", "zzz"]),
    };
    let expressions = [
        "",
        ".*",
        ".+",
        "a|b",
        "b.*",
        ".*b",
        "b-.+",
        "a|",
        "[ab]+",
        "(?i)B",
        "requests_.*",
        "up|temperature",
        "r.",
        ".*0",
        "a.?",
        "b-[01]",
        "(a|b)(b|-0)?",
        "x*",
        "ä|a",
    ];
    let value = if kind.contains('~') && chance.is(85) { chance.one_of(&expressions) } else { literal };
    let value = if kind.contains('~') { value.replace('"', "\\x22") } else { value.to_owned() };
    matcher(name, kind, &value)
}

/// A request for series.
pub(crate) fn any_request(chance: &mut Chance) -> SeriesRequest {
    let span = (BLOCKS * 2 * HOUR) as u64;
    let mut times = [START + chance.below(span) as i64, START + chance.below(span) as i64];
    if chance.is(30) {
        times = [START, START + BLOCKS * 2 * HOUR];
    }
    if !chance.is(3) {
        times.sort_unstable();
    }
    let matchers = (0..1 + chance.below(3)).map(|_| any_matcher(chance)).collect();
    let mut wanted = request(times[0], times[1], matchers);
    if chance.is(60) {
        let only_last = matchers_are_external(&wanted.matchers);
        if only_last {
            wanted.matchers.push(matcher("__name__", "=~", ".*"));
        }
    }
    wanted.skip_chunks = chance.is(25);
    if chance.is(50) {
        wanted.max_resolution_window =
            [0, 60_000, 300_000, 3_599_999, 3_600_000, i64::MAX / 2][chance.below(6) as usize];
        let all = [0, 1, 2, 3, 4, 5];
        wanted.aggregates = all.into_iter().filter(|_| chance.is(40)).collect();
    }
    if chance.is(35) {
        let names = ["replica", "tenant_id", "pod", "nosuch", "__name__"];
        wanted.without_replica_labels =
            names.iter().filter(|_| chance.is(35)).map(|name| (*name).to_owned()).collect();
    }
    // Thanos' store takes the first series of a block before it removes a label of theirs, and so other ones.
    let first_stay_first =
        !wanted.without_replica_labels.iter().any(|name| name == "pod" || name == "__name__");
    if chance.is(20) && first_stay_first {
        wanted.limit = 1 + chance.below(12) as i64;
    }
    wanted
}

fn matchers_are_external(matchers: &[LabelMatcher]) -> bool {
    matchers.iter().all(|one| matches!(one.name.as_slice(), b"replica" | b"tenant_id" | b"region"))
}
