//! From a hash to a number, in many small tables.
//!
//! An entry is eight bytes: the number, and 32 bits of the hash by which the table finds and moves it. Whether the number is
//! the right one is for the caller to say, who keeps the whole hash with the thing itself. Tables grow one at a time
//! and hold few entries, so that no growth is felt as a pause.

use hashbrown::HashTable;

const SHARDS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    number: u32,
}

/// What a table hashes with: both ends of the word are used, so the tag stands at both.
const fn spread(tag: u32) -> u64 {
    (tag as u64) << 32 | tag as u64
}

/// The tables.
#[derive(Debug)]
pub(super) struct NumberMap {
    shards: Box<[HashTable<Slot>; SHARDS]>,
}

impl Default for NumberMap {
    fn default() -> Self {
        Self { shards: Box::new([const { HashTable::new() }; SHARDS]) }
    }
}

impl NumberMap {
    const fn shard(hash: u128) -> usize {
        (hash >> 96) as usize % SHARDS
    }

    /// The first number under `hash` for which `is_it` holds. `is_it` is asked about numbers whose hash agrees in 38 bits.
    #[inline]
    pub(super) fn find(&self, hash: u128, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash as u32;
        let shard = self.shards.get(Self::shard(hash))?;
        shard.find(spread(tag), |slot| slot.tag == tag && is_it(slot.number)).map(|slot| slot.number)
    }

    /// Adds a number under a hash. The caller knows that it is not there yet.
    pub(super) fn insert(&mut self, hash: u128, number: u32) {
        let tag = hash as u32;
        if let Some(shard) = self.shards.get_mut(Self::shard(hash)) {
            shard.insert_unique(spread(tag), Slot { tag, number }, |slot| spread(slot.tag));
        }
    }

    /// Takes a number away.
    pub(super) fn remove(&mut self, hash: u128, number: u32) {
        let tag = hash as u32;
        if let Some(shard) = self.shards.get_mut(Self::shard(hash))
            && let Ok(entry) = shard.find_entry(spread(tag), |slot| slot.number == number)
        {
            entry.remove();
        }
    }

    /// Gives memory of one table back if it is mostly empty; whether there is a table of that index.
    pub(super) fn shrink(&mut self, index: usize) -> bool {
        let Some(shard) = self.shards.get_mut(index) else { return false };
        if shard.capacity() > 4 * shard.len().max(4) {
            shard.shrink_to(shard.len() * 2, |slot| spread(slot.tag));
        }
        true
    }

    /// Bytes held.
    pub(super) fn held(&self) -> u64 {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        (tables + SHARDS * size_of::<HashTable<Slot>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_hash_and_question() {
        let mut map = NumberMap::default();
        let hash = |i: u32| u128::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        for i in 0..10_000 {
            map.insert(hash(i), i);
        }
        map.insert(hash(7), 70_000);
        assert!((0..10_000).all(|i| map.find(hash(i), |n| n == i) == Some(i)));
        assert_eq!(map.find(hash(7), |n| n == 70_000), Some(70_000));
        assert_eq!(map.find(hash(10_001), |_| true), None);
        for i in 0..9_990 {
            map.remove(hash(i), i);
        }
        let before = map.held();
        assert_eq!((0..).take_while(|&index| map.shrink(index)).count(), SHARDS);
        assert!(map.held() < before / 10);
        assert_eq!(map.find(hash(7), |_| true), Some(70_000));
        assert!((9_990..10_000).all(|i| map.find(hash(i), |n| n == i) == Some(i)));
    }
}
