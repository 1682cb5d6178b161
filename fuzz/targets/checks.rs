//! Any bytes as the side object of a block. What is read can be written, reads the same, and judges files without a panic.

#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sarsen_block::{Checks, Source};

fuzz_target!(|data: &[u8]| {
    let Ok(checks) = Checks::parse(data) else { return };
    let text = checks.to_bytes();
    let again = Checks::parse(&text).expect("what we write, we read");
    assert_eq!(again, checks);
    assert_eq!(again.to_bytes(), text);
    let file = Bytes::copy_from_slice(data);
    let segments = vec![Arc::new(file.clone()) as Arc<dyn Source>; 2];
    checks.verify(&file, &segments).expect("memory can be read");
});
