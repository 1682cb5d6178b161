//! What the public door does not show: the two ranges, and any bytes at all.

use proptest::prelude::*;

use super::*;

#[test]
fn half_open_in_the_file_closed_elsewhere() {
    let meta = BlockMeta::fresh(BlockId::from_parts(1, 2), TimeRange::new(10, 19), BlockStats::default());
    assert_eq!((meta.min_time, meta.max_time), (10, 20));
    assert_eq!(meta.range(), TimeRange::new(10, 19));
    assert_eq!(BlockMeta::parse(&meta.to_bytes()).unwrap(), meta);
    assert!(BlockMeta { min_time: 0, max_time: i64::MIN, ..meta }.range().is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in "\\{\"version\":1(,\"(ulid|stats|thanos|minTime)\":[0-9{}\"a]{0,9}){0,4}\\}") {
        if let Ok(meta) = BlockMeta::parse(bytes.as_bytes()) {
            prop_assert_eq!(BlockMeta::parse(&meta.to_bytes()).unwrap(), meta);
        }
    }
}
