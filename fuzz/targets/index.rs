//! Any bytes as an index: opened, walked, verified and read to the last chunk, or refused; never a panic. What can be read
//! in full and is in order can be written, and the result says the same. Bytes are tried as they are and with their checksums
//! made right, because a fuzzer does not guess checksums.

#![no_main]

mod sums;

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sarsen_block::{
    Block, BlockMeta, ChunkSet, IndexReader, IndexWriter, Matcher, Postings, PostingsSource, TimeRange,
    Tombstones, select_postings, verify,
};

fuzz_target!(|data: &[u8]| {
    read(data);
    let mut bytes = data.to_vec();
    if sums::make_right(&mut bytes).is_some() {
        read(&bytes);
    }
});

/// As a block without chunk files.
fn whole(index: Bytes) {
    let meta = BlockMeta { min_time: i64::MIN, max_time: i64::MAX, ..BlockMeta::default() };
    let Ok(block) = Block::open(Arc::new(index), Vec::new(), meta, Tombstones::default()) else { return };
    let _ = verify(&block);
    if let Ok(mut set) = block.select(&[], TimeRange::ALL) {
        while let Ok(Some(_)) = set.next() {}
    }
}

fn read(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    whole(bytes.clone());
    let Ok(index) = IndexReader::open(Arc::new(bytes)) else { return };
    for (name, value, offset) in index.lists().flatten() {
        let _ = index.list_at(offset).map(Postings::collect_all);
        let _ = index.list(name, value).map(|list| list.map(Postings::collect_all));
        let _ = select_postings(&[Matcher::equal(name, value)], &index);
    }
    for name in index.label_names().expect("it was read") {
        let _ = index.label_values(name);
    }
    let Ok(all) = index.all() else { return };
    let series: Vec<_> = all.collect_all().into_iter().map_while(|no| index.series(no).ok()).collect();
    let Ok(mut writer) = IndexWriter::new(Vec::new()) else { return };
    let symbols = index.symbols().flatten().try_for_each(|symbol| writer.add_symbol(symbol));
    let written = symbols.is_ok()
        && series.iter().all(|series| writer.add_series(series.labels.as_ref(), &series.chunks).is_ok());
    if !written {
        return;
    }
    let (bytes, _) = writer.finish().expect("memory takes everything");
    let again = IndexReader::open(Arc::new(Bytes::from(bytes))).expect("what we write, we read");
    let numbers = again.all().expect("there is a list of all series").collect_all();
    assert_eq!(numbers.len(), series.len());
    for (no, series) in numbers.into_iter().zip(&series) {
        assert_eq!(again.series(no).expect("what we write, we read"), *series);
    }
}
