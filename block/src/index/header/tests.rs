//! Headers against the indexes that they were made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::chunk::{ChunkMeta, ChunkRef};
use crate::index::{IndexReader, IndexWriter, read_series_entry};
use crate::labels::{Labels, MatchOp, Matcher};
use crate::postings::{EncodedWalk, join_postings, select_postings};
use crate::time::TimeRange;

/// An index of `series`, each with one chunk.
pub(in crate::index) fn index_of(series: &BTreeSet<Labels>) -> Bytes {
    let symbols: BTreeSet<&[u8]> = series.iter().flat_map(Labels::iter).flat_map(|(n, v)| [n, v]).collect();
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    symbols.iter().for_each(|symbol| writer.add_symbol(symbol).unwrap());
    for (at, labels) in (8..).zip(series) {
        let chunk = ChunkMeta { range: TimeRange::new(0, 1), chunk_ref: ChunkRef(at) };
        writer.add_series(labels.as_ref(), &[chunk]).unwrap();
    }
    writer.finish().unwrap().0.into()
}

fn header_bytes(index: &Bytes) -> Result<Vec<u8>, Error> {
    let mut builder = HeaderBuilder::new(index.len() as u64)?;
    for _ in 0..3 {
        for range in builder.wanted() {
            let part = index.slice(range.start as usize..range.end as usize);
            builder.give(range.start, part)?;
        }
    }
    let mut out = Vec::new();
    builder.write(&mut out)?;
    Ok(out)
}

fn header(index: &Bytes) -> IndexHeader {
    IndexHeader::open(Arc::new(Bytes::from(header_bytes(index).unwrap()))).unwrap()
}

fn walks(index: &Bytes, lists: &Lists) -> Vec<EncodedWalk> {
    let read = |run: &ListRun| {
        let bytes = index.slice(run.range.start as usize..run.range.end as usize);
        EncodedWalk::read_run(&bytes, run.range.start, run.lists).unwrap()
    };
    let walks: Vec<_> = lists.runs.iter().flat_map(read).collect();
    let numbers: usize = walks.iter().map(crate::postings::Postings::len_hint).sum();
    assert_eq!(numbers as u64, lists.numbers);
    walks
}

/// What a gateway makes of the header's answers and the lists.
fn selected(index: &Bytes, header: &IndexHeader, matchers: &[Matcher]) -> Result<Vec<SeriesNo>, Error> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for matcher in matchers {
        match header.lists_of(matcher)? {
            Listed::Every => {}
            Listed::None => return Ok(Vec::new()),
            Listed::Union(lists) => wanted.push(walks(index, &lists)),
            Listed::Without(lists) => unwanted.extend(walks(index, &lists)),
        }
    }
    if wanted.is_empty() {
        wanted.push(walks(index, &header.all_series()));
    }
    Ok(join_postings(wanted, unwanted))
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let value = prop_oneof![
        Just("".to_owned()),
        Just(".+".to_owned()),
        Just(".*".to_owned()),
        "[12]{1,3}",
        "[12]{1,3}\\.\\*",
        "[12]{1,3}\\.\\+",
        "[12]{1,2}\\|[12]{1,2}",
        "\\|[12]{1,2}",
        "\\.\\*[12]",
        "[12]\\.\\*[12]",
        "[12]{1,2}\\.\\{2,\\}",
        Just("[12]+".to_owned()),
    ];
    (op, prop_oneof![Just("a"), Just("b"), Just("most"), Just("none")], value)
        .prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

fn series() -> impl Strategy<Value = BTreeSet<Labels>> {
    let one = ("[12]{0,7}", "[12]{0,3}", "[12]{0,1}");
    let labels = |(a, b, most): (String, String, String)| {
        let most = if a.len() > 5 { most } else { "always".to_owned() };
        Labels::from_pairs([("a", a), ("b", b), ("most", most), ("__name__", "up".to_owned())]).unwrap()
    };
    prop_oneof![
        3 => prop::collection::btree_set(one.prop_map(labels), 0..12),
        1 => prop::collection::btree_set(one.prop_map(labels), 150..400),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_header_answers_as_its_index(
        series in series(),
        matchers in prop::collection::vec(prop::collection::vec(matcher(), 0..4), 1..12),
    ) {
        let index = index_of(&series);
        let (header, reader) = (header(&index), IndexReader::open(Arc::new(index.clone())).unwrap());
        prop_assert_eq!(header.num_series(), series.len() as u64);
        prop_assert_eq!(header.index_size(), index.len() as u64);
        let names: Vec<&[u8]> = header.label_names().collect();
        prop_assert_eq!(&names, &reader.label_names().unwrap().collect::<Vec<_>>());
        for name in names.into_iter().chain([&b"none"[..], b""]) {
            let expected = reader.label_values(name).unwrap();
            prop_assert_eq!(header.num_values(name), expected.len() as u64);
            for least in [&b""[..], b"1", b"12", b"2221", b"3", b"up"] {
                let mut values: Vec<Vec<u8>> = Vec::new();
                header.label_values(name, least, &mut |value| { values.push(value.to_vec()); true }).unwrap();
                prop_assert_eq!(values, expected.iter().filter(|v| **v >= least).map(|v| v.to_vec()).collect::<Vec<_>>());
            }
        }
        for matchers in &matchers {
            let expected = select_postings(matchers, &reader).unwrap();
            prop_assert_eq!(selected(&index, &header, matchers).unwrap(), expected, "{:?}", matchers);
        }
    }

    #[test]
    fn entries_and_symbols_are_those_of_the_index(series in series()) {
        let index = index_of(&series);
        let header = header(&index);
        let (mut texts, mut wanted, mut entries) = (SymbolTexts::default(), Vec::new(), Vec::new());
        for no in selected(&index, &header, &[]).unwrap() {
            let at = header.series_offset(no);
            let (mut labels, mut chunks) = (Vec::new(), Vec::new());
            read_series_entry(&index[at as usize..header.series_end() as usize], at, &mut labels, &mut chunks).unwrap();
            wanted.extend(&labels);
            // In pieces, so that later ones find texts of earlier ones.
            if wanted.len() > 100 {
                header.look_up(&mut wanted, &mut texts).unwrap();
            }
            entries.push((labels, chunks));
        }
        header.look_up(&mut wanted, &mut texts).unwrap();
        for (expected, (labels, chunks)) in series.iter().zip(&entries) {
            let pairs: Vec<_> = labels.chunks(2).map(|pair| (texts.get(pair[0]).unwrap(), texts.get(pair[1]).unwrap())).collect();
            prop_assert_eq!(pairs, expected.iter().collect::<Vec<_>>());
            prop_assert_eq!(chunks.len(), 1);
        }
        prop_assert_eq!(entries.len(), series.len());
        prop_assert!(header.look_up(&mut vec![u32::MAX], &mut texts).is_err());
    }

    #[test]
    fn a_damaged_header_is_an_error_or_tells_the_truth(
        series in series(), at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>(), matcher in matcher(),
    ) {
        let index = index_of(&series);
        let mut bytes = header_bytes(&index).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        let expected = header(&index);
        if let Ok(damaged) = IndexHeader::open(Arc::new(Bytes::from(bytes))) {
            prop_assert!(!cut);
            if let Ok(lists) = damaged.lists_of(&matcher) {
                prop_assert_eq!(lists, expected.lists_of(&matcher).unwrap());
            }
            let mut texts = SymbolTexts::default();
            if damaged.look_up(&mut vec![0], &mut texts).is_ok() {
                let mut right = SymbolTexts::default();
                expected.look_up(&mut vec![0], &mut right).unwrap();
                prop_assert_eq!(texts.get(0), right.get(0));
            }
        }
    }

    #[test]
    fn a_damaged_index_gives_no_header_or_the_right_one(
        series in series(), at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let index = index_of(&series);
        let mut bytes = index.to_vec();
        bytes[at.index(index.len())] ^= flip;
        if let Ok(found) = header_bytes(&Bytes::from(bytes)) {
            // Entries and lists are no part of a header.
            prop_assert_eq!(found, header_bytes(&index).unwrap());
        }
    }
}

#[test]
fn what_can_be_said_of_all_values_reads_no_page() {
    let series = (0..5000).map(|i| {
        let pod = if i % 2 == 0 { format!("pod-{i:05}") } else { String::new() };
        Labels::from_pairs([("__name__", "up".to_owned()), ("pod", pod), ("n", i.to_string())]).unwrap()
    });
    let index = index_of(&series.collect());
    let bytes = header_bytes(&index).unwrap();
    assert!(bytes.len() < index.len() / 2);
    let header = header(&index);
    let ask = |op, name, value| header.lists_of(&Matcher::new(op, name, value).unwrap()).unwrap();
    for (op, value) in [(MatchOp::NotEqual, ""), (MatchOp::Regex, ".+"), (MatchOp::NotRegex, "")] {
        assert_eq!(ask(op, "n", value), Listed::Every, "every series has the label");
        let Listed::Union(lists) = ask(op, "pod", value) else { panic!("half of the series have it") };
        assert_eq!((lists.runs.len(), lists.runs[0].lists, lists.numbers), (1, 2500, 2500));
    }
    assert_eq!(ask(MatchOp::Equal, "n", ""), Listed::None);
    assert!(matches!(ask(MatchOp::Equal, "pod", ""), Listed::Without(lists) if lists.numbers == 2500));
    let Listed::Union(lists) = ask(MatchOp::Regex, "pod", "pod-01.*") else { panic!("some pods") };
    assert_eq!((lists.runs.len(), lists.numbers), (1, 500));
    let Listed::Without(lists) = ask(MatchOp::NotRegex, "pod", "pod-01.+") else { panic!("some pods") };
    assert_eq!((lists.runs.len(), lists.numbers), (1, 500));
    assert!(header.memory() < 4000, "{} bytes", header.memory());
}

#[test]
fn known_bytes() {
    let index = Bytes::from(crate::index::tests::tiny());
    let hex = concat!(
        "5349584801",
        "00085f5f6e616d655f5f01610162036a6f62027570833113c1",
        "50000014dd61f56d",
        "640275700014accaeeee",
        "78016100100162001000ece734fb",
        "0102000000000000000500000000000000260000000000000050000000000000009800000000000000500000000000000098",
        "060501191e03080a0d",
        "030001025014085f5f6e616d655f5f01026414036a6f6202027820",
        "0000000000000057b8fd4407",
    );
    let printed: String = header_bytes(&index).unwrap().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(printed, hex);
}

#[test]
fn version_1_has_lists_in_any_order() {
    let index = Bytes::from(crate::index::tests::version_1());
    let (header, reader) = (header(&index), IndexReader::open(Arc::new(index.clone())).unwrap());
    for (op, value) in
        [(MatchOp::Equal, "y"), (MatchOp::Regex, ".*y"), (MatchOp::NotEqual, "x"), (MatchOp::NotEqual, "")]
    {
        let matcher = [Matcher::new(op, "a", value).unwrap()];
        let expected = select_postings(&matcher, &reader).unwrap();
        assert_eq!(selected(&index, &header, &matcher).unwrap(), expected, "{matcher:?}");
        assert!(!expected.is_empty());
    }
    let both = selected(&index, &header, &[]).unwrap();
    let at = header.series_offset(both[1]);
    let (mut labels, mut texts) = (Vec::new(), SymbolTexts::default());
    read_series_entry(&index[at as usize..], at, &mut labels, &mut Vec::new()).unwrap();
    header.look_up(&mut labels.clone(), &mut texts).unwrap();
    assert_eq!(labels.iter().map(|&number| texts.get(number).unwrap()).collect::<Vec<_>>(), [b"a", b"y"]);
    assert!(header.look_up(&mut vec![3], &mut texts).is_err());
    assert!(header.look_up(&mut vec![labels[0] + 1], &mut texts).is_err());
}
