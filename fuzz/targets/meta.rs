//! Any bytes as a small file: a meta, tombstones, JSON. What is read can be written, and reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sarsen_block::{BlockMeta, Tombstones, json::Json};

fuzz_target!(|data: &[u8]| {
    if let Ok(meta) = BlockMeta::parse(data) {
        let text = meta.to_bytes();
        let again = BlockMeta::parse(&text).expect("what we write, we read");
        assert_eq!(again, meta);
        assert_eq!(again.to_bytes(), text);
    }
    if let Ok(json) = Json::parse("fuzz", data) {
        assert_eq!(Json::parse("fuzz", json.compact().as_bytes()).expect("what we write, we read"), json);
        assert_eq!(Json::parse("fuzz", json.tabbed().as_bytes()).expect("what we write, we read"), json);
    }
    if let Ok(stones) = Tombstones::decode(data) {
        assert_eq!(Tombstones::decode(&stones.to_bytes()).expect("what we write, we read"), stones);
    }
});
