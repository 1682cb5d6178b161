//! The symbols of an index under construction, in one run of bytes, found by number and by text.

use hashbrown::HashTable;
use twox_hash::XxHash3_128;

use super::too_large;
use crate::error::Error;

/// Strings that rise strictly; the number of each is its place.
#[derive(Debug, Default)]
pub(crate) struct SymbolArena {
    text: Vec<u8>,
    /// Where each symbol ends in `text`.
    ends: Vec<u32>,
    numbers: HashTable<u32>,
}

impl SymbolArena {
    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn push(&mut self, symbol: &[u8]) -> Result<(), Error> {
        if let Some(last) = self.ends.len().checked_sub(1)
            && self.get(last as u32) >= symbol
        {
            let why = format!("{:?} is not above the one before it", String::from_utf8_lossy(symbol));
            return Err(Error::invalid("symbol", why));
        }
        self.text.extend_from_slice(symbol);
        self.ends.push(u32::try_from(self.text.len()).map_err(|_| too_large("the symbol table"))?);
        Ok(())
    }

    pub(crate) fn get(&self, number: u32) -> &[u8] {
        let end = self.ends.get(number as usize).map_or(0, |&end| end as usize);
        let before = (number as usize).checked_sub(1).and_then(|i| self.ends.get(i));
        self.text.get(before.map_or(0, |&start| start as usize)..end).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|number| self.get(number as u32))
    }

    /// Makes room for so many symbols of so many bytes together, and no more.
    pub(crate) fn reserve(&mut self, count: usize, bytes: usize) {
        self.ends.reserve_exact(count);
        self.text.reserve_exact(bytes);
    }

    /// Gives back room that no symbol needs.
    pub(crate) fn shrink(&mut self) {
        self.ends.shrink_to_fit();
        self.text.shrink_to_fit();
    }

    /// Makes symbols findable by text, if they are not yet; after this no more are added.
    pub(crate) fn index(&mut self) {
        if self.numbers.len() == self.ends.len() {
            return;
        }
        let mut numbers = HashTable::with_capacity(self.ends.len());
        for number in 0..self.ends.len() as u32 {
            numbers.insert_unique(hash(self.get(number)), number, |&number| hash(self.get(number)));
        }
        self.numbers = numbers;
    }

    /// The number of a symbol, once they are indexed.
    pub(crate) fn find(&self, symbol: &[u8]) -> Option<u32> {
        self.numbers.find(hash(symbol), |&number| self.get(number) == symbol).copied()
    }
}

fn hash(symbol: &[u8]) -> u64 {
    XxHash3_128::oneshot(symbol) as u64
}
