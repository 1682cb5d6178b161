//! A bucket held against the model: every block once, what lies where after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use sarsen_block::{
    Block, BlockId, BlockMeta, Chunk, ChunkSet, Decode, Encoding, Labels, Sample, SampleIter, SampleSet,
    TimeRange, Timestamp, Value,
};

use crate::model::{Model, Samples, Window, number, numbers, plain, total, windows};

/// The blocks of a bucket that count, and which of them have been read.
pub(crate) struct Checker {
    bucket: PathBuf,
    promtool: Option<PathBuf>,
    read: BTreeSet<BlockId>,
    /// Lengths of the longest block ever seen, by tenant and resolution.
    pub(crate) longest: BTreeMap<(String, i64), i64>,
    /// How many blocks promtool has accepted.
    pub(crate) accepted: usize,
}

impl Checker {
    pub(crate) fn new(bucket: &Path, promtool: Option<PathBuf>) -> Self {
        let bucket = bucket.to_owned();
        Self { bucket, promtool, read: BTreeSet::new(), longest: BTreeMap::new(), accepted: 0 }
    }

    /// Blocks without a deletion mark.
    pub(crate) fn live(&self) -> Vec<BlockMeta> {
        let folders = fs::read_dir(&self.bucket).unwrap().map(|entry| entry.unwrap().path());
        let whole = folders.filter(|folder| {
            folder.join("meta.json").is_file() && !folder.join("deletion-mark.json").exists()
        });
        whole.map(|folder| BlockMeta::parse(&fs::read(folder.join("meta.json")).unwrap()).unwrap()).collect()
    }

    /// Reads every block that is new, and looks whether what is there is what has to be.
    pub(crate) fn step(&mut self, model: &Model, now: Timestamp) {
        let live = self.live();
        for meta in &live {
            if self.read.insert(meta.id) {
                self.read_block(model, meta);
            }
        }
        no_overlap(&live);
        holdings(model, &live, now);
    }

    fn read_block(&mut self, model: &Model, meta: &BlockMeta) {
        let block = sarsen_tsdb::open_block(self.bucket.join(meta.id.to_string())).unwrap();
        let resolution = resolution(meta);
        let expected = model.samples(&meta.compaction.sources);
        if resolution == 0 {
            same_samples(&block, &expected);
            self.accepted_by_promtool(meta.id);
        } else {
            same_aggregates(&block, &expected, resolution);
        }
        let longest = self.longest.entry((tenant(meta).to_owned(), resolution)).or_default();
        *longest = (*longest).max(meta.max_time - meta.min_time);
    }

    fn accepted_by_promtool(&mut self, id: BlockId) {
        let Some(promtool) = &self.promtool else { return };
        // In a folder of its own: promtool opens every block beside the one that is named.
        let alone = tempfile::tempdir().unwrap();
        let id = id.to_string();
        std::os::unix::fs::symlink(self.bucket.join(&id), alone.path().join(&id)).unwrap();
        let output =
            Command::new(promtool).args(["tsdb", "analyze"]).arg(alone.path()).arg(&id).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{id}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(&format!("Block ID: {id}")), "{said}");
        self.accepted += 1;
    }
}

pub(crate) fn resolution(meta: &BlockMeta) -> i64 {
    meta.thanos.as_ref().unwrap().resolution
}

fn tenant(meta: &BlockMeta) -> &str {
    &meta.thanos.as_ref().unwrap().labels["tenant_id"]
}

fn same_samples(block: &Block, expected: &BTreeMap<Labels, Vec<Sample>>) {
    let id = block.meta().id;
    let mut found = Decode::new(block.select(&[], TimeRange::ALL).unwrap(), TimeRange::ALL);
    for (labels, samples) in expected {
        let series = found.next().unwrap().unwrap_or_else(|| panic!("{id} lacks {labels:?}"));
        assert_eq!(&series.labels, labels, "{id}");
        let count = series.samples.len();
        assert_eq!(count, samples.len(), "{id}: samples of {labels:?}");
        for (found, wanted) in series.samples.into_iter().zip(samples) {
            assert_eq!(&plain(found), wanted, "{id}: {labels:?}");
        }
    }
    assert!(found.next().unwrap().is_none(), "{id}: a series that nobody wrote");
}

/// The five parts of an aggregate chunk, read in the plainest way: a length, an encoding, the bytes of a chunk.
fn parts(data: &Bytes) -> [Samples; 5] {
    let mut at = 0;
    std::array::from_fn(|_| {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = data[at];
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        if length == 0 {
            return Samples::new();
        }
        let encoding = Encoding::from_byte(data[at]).unwrap();
        let chunk = Chunk { encoding, data: data.slice(at + 1..at + 1 + length) };
        at += 1 + length;
        let mut samples = chunk.samples().unwrap();
        let mut all = Samples::new();
        while let Some(sample) = samples.next().unwrap() {
            all.push((sample.t, number(&sample.value)));
        }
        all
    })
}

pub(crate) fn same_aggregates(block: &Block, expected: &BTreeMap<Labels, Vec<Sample>>, resolution: i64) {
    let id = block.meta().id;
    let mut found = block.select(&[], TimeRange::ALL).unwrap();
    for (labels, samples) in expected {
        let series = found.next().unwrap().unwrap_or_else(|| panic!("{id} lacks {labels:?}"));
        assert_eq!(&series.labels, labels, "{id}");
        let histograms = samples.iter().any(|sample| matches!(sample.value, Value::Histogram(_)));
        let mut windows_found: BTreeMap<i64, Window> = BTreeMap::new();
        let mut rise = Rise::default();
        for timed in &series.chunks {
            assert_eq!(timed.chunk.encoding, Encoding::Aggregate, "{id}");
            let [count, sum, min, max, counter] = parts(&timed.chunk.data);
            assert_eq!((min.is_empty(), max.is_empty()), (histograms, histograms), "{id}: {labels:?}");
            for (i, &(t, count)) in count.iter().enumerate() {
                let mut part = Window { count, sum: sum[i].1, ..Window::EMPTY };
                assert_eq!(sum[i].0, t, "{id}: {labels:?}");
                if !histograms {
                    (part.min, part.max) = (min[i].1, max[i].1);
                    assert!(min[i].0 == t && max[i].0 == t, "{id}: {labels:?}");
                }
                let number = t.div_euclid(resolution);
                let whole = windows_found.get(&number).map_or(part, |other| other.and(part));
                windows_found.insert(number, whole);
            }
            counter.iter().for_each(|&(t, value)| rise.add(t, value));
        }
        let samples = numbers(samples);
        let wanted = windows(&samples, resolution);
        assert_eq!(windows_found.len(), wanted.len(), "{id}: windows of {labels:?}");
        for ((number, found), (wanted_number, wanted)) in windows_found.iter().zip(&wanted) {
            let same = number == wanted_number
                && found.count == wanted.count
                && (histograms || (found.min, found.max) == (wanted.min, wanted.max))
                && close(found.sum, wanted.sum);
            assert!(same, "{id}: {labels:?}: window {number}: {found:?}, not {wanted_number}: {wanted:?}");
        }
        assert!(close(rise.total, total(&samples)), "{id}: {labels:?} rose by {}", rise.total);
    }
    assert!(found.next().unwrap().is_none(), "{id}: a series that nobody wrote");
}

/// Sums may be added up in another order.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

/// How a reader adds up the counter parts of chunks that follow one another: a time that comes twice carries the true value.
#[derive(Default)]
struct Rise {
    last: Option<(Timestamp, f64)>,
    total: f64,
}

impl Rise {
    fn add(&mut self, t: Timestamp, value: f64) {
        match self.last {
            None => self.total = value,
            Some((last, _)) if t < last => return,
            Some((last, _)) if t == last => {}
            Some((_, before)) => self.total += if value < before { value } else { value - before },
        }
        self.last = Some((t, value));
    }
}

/// Nothing of a group lies in two blocks.
fn no_overlap(live: &[BlockMeta]) {
    let mut groups: BTreeMap<_, Vec<&BlockMeta>> = BTreeMap::new();
    for meta in live {
        let thanos = meta.thanos.as_ref().unwrap();
        assert!(
            !thanos.labels.contains_key("replica") || meta.compaction.level == 1,
            "{}: {thanos:?}",
            meta.id
        );
        let labels: Vec<_> = thanos.labels.iter().filter(|(name, _)| *name != "replica").collect();
        groups.entry((labels, thanos.resolution)).or_default().push(meta);
    }
    for blocks in groups.values_mut() {
        blocks.sort_by_key(|meta| meta.min_time);
        for pair in blocks.windows(2) {
            assert!(pair[0].max_time <= pair[1].min_time, "{:?} and {:?} overlap", pair[0], pair[1]);
        }
    }
}

/// Every block that was ever brought lies in one block of each resolution that has to have it, and in none that is due.
fn holdings(model: &Model, live: &[BlockMeta], now: Timestamp) {
    let mut held: BTreeMap<(BlockId, i64), Vec<&BlockMeta>> = BTreeMap::new();
    for meta in live {
        let kept = model.kept[tenant(meta)];
        assert!(
            !kept.is_due(resolution(meta), meta.max_time, now),
            "{} at {} ms ended at {} and is still there at {now}",
            meta.id,
            resolution(meta),
            meta.max_time
        );
        for source in &meta.compaction.sources {
            held.entry((*source, resolution(meta))).or_default().push(meta);
        }
    }
    for (id, source) in &model.sources {
        let kept = model.kept[source.tenant];
        let holders = |resolution| held.get(&(*id, resolution)).map_or(&[][..], Vec::as_slice);
        let [raw, five_minutes, one_hour] = [0, 300_000, 3_600_000].map(holders);
        let place = format!("{id} of {}, {:?}, at {now}", source.tenant, source.range);
        assert!(
            [raw, five_minutes, one_hour].iter().all(|holders| holders.len() <= 1),
            "{place}: held twice"
        );
        let due = |resolution| kept.is_due(resolution, source.range.end, now);
        if !due(0) {
            assert!(!raw.is_empty(), "{place}: no raw samples");
        } else if !due(300_000) {
            assert!(!raw.is_empty() || !five_minutes.is_empty(), "{place}: neither raw nor 5 m");
        } else if !due(3_600_000) {
            let all = [raw, five_minutes, one_hour];
            assert!(all.iter().any(|holders| !holders.is_empty()), "{place}: nothing");
        }
        let length = |holders: &[&BlockMeta]| holders.first().map_or(0, |meta| meta.max_time - meta.min_time);
        let hours = |hours: i64| hours * 3_600_000;
        assert!(
            length(raw) < hours(40) || !five_minutes.is_empty() || due(300_000),
            "{place}: raw and no 5 m"
        );
        assert!(
            length(five_minutes) < hours(240) || !one_hour.is_empty() || due(3_600_000),
            "{place}: 5 m and no 1 h"
        );
    }
}
