//! What things are kept under, in memory and on the wire.
//!
//! A key names a kind of thing, a block, and what tells apart the things of that kind in it: a number, a text, or both. In memory it
//! is looked up without being copied. On the wire it is one word without blanks, shorter than the 250 bytes of Memcached; texts, which
//! may be long and hold any byte, go in as their SHA-256. The word begins with `sarsen1`, so that what Thanos keeps under the
//! same address in another form is never mistaken for ours.

use std::hash::{Hash, Hasher};

use aws_lc_rs::digest;
use sarsen_block::BlockId;

use super::Item;

/// A key that is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyRef<'a> {
    pub(super) item: Item,
    pub(super) block: BlockId,
    pub(super) number: u64,
    pub(super) text: &'a [u8],
}

/// A key that is kept.
#[derive(Debug, Clone)]
pub(super) struct Key {
    item: Item,
    block: BlockId,
    number: u64,
    text: Box<[u8]>,
}

impl<'a> KeyRef<'a> {
    /// The list of series with a label. Name and value are kept apart by the length of the name.
    pub(super) fn postings(block: BlockId, name: &[u8], value: &[u8], room: &'a mut Vec<u8>) -> Self {
        room.clear();
        room.extend_from_slice(name);
        room.extend_from_slice(value);
        Self { item: Item::Postings, block, number: name.len() as u64, text: room }
    }

    pub(super) fn owned(self) -> Key {
        Key { item: self.item, block: self.block, number: self.number, text: self.text.into() }
    }

    /// The word that stands for the key on the wire.
    pub(super) fn word(self) -> String {
        let Self { item, block, number, text } = self;
        let mut word = format!("sarsen1:{}:{block}:{number}", item.letter());
        if !text.is_empty() {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            word.push(':');
            for byte in digest::digest(&digest::SHA256, text).as_ref() {
                for half in [byte >> 4, byte & 15] {
                    word.push(char::from(DIGITS.get(usize::from(half)).copied().unwrap_or(b'0')));
                }
            }
        }
        word
    }
}

impl Key {
    pub(super) fn by_ref(&self) -> KeyRef<'_> {
        KeyRef { item: self.item, block: self.block, number: self.number, text: &self.text }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.by_ref() == other.by_ref()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_ref().hash(state);
    }
}

impl quick_cache::Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.by_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_that_read_the_same_in_a_row_are_told_apart() {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let block = BlockId::from_parts(1, 2);
        let one = KeyRef::postings(block, b"ab", b"c", &mut a);
        let other = KeyRef::postings(block, b"a", b"bc", &mut b);
        assert_ne!(one, other);
        assert_ne!(one.word(), other.word());
    }

    proptest! {
        #[test]
        fn words_are_words_and_differ_where_keys_do(
            texts in prop::collection::vec((0u64..3, prop::collection::vec(any::<u8>(), 0..300)), 1..20),
        ) {
            let block = BlockId::from_parts(7, 8);
            let (mut keys, mut words) = (HashSet::new(), BTreeSet::new());
            for (number, text) in &texts {
                for item in Item::ALL {
                    let key = KeyRef { item, block, number: *number, text };
                    let word = key.word();
                    prop_assert!(word.len() <= 250 && word.bytes().all(|b| b.is_ascii_graphic()));
                    keys.insert(key.owned());
                    words.insert(word);
                }
            }
            prop_assert_eq!(keys.len(), words.len());
        }
    }
}
