//! Samples that come late: what is taken, what a query sees of it, and the blocks that it becomes.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use sarsen_block::{BlockId, Labels, Timestamp};
use sarsen_tsdb::{Committed, Db, Options, Reason};
use sarsen_wal::{Disk, SimDisk};
use support::{START, builder, commit, labels, read_all, series};

const MINUTE: Timestamp = 60_000;

fn options(window: Timestamp) -> Options {
    let mut options = Options::default();
    options.out_of_order_window = window;
    options
}

fn send(db: &Db, set: &Labels, samples: &[(Timestamp, f64)]) -> Committed {
    let rows: Vec<_> = samples.iter().map(|&(t, v)| (set.clone(), t, v)).collect();
    commit(db, &rows).unwrap()
}

fn content(db: &Db, set: &Labels) -> Vec<(Timestamp, f64)> {
    let content = read_all(db);
    let samples = content.get(set).into_iter().flatten();
    samples.map(|(&t, &bits)| (t, f64::from_bits(bits))).collect()
}

fn reasons(committed: &Committed) -> Vec<(u32, Reason)> {
    committed.refused.iter().map(|refusal| (refusal.sample, refusal.reason)).collect()
}

/// The story of the golden sequence `out-of-order`.
#[test]
fn a_window_takes_what_comes_late_and_no_more() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let db = builder(&disk, options(10 * MINUTE)).open().unwrap();
    let (set, new, old) = (series(0), labels(&[("a", "new")]), labels(&[("a", "old")]));
    let now = START + 60 * MINUTE;
    assert_eq!(send(&db, &set, &[(now, 1.0)]).accepted, 1);
    let sent = send(&db, &set, &[(now - 10, 2.0), (now - 30, 3.0), (now - 20, 4.0)]);
    assert_eq!((sent.accepted, sent.late), (3, 3));
    // The first value of a late time stays, and nobody is told.
    let again = send(&db, &set, &[(now - 30, 3.0), (now - 30, -1.0)]);
    assert_eq!((again.accepted, again.duplicates, again.refused.len()), (0, 2, 0));
    assert_eq!(send(&db, &set, &[(now - 10 * MINUTE, 5.0)]).late, 1);
    let too_old = send(&db, &set, &[(now - 10 * MINUTE - 1, 5.0)]);
    assert_eq!(reasons(&too_old), [(0, Reason::TooOld)]);
    // A new series is in order as far as the head's bounds reach, which is further than the window.
    assert_eq!(send(&db, &new, &[(now - 60 * MINUTE, 6.0)]).late, 0);
    assert_eq!(reasons(&send(&db, &old, &[(now - 60 * MINUTE - 1, 6.0)])), [(0, Reason::TooOld)]);
    // Behind itself in one batch is late as well.
    let mixed = send(&db, &set, &[(now + 10, 7.0), (now + 5, 8.0), (START, 9.0)]);
    assert_eq!((mixed.accepted, mixed.late, mixed.overtaken), (2, 1, 0));
    assert_eq!(reasons(&mixed), [(2, Reason::TooOld)]);
    let other = send(&db, &set, &[(now + 10, 7.5)]);
    assert_eq!(reasons(&other), [(0, Reason::DuplicateValue)]);
    let expected = [
        (now - 10 * MINUTE, 5.0),
        (now - 30, 3.0),
        (now - 20, 4.0),
        (now - 10, 2.0),
        (now, 1.0),
        (now + 5, 8.0),
        (now + 10, 7.0),
    ];
    assert_eq!(content(&db, &set), expected);
    assert_eq!(db.stats().late_samples, 5);
    // The same after a kill, and in blocks.
    drop(db);
    let db = builder(&disk, options(10 * MINUTE)).open().unwrap();
    assert_eq!(content(&db, &set), expected);
    let report = db.flush(now).unwrap();
    assert_eq!(report.cuts.iter().filter(|cut| cut.late).count(), 1);
    assert_eq!(content(&db, &set), expected);
    assert_eq!((db.num_series(), db.stats().bytes.late), (0, 0));
}

/// More than a buffer holds, of one series, back and forth, over several block ranges, with a restart half way.
#[test]
fn late_samples_become_a_block_for_each_range() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let mut options = options(600 * MINUTE);
    options.out_of_order_cap_max = 5;
    let db = builder(&disk, options.clone()).open().unwrap();
    let set = series(1);
    let range = options.block_range;
    let end = START + 2 * range + range / 4;
    send(&db, &set, &[(end, 0.0)]);
    let times: Vec<Timestamp> = (0..64).map(|i| START + (i * 37 % 64) * range / 32 + i % 3).collect();
    let (first, second) = times.split_at(40);
    for &t in first {
        assert_eq!(send(&db, &set, &[(t, t as f64)]).late, 1);
    }
    drop(db);
    let db = builder(&disk, options.clone()).open().unwrap();
    for &t in second {
        assert_eq!(send(&db, &set, &[(t, t as f64)]).late, 1);
    }
    let mut expected: Vec<_> = times.iter().map(|&t| (t, t as f64)).chain([(end, 0.0)]).collect();
    expected.sort_by_key(|&(t, _)| t);
    assert_eq!(content(&db, &set), expected);
    // Nothing is due: the head is short and the late samples have just come.
    assert!(db.maintain(end).unwrap().cuts.is_empty());
    // A cut of the head takes them along.
    send(&db, &set, &[(end + 2 * range, 0.0)]);
    expected.push((end + 2 * range, 0.0));
    let querier = db.querier(sarsen_block::TimeRange::ALL);
    let report = db.maintain(end).unwrap();
    assert!(report.memory_in_use);
    let late: Vec<_> = report.cuts.iter().filter(|cut| cut.late).collect();
    assert_eq!(late.len(), 2);
    for (cut, number) in late.iter().zip(0..) {
        let start = START + number * range;
        assert_eq!((cut.range.min, cut.range.max), (start, start + range - 1));
        let id = cut.block.unwrap();
        let block = db.blocks().into_iter().find(|block| block.id == id).unwrap();
        assert_eq!(block.meta.compaction.hints, ["from-out-of-order"]);
        assert!(matches!(block.meta.compaction.parents.as_slice(), [parent] if parent.id == BlockId::NONE));
    }
    assert_eq!(late.iter().map(|cut| cut.samples).sum::<u64>(), 64);
    assert_eq!(content(&db, &set), expected);
    drop(querier);
    db.maintain(end).unwrap();
    assert_eq!(db.stats().bytes.late, 0);
    assert_eq!(content(&db, &set), expected);
    drop(db);
    let db = builder(&disk, options).open().unwrap();
    assert_eq!(db.stats().bytes.late, 0, "the log has nothing of them any more");
    assert_eq!(content(&db, &set), expected);
}

#[test]
fn late_samples_that_nobody_follows_are_cut_after_a_while() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let options = options(600 * MINUTE);
    let db = builder(&disk, options.clone()).open().unwrap();
    send(&db, &series(0), &[(START + options.block_range, 0.0)]);
    send(&db, &series(1), &[(START, 1.0)]);
    assert!(db.maintain(START).unwrap().cuts.is_empty());
    assert!(db.maintain(START + options.block_range - 1).unwrap().cuts.is_empty());
    let report = db.maintain(START + options.block_range).unwrap();
    assert!(matches!(report.cuts.as_slice(), [cut] if cut.late && cut.samples == 1));
    assert_eq!(report.forgotten, 1, "a series with late samples alone goes with them");
    assert_eq!(content(&db, &series(1)), [(START, 1.0)]);
    assert_eq!(db.num_series(), 1);
}

#[test]
fn windows_that_make_no_sense_are_refused() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    for (window, cap) in [(-1, 32), (0, 0), (0, 256)] {
        let mut options = options(window);
        options.out_of_order_cap_max = cap;
        let Err(error) = builder(&disk, options).open() else { panic!("opened with {window} and {cap}") };
        assert!(error.to_string().contains("out_of_order"), "{error}");
    }
}
