//! What is deleted is not seen again: not by queries, not after a restart, not in a block; and nothing else is missing.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use sarsen_block::json::Json;
use sarsen_block::{
    Counts, Decode, Histogram, Matcher, ResetHint, Sample, SampleSet, Span, TimeRange, Timestamp, Tombstones,
    Value, parse_selector,
};
use sarsen_tsdb::{Db, Options};
use sarsen_wal::{Disk, SimDisk};
use support::{Content, HOUR, START, builder, commit, labels, read, read_all, series};

fn disk() -> Arc<dyn Disk> {
    Arc::new(SimDisk::new(1))
}

fn forget(content: &mut Content, i: Option<usize>, range: TimeRange) {
    for (set, samples) in content.iter_mut() {
        if i.is_none_or(|i| *set == series(i)) {
            samples.retain(|&t, _| !range.contains(t));
        }
    }
    content.retain(|_, samples| !samples.is_empty());
}

fn only(i: usize) -> Vec<Matcher> {
    vec![Matcher::equal("i", i.to_string())]
}

/// Every folder of golden blocks that comes with a list of deletes.
#[test]
fn deletes_mark_a_block_as_prometheus_does() {
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/blocks");
    let mut found = 0;
    for folder in fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(deletes) = fs::read(folder.join("deletes.json")) else { continue };
        found += 1;
        let marked = fs::read_dir(folder.join("marked")).unwrap().next().unwrap().unwrap().path();
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join(marked.file_name().unwrap());
        fs::create_dir_all(copy.join("chunks")).unwrap();
        for chunk in fs::read_dir(marked.join("chunks")).unwrap().map(|entry| entry.unwrap().path()) {
            fs::copy(&chunk, copy.join("chunks").join(chunk.file_name().unwrap())).unwrap();
        }
        fs::copy(marked.join("index"), copy.join("index")).unwrap();
        let meta = fs::read(marked.join("meta.json")).unwrap();
        let mut unmarked = sarsen_block::BlockMeta::parse(&meta).unwrap();
        unmarked.stats.num_tombstones = 0;
        fs::write(copy.join("meta.json"), unmarked.to_bytes()).unwrap();

        let db = Db::builder(directory.path()).open().unwrap();
        let Json::List(deletes) = Json::parse("deletes.json", &deletes).unwrap() else { panic!("no list") };
        for delete in deletes {
            let fields = delete.fields("deletes.json").unwrap();
            let range = TimeRange::new(fields.i64("Mint").unwrap(), fields.i64("Maxt").unwrap());
            let matchers = parse_selector(&format!("{{{}}}", fields.text("Matcher").unwrap())).unwrap();
            db.delete(&matchers, range).unwrap();
        }
        let stones = |path: &Path| Tombstones::decode(&fs::read(path.join("tombstones")).unwrap()).unwrap();
        assert_eq!(stones(&copy), stones(&marked), "{}", folder.display());
        assert_eq!(fs::read(copy.join("meta.json")).unwrap(), meta);
        assert_eq!(db.blocks()[0].meta.to_bytes(), meta);
    }
    assert!(found > 0);
}

#[test]
fn the_head_forgets_at_once_and_after_a_restart_and_in_the_block() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    for t in (START..START + 3 * HOUR + 600_000).step_by(60_000) {
        let rows: Vec<_> = (0..6).map(|i| (series(i), t, t as f64 + i as f64)).collect();
        commit(&db, &rows).unwrap();
        for (set, t, v) in rows {
            content.entry(set).or_default().insert(t, v.to_bits());
        }
    }
    for (i, from, to) in
        [(Some(1), 10, 20), (Some(1), 15, 100), (Some(2), 0, 1000), (None, 118, 121), (Some(9), 0, 99)]
    {
        let range = TimeRange::new(START + from * 60_000, START + to * 60_000);
        db.delete(&i.map_or(Vec::new(), only), range).unwrap();
        forget(&mut content, i, range);
        assert_eq!(read_all(&db), content);
    }
    assert_eq!(read(&db, &only(2), TimeRange::ALL).unwrap(), Content::new());
    drop(db);
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(db.open_report().orphans, 0);
    assert_eq!(read_all(&db), content);
    let report = db.maintain(START + 3 * HOUR).unwrap();
    let cut = &report.cuts[0];
    let expected: usize = content.values().map(|samples| samples.range(..START + 2 * HOUR).count()).sum();
    assert_eq!((cut.samples as usize, cut.series), (expected, 5), "the block never had what was deleted");
    assert_eq!(read_all(&db), content);
    // A series whose samples are all deleted still takes new ones, in order.
    let t = START + 4 * HOUR;
    assert_eq!(commit(&db, &[(series(2), t, 1.0)]).unwrap().accepted, 1);
    content.entry(series(2)).or_default().insert(t, 1f64.to_bits());
    assert_eq!(read_all(&db), content);
    drop(db);
    assert_eq!(read_all(&builder(&disk, Options::default()).open().unwrap()), content);
}

#[test]
fn a_querier_keeps_the_blocks_that_it_was_made_with() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    commit(&db, &[(labels(&[("a", "b")]), START, 1.0), (labels(&[("a", "b")]), START + 1, 2.0)]).unwrap();
    db.flush(START).unwrap();
    let before = db.querier(TimeRange::ALL);
    let report = db.delete(&[], TimeRange::new(START, START)).unwrap();
    assert_eq!((report.blocks.len(), report.head_series), (1, 0));
    assert_eq!(db.delete(&[], TimeRange::new(START, START)).unwrap().blocks, []);
    let mut set = Decode::new(before.select(&[]).unwrap(), TimeRange::ALL);
    assert_eq!(set.next().unwrap().unwrap().samples.len(), 2);
    assert_eq!(read_all(&db).values().map(std::collections::BTreeMap::len).sum::<usize>(), 1);
    assert_eq!(db.blocks()[0].meta.stats.num_tombstones, 1);
}

/// A sample of one of the three kinds, by turns of 50.
fn of_any_kind(step: i64) -> Sample {
    let t = START + step * 15_000;
    let counts = match step / 50 % 3 {
        0 => return Sample::float(t, step as f64),
        1 => {
            Counts::Integer { count: step as u64, zero: step as u64 - 1, positive: vec![1], negative: vec![] }
        }
        _ => Counts::Float { count: step as f64, zero: 0.0, positive: vec![step as f64], negative: vec![] },
    };
    let spans = vec![Span { offset: 2, length: 1 }];
    Sample::histogram(
        t,
        Histogram { sum: step as f64, positive_spans: spans, counts, ..Histogram::default() },
    )
}

/// The samples of the only series, hints left out: reading finds them out anew.
fn read_samples(db: &Db) -> Vec<Sample> {
    let mut found = Decode::new(db.querier(TimeRange::ALL).select(&[]).unwrap(), TimeRange::ALL);
    let mut samples = found.next().unwrap().map(|series| series.samples).unwrap_or_default();
    for sample in &mut samples {
        if let Value::Histogram(histogram) = &mut sample.value {
            histogram.hint = ResetHint::Unknown;
        }
    }
    samples
}

#[test]
fn samples_of_every_kind_are_deleted() {
    let disk = disk();
    let mut db = builder(&disk, Options::default()).open().unwrap();
    let set = series(0);
    let mut expected: Vec<Sample> = (0..600).map(of_any_kind).collect();
    for batch in expected.chunks(100) {
        let mut appender = db.appender();
        batch.iter().for_each(|sample| appender.append_sample(set.as_ref(), sample.clone()));
        let commit = appender.commit().unwrap();
        commit.pending.wait().unwrap();
        assert_eq!(commit.committed.accepted, 100);
    }
    let mut delete = |db: &Db, from: i64, to: i64| {
        let range = TimeRange::new(START + from * 15_000, START + to * 15_000);
        db.delete(&[], range).unwrap();
        expected.retain(|sample| !range.contains(sample.t));
        assert_eq!(read_samples(db), expected);
    };
    for (from, to) in [(10, 12), (60, 60), (95, 155), (210, 300), (420, 421)] {
        delete(&db, from, to);
    }
    drop(db);
    db = builder(&disk, Options::default()).open().unwrap();
    delete(&db, 0, 0);
    db.flush(START).unwrap();
    for (from, to) in [(65, 70), (175, 176), (340, 365), (599, 700)] {
        delete(&db, from, to);
    }
    assert!(!db.clean_tombstones(START).unwrap().is_empty());
    assert_eq!(read_samples(&db), expected);
    drop(db);
    assert_eq!(read_samples(&builder(&disk, Options::default()).open().unwrap()), expected);
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(usize, Timestamp)>),
    /// Samples so many milliseconds behind the newest, where no sample is, but perhaps one was.
    Late(Vec<(usize, Timestamp)>),
    Delete(Option<usize>, Timestamp, Timestamp),
    Maintain,
    Flush,
    Clean,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let range = 0i64..6000;
    prop_oneof![
        8 => proptest::collection::vec((0usize..5, 0i64..300), 1..12).prop_map(Step::Commit),
        4 => proptest::collection::vec((0usize..5, 1i64..4000), 1..6).prop_map(Step::Late),
        4 => (proptest::option::of(0usize..5), range.clone(), range)
            .prop_map(|(i, from, length)| Step::Delete(i, from, from + length)),
        2 => Just(Step::Maintain),
        1 => Just(Step::Flush),
        1 => Just(Step::Clean),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_history_against_a_map(
        steps in proptest::collection::vec(step(), 1..40),
        window in prop_oneof![Just(0), Just(5000)],
        checkpoint_log_bytes in prop_oneof![Just(1), Just(1 << 20)],
    ) {
        let disk = disk();
        let mut options = Options::default();
        options.block_range = 1000;
        options.idle_grace = 0;
        options.out_of_order_window = window;
        options.out_of_order_cap_max = 4;
        options.checkpoint_log_bytes = checkpoint_log_bytes;
        let open = || builder(&disk, options.clone()).open().unwrap();
        let (mut db, mut content, mut clock) = (open(), Content::new(), 1_000_000);
        for step in steps {
            match step {
                Step::Commit(rows) => {
                    for (i, ahead) in rows {
                        clock += ahead / 10 * 10;
                        // In a window, another value at a time that is in a block counts as late; which one is seen is open.
                        if content.get(&series(i)).is_some_and(|samples| samples.contains_key(&clock)) {
                            continue;
                        }
                        if commit(&db, &[(series(i), clock, ahead as f64)]).unwrap().accepted == 1 {
                            content.entry(series(i)).or_default().insert(clock, (ahead as f64).to_bits());
                        }
                    }
                }
                Step::Delete(i, from, to) => {
                    let range = TimeRange::new(clock - to, clock - from);
                    db.delete(&i.map_or(Vec::new(), only), range).unwrap();
                    forget(&mut content, i, range);
                }
                Step::Maintain => drop(db.maintain(clock).unwrap()),
                Step::Late(rows) => {
                    for (i, behind) in rows {
                        // Times are multiples of ten, so that some come at a time that was deleted.
                        let t = (clock - behind) / 10 * 10;
                        let is_there = content.get(&series(i)).is_some_and(|samples| samples.contains_key(&t));
                        if !is_there && commit(&db, &[(series(i), t, 0.5)]).unwrap().accepted == 1 {
                            content.entry(series(i)).or_default().insert(t, 0.5f64.to_bits());
                        }
                    }
                }
                Step::Flush => drop(db.flush(clock).unwrap()),
                Step::Clean => {
                    db.clean_tombstones(clock).unwrap();
                    prop_assert!(db.blocks().iter().all(|info| info.meta.stats.num_tombstones == 0));
                }
                Step::Restart => {
                    drop(db);
                    db = open();
                }
            }
            prop_assert_eq!(read_all(&db), content.clone());
        }
    }
}
