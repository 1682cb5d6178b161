//! From the labels that a series is stored with to those that it is sent with, and the order that follows from them.
//!
//! External labels stand in place of a series' own of the same name; replica labels that the caller does not want to see are
//! taken out of both. Either changes the order of series, so whoever sends sorts anew, by the whole label set: name, then value,
//! pair by pair, the shorter set first. All of this is pure.

use bytes::Bytes;
use sarsen_block::codec::{put_uvarint, uvarint_len};
use sarsen_block::{Labels, LabelsRef, Matcher};

/// How labels change on their way out: those of one set of external labels, for one request.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingLabels {
    /// External labels without those that are removed.
    external: Labels,
    /// Names to remove, sorted.
    without: Vec<Bytes>,
}

impl OutgoingLabels {
    /// Adds `external`, removes `without` from both; `without` is sorted.
    pub(crate) fn new(external: LabelsRef<'_>, without: &[Bytes]) -> Self {
        let external = external.keeping(|name| !contains(without, name));
        Self { external, without: without.to_vec() }
    }

    /// Whether labels go out as they are stored.
    pub(crate) fn is_identity(&self) -> bool {
        self.external.as_ref().is_empty() && self.without.is_empty()
    }

    /// The labels that a series with these stored ones is sent with.
    pub(crate) fn of(&self, stored: LabelsRef<'_>) -> Labels {
        if self.is_identity() {
            return stored.to_owned();
        }
        let mut bytes = Vec::with_capacity(stored.as_bytes().len() + self.external.as_ref().as_bytes().len());
        let mut external = self.external.iter().peekable();
        for (name, value) in stored.iter() {
            while let Some((name, value)) = external.next_if(|(first, _)| *first < name) {
                put_label(&mut bytes, name, value);
            }
            let replaced = external.peek().is_some_and(|(first, _)| *first == name);
            if !replaced && !contains(&self.without, name) {
                put_label(&mut bytes, name, value);
            }
        }
        for (name, value) in external {
            put_label(&mut bytes, name, value);
        }
        LabelsRef::trusted(&bytes).to_owned()
    }
}

fn contains(sorted: &[Bytes], name: &[u8]) -> bool {
    sorted.binary_search_by(|listed| (**listed).cmp(name)).is_ok()
}

/// One label in the byte form of [`Labels`].
fn put_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let field = |text: &[u8]| 1 + uvarint_len(text.len() as u64) + text.len();
    out.push(0x0A);
    put_uvarint(out, (field(name) + field(value)) as u64);
    for (tag, text) in [(0x0A, name), (0x12, value)] {
        out.push(tag);
        put_uvarint(out, text.len() as u64);
        out.extend_from_slice(text);
    }
}

/// The conditions that are left for the series of a store with these external labels: those on external labels are answered
/// here. `None` if one of them fails: the store has no series for this request.
pub(crate) fn strip_external(matchers: &[Matcher], external: LabelsRef<'_>) -> Option<Vec<Matcher>> {
    let mut left = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match external.get(matcher.name()) {
            None => left.push(matcher.clone()),
            Some(value) if matcher.matches(value) => {}
            Some(_) => return None,
        }
    }
    Some(left)
}

/// Brings series into the order in which they are sent. Those with equal labels keep their order. What goes with the labels
/// is anything: references of chunks, mostly.
pub(crate) fn sort_outgoing<T>(series: &mut [(Labels, T)]) {
    // Series of one block come nearly sorted, which this sort uses.
    series.sort_by(|a, b| a.0.cmp(&b.0));
}

/// Makes one of neighbours with equal labels; what goes with them is joined in their order.
pub(crate) fn merge_equal<T>(series: &mut Vec<(Labels, Vec<T>)>) {
    series.dedup_by(|next, kept| {
        let equal = next.0 == kept.0;
        if equal {
            kept.1.append(&mut next.1);
        }
        equal
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;
    use sarsen_block::MatchOp;

    type Plain = BTreeMap<Vec<u8>, Vec<u8>>;

    fn labels(plain: &Plain) -> Labels {
        Labels::from_pairs(plain).unwrap()
    }

    fn some_labels() -> impl Strategy<Value = Plain> {
        btree_map(vec(b'a'..=b'f', 1..3), vec(any::<u8>(), 1..200), 0..6)
    }

    proptest! {
        #[test]
        fn labels_go_out_as_a_plain_map_says(
            stored in some_labels(),
            external in some_labels(),
            without in btree_set(vec(b'a'..=b'f', 1..3), 0..4),
        ) {
            let mut expected = stored.clone();
            expected.extend(external.clone());
            expected.retain(|name, _| !without.contains(name));
            let without: Vec<Bytes> = without.into_iter().map(Bytes::from).collect();
            let outgoing = OutgoingLabels::new(labels(&external).as_ref(), &without);
            let sent = outgoing.of(labels(&stored).as_ref());
            prop_assert_eq!(&sent, &labels(&expected));
            prop_assert!(LabelsRef::decode(sent.as_ref().as_bytes()).is_ok());
        }

        #[test]
        fn sorted_and_merged_as_a_plain_map_says(series in vec((some_labels(), vec(any::<u8>(), 0..3)), 0..20)) {
            let mut expected: Vec<(Plain, Vec<u8>)> = Vec::new();
            for (labels, chunks) in &series {
                match expected.iter_mut().find(|(known, _)| known == labels) {
                    Some((_, known)) => known.extend(chunks),
                    None => expected.push((labels.clone(), chunks.clone())),
                }
            }
            // Pair by pair, the shorter first: the order of a list of pairs.
            expected.sort_by(|a, b| a.0.iter().cmp(b.0.iter()));
            let mut sent: Vec<_> = series.iter().map(|(plain, chunks)| (labels(plain), chunks.clone())).collect();
            sort_outgoing(&mut sent);
            merge_equal(&mut sent);
            let expected: Vec<_> = expected.iter().map(|(plain, chunks)| (labels(plain), chunks.clone())).collect();
            prop_assert_eq!(sent, expected);
        }
    }

    #[test]
    fn an_added_label_changes_the_order() {
        let external = Labels::from_pairs([("m", "x")]).unwrap();
        let outgoing = OutgoingLabels::new(external.as_ref(), &[]);
        let (short, long) = (
            Labels::from_pairs([("a", "1")]).unwrap(),
            Labels::from_pairs([("a", "1"), ("b", "1")]).unwrap(),
        );
        assert!(short < long);
        assert!(outgoing.of(short.as_ref()) > outgoing.of(long.as_ref()));
    }

    #[test]
    fn conditions_on_external_labels_are_answered_at_once() {
        let external = Labels::from_pairs([("tenant_id", "a")]).unwrap();
        let (own, other) = (Matcher::equal("tenant_id", "a"), Matcher::equal("tenant_id", "b"));
        let name = Matcher::new(MatchOp::Regex, "__name__", "u.").unwrap();
        assert_eq!(strip_external(&[own.clone(), name.clone()], external.as_ref()), Some(vec![name.clone()]));
        assert_eq!(strip_external(&[name, other], external.as_ref()), None);
        assert_eq!(strip_external(&[own], external.as_ref()), Some(vec![]));
    }
}
