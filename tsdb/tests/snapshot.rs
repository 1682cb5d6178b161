//! A snapshot is a database of its own: whole or not there, and nothing in it changes when the first one goes on.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::path::Path;
use std::sync::Arc;

use sarsen_block::TimeRange;
use sarsen_tsdb::{Db, Error, Options};
use sarsen_wal::{Disk, Fault, SimDisk, Survival};
use support::{Content, HOUR, START, builder, commit, read_all, series};

fn fill(db: &Db) {
    for t in (START..START + 3 * HOUR + 600_000).step_by(5 * 60_000) {
        let rows: Vec<_> = (0..20).map(|i| (series(i), t, t as f64 + i as f64)).collect();
        commit(db, &rows).unwrap();
    }
    db.maintain(START + 3 * HOUR).unwrap();
    db.delete(&[], TimeRange::new(START + HOUR, START + HOUR + 600_000)).unwrap();
    db.delete(&[], TimeRange::new(START + 3 * HOUR, START + 3 * HOUR + 60_000)).unwrap();
}

fn content_at(disk: &Arc<dyn Disk>, directory: &str) -> Content {
    let db = Db::builder(directory).disk(Arc::clone(disk)).open().unwrap();
    assert!(db.open_report().set_aside.is_empty());
    read_all(&db)
}

#[test]
fn a_snapshot_is_a_database() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let db = builder(&disk, Options::default()).open().unwrap();
    fill(&db);
    let content = read_all(&db);
    let report = db.snapshot("/copies/one", START).unwrap();
    assert_eq!((report.blocks.len(), report.head.len()), (1, 1));
    assert!(disk.stat(Path::new("/copies/one/wal")).unwrap().unwrap().is_dir, "promtool asks for it");
    assert!(matches!(db.snapshot("/copies/one", START), Err(Error::Invalid { .. })), "not empty");
    assert!(matches!(db.snapshot("/db", START), Err(Error::Invalid { .. })), "the database itself");
    // The first one goes on: takes samples, deletes, forgets a block.
    commit(&db, &[(series(3), START + 4 * HOUR, 1.0)]).unwrap();
    db.delete(&[], TimeRange::new(START, START + 600_000)).unwrap();
    assert!(db.retire(db.blocks()[0].id).unwrap());
    drop(db);
    assert_eq!(content_at(&disk, "/copies/one"), content);
    // And the copy takes samples where the head ended.
    let copy = Db::builder("/copies/one").disk(Arc::clone(&disk)).open().unwrap();
    assert_eq!(commit(&copy, &[(series(3), START + 4 * HOUR, 1.0)]).unwrap().accepted, 1);
}

#[test]
fn late_samples_are_in_it() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let mut options = Options::default();
    options.out_of_order_window = 10 * HOUR;
    let db = builder(&disk, options).open().unwrap();
    fill(&db);
    for t in [START + 2 * HOUR + 7, START - 3 * HOUR, START + HOUR + 7] {
        assert_eq!(commit(&db, &[(series(1), t, 5.0), (series(40), t, 6.0)]).unwrap().accepted, 2);
    }
    db.delete(&[], TimeRange::new(START - 3 * HOUR, START - 3 * HOUR)).unwrap();
    let content = read_all(&db);
    assert_eq!(content[&series(40)].len(), 2);
    let report = db.snapshot("/copy", START).unwrap();
    assert_eq!((report.blocks.len(), report.head.len()), (1, 2));
    assert_eq!(content_at(&disk, "/copy"), content);
}

#[test]
fn an_empty_database_gives_an_empty_snapshot() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let db = builder(&disk, Options::default()).open().unwrap();
    disk.create_dir_all(Path::new("/copy")).unwrap();
    assert_eq!(db.snapshot("/copy", START).unwrap(), sarsen_tsdb::SnapshotReport::default());
    assert_eq!(content_at(&disk, "/copy"), Content::new());
}

#[test]
fn a_power_cut_leaves_all_of_a_snapshot_or_none() {
    let mut call = 0;
    let (mut whole, mut none) = (0, 0);
    loop {
        let sim = SimDisk::new(call);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        disk.create_dir_all(Path::new("/copies")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let db = builder(&disk, Options::default()).open().unwrap();
        fill(&db);
        let content = read_all(&db);
        sim.fail_call(sim.calls() + call, Fault::PowerCut);
        let result = db.snapshot("/copies/one", START);
        drop(db);
        let survivals = [Survival::Nothing, Survival::Everything, Survival::Some(call)];
        let survivor: Arc<dyn Disk> = Arc::new(sim.survivor(survivals[call as usize % 3]));
        // A name that nobody acknowledged may be there or not; if it is, all of it is.
        let is_there = survivor.stat(Path::new("/copies/one")).unwrap().is_some();
        assert!(is_there || result.is_err(), "acknowledged and lost at call {call}");
        if is_there {
            whole += 1;
            assert_eq!(content_at(&survivor, "/copies/one"), content, "call {call}");
        } else {
            none += 1;
        }
        let db = builder(&survivor, Options::default()).open().unwrap();
        assert_eq!(read_all(&db), content, "the database itself, call {call}");
        db.snapshot(if is_there { "/copies/two" } else { "/copies/one" }, START).unwrap();
        let left: Vec<_> = survivor.read_dir(Path::new("/copies")).unwrap();
        assert!(left.iter().all(|entry| !entry.name.ends_with("creation")), "{left:?}");
        if result.is_ok() {
            break;
        }
        call += 1;
    }
    assert!(whole > 0 && none > 20, "{whole} {none}");
}
