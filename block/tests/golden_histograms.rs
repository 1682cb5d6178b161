//! Histogram chunks are Prometheus' chunks: its appends give its bytes, its results and its headers at every step; its bytes give its
//! samples; and its damaged streams end without harm.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use golden::{Point, bytes, folder, lines};
use sarsen_block::{
    Appended, Chunk, Encoding, Error, Histogram, HistogramChunk, HistogramIter, ResetHeader, Sample,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    flavor: String,
    ops: Vec<Op>,
    chunks: Vec<Stored>,
}

#[derive(Deserialize)]
struct Op {
    op: String,
    #[serde(default)]
    t: i64,
    h: Option<serde_json::Value>,
    result: Option<String>,
    chunk: usize,
    len: usize,
    header: String,
}

#[derive(Deserialize)]
struct Stored {
    bytes_hex: String,
    header: String,
    num_samples: u16,
    samples: Option<Vec<Point>>,
}

fn cases() -> Vec<Case> {
    ["histogram", "floathistogram"]
        .into_iter()
        .flat_map(|file| lines(&folder(&format!("chunks/{file}.jsonl"))))
        .collect()
}

fn encoding(is_float: bool) -> Encoding {
    if is_float { Encoding::FloatHistogram } else { Encoding::Histogram }
}

fn name(header: ResetHeader) -> &'static str {
    match header {
        ResetHeader::Unknown => "unknown",
        ResetHeader::NotReset => "not_reset",
        ResetHeader::Reset => "reset",
        ResetHeader::Gauge => "gauge",
    }
}

/// A series as the operations see it.
struct Series {
    finished: Vec<Chunk>,
    open: HistogramChunk,
    /// The chunk before an empty one, if it was cut with it in view.
    previous: Option<HistogramChunk>,
}

impl Series {
    fn step(&mut self, op: &Op) {
        let histogram = op.h.clone().map(golden::histogram);
        match (op.op.as_str(), histogram) {
            ("append", Some(histogram)) => {
                let result = self.append(op.t, &histogram);
                assert_eq!(Some(result), op.result.as_deref());
            }
            ("append_only", Some(histogram)) => {
                let before = self.open.to_bytes();
                let fits = self.open.append_only(self.previous.as_ref(), op.t, 0, &histogram).unwrap();
                assert_eq!(Some(if fits { "appended" } else { "error" }), op.result.as_deref());
                assert!(fits || self.open.to_bytes() == before);
            }
            ("cut" | "cut_prev", None) => {
                let is_float = self.open.encoding() == Encoding::FloatHistogram;
                let full = std::mem::replace(&mut self.open, HistogramChunk::begin(false, is_float));
                self.finished.push(full.to_chunk());
                self.previous = (op.op == "cut_prev").then_some(full);
            }
            ("reopen", None) => self.open = HistogramChunk::resume(&self.open.to_chunk()).unwrap(),
            (other, _) => panic!("no such operation: {other}"),
        }
    }

    fn append(&mut self, t: i64, histogram: &Histogram) -> &'static str {
        match self.open.append(self.previous.as_ref(), t, 0, histogram).unwrap() {
            Appended::Appended => "appended",
            Appended::Recoded => "recoded",
            Appended::NewChunk(next) => {
                self.finished.push(std::mem::replace(&mut self.open, *next).to_chunk());
                "new_chunk"
            }
        }
    }
}

#[test]
fn appends_give_the_results_and_the_bytes() {
    for case in cases() {
        let is_float = case.flavor == "float";
        let open = HistogramChunk::begin(false, is_float);
        let mut series = Series { finished: Vec::new(), open, previous: None };
        for (i, op) in case.ops.iter().enumerate() {
            let place = format!("{} of {}, step {i}", case.name, case.flavor);
            println!("{place}");
            series.step(op);
            assert_eq!(series.finished.len(), op.chunk, "{place}");
            assert_eq!(series.open.len(), op.len, "{place}");
            assert_eq!(name(series.open.header()), op.header, "{place}");
        }
        if !series.open.is_empty() {
            series.finished.push(series.open.to_chunk());
        }
        let found: Vec<_> = series.finished.iter().map(|chunk| &chunk.data[..]).collect();
        let wanted: Vec<_> = case.chunks.iter().map(|stored| bytes(&stored.bytes_hex)).collect();
        assert_eq!(found, wanted, "{} of {}", case.name, case.flavor);
        assert!(series.finished.iter().all(|chunk| chunk.encoding == encoding(is_float)));
    }
}

/// The samples that can be read, and whether the chunk ended as it promised.
fn read(chunk: &Chunk) -> (Vec<Sample>, bool) {
    let mut samples = Vec::new();
    let mut iter = HistogramIter::new(&chunk.data, chunk.encoding).unwrap();
    loop {
        match iter.next() {
            Ok(Some(sample)) => samples.push(sample),
            Ok(None) => return (samples, true),
            Err(Error::Corrupt(_)) => return (samples, false),
            Err(other) => panic!("{other}"),
        }
    }
}

fn points(chunk: &Chunk) -> (Vec<Point>, bool) {
    let (samples, sound) = read(chunk);
    (samples.into_iter().map(Point::of).collect(), sound)
}

#[test]
fn the_bytes_give_the_samples() {
    for case in cases() {
        for stored in case.chunks {
            let chunk =
                Chunk { encoding: encoding(case.flavor == "float"), data: bytes(&stored.bytes_hex).into() };
            assert_eq!(chunk.num_samples().unwrap(), stored.num_samples);
            assert_eq!(chunk.reset_header().map(name), Some(stored.header.as_str()), "{}", case.name);
            assert_eq!(points(&chunk), (stored.samples.unwrap_or_default(), true), "{}", case.name);
            let resumed = HistogramChunk::resume(&chunk).unwrap();
            assert_eq!(resumed.to_chunk(), chunk, "{}", case.name);
        }
    }
}

/// Starts, where the chunk holds them, do not depend on anything else in it, nor it on them.
#[test]
fn with_starts_everything_else_is_the_same() {
    for case in cases() {
        let is_float = case.flavor == "float";
        let mut plain = HistogramChunk::begin(false, is_float);
        let mut with = HistogramChunk::begin(true, is_float);
        let (mut samples, mut starts) = (Vec::new(), Vec::new());
        for (i, op) in case.ops.iter().filter(|op| op.op == "append").enumerate() {
            let histogram = golden::histogram(op.h.clone().unwrap());
            // The same for some samples, then another, none in between.
            let start = if i % 7 == 6 { 0 } else { op.t - op.t.rem_euclid(60_000) };
            let (a, b) = (
                plain.append(None, op.t, start, &histogram).unwrap(),
                with.append(None, op.t, start, &histogram).unwrap(),
            );
            match (a, b) {
                (Appended::Appended, Appended::Appended) | (Appended::Recoded, Appended::Recoded) => {}
                (Appended::NewChunk(a), Appended::NewChunk(b)) => {
                    assert!(same_but_starts(&plain, &with, &starts), "{}", case.name);
                    (plain, with) = (*a, *b);
                    starts.clear();
                }
                (a, b) => panic!("{}: {a:?} without starts, {b:?} with them", case.name),
            }
            starts.push(start);
            samples.push(op.t);
        }
        assert!(plain.is_empty() || same_but_starts(&plain, &with, &starts), "{}", case.name);
    }
}

fn same_but_starts(plain: &HistogramChunk, with: &HistogramChunk, starts: &[i64]) -> bool {
    let ((plain_samples, _), (mut with_samples, _)) = (read(&plain.to_chunk()), read(&with.to_chunk()));
    let found: Vec<_> = with_samples.iter_mut().map(|sample| std::mem::take(&mut sample.start)).collect();
    assert_eq!(found, starts);
    assert_eq!(with.len(), with.to_bytes().len());
    assert_eq!(HistogramChunk::resume(&with.to_chunk()).unwrap().to_bytes(), with.to_bytes());
    plain_samples == with_samples && plain.header() == with.header()
}

#[derive(Deserialize)]
struct Broken {
    name: String,
    enc: String,
    bytes_hex: String,
    good_prefix: usize,
    samples: Option<Vec<Point>>,
}

#[test]
fn damaged_streams_give_what_is_sound_and_end() {
    let mut seen = 0;
    for case in lines::<Broken>(&folder("chunks/broken.jsonl")) {
        let encoding = match case.enc.as_str() {
            "histogram" => Encoding::Histogram,
            "floathistogram" => Encoding::FloatHistogram,
            _ => continue,
        };
        let chunk = Chunk { encoding, data: bytes(&case.bytes_hex).into() };
        let samples = case.samples.unwrap_or_default();
        let (found, sound) = points(&chunk);
        assert!(found.len() >= case.good_prefix, "{}: {} samples", case.name, found.len());
        assert_eq!(found[..case.good_prefix], samples[..case.good_prefix], "{}", case.name);
        assert_eq!(HistogramChunk::resume(&chunk).is_ok(), sound);
        seen += 1;
    }
    assert!(seen > 0);
}
