//! A head that is fed what Prometheus' head was fed gives the block that Prometheus wrote, byte for byte.
//!
//! The samples come out of the golden block itself; what is compared are index, chunk files, tombstones and, but for
//! the id, meta.json. Prometheus keeps in the symbol table also what only series outside the block have: such series
//! are given a sample behind the block.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{
    Block, BlockMeta, Decode, Labels, Sample, SampleSet, Source, TimeRange, Timestamp, Tombstones, Value,
};
use sarsen_tsdb::{Committed, Db, Options, SyncPolicy};

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/blocks").join(name);
    let block = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.join("index").exists());
    block.unwrap()
}

fn chunk_files(block: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(block.join("chunks")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

fn open(directory: &Path) -> Block {
    let bytes = |path: &Path| -> Arc<dyn Source> { Arc::new(Bytes::from(fs::read(path).unwrap())) };
    let segments = chunk_files(directory).iter().map(|path| bytes(path)).collect();
    let meta = BlockMeta::parse(&fs::read(directory.join("meta.json")).unwrap()).unwrap();
    Block::open(bytes(&directory.join("index")), segments, meta, Tombstones::default()).unwrap()
}

type Rows = BTreeMap<Timestamp, Vec<(Labels, Value)>>;

/// All samples of a block by time, and symbols that none of its series has.
fn content(block: &Block) -> (Rows, Vec<Vec<u8>>) {
    let mut set = Decode::new(block.select(&[], TimeRange::ALL).unwrap(), TimeRange::ALL);
    let (mut rows, mut used) = (Rows::new(), BTreeSet::new());
    while let Some(series) = set.next().unwrap() {
        for (name, value) in series.labels.iter() {
            used.extend([name.to_vec(), value.to_vec()]);
        }
        for sample in series.samples {
            rows.entry(sample.t).or_default().push((series.labels.clone(), sample.value));
        }
    }
    let symbols = block.index().symbols().map(|symbol| symbol.unwrap().to_vec());
    (rows, symbols.filter(|symbol| !symbol.is_empty() && !used.contains(symbol)).collect())
}

fn commit(db: &Db, t: Timestamp, rows: &[(Labels, Value)]) -> Committed {
    let mut batch = db.appender();
    for (labels, value) in rows {
        batch.append_sample(labels.as_ref(), Sample { t, start: 0, value: value.clone() });
    }
    let commit = batch.commit().unwrap();
    commit.pending.wait().unwrap();
    commit.committed
}

/// The last sample of each series that went on behind the block.
fn that_went_on(rows: &Rows, went_on: impl Fn(&Labels) -> bool) -> Vec<(Labels, Value)> {
    let last: BTreeMap<&Labels, &Value> =
        rows.values().flatten().map(|(labels, value)| (labels, value)).collect();
    last.into_iter().filter(|(labels, _)| went_on(labels)).map(|(l, v)| (l.clone(), v.clone())).collect()
}

/// Feeds a head with what a golden block holds, and compares the block that it cuts. `went_on` are the series that had
/// samples behind the block.
fn compare(name: &str, segment_size: u64, went_on: impl Fn(&Labels) -> bool) {
    let expected = golden(name);
    let block = open(&expected);
    let (rows, unused) = content(&block);
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.idle_grace = 0;
    options.chunk_segment_size = segment_size;
    options.sync = SyncPolicy::Os;
    let db = Db::builder(directory.path()).options(options).open().unwrap();
    for (t, rows) in &rows {
        let outcome = commit(&db, *t, rows);
        assert_eq!(outcome.accepted, rows.len() as u64, "at {t}: {outcome:?}");
    }
    let meta = block.meta();
    let a_name = block.label_names().unwrap().remove(0);
    let outside: Vec<_> = unused
        .iter()
        .map(|symbol| (Labels::from_pairs([(&a_name, symbol)]).unwrap(), Value::Float(1.0)))
        .chain(that_went_on(&rows, went_on))
        .collect();
    commit(&db, meta.max_time, &outside);
    let report = db.maintain(meta.max_time + 2 * support::HOUR).unwrap();
    assert_eq!(report.cuts.len(), 1, "{report:?}");
    let made = db.blocks().remove(0);
    assert_eq!(made.meta.to_bytes(), fs::read(made.directory.join("meta.json")).unwrap());
    let text = |path: &Path, id: String| {
        String::from_utf8(fs::read(path.join("meta.json")).unwrap()).unwrap().replace(&id, "<id>")
    };
    // One of the blocks was made from a stated range, not from that of the head: its meta file begins before its samples.
    if rows.keys().next() == Some(&meta.min_time) {
        assert_eq!(text(&made.directory, made.id.to_string()), text(&expected, meta.id.to_string()));
    }
    let files = |block: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = chunk_files(block).into_iter().chain([block.join("index"), block.join("tombstones")]);
        paths.map(|path| (path.strip_prefix(block).unwrap().to_owned(), fs::read(&path).unwrap())).collect()
    };
    let (made, expected) = (files(&made.directory), files(&expected));
    assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (path, bytes) in &made {
        assert!(expected[path] == *bytes, "{name}: {} differs", path.display());
    }
}

#[test]
fn floats() {
    compare("a-floats", 512 << 20, |_| false);
}

#[test]
fn several_chunk_files() {
    compare("e-segments", 4096, |_| false);
}

#[test]
fn many_values() {
    compare("f-cardinality", 512 << 20, |_| false);
}

/// The float histograms of this block went on behind it, so their last chunks were finished when it was cut.
#[test]
fn histograms() {
    compare("b-histograms", 512 << 20, |labels| labels.get(b"kind") == Some(b"float"));
}
