//! A log that was written when format 1 was new opens and says what it said then.
//!
//! `testdata/log-v1` is a directory with a checkpoint, a finished segment, packed and plain records of every kind, and a
//! torn end. It is never written anew when the format grows: what lies on people's disks is not either.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "history/copying.rs"]
mod copying;

use std::path::{Path, PathBuf};

use copying::{CheckpointOutcome, Keep, checkpoint};
use sarsen_block::{Counts, Histogram, Labels, ResetHint, STALE_NAN_BITS, Span, TimeRange, Value};
use sarsen_wal::{
    Batch, Options, Part, Position, Record, Rows, SegmentNo, SeriesId, Step, Wal, real_disk, replay,
};

/// One row of a log, as the story tells it.
#[derive(Debug, Clone, PartialEq)]
enum Row {
    Birth(u64, Labels),
    Sample(u64, i64, i64, Value),
    Late(u64, i64, i64, Value),
    Deletion(u64, TimeRange),
    Exemplar(u64, i64, u64, Labels),
    Metadata(u64, u8, &'static str, &'static str),
}

const BASE: i64 = 1_760_000_000_000;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn integer() -> Histogram {
    Histogram {
        hint: ResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        sum: 18.4,
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }],
        negative_spans: vec![Span { offset: -1, length: 1 }],
        custom_values: Vec::new(),
        counts: Counts::Integer { count: 10, zero: 2, positive: vec![1, 1, -1, 0], negative: vec![3] },
    }
}

fn custom() -> Histogram {
    Histogram {
        hint: ResetHint::Gauge,
        schema: sarsen_block::CUSTOM_BUCKETS,
        zero_threshold: 0.0,
        sum: f64::from_bits(STALE_NAN_BITS),
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: Vec::new(),
        custom_values: vec![0.0001, 0.005, 1.0, 2.5, 40_000.0],
        counts: Counts::Float { count: 6.5, zero: 0.0, positive: vec![2.5, f64::NAN], negative: Vec::new() },
    }
}

/// What was appended, batch by batch. The rows of a batch stand in the order of its records.
fn story() -> Vec<Vec<Row>> {
    let float = Value::Float;
    let histogram = |value| Value::Histogram(Box::new(value));
    let many = (1..=300).map(|id| {
        Row::Birth(id, labels(&[("__name__", "requests_total"), ("pod", &format!("pod-{id:04}"))]))
    });
    let scrape = |round: i64| {
        (1..=300).map(move |id| {
            let value = if id % 3 == 0 { round as f64 / 100.0 } else { (round * id) as f64 };
            Row::Sample(id as u64, BASE + 15_000 * round, 0, float(value))
        })
    };
    vec![
        vec![Row::Birth(900, labels(&[("__name__", "gone")])), Row::Sample(900, BASE - 1, 0, float(1.0))],
        many.chain(scrape(0)).collect(),
        scrape(1).collect(),
        vec![
            Row::Birth(301, labels(&[("__name__", "latency"), ("\u{e9}", "\u{4f60}")])),
            Row::Sample(1, BASE + 30_000, 0, float(f64::from_bits(STALE_NAN_BITS))),
            Row::Sample(301, BASE + 30_000, BASE, histogram(integer())),
            Row::Sample(301, BASE + 30_001, 0, float(-0.0)),
            Row::Sample(301, BASE + 30_002, BASE, float(0.1)),
            Row::Sample(301, BASE + 30_003, 0, histogram(custom())),
            Row::Late(2, BASE - 60_000, 0, float(1e300)),
            Row::Late(301, BASE - 60_000, BASE - 70_000, histogram(integer())),
            Row::Deletion(3, TimeRange::new(BASE, BASE + 1)),
            Row::Deletion(4, TimeRange::ALL),
            Row::Exemplar(301, BASE + 30_000, 0.25f64.to_bits(), labels(&[("trace_id", "0af7651916cd43dd")])),
            Row::Metadata(301, 4, "seconds", "How long it took."),
        ],
        vec![Row::Sample(5, i64::MAX, 0, float(5.0)), Row::Deletion(5, TimeRange::new(1, 2))],
    ]
}

/// Reads what a replay gives. Floats are wrapped by their bits through `Value`'s own equality.
fn read(directory: &Path) -> (Vec<Row>, u64, Vec<Part>) {
    let mut walk = replay(real_disk(), directory, None).unwrap();
    let (mut rows, mut parts, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match walk.next().unwrap() {
            Step::Record(logged) => {
                parts.push(logged.part);
                read_record(logged.record(&mut scratch).unwrap(), &mut rows);
            }
            Step::End(end) => return (rows, end.torn_bytes, parts),
            Step::Damage(damage) => panic!("{damage}"),
        }
    }
}

fn read_record(record: Record<'_>, out: &mut Vec<Row>) {
    let text = |bytes: &[u8]| -> &'static str { String::from_utf8(bytes.to_vec()).unwrap().leak() };
    match record {
        Record::Births(mut rows) => {
            while let Some((id, labels)) = rows.next().unwrap() {
                out.push(Row::Birth(id.0, labels.to_owned()));
            }
        }
        Record::Samples(mut rows) => {
            while let Some(row) = rows.next().unwrap() {
                out.push(Row::Sample(row.id.0, row.t, 0, Value::Float(row.value())));
            }
        }
        Record::Rows(rows) => read_rows(rows, out, Row::Sample),
        Record::Late(rows) => read_rows(rows, out, Row::Late),
        Record::Deletions(mut rows) => {
            while let Some(row) = rows.next().unwrap() {
                out.push(Row::Deletion(row.id.0, row.range));
            }
        }
        Record::Exemplars(mut rows) => {
            while let Some(row) = rows.next().unwrap() {
                out.push(Row::Exemplar(row.id.0, row.t, row.bits, row.labels.to_owned()));
            }
        }
        Record::Metadata(mut rows) => {
            while let Some(row) = rows.next().unwrap() {
                out.push(Row::Metadata(row.id.0, row.kind, text(row.unit), text(row.help)));
            }
        }
        other => panic!("a record nobody wrote: {other:?}"),
    }
}

fn read_rows(mut rows: Rows<'_>, out: &mut Vec<Row>, kind: fn(u64, i64, i64, Value) -> Row) {
    while let Some(row) = rows.next().unwrap() {
        out.push(kind(row.id.0, row.t, row.start, row.value.decode().unwrap()));
    }
}

fn fill(batch: &mut Batch, rows: &[Row]) {
    for row in rows {
        match row {
            Row::Birth(id, labels) => batch.birth(SeriesId(*id), labels.as_ref()),
            Row::Sample(id, t, 0, Value::Float(value)) => batch.sample(SeriesId(*id), *t, value.to_bits()),
            Row::Sample(id, t, start, Value::Float(value)) => {
                batch.sample_with_start(SeriesId(*id), *t, *start, value.to_bits());
            }
            Row::Sample(id, t, start, Value::Histogram(value)) => {
                batch.histogram(SeriesId(*id), *t, *start, value);
            }
            Row::Late(id, t, start, value) => batch.late(SeriesId(*id), *t, *start, value),
            Row::Deletion(id, range) => batch.deletion(SeriesId(*id), *range),
            Row::Exemplar(id, t, bits, labels) => {
                batch.exemplar(SeriesId(*id), *t, *bits, labels.as_ref());
            }
            Row::Metadata(id, kind, unit, help) => {
                batch.metadata(SeriesId(*id), *kind, unit.as_bytes(), help.as_bytes());
            }
        }
    }
}

/// What is left of the story when series 900 has been dropped.
fn kept() -> Vec<Row> {
    story().into_iter().skip(1).flatten().collect()
}

/// Writes the story: two segments, then a checkpoint of the first, then the last batch uncompressed, then a torn end.
fn write(directory: &Path) {
    let wal = Wal::open(real_disk(), directory, &Options::default(), Position::START).unwrap();
    let story = story();
    let (last, first) = story.split_last().unwrap();
    for (place, rows) in first.iter().enumerate() {
        if place == 2 {
            let upto = wal.roll().unwrap();
            let keep = Keep { series: &mut |id| id.0 != 900, since: i64::MIN, late_after: SegmentNo(0) };
            let outcome = checkpoint(&real_disk(), directory, upto, keep).unwrap();
            assert!(matches!(outcome, CheckpointOutcome::Done(_)));
        }
        let mut batch = Batch::new();
        fill(&mut batch, rows);
        wal.append(&mut batch).unwrap().wait().unwrap();
    }
    let segment = wal.roll().unwrap();
    let mut batch = Batch::uncompressed();
    fill(&mut batch, last);
    wal.append(&mut batch).unwrap().wait().unwrap();
    wal.close().unwrap();
    let path = directory.join("log").join(segment.next().to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"torn");
    std::fs::write(path, bytes).unwrap();
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/log-v1")
}

#[test]
fn a_stored_log_of_format_1_opens() {
    let (rows, torn, parts) = read(&fixture());
    assert_eq!(rows, kept());
    assert_eq!(torn, 4);
    assert!(parts.contains(&Part::Checkpoint) && parts.contains(&Part::Log));
}

#[test]
fn a_log_written_today_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let (rows, torn, _) = read(directory.path());
    assert_eq!((rows, torn), (kept(), 4));
}

#[test]
fn a_checkpoint_keeps_every_kind_and_a_deletion_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let wal = Wal::open(real_disk(), directory.path(), &Options::default(), Position::START).unwrap();
    let mut rows = story().concat();
    // Written after a deletion of its range: the deletion must not come behind it.
    rows.push(Row::Sample(4, BASE + 900_000, 0, Value::Float(7.0)));
    for row in &rows {
        let mut batch = Batch::new();
        fill(&mut batch, std::slice::from_ref(row));
        wal.append(&mut batch).unwrap().wait().unwrap();
    }
    let upto = wal.roll().unwrap();
    let keep = Keep { series: &mut |id| id.0 != 900, since: BASE, late_after: SegmentNo(0) };
    let CheckpointOutcome::Done(done) = checkpoint(&real_disk(), directory.path(), upto, keep).unwrap()
    else {
        panic!("damaged");
    };
    let (found, _, parts) = read(directory.path());
    assert!(parts.iter().all(|part| *part == Part::Checkpoint));
    let wanted = |row: &&Row| match row {
        Row::Birth(id, _) | Row::Metadata(id, ..) => *id != 900,
        // A deletion may be of a late sample that stays.
        Row::Late(id, ..) | Row::Deletion(id, _) => *id != 900,
        Row::Sample(id, t, ..) | Row::Exemplar(id, t, ..) => *id != 900 && *t >= BASE,
    };
    let expected: Vec<_> = rows.iter().filter(wanted).cloned().collect();
    assert_eq!(found.len(), expected.len());
    for row in &expected {
        assert!(found.contains(row), "{row:?} is gone");
    }
    let place = |row: &Row| found.iter().position(|found| found == row).unwrap();
    assert!(place(&Row::Deletion(4, TimeRange::ALL)) < place(rows.last().unwrap()));
    let samples = |rows: &[Row]| {
        rows.iter().filter(|row| matches!(row, Row::Sample(..) | Row::Late(..))).count() as u64
    };
    assert_eq!(done.samples, (samples(&expected), samples(&rows) - samples(&expected)));
    // Once they are in blocks, late samples go, wherever they lie.
    let late_after = upto;
    let upto = wal.roll().unwrap();
    let keep = Keep { series: &mut |_| true, since: i64::MIN, late_after };
    checkpoint(&real_disk(), directory.path(), upto, keep).unwrap();
    let expected: Vec<_> = found.iter().filter(|row| !matches!(row, Row::Late(..))).collect();
    assert!(expected.len() < found.len());
    let left = read(directory.path()).0;
    assert!(left.len() == expected.len() && expected.iter().all(|row| left.contains(row)));
}

#[test]
#[ignore = "writes the fixture: only when it is made for a new version of the format, into a new directory"]
fn write_the_fixture() {
    let directory = fixture();
    assert!(!directory.exists(), "{} is there already", directory.display());
    std::fs::create_dir_all(&directory).unwrap();
    write(&directory);
}
