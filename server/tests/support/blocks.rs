//! Buckets for the compactor: filled with blocks of known samples, and read back.
//!
//! A bucket is a directory here; what lies in another store is copied out of it first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sarsen_block::{BlockMeta, Labels, Sample, ThanosMeta};
use sarsen_bucket::{Bucket, ObjstoreConfig, Reloading, UploadOptions, Uploaded, upload};
use sarsen_tsdb::Backfill;

use super::{Stored, read_database};

/// The beginning of the usual samples: a fortnight begins here.
pub(crate) const START: i64 = 1_707_955_200_000;
pub(crate) const HOUR: i64 = 3_600_000;
const STEP: i64 = 60_000;

/// The text of an object store file for a directory.
pub(crate) fn directory(path: &Path) -> String {
    format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", path.display())
}

/// A bucket as an object store file describes it.
pub(crate) fn open(config: &str) -> Bucket {
    Reloading::open(ObjstoreConfig::parse(config, |_| None).unwrap()).unwrap().bucket().build()
}

/// Which blocks to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The value of the external label `tenant_id`; it is in the values too.
    pub(crate) tenant: &'a str,
    /// The first millisecond, at the beginning of a block.
    pub(crate) start: i64,
    /// How many blocks of two hours.
    pub(crate) blocks: i64,
    pub(crate) series: usize,
}

fn value(tenant: &str, series: usize, t: i64) -> f64 {
    let salt = tenant.bytes().map(f64::from).sum::<f64>();
    if t / STEP % 97 == 96 {
        f64::NAN
    } else {
        salt + series as f64 * 1e6 + ((t - START) / STEP) as f64 / 3.0
    }
}

fn labels(tenant: &str, series: usize) -> Labels {
    let number = series.to_string();
    let pairs = [("__name__", "known"), ("owner", tenant), ("series", number.as_str())];
    Labels::from_pairs(pairs).unwrap()
}

fn times(wanted: Wanted<'_>) -> impl Iterator<Item = i64> {
    (0..wanted.blocks * 2 * HOUR / STEP).map(move |step| wanted.start + step * STEP)
}

/// What such blocks hold.
pub(crate) fn samples_of(wanted: Wanted<'_>) -> Stored {
    let series = |n: usize| {
        let bytes =
            labels(wanted.tenant, n).iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let samples = times(wanted).map(|t| (t, value(wanted.tenant, n, t).to_bits())).collect();
        (bytes, samples)
    };
    (0..wanted.series).map(series).collect()
}

/// Makes the blocks and brings them into the bucket; their metas, oldest first.
pub(crate) async fn fill(bucket: &Bucket, wanted: Wanted<'_>, uploaded_ms: i64) -> Vec<BlockMeta> {
    let scratch = tempfile::tempdir().unwrap();
    let seed = wanted
        .tenant
        .bytes()
        .fold(wanted.start.unsigned_abs(), |seed, b| seed.wrapping_mul(31) + u64::from(b));
    let mut backfill = Backfill::new(scratch.path()).id_seed(seed);
    for n in 0..wanted.series {
        let samples = times(wanted).map(|t| Sample::float(t, value(wanted.tenant, n, t)));
        backfill.add(labels(wanted.tenant, n).as_ref(), samples).unwrap();
    }
    let mut metas = Vec::new();
    for made in backfill.finish(uploaded_ms).unwrap() {
        let mut meta = made.meta;
        // The whole range, as a block that is cut from a head has it.
        meta.min_time = meta.min_time.div_euclid(2 * HOUR) * 2 * HOUR;
        meta.max_time = meta.min_time + 2 * HOUR;
        let external = BTreeMap::from([("tenant_id".to_owned(), wanted.tenant.to_owned())]);
        meta.thanos =
            Some(ThanosMeta { labels: external, source: "receive".to_owned(), ..ThanosMeta::default() });
        let options = UploadOptions { now_ms: uploaded_ms, hashes: false };
        let Uploaded::Complete { meta, .. } = upload(bucket, &made.directory, &meta, options).await.unwrap()
        else {
            unreachable!("{} was there before", made.id);
        };
        metas.push(*meta);
    }
    metas
}

/// The blocks of a bucket that is a directory, without those marked for deletion.
pub(crate) fn blocks(bucket: &Path) -> Vec<(PathBuf, BlockMeta)> {
    let entries = std::fs::read_dir(bucket).unwrap().map(|entry| entry.unwrap().path());
    let there =
        entries.filter(|path| path.join("meta.json").exists() && !path.join("deletion-mark.json").exists());
    // A block may go while it is looked at.
    let read = |path: PathBuf| {
        let text = std::fs::read(path.join("meta.json")).ok()?;
        Some((path, BlockMeta::parse(&text).unwrap()))
    };
    let mut blocks: Vec<(PathBuf, BlockMeta)> = there.filter_map(read).collect();
    blocks.sort_by_key(|(_, meta)| (resolution(meta), meta.min_time, meta.id));
    blocks
}

/// Milliseconds between samples; 0 for raw data.
pub(crate) fn resolution(meta: &BlockMeta) -> i64 {
    meta.thanos.as_ref().unwrap().resolution
}

/// All samples of the raw blocks of a bucket that is a directory; of one tenant, because other blocks may hold the same series.
pub(crate) fn read_raw(bucket: &Path, tenant: &str) -> Stored {
    let scratch = tempfile::tempdir().unwrap();
    for (path, meta) in blocks(bucket) {
        if resolution(&meta) == 0 && meta.thanos.as_ref().unwrap().labels["tenant_id"] == tenant {
            copy(&path, &scratch.path().join(path.file_name().unwrap()));
        }
    }
    read_database(scratch.path())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Everything in a bucket as a directory of the same names.
pub(crate) async fn copy_out(bucket: &Bucket, to: &Path) {
    for object in bucket.list("").await.unwrap() {
        // What goes meanwhile is no part of the copy.
        let Some(bytes) = bucket.get_if_exists(&object.name).await.unwrap() else { continue };
        let path = to.join(&object.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
