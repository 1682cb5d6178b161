//! Any bytes as a snappy or S2 block and as a remote write message: nothing panics, limits hold, and what counts as the byte
//! form of a label set is one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sarsen_block::LabelsRef;
use sarsen_server::wire::remote_write::{DecodeError, Scratch, WireLabels, decode};
use sarsen_server::wire::snappy::decompress;

const LIMIT: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    message(data);
    let mut buffer = Vec::new();
    if let Ok(plain) = decompress(data, LIMIT, &mut buffer) {
        assert!(plain.len() <= LIMIT);
        message(plain);
    }
    let packed = snap::raw::Encoder::new().compress_vec(data).expect("a short text can be packed");
    let mut buffer = vec![0xAA; 100];
    assert_eq!(decompress(&packed, data.len(), &mut buffer), Ok(data));
});

fn message(bytes: &[u8]) {
    let mut scratch = Scratch::default();
    let request = match decode(bytes, 1 << 20, &mut scratch) {
        Ok(request) => request,
        Err(DecodeError::Proto(fault)) => {
            assert!(fault.offset <= bytes.len());
            return;
        }
        Err(DecodeError::TooLarge) => return,
    };
    let counts = request.counts();
    let mut samples = 0;
    for series in request.series() {
        samples += series.samples.len() as u64;
        match series.labels {
            WireLabels::Canonical(labels) => {
                assert!(!labels.is_empty());
                LabelsRef::decode(labels.as_bytes()).expect("the byte form of a label set");
            }
            WireLabels::Loose(pairs) => assert!(pairs.count() <= bytes.len()),
        }
    }
    assert_eq!((request.series().len() as u64, samples), (counts.series, counts.samples));
}
