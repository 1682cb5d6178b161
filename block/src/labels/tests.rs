//! The label set against a sorted map, its faults, and its hash.

use proptest::prelude::*;
use std::collections::BTreeMap;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

#[test]
fn a_part_of_a_set_is_a_set() {
    let all = Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]).unwrap();
    let kept = all.as_ref().keeping(|name| name != b"b");
    assert_eq!(kept, Labels::from_pairs([("a", "1"), ("c", "3")]).unwrap());
    assert_eq!((all.as_ref().keeping(|_| true), all.as_ref().keeping(|_| false)), (all, Labels::default()));
}

#[test]
fn the_byte_form_is_that_of_remote_write() {
    let set = labels(&[("job", "x"), ("a", "1")]);
    let mut expected = vec![0x0A, 6, 0x0A, 1, b'a', 0x12, 1, b'1'];
    expected.extend([0x0A, 8, 0x0A, 3, b'j', b'o', b'b', 0x12, 1, b'x']);
    assert_eq!(set.as_ref().as_bytes(), expected);
    assert_eq!(set.get(b"job"), Some(&b"x"[..]));
    assert_eq!(set.get(b"b"), None);
}

#[test]
fn order_is_pairwise_and_not_that_of_the_text() {
    let (a, b, c) = (labels(&[("a", "b")]), labels(&[("a", "b"), ("c", "d")]), labels(&[("a", "ba")]));
    assert!(a < b && b < c);
}

#[test]
fn faults_are_refused() {
    assert!(Labels::from_pairs([("a", "1"), ("a", "2")]).is_err());
    assert!(Labels::from_pairs([("", "1")]).is_err());
    assert!(Labels::from_pairs([("a", "")]).unwrap().as_ref().is_empty());
    // A length in two bytes where one is enough would give one set two hashes.
    assert!(LabelsRef::decode(&[0x0A, 0x86, 0x00, 0x0A, 1, b'a', 0x12, 1, b'1']).is_err());
    assert!(LabelsRef::decode(&[0x0A, 6, 0x12, 1, b'1', 0x0A, 1, b'a']).is_err());
    assert!(LabelsRef::decode(&[0x0A, 6, 0x0A, 1, b'a', 0x12, 1]).is_err());
}

#[test]
fn hash_depends_on_secret_and_bytes() {
    let (one, two) = (SeriesHasher::new([1, 2, 3, 4]), SeriesHasher::new([1, 2, 3, 5]));
    let set = labels(&[("a", "1")]);
    assert_eq!(one.hash(set.as_ref()), one.clone().hash(set.as_ref()));
    assert_ne!(one.hash(set.as_ref()), two.hash(set.as_ref()));
    assert_ne!(one.hash(set.as_ref()), one.hash(labels(&[("a", "2")]).as_ref()));
}

proptest! {
    #[test]
    fn a_set_is_a_sorted_map(map in prop::collection::btree_map(
        prop::collection::vec(any::<u8>(), 1..200), prop::collection::vec(any::<u8>(), 1..200), 0..12))
    {
        let reversed: Vec<_> = map.iter().rev().collect();
        let set = Labels::from_pairs(reversed).unwrap();
        let read: BTreeMap<Vec<u8>, Vec<u8>> = set.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        prop_assert_eq!(&read, &map);
        prop_assert_eq!(set.as_ref().count(), map.len());
        prop_assert_eq!(&Labels::decode(set.as_ref().as_bytes()).unwrap(), &set);
    }

    #[test]
    fn decoding_never_panics_and_what_decodes_is_canonical(bytes in any::<Vec<u8>>()) {
        if let Ok(set) = LabelsRef::decode(&bytes) {
            let again = Labels::from_pairs(set.iter()).unwrap();
            prop_assert_eq!(again.as_ref().as_bytes(), &bytes[..]);
        }
        let _ = LabelsRef::trusted(&bytes).iter().count();
    }
}
