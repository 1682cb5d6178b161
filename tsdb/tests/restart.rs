//! A restart takes up the checkpoint and replays what is behind it; what it cannot find it tells.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::path::Path;
use std::sync::Arc;

use sarsen_block::Timestamp;
use sarsen_tsdb::{Advice, Db, Error, OnDamage, Options};
use sarsen_wal::{Disk, SimDisk, Survival};
use support::{Content, HOUR, START, builder, commit, read_all, series};

fn sim() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new(5);
    (sim.clone(), Arc::new(sim))
}

/// Settings under which a few samples spill.
fn options() -> Options {
    let mut options = Options::default();
    options.open_chunk_bytes = 16;
    options.spill_buffer_bytes = 400;
    options
}

/// Twenty series, a sample a minute from `from` on, in steps that cannot be coded in few bytes.
fn fill(db: &Db, from: Timestamp, minutes: i64, content: &mut Content) {
    for minute in 0..minutes {
        let t = from + minute * 60_000;
        let rows: Vec<_> =
            (0..20).map(|i| (series(i), t + i as i64, (t as f64).sin() * (i + 1) as f64)).collect();
        assert!(commit(db, &rows).unwrap().refused.is_empty());
        for (set, t, v) in rows {
            content.entry(set).or_default().insert(t, v.to_bits());
        }
    }
}

#[test]
fn a_long_log_becomes_a_checkpoint() {
    let (sim, disk) = sim();
    let mut settings = options();
    settings.checkpoint_log_bytes = 10_000;
    let mut content = Content::new();
    let db = builder(&disk, settings.clone()).open().unwrap();
    assert_eq!(db.maintain(START).unwrap().checkpoint_bytes, 0);
    fill(&db, START, 100, &mut content);
    let report = db.maintain(START + 2 * HOUR).unwrap();
    assert!(report.cuts.is_empty() && report.checkpoint_bytes > 0 && report.log_segments_dropped > 0);
    assert_eq!(db.maintain(START + 2 * HOUR).unwrap().checkpoint_bytes, 0, "nothing was logged since");
    let stats = db.stats();
    fill(&db, START + 2 * HOUR, 5, &mut content);
    drop(db);
    for survivor in [sim.survivor(Survival::Nothing), sim] {
        let disk: Arc<dyn Disk> = Arc::new(survivor);
        let db = builder(&disk, settings.clone()).open().unwrap();
        assert_eq!((db.open_report().samples, db.open_report().series), (100, 20));
        assert_eq!(read_all(&db), content);
        let again = db.stats();
        assert_eq!((again.labels, again.min_time), (stats.labels, stats.min_time));
        assert!(again.chunks >= stats.chunks && again.spill_files > 0);
        // Chunks go on where they were left, over one more checkpoint and a cut.
        let mut longer = content.clone();
        fill(&db, START + 2 * HOUR + 5 * 60_000, 120, &mut longer);
        assert!(db.maintain(START + 5 * HOUR).unwrap().checkpoint_bytes > 0);
        assert_eq!(read_all(&db), longer);
        drop(db);
        let db = builder(&disk, settings.clone()).open().unwrap();
        assert_eq!((read_all(&db), db.open_report().skipped), (longer, 0));
    }
}

#[test]
fn the_last_cut_is_remembered_when_its_block_is_gone() {
    let (_, disk) = sim();
    let mut content = Content::new();
    let db = builder(&disk, options()).open().unwrap();
    fill(&db, START, 30, &mut content);
    db.flush(START + HOUR).unwrap();
    let floor = db.stats().min_valid_time;
    assert!(floor > START);
    for block in db.blocks() {
        db.retire(block.id).unwrap();
    }
    drop(db);
    let db = builder(&disk, options()).open().unwrap();
    assert_eq!((db.stats().series, db.stats().min_valid_time), (0, floor));
    assert_eq!(commit(&db, &[(series(0), START + 60_000, 1.0)]).unwrap().refused.len(), 1);
    // A number of a series is never given twice: the log may tell of the first one that had it.
    assert_eq!(commit(&db, &[(series(0), floor, 1.0)]).unwrap().births, 1);
    assert_eq!(read_all(&db).values().map(std::collections::BTreeMap::len).sum::<usize>(), 1);
}

#[test]
fn a_missing_spill_file_stops_or_is_told() {
    let (_, disk) = sim();
    let mut settings = options();
    settings.checkpoint_log_bytes = 1;
    let mut content = Content::new();
    let db = builder(&disk, settings.clone()).open().unwrap();
    fill(&db, START, 60, &mut content);
    db.maintain(START).unwrap();
    fill(&db, START + HOUR, 5, &mut content);
    drop(db);
    let spill = Path::new("/db/spill");
    let names: Vec<String> = disk.read_dir(spill).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), 1);
    disk.remove_file(&spill.join(&names[0])).unwrap();
    let error = builder(&disk, settings.clone()).open().unwrap_err();
    assert!(matches!(error, Error::Damaged { in_checkpoint: true, .. }), "{error}");
    assert_eq!(error.advice(), Advice::Stop);
    settings.on_damage = OnDamage::CutOff;
    let db = builder(&disk, settings.clone()).open().unwrap();
    let [lost] = &db.open_report().lost[..] else { panic!("{:?}", db.open_report()) };
    assert!(lost.why.contains("spill file"), "{}", lost.why);
    let found = read_all(&db);
    assert_eq!(found.len(), 20);
    for (set, samples) in &found {
        assert!(samples.len() >= 5 && samples.iter().all(|(t, v)| content[set].get(t) == Some(v)));
    }
    // It goes on, and the next checkpoint names what there is.
    fill(&db, START + 2 * HOUR, 5, &mut Content::new());
    db.maintain(START).unwrap();
    drop(db);
    let db = builder(&disk, settings).open().unwrap();
    assert!(db.open_report().lost.is_empty());
}
