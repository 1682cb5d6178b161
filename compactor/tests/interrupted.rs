//! The compactor is killed at every object that it writes and at every object that it removes, in turn, just before and just after; the
//! next process completes the work, and at no moment is a sample missing that somebody may ask for.
//!
//! Each situation is played once in peace, to count the changes, and then again for every one of them. What must be there is a plain
//! model: which samples were brought, and in which resolution each stretch of time must be found at the least.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta, ChunkSet, Labels, TimeRange, TimedChunk, Value, decode_chunks};
use sarsen_bucket::{Deletion, Deletions, Layout, MarkKind, Marker, View};
use sarsen_compactor::{Compactor, Options, Retention, Unobserved};
use sarsen_downsample::{AggrChunk, Aggregate};
use support::store::SimStore;
use support::{
    Content, DAY, HOUR, MINUTE, Made, Portrait, Recipe, START, bucket, content, fetch, live, samples_of,
};

const A: &[(&str, &str)] = &[("tenant_id", "a")];
const A0: &[(&str, &str)] = &[("replica", "0"), ("tenant_id", "a")];
const A1: &[(&str, &str)] = &[("replica", "1"), ("tenant_id", "a")];

/// What happens to a bucket, and what must be in it meanwhile.
struct Situation {
    name: &'static str,
    options: Options,
    blocks: Vec<Made>,
    /// Other objects.
    objects: Vec<(String, Vec<u8>)>,
    /// When rounds are held.
    rounds: Vec<i64>,
    /// What was brought.
    brought: Content,
    /// What was deleted: series of these, by a label, over a range.
    deleted: Option<(&'static str, &'static str, TimeRange)>,
    /// The blocks that are there in the end: resolution and range.
    end: Vec<(i64, i64, i64)>,
}

fn of(number: u64, from: i64, to: i64, external: &[(&str, &str)], all: &Content) -> Made {
    Recipe::new(number, START + from * HOUR, START + to * HOUR, external).of(all)
}

fn merged() -> Situation {
    let all = content(3, START, START + 10 * HOUR, MINUTE);
    let mut blocks: Vec<Made> = (0..5).map(|k| of(k, 2 * k as i64, 2 * k as i64 + 2, A, &all)).collect();
    // One that was merged by a process that was killed before it marked anything, and half of another one.
    let mut twin = blocks[0].clone();
    twin.meta.id = support::block_id(90);
    blocks.push(twin);
    let half = format!("{}/chunks/000001", support::block_id(91));
    Situation {
        name: "four blocks become one, a copy and half a block go",
        options: Options::default(),
        blocks,
        objects: vec![(half, b"half".to_vec())],
        rounds: vec![START + DAY, START + DAY + HOUR, START + 4 * DAY],
        brought: all,
        deleted: None,
        end: vec![(0, 0, 8), (0, 8, 10)],
    }
}

fn replicas() -> Situation {
    let all = content(3, START, START + 6 * HOUR, MINUTE);
    let blocks =
        vec![of(1, 0, 2, A0, &all), of(2, 0, 2, A1, &all), of(3, 1, 4, A0, &all), of(4, 4, 6, A1, &all)];
    Situation {
        name: "replicas become one",
        options: Options { replica_labels: vec!["replica".to_owned()], ..Options::default() },
        blocks,
        objects: Vec::new(),
        rounds: vec![START + DAY, START + 4 * DAY],
        brought: all,
        deleted: None,
        end: vec![(0, 0, 4), (0, 4, 6)],
    }
}

fn aged() -> Situation {
    let all = content(2, START, START + 14 * DAY, 30 * MINUTE);
    let days = 24;
    Situation {
        name: "a long block is downsampled twice and ages",
        options: Options {
            retention: Retention { raw_ms: 2 * DAY, five_minutes_ms: 20 * DAY, one_hour_ms: 90 * DAY },
            ..Options::default()
        },
        blocks: vec![of(1, 0, 14 * days, A, &all)],
        objects: Vec::new(),
        rounds: [15, 17, 20, 35, 38].map(|day| START + day * DAY).to_vec(),
        brought: all,
        deleted: None,
        end: vec![(3_600_000, 0, 14 * days)],
    }
}

fn uncovered() -> Situation {
    let all = content(3, START, START + 8 * HOUR, MINUTE);
    Situation {
        name: "a short block is old and nothing covers it",
        options: Options {
            retention: Retention { raw_ms: 3 * DAY, five_minutes_ms: 40 * DAY, one_hour_ms: 0 },
            ..Options::default()
        },
        blocks: vec![of(1, 0, 8, A, &all)],
        objects: Vec::new(),
        rounds: [1, 5, 8, 45, 48].map(|day| START + day * DAY).to_vec(),
        brought: all,
        deleted: None,
        end: vec![(3_600_000, 0, 8)],
    }
}

fn rewritten() -> Situation {
    let all = content(4, START, START + 8 * HOUR, MINUTE);
    let range = TimeRange::new(START, START + 5 * HOUR);
    let deletion = Deletion::new("leak", START + 9 * HOUR, "{job=\"web\"}", range).unwrap();
    let mut deletions = Deletions::default();
    deletions.add(deletion).unwrap();
    Situation {
        name: "what was deleted is taken out of a block",
        options: Options::default(),
        blocks: vec![of(1, 0, 8, A, &all)],
        objects: vec![(Layout::DELETIONS.to_owned(), deletions.to_bytes())],
        rounds: [20, 23].map(|day| START + day * DAY).to_vec(),
        brought: all,
        deleted: Some(("job", "web", range)),
        end: vec![(0, 0, 8)],
    }
}

/// The samples that nobody deleted.
fn kept(situation: &Situation) -> Content {
    let mut kept = situation.brought.clone();
    if let Some((name, value, range)) = situation.deleted {
        for (set, samples) in &mut kept {
            if set.get(name.as_bytes()) == Some(value.as_bytes()) {
                samples.retain(|t, _| !range.contains(*t));
            }
        }
        kept.retain(|_, samples| !samples.is_empty());
    }
    kept
}

/// How many samples a downsampled block counts, by series.
fn counted(made: &Made) -> BTreeMap<Labels, u64> {
    let mut found = made.open().select(&[], TimeRange::ALL).unwrap();
    let mut counts = BTreeMap::new();
    while let Some(series) = found.next().unwrap() {
        let count = counts.entry(series.labels).or_default();
        for timed in &series.chunks {
            let parts = AggrChunk::parse(&timed.chunk).unwrap();
            let chunk = parts.get(Aggregate::Count).unwrap().clone();
            let windows = decode_chunks(&[TimedChunk { range: timed.range, chunk }], TimeRange::ALL).unwrap();
            for window in windows {
                let Value::Float(value) = window.value else { panic!("counts are floats") };
                *count += value as u64;
            }
        }
    }
    counts
}

/// Everything that was brought and not deleted can be read: as it was, or, where the raw blocks are gone by age, as aggregates.
async fn nothing_is_missing(situation: &Situation, store: &Arc<SimStore>, now_ms: i64, what: &str) {
    let bucket = bucket(store);
    let view = View::fetch(&bucket).await.unwrap();
    let (mut raw, mut coarse) = (Content::new(), Vec::new());
    for meta in view.blocks.values() {
        let made = fetch(&bucket, meta).await;
        let resolution = meta.thanos.as_ref().unwrap().resolution;
        if resolution == 0 {
            for (set, samples) in samples_of(&made.open()) {
                raw.entry(set).or_default().extend(samples);
            }
        } else {
            coarse.push((resolution, counted(&made)));
        }
    }
    let kept = kept(situation);
    let retention = situation.options.retention;
    let oldest = situation.brought.values().flat_map(|samples| samples.keys()).min().unwrap();
    let is_due = |kept_ms: i64| kept_ms > 0 && now_ms > oldest + kept_ms;
    let all_raw = kept.iter().all(|(set, samples)| {
        let found = raw.get(set);
        samples.iter().all(|(t, bits)| found.and_then(|found| found.get(t)) == Some(bits))
    });
    let wanted: BTreeMap<Labels, u64> =
        kept.iter().map(|(set, samples)| (set.clone(), samples.len() as u64)).collect();
    let copy = |wanted_resolution: i64| {
        coarse.iter().any(|(resolution, counts)| *resolution == wanted_resolution && *counts == wanted)
    };
    assert!(all_raw || is_due(retention.raw_ms), "{what}: raw samples are missing");
    assert!(
        all_raw || copy(300_000) || is_due(retention.five_minutes_ms),
        "{what}: neither raw samples nor windows of five minutes"
    );
    assert!(all_raw || copy(300_000) || copy(3_600_000), "{what}: nothing at all");
}

/// Holds rounds from the `from`-th on until one fails or all are held; the number of the one that failed.
async fn rounds(situation: &Situation, store: &Arc<SimStore>, scratch: &Path, from: usize) -> Option<usize> {
    let mut compactor =
        Compactor::new(bucket(store), scratch, situation.options.clone(), Arc::new(Unobserved)).unwrap();
    for (number, &now_ms) in situation.rounds.iter().enumerate().skip(from) {
        store.set_clock(now_ms);
        let ended = compactor.round(now_ms).await;
        if store.is_dead() {
            return Some(number);
        }
        let report = ended.unwrap();
        assert!(report.failed.is_empty() && report.set_aside.is_empty(), "{}: {report:?}", situation.name);
    }
    None
}

async fn begun(situation: &Situation) -> Arc<SimStore> {
    let store = SimStore::new(START);
    let bucket = bucket(&store);
    for made in &situation.blocks {
        made.put(&bucket).await;
    }
    for (name, bytes) in &situation.objects {
        bucket.put(name, bytes.clone().into()).await.unwrap();
    }
    store
}

/// The bucket after all rounds and one more, long after: nothing is left over.
async fn finished(situation: &Situation, store: &Arc<SimStore>, scratch: &Path, what: &str) -> Vec<Portrait> {
    let last = situation.rounds.last().unwrap() + 3 * DAY;
    for now_ms in [last, last + 3 * DAY] {
        store.set_clock(now_ms);
        let mut compactor =
            Compactor::new(bucket(store), scratch, situation.options.clone(), Arc::new(Unobserved)).unwrap();
        let report = compactor.round(now_ms).await.unwrap();
        assert!(report.failed.is_empty() && report.set_aside.is_empty(), "{what}: {report:?}");
        nothing_is_missing(situation, store, now_ms, what).await;
    }
    let view = View::fetch(&bucket(store)).await.unwrap();
    assert!(view.partial.is_empty(), "{what}: halves stay: {:?}", view.partial);
    assert!(
        view.blocks.keys().all(|&id| view.mark(id, MarkKind::Deletion).is_none()),
        "{what}: marked blocks stay"
    );
    assert!(std::fs::read_dir(scratch).unwrap().next().is_none(), "{what}: scratch files stay");
    live(&view)
}

async fn killed_everywhere(situation: Situation) {
    // A handle of its own: what was brought before does not count.
    let peaceful = begun(&situation).await.again();
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(rounds(&situation, &peaceful, scratch.path(), 0).await, None);
    let changes = peaceful.changes();
    let wanted = finished(&situation, &peaceful, scratch.path(), situation.name).await;
    let mut ranges: Vec<(i64, i64, i64)> = wanted
        .iter()
        .map(|p| (p.resolution, (p.range.0 - START) / HOUR, (p.range.1 - START) / HOUR))
        .collect();
    ranges.sort_unstable();
    assert_eq!(ranges, situation.end, "{}", situation.name);
    assert!(changes > 5, "{}: only {changes} changes", situation.name);
    for number in 1..=changes {
        for after in [false, true] {
            let what = format!("{}, killed at change {number} of {changes}, made: {after}", situation.name);
            let store = begun(&situation).await;
            let mortal = store.again();
            mortal.die_at(number, after);
            let scratch = tempfile::tempdir().unwrap();
            let died = rounds(&situation, &mortal, scratch.path(), 0).await;
            let died = died.unwrap_or_else(|| panic!("{what}: did not die"));
            nothing_is_missing(&situation, &store, situation.rounds[died], &what).await;
            assert_eq!(rounds(&situation, &store, scratch.path(), died).await, None, "{what}");
            let found = finished(&situation, &store, scratch.path(), &what).await;
            assert_eq!(found, wanted, "{what}");
        }
    }
}

#[tokio::test]
async fn killed_while_merging() {
    killed_everywhere(merged()).await;
}

#[tokio::test]
async fn killed_while_replicas_become_one() {
    killed_everywhere(replicas()).await;
}

#[tokio::test]
async fn killed_while_a_block_ages() {
    killed_everywhere(aged()).await;
}

#[tokio::test]
async fn killed_while_an_uncovered_block_ages() {
    killed_everywhere(uncovered()).await;
}

#[tokio::test]
async fn killed_while_a_block_is_rewritten() {
    killed_everywhere(rewritten()).await;
}

/// A mark that somebody takes off in time keeps the block, and one that is there without a block does no harm.
#[tokio::test]
async fn marks_come_and_go() {
    let all = content(2, START, START + 2 * HOUR, MINUTE);
    let made = of(1, 0, 2, A, &all);
    let store = SimStore::new(START);
    let bucket = bucket(&store);
    made.put(&bucket).await;
    let lone: BlockId = support::block_id(7);
    for id in [made.id(), lone] {
        Marker::deletion(id, (START + DAY) / 1000, "by hand").put(&bucket).await.unwrap();
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut compactor =
        Compactor::new(bucket.clone(), scratch.path(), Options::default(), Arc::new(Unobserved)).unwrap();
    let report = compactor.round(START + 3 * DAY).await.unwrap();
    assert!(report.cleaned.removed.is_empty(), "the delay is not over");
    Marker::remove(&bucket, made.id(), MarkKind::Deletion).await.unwrap();
    let report = compactor.round(START + 3 * DAY + 1001).await.unwrap();
    assert_eq!(report.cleaned.removed, [lone]);
    let view = View::fetch(&bucket).await.unwrap();
    assert_eq!(view.blocks.keys().copied().collect::<Vec<BlockId>>(), [made.id()]);
    assert!(view.partial.is_empty());
    let whole: &BlockMeta = &view.blocks[&made.id()];
    assert_eq!(samples_of(&fetch(&bucket, whole).await.open()), all);
}
