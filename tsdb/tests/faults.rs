//! The disk fails, fills up or lies: nothing acknowledged is lost, the answer says what to do, and work resumes.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use sarsen_block::Timestamp;
use sarsen_tsdb::{Advice, Db, Error, OnDamage, Options, SyncPolicy, wait_all};
use sarsen_wal::{Disk, Fault, Operation, RealDisk, SimDisk, Survival};
use support::{Content, HOUR, START, builder, commit, read_all, series};

fn rows(count: usize, t: Timestamp) -> Vec<(sarsen_block::Labels, Timestamp, f64)> {
    (0..count).map(|i| (series(i), t, (t - START) as f64 + i as f64)).collect()
}

fn note(content: &mut Content, rows: &[(sarsen_block::Labels, Timestamp, f64)]) {
    for (set, t, v) in rows {
        content.entry(set.clone()).or_default().insert(*t, v.to_bits());
    }
}

fn sim() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new(3);
    (sim.clone(), Arc::new(sim))
}

#[test]
fn two_opens_of_one_directory_are_one_too_many() {
    let (_, disk) = sim();
    let db = builder(&disk, Options::default()).open().unwrap();
    let error = builder(&disk, Options::default()).open().unwrap_err();
    assert!(matches!(error, Error::InUse { .. }) && error.advice() == Advice::Retry);
    drop(db);
    builder(&disk, Options::default()).open().unwrap();
    // The same on a real disk.
    let directory = tempfile::tempdir().unwrap();
    let real: Arc<dyn Disk> = Arc::new(RealDisk);
    let open = || Db::builder(directory.path()).disk(Arc::clone(&real)).open();
    let db = open().unwrap();
    assert!(matches!(open(), Err(Error::InUse { .. })));
    drop(db);
    open().unwrap();
    assert!(directory.path().join("wal").is_dir(), "promtool wants it");
}

#[test]
fn a_full_disk_refuses_and_works_again_when_there_is_room() {
    let (sim, disk) = sim();
    let mut content = Content::new();
    let mut db = builder(&disk, Options::default()).open().unwrap();
    let first = rows(200, START);
    commit(&db, &first).unwrap();
    note(&mut content, &first);
    sim.set_capacity(Some(sim.used() + 10));
    let error = commit(&db, &rows(200, START + 1)).unwrap_err();
    assert!(error.is_full_disk() && error.advice() == Advice::Reopen, "{error}");
    let again = commit(&db, &rows(200, START + 2)).unwrap_err();
    assert!(again.is_full_disk() && again.advice() == Advice::Reopen, "{again}");
    assert!(matches!(db.check(), Err(Error::Log(_))));
    // The owner opens it again; the disk is still full.
    let place = db.synced_position();
    drop(db);
    db = builder(&disk, Options::default()).resume_at(place).open().unwrap();
    assert_eq!(read_all(&db), content);
    commit(&db, &rows(200, START + 3)).unwrap_err();
    let place = db.synced_position();
    drop(db);
    sim.set_capacity(None);
    db = builder(&disk, Options::default()).resume_at(place).open().unwrap();
    let later = rows(200, START + 4);
    commit(&db, &later).unwrap();
    note(&mut content, &later);
    assert_eq!(read_all(&db), content);
    drop(db);
    let survivor: Arc<dyn Disk> = Arc::new(sim.survivor(Survival::Nothing));
    assert_eq!(read_all(&builder(&survivor, Options::default()).open().unwrap()), content);
}

#[test]
fn a_failing_sync_is_told_to_all_who_wait() {
    let (sim, disk) = sim();
    let db = builder(&disk, Options::default()).open().unwrap();
    commit(&db, &rows(5, START)).unwrap();
    let (sets, mut waiting) = (rows(5, START + 1), Vec::new());
    for (set, t, v) in &sets {
        let mut batch = db.appender();
        batch.append(set.as_ref(), *t, *v);
        waiting.push(batch.commit().unwrap().pending);
    }
    sim.fail_after(Operation::Sync, 0, Fault::Error(ErrorKind::Other));
    assert!(
        wait_all(waiting).iter().all(|result| result.as_ref().is_err_and(|e| e.advice() == Advice::Reopen))
    );
    let place = db.synced_position();
    drop(db);
    let db = builder(&disk, Options::default()).resume_at(place).open().unwrap();
    commit(&db, &rows(5, START + 2)).unwrap();
    let survivor: Arc<dyn Disk> = Arc::new(sim.survivor(Survival::Nothing));
    let times: Vec<Vec<Timestamp>> = read_all(&builder(&survivor, Options::default()).open().unwrap())
        .into_values()
        .map(|samples| samples.into_keys().collect())
        .collect();
    assert_eq!(times, vec![vec![START, START + 2]; 5]);
}

#[test]
fn a_duplicate_is_not_acknowledged_before_its_original_is_on_disk() {
    let (sim, disk) = sim();
    let db = builder(&disk, Options::default()).open().unwrap();
    let set = series(0);
    let append = || {
        let mut batch = db.appender();
        batch.append(set.as_ref(), START, 1.0);
        batch.commit().unwrap()
    };
    let original = append();
    let again = append();
    assert_eq!((again.committed.accepted, again.committed.duplicates), (0, 1));
    again.pending.wait().unwrap();
    let survivor: Arc<dyn Disk> = Arc::new(sim.survivor(Survival::Nothing));
    assert_eq!(read_all(&builder(&survivor, Options::default()).open().unwrap()).len(), 1);
    assert!(original.pending.is_done());
}

#[test]
fn a_cut_that_fails_is_tried_again_and_refuses_nobody_meanwhile() {
    let (sim, disk) = sim();
    let mut content = Content::new();
    let db = builder(&disk, Options::default()).open().unwrap();
    for t in (START..START + 4 * HOUR).step_by(600_000) {
        let rows = rows(20, t);
        commit(&db, &rows).unwrap();
        note(&mut content, &rows);
    }
    for operation in [Operation::Create, Operation::Rename, Operation::CreateDir] {
        sim.fail_after(operation, 0, Fault::Error(ErrorKind::StorageFull));
        let error = db.maintain(START + 4 * HOUR).unwrap_err();
        assert!(error.advice() == Advice::Retry && error.is_full_disk(), "{operation:?}: {error}");
        sim.heal();
        assert_eq!(read_all(&db), content);
        assert_eq!(db.stats().min_valid_time, Timestamp::MIN);
    }
    assert_eq!(db.maintain(START + 4 * HOUR).unwrap().cuts.len(), 1);
    assert_eq!(read_all(&db), content);
    assert!(disk.read_dir(Path::new("/db")).unwrap().iter().all(|entry| !entry.name.contains("tmp")));
}

#[test]
fn damage_stops_or_is_cut_off_and_told() {
    let (sim, disk) = sim();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut lengths = Vec::new();
    let segment = Path::new("/db/log/00000001");
    for step in 0..10 {
        commit(&db, &rows(10, START + step)).unwrap();
        lengths.push(disk.stat(segment).unwrap().unwrap().len);
    }
    drop(db);
    // A byte in the middle of the sixth batch.
    let place = (lengths[4] + lengths[5]) / 2;
    sim.damage(segment, |bytes| bytes[place as usize] ^= 0x10).unwrap();
    let error = builder(&disk, Options::default()).open().unwrap_err();
    let Error::Damaged { segment: 1, offset, in_checkpoint: false, .. } = error else { panic!("{error}") };
    assert_eq!((offset, error.advice()), (lengths[4], Advice::Stop));
    let mut options = Options::default();
    options.on_damage = OnDamage::CutOff;
    let db = builder(&disk, options.clone()).open().unwrap();
    let [lost] = &db.open_report().lost[..] else { panic!("{:?}", db.open_report()) };
    assert_eq!((lost.segment, lost.offset, lost.samples), (1, lengths[4], 40));
    assert_eq!(lost.bytes, lengths[9] - lengths[4]);
    let content = read_all(&db);
    assert!(content.len() == 10 && content.values().all(|samples| samples.len() == 5));
    commit(&db, &rows(10, START + 100)).unwrap();
    drop(db);
    let db = builder(&disk, options).open().unwrap();
    assert!(db.open_report().lost.is_empty());
    assert!(read_all(&db).values().all(|samples| samples.len() == 6));
}

#[test]
fn a_closed_database_reads_and_refuses_the_rest() {
    let (_, disk) = sim();
    let db = builder(&disk, Options::default()).open().unwrap();
    commit(&db, &rows(3, START)).unwrap();
    db.close().unwrap();
    db.close().unwrap();
    assert!(matches!(commit(&db, &rows(3, START + 1)), Err(Error::Closed)));
    assert!(matches!(db.maintain(START), Err(Error::Closed)));
    assert_eq!(read_all(&db).len(), 3);
}

#[test]
fn a_relaxed_sync_policy_loses_what_was_not_synced_and_no_more() {
    let (sim, disk) = sim();
    let mut options = Options::default();
    options.sync = SyncPolicy::Interval;
    let db = builder(&disk, options).open().unwrap();
    commit(&db, &rows(3, START)).unwrap();
    db.sync().unwrap();
    commit(&db, &rows(3, START + 1)).unwrap();
    let after = |survival| {
        let survivor: Arc<dyn Disk> = Arc::new(sim.survivor(survival));
        let content = read_all(&builder(&survivor, Options::default()).open().unwrap());
        content.into_values().map(|samples| samples.len()).collect::<Vec<_>>()
    };
    assert_eq!(after(Survival::Nothing), [1, 1, 1]);
    assert_eq!(after(Survival::Everything), [2, 2, 2]);
}
