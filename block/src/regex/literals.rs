//! A fixed set of values, asked for very often.

use hashbrown::HashTable;
use twox_hash::XxHash64;

/// Up to so many values are compared one after the other.
const FEW: usize = 8;

/// Sorted, unique values with a table over them when they are many.
#[derive(Debug)]
pub(super) struct Literals {
    values: Box<[Box<[u8]>]>,
    table: HashTable<u32>,
}

impl Literals {
    pub(super) fn new(mut values: Vec<Box<[u8]>>) -> Self {
        values.sort_unstable();
        values.dedup();
        let mut table = HashTable::new();
        if values.len() > FEW {
            let hash =
                |number: &u32| values.get(*number as usize).map_or(0, |value| XxHash64::oneshot(0, value));
            table.reserve(values.len(), hash);
            for (value, number) in values.iter().zip(0u32..) {
                table.insert_unique(XxHash64::oneshot(0, value), number, hash);
            }
        }
        Self { values: values.into(), table }
    }

    pub(super) fn contains(&self, value: &[u8]) -> bool {
        if self.values.len() <= FEW {
            return self.values.iter().any(|known| **known == *value);
        }
        let is_value =
            |number: &u32| self.values.get(*number as usize).is_some_and(|known| **known == *value);
        self.table.find(XxHash64::oneshot(0, value), is_value).is_some()
    }

    pub(super) fn sorted(&self) -> &[Box<[u8]>] {
        &self.values
    }
}
