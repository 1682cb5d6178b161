//! A stretch of time leaves memory: two hours become a block, the log shrinks, readers notice nothing.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::path::Path;
use std::sync::Arc;

use sarsen_block::{ChunkSet, Decode, Labels, Matcher, SampleSet, TimeRange, Timestamp};
use sarsen_tsdb::{Db, Options, Reason};
use sarsen_wal::{Disk, SimDisk};
use support::{Content, HOUR, START, builder, commit, read, read_all, series};

fn disk() -> Arc<dyn Disk> {
    Arc::new(SimDisk::new(1))
}

/// Writes `count` series every minute in `from..to`, with values that tell where they come from.
fn fill(db: &Db, content: &mut Content, count: usize, (from, to): (Timestamp, Timestamp)) {
    let sets: Vec<Labels> = (0..count).map(series).collect();
    for t in (from..to).step_by(60_000) {
        let rows: Vec<_> = sets
            .iter()
            .enumerate()
            .map(|(i, set)| (set.clone(), t, (t - START) as f64 / 7.0 + i as f64))
            .collect();
        let outcome = commit(db, &rows).unwrap();
        assert!(outcome.refused.is_empty(), "{outcome:?}");
        for (set, t, v) in rows {
            content.entry(set).or_default().insert(t, v.to_bits());
        }
    }
}

#[test]
fn a_delay_lets_the_head_grow_so_much_longer() {
    let disk = disk();
    let mut options = Options::default();
    options.cut_delay = 5 * 60_000;
    let db = builder(&disk, options).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 3, (START, START + 3 * HOUR + 300_001));
    assert!(db.maintain(START + 3 * HOUR + 300_000).unwrap().cuts.is_empty());
    fill(&db, &mut content, 3, (START + 3 * HOUR + 360_000, START + 3 * HOUR + 360_001));
    let report = db.maintain(START + 3 * HOUR + 360_000).unwrap();
    assert_eq!(report.cuts.len(), 1);
    assert_eq!(report.cuts[0].range, TimeRange::new(START, START + 2 * HOUR - 1));
    assert_eq!(read_all(&db), content);
    let mut options = Options::default();
    options.cut_delay = options.block_range + 1;
    assert!(options.check().is_err());
}

#[test]
fn a_head_is_cut_when_it_spans_one_and_a_half_ranges() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 20, (START + 1000, START + 3 * HOUR + 1000));
    assert!(
        db.maintain(START + 3 * HOUR).unwrap().cuts.is_empty(),
        "not more than one and a half ranges yet"
    );
    fill(&db, &mut content, 20, (START + 3 * HOUR + 1000, START + 3 * HOUR + 61_001));
    let before = db.stats();
    let report = db.maintain(START + 3 * HOUR + 60_000).unwrap();
    let [cut] = &report.cuts[..] else { panic!("{report:?}") };
    assert_eq!(cut.range, TimeRange::new(START + 1000, START + 2 * HOUR - 1));
    assert_eq!((cut.series, cut.samples), (20, 20 * 120));
    assert_eq!(report.log_segments_dropped, 1);
    assert_eq!(report.head_from, Some(START + 2 * HOUR + 1000));
    let blocks = db.blocks();
    assert_eq!(blocks.len(), 1);
    assert_eq!((blocks[0].meta.min_time, blocks[0].meta.max_time), (START + 1000, START + 2 * HOUR));
    assert_eq!(cut.block, Some(blocks[0].id));
    assert!(disk.stat(&blocks[0].directory.join("tombstones")).unwrap().is_some());
    let after = db.stats();
    assert!(after.log_bytes < before.log_bytes && after.chunks < before.chunks, "{before:?} {after:?}");
    assert_eq!(after.series, 20);
    assert_eq!(read_all(&db), content);
    assert!(db.maintain(START + 3 * HOUR + 60_000).unwrap().cuts.is_empty());
    // Also after a restart, clean or not.
    db.close().unwrap();
    drop(db);
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(read_all(&db), content);
    fill(&db, &mut content, 20, (START + 3 * HOUR + 121_000, START + 4 * HOUR));
    drop(db);
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(read_all(&db), content);
}

#[test]
fn several_ranges_are_cut_one_after_the_other() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 3, (START, START + 9 * HOUR));
    let report = db.maintain(START + 9 * HOUR).unwrap();
    assert_eq!(report.cuts.len(), 3);
    assert_eq!(db.blocks().len(), 3);
    assert_eq!(read_all(&db), content);
    let some = TimeRange::new(START + 3 * HOUR, START + 7 * HOUR);
    let matcher = Matcher::equal("odd", "yes");
    let expected: Content = content
        .iter()
        .filter(|(set, _)| matcher.matches(set.get(b"odd").unwrap_or_default()))
        .map(|(set, samples)| {
            (set.clone(), samples.range(some.min..=some.max).map(|(&t, &v)| (t, v)).collect())
        })
        .collect();
    assert_eq!(read(&db, &[matcher], some).unwrap(), expected);
}

#[test]
fn an_idle_head_is_cut_when_enough_time_has_passed() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 3, (START + HOUR, START + 2 * HOUR + HOUR / 2));
    let now = START + 4 * HOUR + 1;
    // Somebody may be catching up: the first look only remembers.
    assert!(db.maintain(now).unwrap().cuts.is_empty());
    assert!(db.maintain(now + 299_999).unwrap().cuts.is_empty());
    let report = db.maintain(now + 300_000).unwrap();
    assert_eq!(report.cuts.len(), 1);
    assert_eq!(db.stats().series, 3);
    // What is left is due one and a half ranges after its first sample.
    assert!(db.maintain(START + 5 * HOUR).unwrap().cuts.is_empty());
    let report = db.maintain(START + 5 * HOUR + 1).unwrap();
    assert_eq!((report.cuts.len(), report.forgotten, report.head_from), (1, 3, None));
    let stats = db.stats();
    assert_eq!((stats.series, stats.chunks, stats.labels), (0, 0, 0));
    assert_eq!(read_all(&db), content);
    // Writers may come back; what lies in a block stays closed to them.
    let late = [(series(0), START + 3 * HOUR, 1.0), (series(0), START + 4 * HOUR, 1.0)];
    let outcome = commit(&db, &late).unwrap();
    assert_eq!((outcome.accepted, outcome.refused_for(Reason::OutOfBounds)), (1, 1));
}

#[test]
fn a_writer_who_catches_up_is_not_cut_off() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    let now = START + 100 * HOUR;
    for step in 0..60 {
        let from = START + step * 120_000;
        fill(&db, &mut content, 2, (from, from + 120_000));
        // A minute passes for each two that are caught up.
        assert!(db.maintain(now + step * 60_000).unwrap().cuts.is_empty());
    }
    assert_eq!(read_all(&db), content);
}

#[test]
fn flush_leaves_an_empty_head() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 5, (START + HOUR, START + 3 * HOUR));
    let report = db.flush(START + 3 * HOUR).unwrap();
    assert_eq!(report.cuts.len(), 2);
    assert_eq!(report.cuts[0].range.max, START + 2 * HOUR - 1);
    let blocks = db.blocks();
    assert_eq!(blocks[1].meta.max_time, START + 3 * HOUR - 60_000 + 1);
    assert_eq!(db.stats().series, 0);
    assert_eq!(read_all(&db), content);
    assert!(db.flush(START + 3 * HOUR).unwrap().cuts.is_empty());
    drop(db);
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(db.open_report().samples, 0);
    assert_eq!(read_all(&db), content);
}

#[test]
fn a_query_that_began_before_a_cut_reads_on() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 600, (START, START + 2 * HOUR + 120_000));
    let querier = db.querier(TimeRange::ALL);
    let mut set = querier.select(&[]).unwrap();
    let first = set.next().unwrap().unwrap();
    assert_eq!(&first.labels, content.keys().next().unwrap());
    let report = db.flush(START + 3 * HOUR).unwrap();
    assert!(report.memory_in_use && report.cuts.len() == 2);
    // A querier made now sees the blocks and not the head behind them.
    assert_eq!(read_all(&db), content);
    let mut rest = 1;
    while set.next().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, content.len());
    drop((set, querier));
    let report = db.maintain(START + 3 * HOUR).unwrap();
    assert!(!report.memory_in_use && report.forgotten == 600);
    assert_eq!(read_all(&db), content);
}

#[test]
fn a_query_that_began_before_a_removal_reads_on_after_the_next_cut() {
    let db = builder(&disk(), Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 3, (START, START + 3 * HOUR + 120_000));
    db.maintain(START + 3 * HOUR).unwrap();
    let querier = db.querier(TimeRange::ALL);
    let first = db.blocks()[0].id;
    assert!(db.retire(first).unwrap());
    fill(&db, &mut content, 3, (START + 3 * HOUR + 120_000, START + 5 * HOUR + 120_000));
    assert!(db.maintain(START + 5 * HOUR).unwrap().memory_in_use, "the querier reads memory behind the cut");
    let mut found = Decode::new(querier.select(&[]).unwrap(), TimeRange::ALL);
    while let Some(series) = found.next().unwrap() {
        assert_eq!(series.samples.len(), content[&series.labels].len());
    }
    drop(found);
    drop(querier);
    assert!(!db.maintain(START + 5 * HOUR).unwrap().memory_in_use);
}

#[test]
fn a_series_that_was_forgotten_comes_back_under_the_same_labels() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 10, (START, START + HOUR));
    fill(&db, &mut content, 1, (START + HOUR, START + 4 * HOUR));
    let report = db.maintain(START + 4 * HOUR).unwrap();
    assert_eq!((report.cuts.len(), report.forgotten), (1, 9));
    fill(&db, &mut content, 10, (START + 4 * HOUR, START + 5 * HOUR));
    assert_eq!((db.stats().series, db.stats().births), (10, 19));
    assert_eq!(read_all(&db), content);
    drop(db);
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(db.stats().series, 10);
    assert_eq!(read_all(&db), content);
}

#[test]
fn a_retired_block_is_gone_for_new_readers_only() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 4, (START, START + 4 * HOUR));
    db.maintain(START + 4 * HOUR).unwrap();
    let block = db.blocks().remove(0);
    let querier = db.querier(TimeRange::ALL);
    assert!(db.retire(block.id).unwrap());
    assert!(!db.retire(block.id).unwrap());
    assert_eq!(disk.stat(&block.directory).unwrap(), None);
    let mut set = querier.select(&[]).unwrap();
    let whole = set.next().unwrap().unwrap();
    assert_eq!(whole.chunks[0].range.min, START);
    for samples in content.values_mut() {
        *samples = samples.split_off(&(START + 2 * HOUR));
    }
    assert_eq!(read_all(&db), content);
    drop(db);
    let db = builder(&disk, Options::default()).open().unwrap();
    assert_eq!(read_all(&db), content, "nothing of the retired block comes back from the log");
}

#[test]
fn a_damaged_block_is_set_aside_and_leftovers_are_removed() {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    fill(&db, &mut content, 4, (START, START + 6 * HOUR));
    db.maintain(START + 6 * HOUR).unwrap();
    let blocks = db.blocks();
    assert_eq!(blocks.len(), 2);
    drop(db);
    sim.damage(&blocks[0].directory.join("index"), |bytes| bytes.truncate(bytes.len() / 2)).unwrap();
    let half = Path::new("/db/01HF84EMK85HM7APDW8H2WREZD.tmp-for-creation");
    disk.create_dir_all(&half.join("chunks")).unwrap();
    disk.create_dir_all(Path::new("/db/notes")).unwrap();
    let db = builder(&disk, Options::default()).open().unwrap();
    let report = db.open_report();
    assert_eq!((report.blocks, report.set_aside.len()), (1, 1));
    assert_eq!(report.set_aside[0].directory, blocks[0].directory);
    assert_eq!(report.removed, [half.to_owned()]);
    assert!(disk.stat(Path::new("/db/notes")).unwrap().is_some());
    for samples in content.values_mut() {
        *samples = samples.split_off(&(START + 2 * HOUR));
    }
    assert_eq!(read_all(&db), content);
    // Whoever puts the block right may say so.
    assert!(db.blocks().iter().all(|block| block.id != blocks[0].id));
    db.refresh().unwrap();
    assert_eq!(db.blocks().len(), 1);
}

#[test]
fn the_ends_of_time_do_not_hold_anybody_up() {
    let disk = disk();
    let db = builder(&disk, Options::default()).open().unwrap();
    let mut content = Content::new();
    for t in [Timestamp::MIN, -1, START, Timestamp::MAX] {
        assert_eq!(commit(&db, &[(series(0), t, 1.0)]).unwrap().accepted, 1, "{t}");
        content.entry(series(0)).or_default().insert(t, 1f64.to_bits());
        db.maintain(t).unwrap();
        db.flush(t).unwrap();
        assert_eq!(read_all(&db), content);
    }
    drop(db);
    assert_eq!(read_all(&builder(&disk, Options::default()).open().unwrap()), content);
}
