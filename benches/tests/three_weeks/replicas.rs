//! Two replicas of which the better one is taken, sample by sample, as Thanos' penalty does: in a directory, and in MinIO.
//!
//! Which of two replicas is taken when is a matter of golden data. Here stands what holds whoever is taken: nothing is made up, the
//! copies of samples do not add up, and there is no hole that either replica could have filled. What is downsampled is what was left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_benches::{Fleet, Minio, Shipper};
use sarsen_block::{Block, BlockMeta, Decode, Labels, Sample, SampleSet as _, TimeRange, Timestamp, Value};
use sarsen_bucket::{Bucket, ObjstoreConfig, Reloading, UploadOptions, upload};
use sarsen_compactor::{Compactor, Options, Unobserved};

use crate::check::{resolution, same_aggregates};
use crate::model::plain;
use crate::{DAY, HOUR, SEEN_AFTER, START};

const INTERVAL: Timestamp = 60_000;
const DAYS: Timestamp = 3;

/// Starts it with an empty bucket.
fn minio(folder: &Path) -> Option<Minio> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/bin/minio");
    if !program.is_file() {
        let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "no minio: benches/peers/build.sh builds it");
        // Written to the stream itself, because the test runner would keep what `eprintln!` says.
        let mut screen = std::io::stderr();
        writeln!(screen, "SKIPPED: no minio, benches/peers/build.sh builds it").unwrap();
        return None;
    }
    Some(Minio::start(&program, folder).unwrap())
}

/// Everything in the bucket that was not there before, as files; what is gone goes.
async fn mirror(bucket: &Bucket, to: &Path) {
    let objects = bucket.list("").await.unwrap();
    let names: BTreeSet<PathBuf> = objects.iter().map(|object| to.join(&object.name)).collect();
    for object in &objects {
        let path = to.join(&object.name);
        if !path.exists() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bucket.get(&object.name).await.unwrap()).unwrap();
        }
    }
    for folder in std::fs::read_dir(to).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if folder.is_dir() && !names.iter().any(|name| name.starts_with(&folder)) {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// The live blocks of a mirrored bucket.
fn live(mirror: &Path) -> Vec<(BlockMeta, Block)> {
    let folders = std::fs::read_dir(mirror).unwrap().map(|entry| entry.unwrap().path());
    let whole = folders
        .filter(|folder| folder.join("meta.json").is_file() && !folder.join("deletion-mark.json").exists());
    let opened = whole.map(|folder| {
        let meta = BlockMeta::parse(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
        (meta, sarsen_tsdb::open_block(folder).unwrap())
    });
    opened.collect()
}

fn samples_of(block: &Block) -> BTreeMap<Labels, Vec<Sample>> {
    let mut found = Decode::new(block.select(&[], TimeRange::ALL).unwrap(), TimeRange::ALL);
    let mut all = BTreeMap::new();
    while let Some(series) = found.next().unwrap() {
        all.insert(series.labels, series.samples.into_iter().map(plain).collect());
    }
    all
}

/// A merged block against the replicas that it was made of.
fn believable(meta: &BlockMeta, found: &BTreeMap<Labels, Vec<Sample>>, replicas: &[Shipper; 2]) {
    let range = meta.min_time..meta.max_time;
    let [one, other]: [BTreeMap<Labels, Vec<Sample>>; 2] =
        [0, 1].map(|number| replicas[number].series(range.clone()).collect());
    let names: BTreeSet<&Labels> = one.keys().chain(other.keys()).collect();
    assert!(found.keys().eq(names), "{}: other series", meta.id);
    for (labels, samples) in found {
        let place = format!("{}: {labels:?}", meta.id);
        let none = Vec::new();
        let (one, other) = (one.get(labels).unwrap_or(&none), other.get(labels).unwrap_or(&none));
        let written: Vec<&Sample> = one.iter().chain(other).collect();
        assert!(samples.iter().all(|sample| written.contains(&sample)), "{place}: made up");
        assert!(samples.is_sorted_by(|a, b| a.t < b.t), "{place}: out of order");
        // One of the replicas is away for some of the time; never do both count.
        let most = one.len().max(other.len()) + one.len().min(other.len()) / 10 + 60;
        assert!(
            samples.len() <= most,
            "{place}: {} samples of {} and {}",
            samples.len(),
            one.len(),
            other.len()
        );
        let near = |t: Timestamp| samples.partition_point(|sample| sample.t < t - 3 * INTERVAL);
        for sample in &written {
            let next = samples.get(near(sample.t));
            assert!(
                next.is_some_and(|next| next.t <= sample.t + 3 * INTERVAL),
                "{place}: a hole at {}",
                sample.t
            );
        }
    }
}

fn replicas() -> [Shipper; 2] {
    let fleet = Fleet { interval: INTERVAL, gaps_per_mille: 10, ..Fleet::steady(50, START) };
    let replica = |name: &str, late: Timestamp, away: Vec<Range<Timestamp>>| {
        // Each asks the targets at times of its own.
        let fleet = Fleet { start: START + late, ..fleet.clone() };
        let labels = [("tenant_id", "penalised"), ("replica", name)];
        Shipper { histograms: true, away, ..Shipper::new(fleet, &labels, late.unsigned_abs()) }
    };
    let lost = |from: Timestamp, hours: Timestamp| START + from * HOUR..START + (from + hours) * HOUR;
    [replica("0", 1_000, vec![lost(5, 1), lost(30, 3)]), replica("1", 21_000, vec![lost(9, 6), lost(50, 1)])]
}

/// Three days of both replicas in a bucket, compacted after every half day.
async fn three_days(config: &str, folder: &Path) {
    let store = Reloading::open(ObjstoreConfig::parse(config, |_| None).unwrap()).unwrap();
    let bucket = store.bucket().build();
    let options = Options { replica_labels: vec!["replica".to_owned()], penalty: true, ..Options::default() };
    let mut compactor =
        Compactor::new(store.bucket().build(), folder.join("scratch"), options, Arc::new(Unobserved))
            .unwrap();
    let (made, copy, replicas) = (folder.join("made"), folder.join("mirror"), replicas());
    let mut seen = BTreeSet::new();
    let mut merged = 0;
    for start in (0..DAYS * 2).map(|half| START + half * DAY / 2) {
        let now = start + DAY / 2 + SEEN_AFTER;
        for shipper in &replicas {
            for meta in shipper.ship_all(&made, start..start + DAY / 2, 2 * HOUR).unwrap() {
                let options = UploadOptions { now_ms: meta.max_time, hashes: true };
                upload(&bucket, &made.join(meta.id.to_string()), &meta, options).await.unwrap();
            }
        }
        let report = compactor.round(now).await.unwrap();
        assert!(report.set_aside.is_empty() && report.failed.is_empty(), "{report:?}");
        mirror(&bucket, &copy).await;
        for (meta, block) in live(&copy) {
            let fresh = seen.insert(meta.id);
            if fresh && resolution(&meta) == 0 && meta.compaction.level > 1 {
                believable(&meta, &samples_of(&block), &replicas);
                merged += 1;
            }
        }
    }
    assert!(merged > 6, "{merged} merged blocks");
    downsampled_as_merged(&live(&copy));
}

/// What is downsampled is what was left of both replicas, and not both.
fn downsampled_as_merged(left: &[(BlockMeta, Block)]) {
    let coarse: Vec<_> = left.iter().filter(|(meta, _)| resolution(meta) == 300_000).collect();
    assert!(!coarse.is_empty());
    for (meta, block) in coarse {
        let (_, raw) = left
            .iter()
            .find(|(raw, _)| resolution(raw) == 0 && raw.compaction.sources == meta.compaction.sources)
            .unwrap();
        let raw = samples_of(raw);
        assert!(raw.values().flatten().any(|sample| matches!(sample.value, Value::Histogram(_))));
        same_aggregates(block, &raw, 300_000);
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

#[test]
fn the_better_replica_is_taken_in_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("bucket");
    let config = format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", place.display());
    run(three_days(&config, folder.path()));
}

#[test]
fn the_better_replica_is_taken_in_minio() {
    let folder = tempfile::tempdir().unwrap();
    let Some(minio) = minio(folder.path()) else { return };
    run(three_days(&minio.config, folder.path()));
}
