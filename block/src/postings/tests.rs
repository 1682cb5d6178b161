//! Walks and their set operations against sets of the standard library.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::codec::{crc32c, put_u32};

fn encode(set: &BTreeSet<u32>) -> Bytes {
    let mut out = Vec::new();
    put_u32(&mut out, 4 + 4 * set.len() as u32);
    put_u32(&mut out, set.len() as u32);
    for &no in set {
        put_u32(&mut out, no);
    }
    let crc = crc32c(&out[4..]);
    put_u32(&mut out, crc);
    out.into()
}

fn walk(set: &BTreeSet<u32>) -> Box<dyn Postings> {
    if set.len().is_multiple_of(2) {
        Box::new(decode_postings(&encode(set), 0).unwrap())
    } else {
        Box::new(ListWalk::new(set.iter().map(|&no| SeriesNo(no)).collect::<Vec<_>>()))
    }
}

/// What a walk must do, on a set: the steps are `None` for next, `Some` for seek.
fn check(mut walk: impl Postings, model: &BTreeSet<u32>, steps: &[Option<u32>]) {
    let mut stands: Option<u32> = None;
    let mut ended = false;
    for step in steps {
        let (got, want) = match *step {
            None => {
                let from = stands.map_or(Some(0), |no| no.checked_add(1));
                (walk.next(), from.and_then(|from| model.range(from..).next().copied()))
            }
            Some(least) => {
                let from = least.max(stands.unwrap_or(0));
                (walk.seek(SeriesNo(least)), model.range(from..).next().copied())
            }
        };
        let want = if ended { None } else { want };
        assert_eq!(got.map(|no| no.0), want);
        ended |= want.is_none();
        stands = want;
    }
}

fn sets() -> impl Strategy<Value = BTreeSet<u32>> {
    prop_oneof![
        proptest::collection::btree_set(0u32..60, 0..40),
        proptest::collection::btree_set(0u32..5000, 0..300),
        proptest::collection::btree_set(u32::MAX - 20..=u32::MAX, 0..8),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Option<u32>>> {
    let step = prop_oneof![
        3 => Just(None),
        2 => (0u32..80).prop_map(Some),
        2 => (0u32..5000).prop_map(Some),
        1 => (u32::MAX - 20..=u32::MAX).prop_map(Some),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn one_list(set in sets(), steps in steps()) {
        check(walk(&set), &set, &steps);
        let all: Vec<u32> = walk(&set).collect_all().iter().map(|no| no.0).collect();
        prop_assert_eq!(all, set.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn intersection(all in proptest::collection::vec(sets(), 1..5), steps in steps()) {
        let model = all.iter().skip(1).fold(all[0].clone(), |a, b| &a & b);
        check(Intersection::new(all.iter().map(walk).collect()), &model, &steps);
    }

    #[test]
    fn union(all in proptest::collection::vec(sets(), 0..6), steps in steps()) {
        let model = all.iter().fold(BTreeSet::new(), |a, b| &a | b);
        check(Union::new(all.iter().map(walk).collect()), &model, &steps);
    }

    #[test]
    fn difference(from in sets(), without in sets(), steps in steps()) {
        check(Difference::new(walk(&from), walk(&without)), &(&from - &without), &steps);
    }

    #[test]
    fn nested(a in sets(), b in sets(), c in sets(), steps in steps()) {
        let either = Union::new(vec![walk(&a), walk(&b)]);
        check(Difference::new(either, walk(&c)), &(&(&a | &b) - &c), &steps);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(walk) = decode_postings(&Bytes::from(bytes), 0) {
            walk.collect_all();
        }
    }
}

#[test]
fn no_input_gives_nothing() {
    assert_eq!(Intersection::<EncodedWalk>::new(vec![]).next(), None);
    assert_eq!(Union::<EncodedWalk>::new(vec![]).seek(SeriesNo(0)), None);
    assert_eq!(EncodedWalk::empty().next(), None);
}

#[test]
fn a_damaged_list_is_refused() {
    let good = encode(&BTreeSet::from([1, 7, 9]));
    assert!(decode_postings(&good, 0).is_ok());
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        assert!(decode_postings(&Bytes::from(bad), 0).is_err(), "byte {at}");
    }
    assert!(decode_postings(&good.slice(..good.len() - 1), 0).is_err());
}
