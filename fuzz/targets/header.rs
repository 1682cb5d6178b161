//! Any bytes as a header of an index, and any index as the ranges that a header is made from: nothing panics, and a header that could
//! be made says what the index says. Bytes are tried as they are and with their checksums made right.

#![no_main]

mod sums;

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sarsen_block::{
    HeaderBuilder, IndexHeader, IndexReader, ListRun, Listed, Lists, MatchOp, Matcher, Postings, PostingsSource,
    SeriesNo, select_postings,
};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(header) = IndexHeader::open(Arc::new(bytes.clone())) {
        ask(&header);
    }
    compare(&bytes);
    let mut mended = data.to_vec();
    if sums::make_right(&mut mended).is_some() {
        compare(&Bytes::from(mended));
    }
});

/// Everything that a header can be asked.
fn ask(header: &IndexHeader) {
    let names: Vec<Vec<u8>> = header.label_names().map(<[u8]>::to_vec).collect();
    for name in names {
        let mut values = Vec::new();
        let _ = header.label_values(&name, b"", &mut |value| {
            values.push(value.to_vec());
            values.len() < 1000
        });
        for matcher in matchers(&name, values.last().map_or(&[][..], Vec::as_slice)) {
            let _ = header.lists_of(&matcher);
        }
    }
    let _ = (header.all_series(), header.num_series(), header.memory(), header.series_end());
}

fn matchers(name: &[u8], value: &[u8]) -> Vec<Matcher> {
    let plain = [MatchOp::Equal, MatchOp::NotEqual].map(|op| (op, value.to_vec()));
    let expressions = [MatchOp::Regex, MatchOp::NotRegex]
        .into_iter()
        .flat_map(|op| [".*", ".+", "", "a.*", "a|b", "[a-m]+"].map(|text| (op, text.as_bytes().to_vec())));
    plain.into_iter().chain(expressions).filter_map(|(op, value)| Matcher::new(op, name, value).ok()).collect()
}

/// Makes a header of an index as a gateway does.
fn made(index: &Bytes) -> Option<IndexHeader> {
    let mut builder = HeaderBuilder::new(index.len() as u64).ok()?;
    for _ in 0..8 {
        let wanted = builder.wanted();
        if wanted.is_empty() {
            let mut out = Vec::new();
            builder.write(&mut out).ok()?;
            return Some(IndexHeader::open(Arc::new(Bytes::from(out))).expect("what we write, we read"));
        }
        for range in wanted {
            assert!(range.start < range.end && range.end <= index.len() as u64, "{range:?} of {}", index.len());
            let piece = index.slice(range.start as usize..range.end as usize);
            builder.give(range.start, piece).ok()?;
        }
    }
    unreachable!("it asks for ever");
}

/// The numbers in lists that lie in the index; nothing if one is damaged.
fn numbers(index: &IndexReader, bytes: &Bytes, lists: &Lists) -> Option<Vec<SeriesNo>> {
    let mut all = Vec::new();
    for ListRun { range, lists } in &lists.runs {
        let mut at = range.start;
        for _ in 0..*lists {
            all.extend(index.list_at(at).ok()?.collect_all());
            let length = bytes.get(usize::try_from(at).ok()?..)?.first_chunk()?;
            at += u64::from(u32::from_be_bytes(*length)) + 8;
        }
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

fn compare(bytes: &Bytes) {
    let header = made(bytes);
    let Ok(index) = IndexReader::open(Arc::new(bytes.clone())) else { return };
    let Some(header) = header else { return };
    let (Ok(names), Ok(all)) = (index.label_names(), index.all()) else { return };
    let (names, all): (Vec<&[u8]>, _) = (names.collect(), all.collect_all());
    ask(&header);
    // An index that says of itself what is not so says other things each time it is asked in another way.
    let sound = index.lists().all(|entry| entry.is_ok_and(|(_, _, list)| index.list_at(list).is_ok()))
        && all.iter().all(|no| index.series(*no).is_ok());
    if !sound {
        return;
    }
    assert_eq!(header.label_names().collect::<Vec<_>>(), names);
    for name in names {
        let mut found = Vec::new();
        let walked = header.label_values(name, b"", &mut |value| {
            found.push(value.to_vec());
            true
        });
        let Ok(values) = index.label_values(name) else { continue };
        walked.expect("it was just written");
        let values: Vec<Vec<u8>> = values.into_iter().map(|value| value.to_vec()).collect();
        assert_eq!(found, values);
        for matcher in matchers(name, values.first().map_or(&[][..], Vec::as_slice)) {
            let Ok(Listed::Union(lists)) = header.lists_of(&matcher) else { continue };
            let (Some(found), Ok(expected)) =
                (numbers(&index, bytes, &lists), select_postings(&[matcher], &index))
            else {
                continue;
            };
            assert!(expected.iter().all(|no| found.contains(no)), "{expected:?} are not all in {found:?}");
        }
    }
}
