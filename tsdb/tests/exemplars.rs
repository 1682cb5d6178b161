//! Exemplars and metadata come back as they were told, within their bounds, through cuts and restarts.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use sarsen_block::{Labels, Matcher, TimeRange, Timestamp};
use sarsen_tsdb::{
    Committed, Db, ExemplarReason, ExemplarRef, MetadataRef, MetricType, Options, SeriesExemplars,
};
use sarsen_wal::{Disk, SimDisk};
use support::{HOUR, START, builder, labels, series};

const ALL: [Vec<Matcher>; 1] = [Vec::new()];

fn disk() -> Arc<dyn Disk> {
    Arc::new(SimDisk::new(1))
}

fn options(max_exemplars: u32) -> Options {
    let mut options = Options::default();
    options.max_exemplars = max_exemplars;
    options
}

/// Commits a sample at `t` with the exemplars of one series.
fn tell(db: &Db, set: &Labels, t: Timestamp, exemplars: &[(Labels, Timestamp, f64)]) -> Committed {
    let mut batch = db.appender();
    batch.append(set.as_ref(), t, 1.0);
    for (labels, t, value) in exemplars {
        batch.append_exemplar(set.as_ref(), ExemplarRef { labels: labels.as_ref(), t: *t, value: *value });
    }
    let commit = batch.commit().unwrap();
    commit.pending.wait().unwrap();
    commit.committed
}

fn trace(id: &str) -> Labels {
    labels(&[("trace_id", id)])
}

fn all(db: &Db) -> Vec<SeriesExemplars> {
    db.exemplars(&ALL, TimeRange::ALL)
}

fn ids(found: &SeriesExemplars) -> Vec<String> {
    let id = |labels: &Labels| String::from_utf8_lossy(labels.get(b"trace_id").unwrap_or(b"-")).into_owned();
    found.exemplars.iter().map(|exemplar| id(&exemplar.labels)).collect()
}

#[test]
fn which_exemplars_are_taken() {
    let db = builder(&disk(), options(100)).open().unwrap();
    let set = series(1);
    let clock = std::cell::Cell::new(START);
    let one = |t: Timestamp, value: f64, labels: Labels| {
        clock.set(clock.get() + 1);
        let committed = tell(&db, &set, clock.get(), &[(labels, START + t, value)]).exemplars;
        let reason = committed.refused.first().map(|refusal| refusal.reason);
        (committed.accepted, committed.duplicates, reason)
    };
    let late = |reason| (0, 0, Some(reason));
    assert_eq!(one(10, 1.0, trace("a")), (1, 0, None));
    assert_eq!(one(10, 1.0, trace("a")), (0, 1, None), "the same again");
    assert_eq!(one(9, 5.0, trace("b")), late(ExemplarReason::OutOfOrder));
    assert_eq!(one(10, 0.5, trace("b")), late(ExemplarReason::OutOfOrder), "a smaller value");
    // The hash of trace_id="b" in Thanos is smaller than that of "a".
    assert_eq!(one(10, 1.0, trace("b")), late(ExemplarReason::OutOfOrder));
    assert_eq!(one(10, 2.0, trace("b")), (1, 0, None), "a larger value of the same time");
    assert_eq!(one(10, 2.0, trace("a")), (1, 0, None));
    assert_eq!(one(11, f64::NAN, trace("n")), (1, 0, None));
    assert_eq!(one(11, f64::NAN, trace("n")), (1, 0, None), "not a number is nobody's duplicate");
    let longest = "\u{e9}".repeat(128 - "trace_id".len());
    assert_eq!(one(12, 1.0, trace(&longest)), (1, 0, None));
    assert_eq!(one(13, 1.0, trace(&format!("{longest}x"))), late(ExemplarReason::LabelsTooLong));
    assert_eq!(one(14, 1.0, labels(&[])), (1, 0, None), "without labels");
    assert_eq!(all(&db)[0].labels, set);
    assert_eq!(ids(&all(&db)[0]), ["a", "b", "a", "n", "n", &longest, "-"]);
    let some = db.exemplars(&[vec![Matcher::equal("i", "1")]], TimeRange::new(START + 11, START + 13));
    assert_eq!(ids(&some[0]), ["n", "n", &longest]);
    assert!(db.exemplars(&[vec![Matcher::equal("i", "2")]], TimeRange::ALL).is_empty());
    assert!(db.exemplars::<Vec<Matcher>>(&[], TimeRange::ALL).is_empty());
}

#[test]
fn an_exemplar_goes_the_way_of_its_sample() {
    let db = builder(&disk(), options(100)).open().unwrap();
    let (known, unknown) = (series(1), series(2));
    tell(&db, &known, START + 100, &[(trace("a"), START + 100, 1.0)]);
    // The sample is out of order, so its exemplar is left out without a word.
    let committed = tell(&db, &known, START + 50, &[(trace("b"), START + 200, 1.0)]);
    assert_eq!((committed.refused.len(), committed.exemplars.unattached), (1, 1));
    let b = trace("b");
    let exemplar = ExemplarRef { labels: b.as_ref(), t: START + 300, value: 1.0 };
    let mut batch = db.appender();
    batch.append_exemplar(unknown.as_ref(), exemplar);
    batch.append_exemplar(known.as_ref(), exemplar);
    assert!(!batch.is_empty());
    let committed = batch.commit().unwrap().committed.exemplars;
    assert_eq!((committed.accepted, committed.unattached), (1, 1));
    assert_eq!(ids(&all(&db)[0]), ["a", "b"]);
    // Overtaken by its own batch, and so not reported; good against what was there before.
    let rows = [(trace("d"), START + 500, 1.0), (trace("c"), START + 400, 1.0)];
    let committed = tell(&db, &known, START + 600, &rows).exemplars;
    assert_eq!((committed.accepted, committed.overtaken, committed.refused.len()), (1, 1, 0));
    // Off, nothing is kept and nothing is wrong.
    let off = builder(&disk(), options(0)).open().unwrap();
    let committed = tell(&off, &known, START, &[(trace(&"x".repeat(200)), START, 1.0)]).exemplars;
    assert_eq!((committed.unattached, committed.refused.len()), (1, 0));
    assert!(all(&off).is_empty());
}

#[test]
fn exemplars_and_metadata_survive_cuts_and_restarts_as_long_as_their_series() {
    let disk = disk();
    let open = || builder(&disk, options(50)).open().unwrap();
    let db = open();
    let gauge = MetadataRef { kind: MetricType::Gauge, unit: b"seconds", help: b"how long" };
    for i in 0..40 {
        for set in [series(1), series(2)] {
            let t = START + i * 6 * 60_000;
            if set == series(1) || i < 10 {
                let mut batch = db.appender();
                let trace = trace(&i.to_string());
                batch.append(set.as_ref(), t, 1.0);
                batch.append_exemplar(set.as_ref(), ExemplarRef { labels: trace.as_ref(), t, value: 1.0 });
                batch.append_metadata(set.as_ref(), gauge);
                let commit = batch.commit().unwrap();
                commit.pending.wait().unwrap();
                assert_eq!(commit.committed.metadata, u64::from(i == 0), "told once");
            }
        }
    }
    let meanings = db.metadata(&[]).unwrap();
    assert_eq!(meanings.iter().map(|m| m.labels.clone()).collect::<Vec<_>>(), [series(1), series(2)]);
    assert!(meanings.iter().all(|m| m.metadata.as_ref() == gauge));
    let before = all(&db);
    assert_eq!(before.iter().map(|found| found.exemplars.len()).collect::<Vec<_>>(), [40, 10]);
    drop(db);
    let db = open();
    assert_eq!((all(&db), db.metadata(&[]).unwrap()), (before.clone(), meanings.clone()));

    let report = db.maintain(START + 4 * HOUR).unwrap();
    assert_eq!((report.cuts.len(), report.forgotten), (1, 1));
    // The forgotten series keeps its exemplars until they are pushed out, but has no meaning any more.
    assert_eq!(all(&db), before);
    assert_eq!(db.metadata(&[]).unwrap(), meanings[..1]);
    drop(db);
    let db = open();
    let after = all(&db);
    assert_eq!(db.metadata(&[]).unwrap(), meanings[..1]);
    assert_eq!(after.len(), 1);
    assert!(before[0].exemplars.ends_with(&after[0].exemplars), "the log goes back to the cut at most");
    assert!(after[0].exemplars[0].t <= START + 2 * HOUR);
    assert_eq!(db.metadata(&[Matcher::equal("i", "2")]).unwrap(), []);
}

#[test]
fn metadata_changes_and_is_kept_once() {
    let disk = disk();
    let db = builder(&disk, options(0)).open().unwrap();
    let help = "x".repeat(10_000);
    for round in 0..3u8 {
        let mut batch = db.appender();
        let sets: Vec<Labels> = (0..500).map(series).collect();
        let kind = MetricType::from_number(round);
        for set in &sets {
            batch.append(set.as_ref(), START + i64::from(round), 1.0);
            batch.append_metadata(set.as_ref(), MetadataRef { kind, unit: b"", help: help.as_bytes() });
        }
        assert_eq!(batch.commit().unwrap().committed.metadata, 500);
        assert!(db.metadata(&[]).unwrap().iter().all(|found| found.metadata.kind == kind));
        assert!(db.stats().bytes.metadata < 20_000, "{}", db.stats().bytes.metadata);
    }
}

/// What should become of an exemplar, said in the plainest way, where all have no labels.
fn takes(kept: &[(Timestamp, f64)], window: Timestamp, (t, value): (Timestamp, f64)) -> bool {
    let Some(&(newest, of_newest)) = kept.iter().max_by_key(|(t, _)| *t) else { return true };
    match t.cmp(&newest) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => value > of_newest,
        std::cmp::Ordering::Less => newest - t < window && kept.iter().all(|&(other, _)| other != t),
    }
}

proptest! {
    #[test]
    fn late_exemplars_against_a_list(
        window in 0i64..30,
        rows in proptest::collection::vec((0i64..60, 0u8..4), 0..60),
        restart in 0usize..60,
    ) {
        let disk = disk();
        let mut options = options(1000);
        options.out_of_order_window = window;
        let mut db = builder(&disk, options.clone()).open().unwrap();
        let mut kept: Vec<(Timestamp, f64)> = Vec::new();
        for (at, (t, value)) in rows.into_iter().enumerate() {
            if at == restart {
                drop(db);
                db = builder(&disk, options.clone()).open().unwrap();
            }
            let row = (START + t, f64::from(value));
            let committed = tell(&db, &series(1), START + 100 + at as i64, &[(labels(&[]), row.0, row.1)]);
            let is_taken = takes(&kept, window, row);
            prop_assert_eq!(committed.exemplars.accepted, u64::from(is_taken), "{:?} behind {:?}", row, &kept);
            if is_taken {
                // Of equal times in the order of arrival.
                let behind = kept.partition_point(|&(t, _)| t <= row.0);
                kept.insert(behind, row);
            }
            let found = all(&db).pop().map(|found| found.exemplars).unwrap_or_default();
            prop_assert_eq!(found.iter().map(|e| (e.t, e.value)).collect::<Vec<_>>(), kept.clone());
        }
    }

    /// The ring against a list: what was taken last stays, each series by time.
    #[test]
    fn the_ring_against_a_list(
        capacity in 1u32..12,
        rows in proptest::collection::vec((0usize..4, 0i64..3, 0u8..4), 0..80),
        restart in 0usize..80,
    ) {
        let disk = disk();
        let mut db = builder(&disk, options(capacity)).open().unwrap();
        let mut taken: Vec<(Labels, Timestamp, u8)> = Vec::new();
        let mut clocks = BTreeMap::<usize, Timestamp>::new();
        for (at, (i, step, value)) in rows.into_iter().enumerate() {
            if at == restart {
                drop(db);
                db = builder(&disk, options(capacity)).open().unwrap();
            }
            let clock = clocks.entry(i).or_insert(START);
            *clock += step;
            let committed = tell(&db, &series(i), START + at as i64, &[(labels(&[]), *clock, f64::from(value))]);
            if committed.exemplars.accepted == 1 {
                taken.push((series(i), *clock, value));
            }
            let mut kept = BTreeMap::<Labels, Vec<(Timestamp, f64)>>::new();
            for (set, t, value) in taken.iter().skip(taken.len().saturating_sub(capacity as usize)) {
                kept.entry(set.clone()).or_default().push((*t, f64::from(*value)));
            }
            let found = all(&db).into_iter().map(|found| {
                (found.labels, found.exemplars.into_iter().map(|e| (e.t, e.value)).collect())
            });
            prop_assert_eq!(found.collect::<BTreeMap<_, Vec<_>>>(), kept);
        }
    }
}
