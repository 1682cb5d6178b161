//! A block is written anew: what was deleted is gone from its bytes, nothing else is, and of the two there is always one.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::{BlockMeta, Matcher, Sample, TimeRange, Timestamp};
use sarsen_tsdb::{Backfill, Db, Error, Options, Rewrite, Rewritten, open_block, open_blocks};
use sarsen_wal::{Disk, Fault, SimDisk, Survival};
use support::{Content, HOUR, START, builder, commit, labels, read_all, series};

fn files(block: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let chunks = fs::read_dir(block.join("chunks")).unwrap().map(|entry| entry.unwrap().path());
    let paths = chunks.chain([block.join("index"), block.join("tombstones")]);
    paths.map(|path| (path.strip_prefix(block).unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

fn only_block(folder: &Path) -> PathBuf {
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

/// Every folder of golden blocks that has a block with tombstones and what Prometheus' cleaning made of it.
#[test]
fn cleaning_gives_the_block_that_prometheus_writes() {
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/blocks");
    let mut found = 0;
    for folder in fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.join("cleaned").exists() {
            continue;
        }
        found += 1;
        let (marked, cleaned) = (only_block(&folder.join("marked")), only_block(&folder.join("cleaned")));
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join(marked.file_name().unwrap());
        fs::create_dir_all(copy.join("chunks")).unwrap();
        for (path, bytes) in files(&marked) {
            fs::write(copy.join(path), bytes).unwrap();
        }
        fs::copy(marked.join("meta.json"), copy.join("meta.json")).unwrap();

        let db = Db::builder(directory.path()).open().unwrap();
        let done = db.clean_tombstones(START).unwrap();
        let [(old, Rewritten::Replaced(new))] = &done[..] else { panic!("{done:?}") };
        assert_eq!(old.to_string(), marked.file_name().unwrap().to_str().unwrap());
        assert!(!copy.exists() && db.blocks().len() == 1);
        assert_eq!(files(&new.directory), files(&cleaned), "{}", folder.display());
        let text = |path: &Path| {
            let bytes = fs::read(path.join("meta.json")).unwrap();
            let id = BlockMeta::parse(&bytes).unwrap().id.to_string();
            String::from_utf8(bytes).unwrap().replace(&id, "<id>")
        };
        assert_eq!(text(&new.directory), text(&cleaned));
        assert!(db.clean_tombstones(START).unwrap().is_empty(), "nothing is left to clean");
        assert_eq!(
            open_blocks(directory.path()).unwrap()[0].meta(),
            open_block(&new.directory).unwrap().meta()
        );
    }
    assert!(found > 0);
}

fn fill(db: &Db) -> Content {
    for t in (START..START + 4 * HOUR).step_by(5 * 60_000) {
        let rows: Vec<_> = (0..20).map(|i| (series(i), t, t as f64 + i as f64)).collect();
        commit(db, &rows).unwrap();
    }
    db.flush(START + 4 * HOUR).unwrap();
    db.delete(&[], TimeRange::new(START + HOUR, START + HOUR + 600_000)).unwrap();
    db.delete(&[Matcher::equal("i", "3")], TimeRange::new(START, START + 2 * HOUR - 1)).unwrap();
    db.delete(&[], TimeRange::new(START + 2 * HOUR, START + 4 * HOUR)).unwrap();
    read_all(db)
}

#[test]
fn what_is_deleted_is_gone_from_the_bytes() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let db = builder(&disk, Options::default()).open().unwrap();
    let content = fill(&db);
    let [first, second] = &db.blocks()[..] else { panic!("two blocks") };
    let before = db.querier(TimeRange::ALL);
    assert!(matches!(db.rewrite(second.id, Rewrite::Clean, START).unwrap(), Rewritten::Removed));
    assert!(matches!(db.rewrite(second.id, Rewrite::Clean, START).unwrap(), Rewritten::Missing));
    let Rewritten::Replaced(new) = db.rewrite(first.id, Rewrite::Clean, START).unwrap() else {
        panic!("not replaced")
    };
    assert!(matches!(db.rewrite(new.id, Rewrite::CleanAndPlain, START).unwrap(), Rewritten::Untouched));
    assert_eq!((new.meta.stats.num_tombstones, new.meta.stats.num_series), (0, 19));
    assert_eq!(new.meta.stats.num_samples as usize, content.values().map(BTreeMap::len).sum::<usize>());
    assert_eq!(read_all(&db), content);
    let mut old = sarsen_block::Decode::new(before.select(&[]).unwrap(), TimeRange::ALL);
    assert!(sarsen_block::SampleSet::next(&mut old).unwrap().is_some(), "whoever reads the old one reads on");
    drop((before, old, db));
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(read_all(&db), content);
    assert_eq!(db.open_report().removed, Vec::<PathBuf>::new());
}

#[test]
fn a_power_cut_leaves_the_old_block_or_the_new_one() {
    let mut call = 0;
    let mut both = 0;
    loop {
        let sim = SimDisk::new(call);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let db = builder(&disk, Options::default()).open().unwrap();
        let content = fill(&db);
        sim.fail_call(sim.calls() + call, Fault::PowerCut);
        let result = db.clean_tombstones(START);
        drop(db);
        let survivals = [Survival::Nothing, Survival::Everything, Survival::Some(call)];
        let survivor: Arc<dyn Disk> = Arc::new(sim.survivor(survivals[call as usize % 3]));
        let db = builder(&survivor, Options::default()).open().unwrap();
        assert_eq!(read_all(&db), content, "call {call}");
        both += usize::from(db.open_report().removed.iter().any(|path| path.extension().is_none()));
        db.clean_tombstones(START).unwrap();
        assert!(db.blocks().iter().all(|info| info.meta.stats.num_tombstones == 0) && db.blocks().len() == 1);
        assert_eq!(read_all(&db), content, "call {call}");
        drop(db);
        let db = builder(&survivor, Options::default()).open().unwrap();
        assert_eq!(read_all(&db), content, "call {call}");
        if result.is_ok() {
            break;
        }
        call += 1;
    }
    assert!(both > 0 && call > 20, "{both} of {call}");
}

#[test]
fn start_timestamps_are_kept_if_wanted_and_gone_from_plain_blocks() {
    for xor2 in [false, true] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let mut options = Options::default();
        options.xor2 = xor2;
        let mut backfill = Backfill::new("/db").disk(Arc::clone(&disk)).options(options.clone());
        let told: Vec<Sample> = (0..300)
            .map(|i| Sample { start: START - 5, ..Sample::float(START + i * 15_000, i as f64) })
            .collect();
        backfill.add(series(1).as_ref(), told.clone()).unwrap();
        backfill.finish(START).unwrap();
        let db = builder(&disk, options).open().unwrap();
        let read = |db: &Db| {
            let mut found =
                sarsen_block::Decode::new(db.querier(TimeRange::ALL).select(&[]).unwrap(), TimeRange::ALL);
            sarsen_block::SampleSet::next(&mut found).unwrap().unwrap().samples
        };
        let plain: Vec<Sample> = told.iter().map(|sample| Sample { start: 0, ..sample.clone() }).collect();
        assert_eq!(read(&db), if xor2 { told } else { plain.clone() });
        let id = db.blocks()[0].id;
        assert!(matches!(db.rewrite(id, Rewrite::Clean, START).unwrap(), Rewritten::Untouched));
        match (xor2, db.rewrite(id, Rewrite::CleanAndPlain, START).unwrap()) {
            (false, Rewritten::Untouched) => {}
            (true, Rewritten::Replaced(new)) => {
                let again = db.rewrite(new.id, Rewrite::CleanAndPlain, START).unwrap();
                assert!(matches!(again, Rewritten::Untouched), "once is enough");
            }
            (_, other) => panic!("{other:?}"),
        }
        assert_eq!(read(&db), plain);
    }
}

fn samples(from: Timestamp, to: Timestamp, step: usize) -> impl Iterator<Item = Sample> {
    (from..to).step_by(step).map(|t| Sample::float(t, t as f64 / 7.0))
}

#[test]
fn backfilled_blocks_are_blocks() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let begin = || Backfill::new("/db").disk(Arc::clone(&disk)).id_seed(3);
    let mut backfill = begin();
    let mut expected = Content::new();
    // Not in the order of labels, one of them in two parts, one of them before the epoch.
    for (set, from, to) in [
        (series(2), START + 1, START + 5 * HOUR),
        (series(1), START - 7 * HOUR, START),
        (series(2), START + 5 * HOUR, START + 6 * HOUR),
        (series(3), -3 * HOUR, HOUR),
    ] {
        backfill.add(set.as_ref(), samples(from, to, 17_000)).unwrap();
        let pairs = samples(from, to, 17_000).map(|sample| (sample.t, (sample.t as f64 / 7.0).to_bits()));
        expected.entry(set).or_default().extend(pairs);
    }
    assert!(matches!(
        backfill.add(series(2).as_ref(), samples(START, START + 1, 1)),
        Err(Error::Invalid { .. })
    ));
    let twice = [Sample::float(1, 1.0), Sample::float(1, 2.0)];
    assert!(matches!(backfill.add(labels(&[("a", "b")]).as_ref(), twice), Err(Error::Invalid { .. })));
    let blocks = backfill.finish(START).unwrap();
    assert_eq!(blocks.len(), 3 + 4 + 3);
    assert!(blocks.iter().all(|info| info.meta.compaction.hints.is_empty()));
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(read_all(&db), expected);

    // Beside a database, and in ranges that its head still has: nothing of the head is lost.
    let t = START + 7 * HOUR;
    commit(&db, &[(series(1), t, 1.0)]).unwrap();
    expected.entry(series(1)).or_default().insert(t, 1f64.to_bits());
    let mut backfill = begin();
    backfill.add(series(9).as_ref(), samples(t - HOUR, t + 20 * HOUR, 60_000)).unwrap();
    let pairs = samples(t - HOUR, t + 20 * HOUR, 60_000).map(|s| (s.t, (s.t as f64 / 7.0).to_bits()));
    expected.insert(series(9), pairs.collect());
    backfill.finish(START).unwrap();
    db.refresh().unwrap();
    assert_eq!(read_all(&db), expected);
    drop(db);
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(read_all(&db), expected);
    assert_eq!(commit(&db, &[(series(1), t + 1, 1.0)]).unwrap().accepted, 1);
}
