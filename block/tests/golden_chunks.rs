//! XOR chunks are Prometheus' chunks: its samples give its bytes, its bytes give its samples, also when the appender is
//! thrown away and made anew half way, and its damaged streams end without harm. For histogram chunks see
//! `golden_histograms.rs`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use golden::{Point, bytes, folder, lines};
use sarsen_block::{Chunk, Error, XorAppender, XorIter};
use serde::Deserialize;

#[derive(Deserialize)]
struct XorCase {
    name: String,
    samples: Option<Vec<Point>>,
    bytes_hex: String,
    num_samples: u16,
    #[serde(default)]
    reopen_after: Vec<usize>,
}

#[test]
fn samples_give_the_bytes_and_bytes_give_the_samples() {
    for case in lines::<XorCase>(&folder("chunks/xor.jsonl")) {
        let (expected, samples) = (bytes(&case.bytes_hex), case.samples.unwrap_or_default());
        let (mut appender, mut body) = (XorAppender::new(), Vec::new());
        for (i, sample) in samples.iter().enumerate() {
            if case.reopen_after.contains(&i) {
                (appender, body) = XorAppender::resume(&appender.finish(&body)).unwrap();
            }
            assert!(
                appender.append(&mut body, sample.t, f64::from_bits(sample.bits.unwrap())),
                "{}",
                case.name
            );
        }
        let written = appender.finish(&body);
        assert_eq!(written, expected, "{}", case.name);
        assert_eq!(appender.byte_len(body.len()), expected.len(), "{}", case.name);

        let chunk = Chunk::xor(expected);
        assert_eq!(chunk.num_samples().unwrap(), case.num_samples, "{}", case.name);
        assert_eq!(read(&chunk.data), (samples, true), "{}", case.name);
    }
}

/// The samples that can be read, and whether the chunk ended as it promised.
fn read(chunk: &[u8]) -> (Vec<Point>, bool) {
    let mut samples = Vec::new();
    let mut iter = XorIter::new(chunk).unwrap();
    loop {
        match iter.next() {
            Ok(Some((t, v))) => samples.push(Point::float(t, v)),
            Ok(None) => return (samples, true),
            Err(Error::Corrupt(_)) => return (samples, false),
            Err(other) => panic!("{other}"),
        }
    }
}

#[derive(Deserialize)]
struct BrokenCase {
    name: String,
    enc: String,
    bytes_hex: String,
    good_prefix: usize,
    samples: Option<Vec<Point>>,
}

#[test]
fn damaged_streams_give_what_is_sound_and_end() {
    for case in lines::<BrokenCase>(&folder("chunks/broken.jsonl")) {
        if case.enc != "XOR" {
            continue;
        }
        let samples = case.samples.unwrap_or_default();
        let (found, _) = read(&bytes(&case.bytes_hex));
        assert!(found.len() >= case.good_prefix, "{}: {} samples", case.name, found.len());
        assert_eq!(found[..case.good_prefix], samples[..case.good_prefix], "{}", case.name);
    }
}
