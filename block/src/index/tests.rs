//! Indexes that are written, read, written in the wrong order, and damaged.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::chunk::{ChunkMeta, ChunkRef};
use crate::codec::{put_str, put_uvarint};
use crate::labels::Labels;
use crate::postings::{Postings, PostingsSource, SeriesNo};
use crate::time::TimeRange;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn chunk(min: i64, max: i64, at: u64) -> ChunkMeta {
    ChunkMeta { range: TimeRange::new(min, max), chunk_ref: ChunkRef(at) }
}

fn writer(symbols: &[&str]) -> IndexWriter<Vec<u8>> {
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    for symbol in symbols {
        writer.add_symbol(symbol.as_bytes()).unwrap();
    }
    writer
}

/// The index of two series, `up{job="a"}` and `up{job="b"}`, that `FORMAT.md` prints in full.
pub(in crate::index) fn tiny() -> Vec<u8> {
    let mut writer = writer(&["", "__name__", "a", "b", "job", "up"]);
    writer.add_series(labels(&[("__name__", "up"), ("job", "a")]).as_ref(), &[chunk(1000, 3000, 8)]).unwrap();
    writer
        .add_series(labels(&[("__name__", "up"), ("job", "b")]).as_ref(), &[chunk(1000, 3000, 29)])
        .unwrap();
    let (bytes, written) = writer.finish().unwrap();
    assert_eq!(written, WrittenIndex { size: bytes.len() as u64, series: 2, series_max_size: 16 });
    bytes
}

fn open(bytes: impl Into<Bytes>) -> Result<IndexReader, crate::Error> {
    IndexReader::open(Arc::new(bytes.into()))
}

#[test]
fn known_bytes() {
    let hex = concat!(
        "baaad70002",
        "000000190000000600085f5f6e616d655f5f01610162036a6f620275709d4add99",
        "00000000000000000000",
        "0b020105040201d00fd00f0816872d9e",
        "0b020105040301d00fd00f1d5b2bd225",
        "0000000c000000020000000300000004495848d7",
        "0000000c000000020000000300000004495848d7",
        "000000080000000100000003a7692ed2",
        "00000008000000010000000473a34a39",
        "00000027000000040200005002085f5f6e616d655f5f02757064",
        "02036a6f6201617802036a6f6201628801077743eb",
        "0000000000000005000000000000002600000000000000500000000000000098",
        "000000000000005000000000000000985bb39040",
    );
    let printed: String = tiny().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(printed, hex);
}

#[test]
fn a_wrong_order_is_an_error_at_once() {
    let up = labels(&[("__name__", "up")]);
    let mut index = writer(&["__name__", "up"]);
    assert_eq!(index.stage(), Stage::Symbols);
    assert!(index.add_symbol(b"up").is_err() && index.add_symbol(b"a").is_err());
    index.add_series(up.as_ref(), &[chunk(0, 1, 8)]).unwrap();
    assert_eq!(index.stage(), Stage::Series);
    assert!(index.add_symbol(b"z").is_err());
    assert!(index.add_series(up.as_ref(), &[chunk(0, 1, 8)]).is_err(), "the same series again");
    assert!(index.add_series(Labels::default().as_ref(), &[chunk(0, 1, 8)]).is_err(), "a smaller one");

    let two = |chunks: &[ChunkMeta]| writer(&["__name__", "up"]).add_series(up.as_ref(), chunks).is_err();
    assert!(two(&[]), "no chunk");
    assert!(two(&[chunk(5, 4, 8)]), "ends before it begins");
    assert!(two(&[chunk(0, 5, 8), chunk(5, 9, 9)]), "chunks that touch");
    assert!(two(&[chunk(0, 5, 8), chunk(6, 9, 7)]), "a reference that falls");
    assert!(!two(&[chunk(i64::MIN, 5, 8), chunk(6, i64::MAX, 8)]));
    let unknown = labels(&[("__name__", "down")]);
    let mut index = writer(&["__name__", "up"]);
    assert!(index.add_series(unknown.as_ref(), &[chunk(0, 1, 8)]).is_err());
    assert_eq!(index.stage(), Stage::Failed);
    assert!(index.finish().is_err());
}

#[test]
fn little_is_kept_of_a_series_while_writing() {
    let names: Vec<String> = (0..11).map(|i| format!("label_{i:02}")).collect();
    let values: Vec<String> = (0..20_000).map(|i| format!("value_{i:06}")).collect();
    let mut index = IndexWriter::new(Vec::new()).unwrap();
    names.iter().chain(&values).for_each(|symbol| index.add_symbol(symbol.as_bytes()).unwrap());
    for i in 0..values.len() {
        // Half the labels change seldom, the others with every series and far apart.
        let value = |k: usize| {
            &values[if k == 0 {
                i
            } else if k < 6 {
                i / 1000
            } else {
                i * 7919 * k % 20_000
            }]
        };
        let labels = Labels::from_pairs(names.iter().enumerate().map(|(k, name)| (name, value(k)))).unwrap();
        index.add_series(labels.as_ref(), &[chunk(0, 1, 8)]).unwrap();
    }
    let each = index.memory() as f64 / values.len() as f64;
    assert!(each < 60.0, "{each} bytes a series");
}

struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_index() {
    for room in [0, 10_000, 200_000] {
        let mut index = IndexWriter::new(Full(room)).unwrap();
        let values: Vec<String> = (0..40_000).map(|i| format!("{i:08}")).collect();
        values.iter().for_each(|v| index.add_symbol(v.as_bytes()).unwrap());
        index.add_symbol(b"a").unwrap();
        let mut failed = None;
        for value in &values {
            let done = index.add_series(labels(&[("a", value)]).as_ref(), &[chunk(0, 1, 8)]);
            match failed {
                None => failed = done.is_err().then_some(()),
                Some(()) => assert!(done.is_err()),
            }
        }
        assert!(index.finish().is_err());
    }
}

#[test]
fn an_empty_index_is_one() {
    let (bytes, written) = writer(&["unused"]).finish().unwrap();
    assert_eq!(written.series, 0);
    let reader = open(bytes).unwrap();
    assert_eq!(reader.all().unwrap().next(), None);
    assert_eq!(reader.label_names().unwrap().count(), 0);
}

#[test]
fn damage_is_found_and_never_panics() {
    let good = tiny();
    for at in 0..good.len() {
        for flip in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let Ok(reader) = open(bad) else { continue };
            for entry in reader.lists().flatten() {
                let _ = reader.list_at(entry.2).map(Postings::collect_all);
            }
            for no in 0..20 {
                let _ = reader.series(SeriesNo(no));
            }
        }
        assert!(open(good[..at].to_vec()).is_err());
    }
}

/// Many series, some names on all of them, some on few and far apart: runs, gaps and lists of every length.
#[test]
fn lists_of_many_series() {
    let labels_of = |i: usize| {
        let mut pairs = vec![("all".to_owned(), "same".to_owned()), ("no".to_owned(), format!("{i:05}"))];
        pairs.push(("seven".to_owned(), format!("{}", i % 7)));
        pairs.push(("slow".to_owned(), format!("{}", i / 100)));
        if i % 700 < 3 {
            pairs.push(("few".to_owned(), format!("{}", i % 2)));
        }
        if (1500..1900).contains(&i) || i == 4999 {
            pairs.push(("some".to_owned(), "here".to_owned()));
        }
        Labels::from_pairs(pairs).unwrap()
    };
    let all: Vec<_> = (0..5000).map(labels_of).collect();
    let mut sorted: Vec<_> = all.iter().collect();
    sorted.sort();
    let symbols: std::collections::BTreeSet<_> =
        all.iter().flat_map(|l| l.iter().flat_map(|(n, v)| [n, v])).collect();
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    symbols.iter().for_each(|symbol| writer.add_symbol(symbol).unwrap());
    let numbered = |text: &[u8]| symbols.iter().position(|symbol| *symbol == text).unwrap() as u32;
    let mut model = std::collections::BTreeMap::<_, Vec<_>>::new();
    for (i, labels) in sorted.iter().enumerate() {
        let chunks = [chunk(0, 1, 8 + i as u64)];
        // Text and numbers are two ways to say the same.
        let no = if i % 3 == 0 {
            let pairs: Vec<_> = labels.iter().map(|(n, v)| (numbered(n), numbered(v))).collect();
            writer.add_numbered(&pairs, &chunks).unwrap()
        } else {
            writer.add_series(labels.as_ref(), &chunks).unwrap()
        };
        model.entry((&b""[..], &b""[..])).or_default().push(no);
        for label in labels.iter() {
            model.entry(label).or_default().push(no);
        }
    }
    let reader = open(writer.finish().unwrap().0).unwrap();
    let lists: Vec<_> = reader.lists().map(Result::unwrap).collect();
    assert_eq!(lists.len(), model.len());
    for ((name, value, at), (key, numbers)) in lists.into_iter().zip(&model) {
        assert_eq!((name, value), *key);
        assert_eq!(&reader.list_at(at).unwrap().collect_all(), numbers);
    }
}

#[test]
fn numbers_that_are_no_symbols_or_not_in_order() {
    for wrong in [&[(0, 1), (0, 1)][..], &[(1, 0), (0, 1)], &[(0, 3)], &[(3, 0)]] {
        let mut index = writer(&["a", "b", "c"]);
        index.add_numbered(&[(0, 1)], &[chunk(0, 1, 8)]).unwrap();
        assert!(index.add_numbered(wrong, &[chunk(0, 1, 9)]).is_err(), "{wrong:?}");
        assert_eq!(index.stage(), Stage::Failed);
    }
    let mut index = writer(&["a", "b", "c"]);
    index.add_numbered(&[(0, 2)], &[chunk(0, 1, 8)]).unwrap();
    assert!(index.add_numbered(&[(0, 1), (1, 2)], &[chunk(0, 1, 9)]).is_err(), "a smaller one");
}

/// An index as Prometheus wrote it before version 2: symbols and series by offset, lists in any order.
pub(in crate::index) fn version_1() -> Vec<u8> {
    fn section(out: &mut Vec<u8>, body: &[u8]) {
        put_u32(out, body.len() as u32);
        out.extend_from_slice(body);
        put_u32(out, crc32c(body));
    }
    let mut out = vec![0xBA, 0xAA, 0xD7, 0x00, 1];
    let (mut body, mut symbols) = (Vec::new(), Vec::new());
    put_u32(&mut body, 4);
    for symbol in ["a", "b", "x", "y"] {
        symbols.push(5 + 4 + body.len() as u64);
        put_str(&mut body, symbol.as_bytes());
    }
    section(&mut out, &body);
    let mut toc = Toc { symbols: 5, series: out.len() as u64, ..Toc::default() };
    let mut series = Vec::new();
    for value in [symbols[2], symbols[3]] {
        series.push(out.len() as u32);
        let mut content = Vec::new();
        for number in [1, symbols[0], value, 1, 0, 5, 8] {
            put_uvarint(&mut content, number);
        }
        put_uvarint(&mut out, content.len() as u64);
        out.extend_from_slice(&content);
        put_u32(&mut out, crc32c(&content));
    }
    let mut table = Vec::new();
    put_u32(&mut table, 3);
    toc.postings = out.len() as u64;
    for (name, value, list) in [("a", "y", &series[1..]), ("", "", &series[..]), ("a", "x", &series[..1])] {
        put_uvarint(&mut table, 2);
        put_str(&mut table, name.as_bytes());
        put_str(&mut table, value.as_bytes());
        put_uvarint(&mut table, out.len() as u64);
        let mut body = Vec::new();
        put_u32(&mut body, list.len() as u32);
        list.iter().for_each(|&no| put_u32(&mut body, no));
        section(&mut out, &body);
    }
    toc.postings_table = out.len() as u64;
    section(&mut out, &table);
    toc.put(&mut out);
    out
}

#[test]
fn version_1_is_read_and_version_3_as_2() {
    let reader = open(version_1()).unwrap();
    assert_eq!(reader.label_values(b"a").unwrap(), [b"x", b"y"]);
    let both = reader.all().unwrap().collect_all();
    assert_eq!(reader.list(b"a", b"y").unwrap().unwrap().collect_all(), both[1..]);
    assert_eq!(reader.lists_where(b"a", b"x", &mut |_| true).unwrap().len(), 1);
    let series = reader.series(both[1]).unwrap();
    assert_eq!((series.labels, series.chunks), (labels(&[("a", "y")]), vec![chunk(0, 5, 8)]));

    let mut bytes = tiny();
    bytes[4] = 3;
    assert_eq!(open(bytes.clone()).unwrap().all().unwrap().collect_all().len(), 2);
    bytes[4] = 4;
    assert!(open(bytes).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        series in proptest::collection::btree_map(
            proptest::collection::btree_map("[a-c]{1,2}", "[a-d]{1,3}", 0..4),
            proptest::collection::vec((0i64..100, 0i64..100, 0u64..1000), 1..4), 0..120),
    ) {
        let mut sorted: Vec<_> = series
            .iter()
            .map(|(pairs, chunks)| (Labels::from_pairs(pairs).unwrap(), chunks))
            .collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let symbols: std::collections::BTreeSet<Vec<u8>> =
            sorted.iter().flat_map(|(l, _)| l.iter().flat_map(|(n, v)| [n.to_vec(), v.to_vec()]).collect::<Vec<_>>()).collect();
        let mut writer = IndexWriter::new(Vec::new()).unwrap();
        symbols.iter().for_each(|symbol| writer.add_symbol(symbol).unwrap());
        let (mut at, mut expected) = (8, Vec::new());
        for (labels, gaps) in &sorted {
            let mut t = -50;
            let mut metas = Vec::new();
            for &(gap, length, size) in *gaps {
                metas.push(chunk(t + gap, t + gap + length, at));
                (t, at) = (t + gap + length + 1, at + size);
            }
            let no = writer.add_series(labels.as_ref(), &metas).unwrap();
            expected.push((no, labels.clone(), metas));
        }
        let reader = open(writer.finish().unwrap().0).unwrap();
        prop_assert_eq!(reader.all().unwrap().collect_all(), expected.iter().map(|e| e.0).collect::<Vec<_>>());
        for (no, labels, metas) in &expected {
            let series = reader.series(*no).unwrap();
            prop_assert_eq!(&series.labels, labels);
            prop_assert_eq!(&series.chunks, metas);
        }
        for (name, value, offset) in reader.lists().map(Result::unwrap).skip(1) {
            let list = reader.list_at(offset).unwrap().collect_all();
            let model: Vec<_> = expected.iter().filter(|e| e.1.get(name) == Some(value)).map(|e| e.0).collect();
            prop_assert_eq!(&list, &model);
            prop_assert_eq!(reader.list(name, value).unwrap().unwrap().collect_all(), model);
        }
        for name in reader.label_names().unwrap() {
            let values: std::collections::BTreeSet<_> = expected.iter().filter_map(|e| e.1.get(name)).collect();
            prop_assert_eq!(reader.label_values(name).unwrap(), values.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn damaged_bytes_never_panic(at in 0usize..300, with in any::<[u8; 4]>()) {
        let mut bytes = tiny();
        for (i, byte) in with.iter().enumerate() {
            let len = bytes.len();
            bytes[(at + i) % len] = *byte;
        }
        if let Ok(reader) = open(bytes) {
            let _ = reader.all().map(Postings::collect_all);
        }
    }
}
