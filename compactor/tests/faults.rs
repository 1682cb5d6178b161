//! Broken buckets: whatever is wrong with one block, every healthy block comes to the same state as without the fault, and the broken
//! one is named.
//!
//! The bucket holds three groups. In the first, four blocks become one. In the second, four blocks become one, and the block that is
//! broken stands beside a healthy one in the range behind them. In the third, a long block is downsampled, and a long one that is broken
//! should be. Each kind of damage is done to the small block and to the long one in turn, and the end is held against that of a bucket in
//! which the block never was. Where the work with a block mends what was wrong, it is held against that of the whole block instead.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sarsen_block::{BlockId, BlockMeta};
use sarsen_bucket::{Bucket, Layout, MarkKind, Marker, Reason, View};
use sarsen_compactor::{Compactor, Options, RoundReport, Unobserved, Until};
use support::breaking::{flip, torn_tombstones};
use support::store::SimStore;
use support::{
    DAY, HOUR, MINUTE, Made, Portrait, Recipe, START, add, block_id, bucket, content, live, readable,
};

const A: &[(&str, &str)] = &[("tenant_id", "a")];
const B: &[(&str, &str)] = &[("tenant_id", "b")];
const C: &[(&str, &str)] = &[("tenant_id", "c")];
const NOW: i64 = START + 20 * DAY;
/// Between samples: two chunks in two hours.
const STEP: i64 = MINUTE / 2;

/// The broken blocks: a small one that should be merged, and a long one that should be downsampled.
const SMALL: u64 = 50;
const LONG: u64 = 51;

/// Blocks that are healthy in every bucket.
fn healthy() -> Vec<Made> {
    static ONCE: OnceLock<Vec<Made>> = OnceLock::new();
    ONCE.get_or_init(make_healthy).clone()
}

fn make_healthy() -> Vec<Made> {
    let hours =
        |number, from, to, external| Recipe::new(number, START + from * HOUR, START + to * HOUR, external);
    let all = content(5, START, START + 96 * HOUR, STEP);
    let mut made = Vec::new();
    for (first, external) in [(1, A), (11, B)] {
        made.extend((0..4).map(|k| hours(first + k, 2 * k as i64, 2 * k as i64 + 2, external).of(&all)));
        made.push(hours(first + 4, 24, 26, external).of(&all));
    }
    made.push(hours(16, 10, 12, B).of(&all));
    // The last block but one is where the past ends.
    made.push(hours(17, 16, 18, B).of(&all));
    made.push(hours(21, 0, 48, C).of(&all));
    made
}

/// A block to be broken, whole. Its chunks lie in several segments.
fn victim(number: u64) -> Made {
    let all = content(5, START, START + 96 * HOUR, STEP);
    let recipe = match number {
        SMALL => Recipe { segment_size: 1500, ..Recipe::new(SMALL, START + 8 * HOUR, START + 10 * HOUR, B) },
        _ => Recipe { segment_size: 12_000, ..Recipe::new(LONG, START + 48 * HOUR, START + 96 * HOUR, C) },
    };
    let made = recipe.of(&all);
    assert!(made.files.len() > 3, "an index and several segments: {:?}", made.files.keys());
    made
}

const LAST_SEGMENT: &str = "last";

fn last_segment(made: &Made) -> String {
    made.files.keys().rfind(|path| path.starts_with("chunks/")).unwrap().clone()
}

/// What is done to a block before it is put into the bucket. The text is the meta as it is put; `None` puts none.
type Breaks = fn(&mut Made) -> Option<Vec<u8>>;

fn told(made: &Made) -> Option<Vec<u8>> {
    Some(made.meta.to_bytes())
}

/// Breaks a file and leaves the meta.
macro_rules! file {
    ($path:expr, $edit:expr) => {
        |made: &mut Made| {
            let path = if $path == LAST_SEGMENT { last_segment(made) } else { $path.to_owned() };
            ($edit)(made, path.as_str());
            told(made)
        }
    };
}

/// Breaks the meta and leaves the files.
macro_rules! meta {
    ($edit:expr) => {
        |made: &mut Made| {
            let edit: fn(&mut BlockMeta) = $edit;
            edit(&mut made.meta);
            told(made)
        }
    };
}

/// Replaces the text of the meta.
macro_rules! text {
    ($edit:expr) => {
        |made: &mut Made| {
            let edit: fn(String) -> String = $edit;
            Some(edit(String::from_utf8(made.meta.to_bytes()).unwrap()).into_bytes())
        }
    };
}

const FIRST: &str = "chunks/000001";
const INDEX: &str = "index";

/// Damage that is none to a block of which this is done: merging counts no samples that are not there, and finds room for chunks that
/// lie beside their block; downsampling asks no meta how many samples there are.
const HARMLESS: [(u64, &str); 2] = [(SMALL, SHORT_RANGE), (LONG, WRONG_COUNT)];
const SHORT_RANGE: &str = "a meta with a smaller range than the chunks";
const WRONG_COUNT: &str = "a meta that counts samples that are not there";

/// Every kind of damage to one block.
const DAMAGE: &[(&str, Breaks)] = &[
    // The meta.
    ("no meta", |_| None),
    ("no meta, no index", |made| {
        made.files.remove(INDEX);
        None
    }),
    ("no meta, no chunks", |made| {
        made.files.retain(|path, _| path == INDEX);
        None
    }),
    ("an empty meta", text!(|_| String::new())),
    ("a meta cut off", text!(|text| text[..text.len() / 2].to_owned())),
    ("a meta that is no JSON", text!(|text| text.replace(':', "="))),
    ("a meta of another version", text!(|text| text.replace("\n\t\"version\": 1", "\n\t\"version\": 3"))),
    (
        "a Thanos section of another version",
        text!(|text| text.replace("\n\t\t\"version\": 1", "\n\t\t\"version\": 9")),
    ),
    ("the meta of another block", meta!(|meta| meta.id = block_id(99))),
    ("no external labels", meta!(|meta| meta.thanos.as_mut().unwrap().labels.clear())),
    ("no Thanos section", meta!(|meta| meta.thanos = None)),
    (
        "a range that ends before it begins",
        meta!(|meta| std::mem::swap(&mut meta.min_time, &mut meta.max_time)),
    ),
    ("a range without an end", meta!(|meta| meta.max_time = i64::MAX)),
    ("a range without a beginning", meta!(|meta| meta.min_time = i64::MIN)),
    ("an unknown resolution", meta!(|meta| meta.thanos.as_mut().unwrap().resolution = 77)),
    (WRONG_COUNT, meta!(|meta| meta.stats.num_samples += 7)),
    (SHORT_RANGE, meta!(|meta| meta.max_time -= HOUR)),
    ("a meta with a later range than the chunks", meta!(|meta| meta.min_time += HOUR)),
    // The index.
    ("no index", file!(INDEX, |made: &mut Made, path: &str| drop(made.files.remove(path)))),
    ("no index, and the meta knows", file!(INDEX, |made: &mut Made, path: &str| made.forget(path))),
    ("an empty index", file!(INDEX, |made: &mut Made, path: &str| made.cut(path, 0))),
    ("an index cut in two", file!(INDEX, |made: &mut Made, path: &str| made.cut(path, 50))),
    ("an index without its end", file!(INDEX, |made: &mut Made, path: &str| made.cut(path, 98))),
    (
        "an index of another size than the meta says",
        file!(INDEX, |made: &mut Made, path: &str| {
            made.tell_size(path, 12);
        }),
    ),
    (
        "an index with something behind it",
        file!(INDEX, |made: &mut Made, path: &str| {
            made.edit(path, |bytes| bytes.extend_from_slice(&[0; 100]));
            made.tell_size(path, made.files[path].len() as u64);
        }),
    ),
    ("an index that is none", file!(INDEX, |made: &mut Made, path: &str| made.edit(path, |b| flip(b, 0)))),
    ("an index of version 9", file!(INDEX, |made: &mut Made, path: &str| made.edit(path, |b| b[4] = 9))),
    ("a bit in the symbols", file!(INDEX, |made: &mut Made, path: &str| made.edit(path, |b| flip(b, 15)))),
    (
        "a bit in a series",
        file!(INDEX, |made: &mut Made, path: &str| {
            let at = made.series_content(2).start + 1;
            made.edit(path, |b| flip(b, at));
        }),
    ),
    (
        "a bit in the table of contents",
        file!(INDEX, |made: &mut Made, path: &str| {
            made.edit(path, |b| {
                let at = b.len() - 20;
                flip(b, at);
            });
        }),
    ),
    (
        "the index of another block",
        file!(INDEX, |made: &mut Made, path: &str| {
            let other = Recipe::new(98, START, START + 90 * MINUTE, A).of(&content(
                3,
                START,
                START + HOUR,
                7 * MINUTE,
            ));
            made.set(path, other.bytes(INDEX));
            made.tell_size(path, other.files[INDEX].len() as u64);
        }),
    ),
    ("chunks out of order", |made| {
        made.put_out_of_order(1);
        told(made)
    }),
    ("a series twice", |made| {
        made.double_series(2);
        told(made)
    }),
    // The chunks.
    ("no first segment", file!(FIRST, |made: &mut Made, path: &str| drop(made.files.remove(path)))),
    ("no last segment", file!(LAST_SEGMENT, |made: &mut Made, path: &str| drop(made.files.remove(path)))),
    (
        "no last segment, and the meta does not know it",
        file!(LAST_SEGMENT, |made: &mut Made, path: &str| {
            made.forget(path);
        }),
    ),
    (
        "a segment is missing in the middle, and the meta does not know it",
        file!("chunks/000002", |made: &mut Made, path: &str| {
            made.forget(path);
        }),
    ),
    ("no segments at all", |made| {
        made.files.retain(|path, _| path == INDEX);
        told(made)
    }),
    ("an empty segment", file!(FIRST, |made: &mut Made, path: &str| made.cut(path, 0))),
    ("a segment cut off", file!(FIRST, |made: &mut Made, path: &str| made.cut(path, 60))),
    ("the last segment cut off", file!(LAST_SEGMENT, |made: &mut Made, path: &str| made.cut(path, 60))),
    (
        "a segment of another size than the meta says",
        file!(FIRST, |made: &mut Made, path: &str| {
            made.tell_size(path, 9);
        }),
    ),
    ("a segment that is none", file!(FIRST, |made: &mut Made, path: &str| made.edit(path, |b| flip(b, 1)))),
    ("a segment of version 2", file!(FIRST, |made: &mut Made, path: &str| made.edit(path, |b| b[4] = 2))),
    (
        "a bit in a chunk",
        file!(FIRST, |made: &mut Made, path: &str| {
            let at = made.records(path)[0].end - 3;
            made.edit(path, |b| flip(b, at));
        }),
    ),
    (
        "a bit in a checksum",
        file!(LAST_SEGMENT, |made: &mut Made, path: &str| {
            made.edit(path, |b| {
                let at = b.len() - 1;
                flip(b, at);
            });
        }),
    ),
    (
        "the length of a chunk",
        file!(FIRST, |made: &mut Made, path: &str| {
            let at = made.records(path)[0].start - 1;
            made.edit(path, |b| b[at] = b[at].wrapping_add(1));
        }),
    ),
    (
        "a chunk of an unknown encoding",
        file!(FIRST, |made: &mut Made, path: &str| {
            made.edit_record(path, 0, |record| record[0] = 77);
        }),
    ),
    (
        "a chunk that counts more samples than it has",
        file!(FIRST, |made: &mut Made, path: &str| {
            made.edit_record(path, 0, |record| record[1] = 0x7F);
        }),
    ),
    ("segments exchanged", |made| {
        let (first, last) = (made.bytes(FIRST), made.bytes(&last_segment(made)));
        let path = last_segment(made);
        made.tell_size(FIRST, last.len() as u64);
        made.tell_size(&path, first.len() as u64);
        made.set(FIRST, last);
        made.set(&path, first);
        told(made)
    }),
    ("tombstones that cannot be read", |made| {
        made.set("tombstones", torn_tombstones());
        told(made)
    }),
];

struct World {
    store: Arc<SimStore>,
    bucket: Bucket,
    scratch: tempfile::TempDir,
}

impl World {
    async fn new(blocks: &[Made]) -> Self {
        let store = SimStore::new(NOW - 10 * DAY);
        let bucket = bucket(&store);
        for made in blocks {
            made.put(&bucket).await;
        }
        store.set_clock(NOW);
        Self { store, bucket, scratch: tempfile::tempdir().unwrap() }
    }

    async fn view(&self) -> View {
        View::fetch(&self.bucket).await.unwrap()
    }

    /// Rounds over three days: marks become old meanwhile.
    async fn rounds(&self) -> Vec<RoundReport> {
        let scratch = self.scratch.path();
        let mut compactor =
            Compactor::new(self.bucket.clone(), scratch, Options::default(), Arc::new(Unobserved)).unwrap();
        let mut reports = Vec::new();
        for hours in [0, 1, 60, 61] {
            let now_ms = NOW + hours * HOUR;
            self.store.set_clock(now_ms);
            reports.push(compactor.round(now_ms).await.unwrap());
        }
        reports
    }
}

/// The blocks that live, but for those of which `number` is a part.
async fn others(world: &World, number: u64) -> Vec<Portrait> {
    let mut all = live(&world.view().await);
    all.retain(|portrait| !portrait.sources.contains(&block_id(number)));
    all
}

/// Everything that the rounds said about a block, in whichever way.
fn names(reports: &[RoundReport], id: BlockId) -> Vec<String> {
    let mut said = Vec::new();
    for report in reports {
        let aside = report.set_aside.iter().chain(&report.damaged);
        said.extend(aside.filter(|aside| aside.id == id).map(|aside| aside.why.clone()));
        said.extend(
            report.cleaned.halves.iter().filter(|half| **half == id).map(|_| "half a block".to_owned()),
        );
    }
    said
}

/// All samples of the healthy blocks.
fn model() -> &'static support::Readable {
    static ONCE: OnceLock<support::Readable> = OnceLock::new();
    ONCE.get_or_init(make_model)
}

fn make_model() -> support::Readable {
    let all = content(5, START, START + 96 * HOUR, STEP);
    let mut model = support::Readable::new();
    for made in healthy() {
        let external: Vec<(String, String)> = made.meta.thanos.clone().unwrap().labels.into_iter().collect();
        let external: Vec<(&str, &str)> = external.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        add(&mut model, &external, &all, (made.meta.min_time, made.meta.max_time));
    }
    model
}

/// How the other blocks end in a bucket without the block, and in one in which it is whole.
struct Ends {
    without: Vec<Portrait>,
    whole: Vec<Portrait>,
}

async fn ends(number: u64) -> Ends {
    let without = World::new(&healthy()).await;
    without.rounds().await;
    let mut blocks = healthy();
    blocks.push(victim(number));
    let whole = World::new(&blocks).await;
    whole.rounds().await;
    Ends { without: others(&without, number).await, whole: others(&whole, number).await }
}

async fn one(number: u64, name: &str, breaks: Breaks, ends: &Ends) {
    let id = block_id(number);
    let world = World::new(&healthy()).await;
    let mut broken = victim(number);
    let meta = breaks(&mut broken);
    world.store.set_clock(NOW - 10 * DAY);
    for (path, bytes) in &broken.files {
        world.bucket.put(&Layout::file(id, path), bytes.clone()).await.unwrap();
    }
    if let Some(meta) = meta {
        world.bucket.put(&Layout::meta(id), meta.into()).await.unwrap();
    }
    let reports = world.rounds().await;
    let (said, end) = (names(&reports, id), others(&world, number).await);
    if HARMLESS.contains(&(number, name)) {
        assert_eq!((said, &end), (Vec::new(), &ends.whole), "{name}, block {number}");
        return;
    }
    let failed: Vec<&str> =
        reports.iter().flat_map(|r| &r.failed).map(|failed| failed.why.as_str()).collect();
    assert!(!said.is_empty(), "{name}, block {number}: nothing was said but {failed:?}; {end:#?}");
    assert_eq!(end, ends.without, "{name}, block {number}: {said:?}");
    for id in healthy().iter().map(Made::id) {
        assert_eq!(
            names(&reports, id),
            Vec::<String>::new(),
            "{name}, block {number}: a healthy one is named"
        );
    }
    // And every sample of the healthy blocks can be read.
    let view = world.view().await;
    let sound = |meta: &BlockMeta| meta.id != id && view.mark(meta.id, MarkKind::Deletion).is_none();
    let found = readable(&world.bucket, &view, sound).await;
    assert!(found == *model(), "{name}, block {number}: samples of healthy blocks");
}

#[test]
fn there_are_thirty_kinds_of_damage_and_more() {
    let names: BTreeSet<&str> = DAMAGE.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), DAMAGE.len());
    assert!(names.len() >= 30, "{}", names.len());
}

#[tokio::test]
async fn a_block_that_should_be_merged_is_broken() {
    let ends = ends(SMALL).await;
    for (name, breaks) in DAMAGE {
        one(SMALL, name, *breaks, &ends).await;
    }
}

#[tokio::test]
async fn a_block_that_should_be_downsampled_is_broken() {
    let ends = ends(LONG).await;
    for (name, breaks) in DAMAGE {
        one(LONG, name, *breaks, &ends).await;
    }
}

/// Objects that are no part of any block's content: the blocks go their way as if these were not there.
#[tokio::test]
async fn what_is_no_block_changes_nothing() {
    let mut blocks = healthy();
    blocks.push(victim(SMALL));
    let plain = World::new(&blocks).await;
    plain.rounds().await;
    let wanted = live(&plain.view().await);
    let id = block_id(SMALL);
    let mark = |kind| Layout::mark(id, kind);
    let stray = |name: &str, text: &str| (name.to_owned(), Bytes::from(text.to_owned()));
    let other = Marker::deletion(block_id(97), 1, "").to_bytes();
    let rows: Vec<(&str, Vec<(String, Bytes)>)> = vec![
        ("a deletion mark that cannot be read", vec![(mark(MarkKind::Deletion), "{".into())]),
        ("an empty mark", vec![(mark(MarkKind::NoCompact), "".into())]),
        ("a mark of another version", vec![(mark(MarkKind::Deletion), r#"{"id":"x","version":2}"#.into())]),
        ("the mark of another block", vec![(mark(MarkKind::Deletion), other.into())]),
        ("a mark without a block", vec![(Layout::mark(block_id(96), MarkKind::NoCompact), "{}".into())]),
        ("objects at the top", vec![stray("readme.txt", "x"), stray("debug/metas/x.json", "{}")]),
        ("objects in the folder of a block", vec![stray(&Layout::file(id, "notes/old.txt"), "x")]),
        ("a folder that is nearly a block's", vec![stray(&format!("{id}x/meta.json"), "{}")]),
        ("deletions that cannot be read", vec![stray(Layout::DELETIONS, "{\"version\":")]),
        ("a lease of somebody who is gone", vec![stray("sarsen-compactor.lease/00000000000000000001", "{}")]),
    ];
    for (name, objects) in rows {
        let world = World::new(&blocks).await;
        for (object, bytes) in objects {
            world.bucket.put(&object, bytes).await.unwrap();
        }
        let reports = world.rounds().await;
        assert_eq!(live(&world.view().await), wanted, "{name}");
        assert!(reports.iter().all(|report| report.set_aside.is_empty()), "{name}");
    }
}

/// A block that lies in the bucket a second time under another name is one block too many, and no more than that.
#[tokio::test]
async fn a_block_twice_is_one_block() {
    let plain = World::new(&healthy()).await;
    plain.rounds().await;
    let mut blocks = healthy();
    let mut twin = blocks[0].clone();
    twin.meta.id = block_id(95);
    blocks.push(twin);
    let world = World::new(&blocks).await;
    let reports = world.rounds().await;
    assert_eq!(live(&world.view().await), live(&plain.view().await));
    assert!(reports.iter().all(|report| report.set_aside.is_empty() && report.failed.is_empty()));
    assert!(reports.iter().any(|report| report.cleaned.removed.contains(&block_id(95))));
}

/// A block of which one object is refused: nothing is wrong with the bytes, so no mark is put; the block waits, and is tried again.
#[tokio::test]
async fn a_block_without_rights_waits() {
    let mut blocks = healthy();
    blocks.push(victim(SMALL));
    let marked = World::new(&blocks).await;
    let (id, details, reason) = (block_id(SMALL), String::new(), Some(Reason::Manual));
    Marker { id, kind: MarkKind::NoCompact, details, time: 0, reason }.put(&marked.bucket).await.unwrap();
    marked.rounds().await;
    let plain = World::new(&blocks).await;
    plain.rounds().await;

    let world = World::new(&blocks).await;
    world.store.refuse(Some(&Layout::file(id, FIRST)));
    let reports = world.rounds().await;
    assert!(!names(&reports, id).is_empty(), "{reports:#?}");
    for aside in reports.iter().flat_map(|report| &report.set_aside) {
        assert!(matches!(aside.until, Until::Time(_)), "{aside:?}");
    }
    assert!(world.view().await.mark(id, MarkKind::NoCompact).is_none());
    let a: Vec<_> = others(&world, SMALL).await;
    let b: Vec<_> = others(&marked, SMALL).await;
    assert_eq!(a, b);

    world.store.refuse(None);
    let mut compactor =
        Compactor::new(world.bucket.clone(), world.scratch.path(), Options::default(), Arc::new(Unobserved))
            .unwrap();
    let report = compactor.round(NOW + 70 * HOUR).await.unwrap();
    assert!(report.set_aside.is_empty(), "{report:?}");
    assert_eq!(live(&world.view().await), live(&plain.view().await));
}

/// A merged block that is damaged is no reason to throw away what it was made of: it is merged once more.
#[tokio::test]
async fn a_damaged_copy_covers_nothing() {
    let world = World::new(&healthy()).await;
    let mut compactor =
        Compactor::new(world.bucket.clone(), world.scratch.path(), Options::default(), Arc::new(Unobserved))
            .unwrap();
    compactor.round(NOW).await.unwrap();
    let merged = {
        let view = world.view().await;
        view.blocks
            .values()
            .find(|meta| meta.compaction.sources.contains(&block_id(1)) && meta.compaction.level > 1)
            .unwrap()
            .id
    };
    // As if the process had been killed before the marks, and the block had been damaged since.
    for number in 1..5 {
        Marker::remove(&world.bucket, block_id(number), MarkKind::Deletion).await.unwrap();
    }
    let name = Layout::file(merged, FIRST);
    let mut bytes = world.bucket.get(&name).await.unwrap().to_vec();
    let at = bytes.len() - 9;
    flip(&mut bytes, at);
    world.bucket.put(&name, bytes.into()).await.unwrap();
    let reports = world.rounds().await;
    assert!(!names(&reports, merged).is_empty(), "{reports:#?}");
    let view = world.view().await;
    let sound = |meta: &BlockMeta| meta.id != merged && view.mark(meta.id, MarkKind::Deletion).is_none();
    assert!(readable(&world.bucket, &view, sound).await == *model());
}

/// The store is away for hours: rounds fail and say so, nothing is set aside, and then all goes on.
#[tokio::test]
async fn the_store_is_away() {
    let plain = World::new(&healthy()).await;
    plain.rounds().await;
    let world = World::new(&healthy()).await;
    let mut compactor =
        Compactor::new(world.bucket.clone(), world.scratch.path(), Options::default(), Arc::new(Unobserved))
            .unwrap();
    for calls in [0, 1, 2, 5, 20, 40, 80] {
        world.store.away_after(calls);
        let mut failed = 0;
        for hour in 0..3 {
            match compactor.round(NOW + hour * HOUR).await {
                Ok(report) => assert!(!world.store.is_away(), "after {calls} calls: {report:?}"),
                Err(error) => {
                    assert!(world.store.is_away(), "{error}");
                    assert_eq!(error.advice(), sarsen_compactor::Advice::Retry, "{error}");
                    failed += 1;
                }
            }
        }
        assert_eq!(failed == 0, !world.store.is_away(), "after {calls} calls");
        world.store.come_back();
        let view = world.view().await;
        let compactor_marks = view.marks.values().flatten().filter(|mark| mark.kind != MarkKind::Deletion);
        assert_eq!(compactor_marks.count(), 0, "a store that is away is nobody's damage");
    }
    world.rounds().await;
    assert_eq!(live(&world.view().await), live(&plain.view().await));
}
