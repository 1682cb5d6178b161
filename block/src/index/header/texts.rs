//! The texts of those symbols that somebody asked for.
//!
//! Series entries name symbols by number. Whoever reads many entries collects the numbers and has all texts looked up at once, in the order in
//! which they lie, so that each page is read and checked once. What was looked up stays.

use hashbrown::HashTable;

use super::{IndexHeader, OBJECT, PAGE};
use crate::codec::Reader;
use crate::error::Error;
use crate::index::Version;
use crate::source::Window;

/// Symbols of one index by number.
#[derive(Debug, Default)]
pub struct SymbolTexts {
    table: HashTable<Place>,
    arena: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    number: u32,
    at: u32,
    length: u32,
}

/// Numbers of one index lie close together; this spreads them over all bits.
const fn spread(number: u32) -> u64 {
    (number as u64 ^ 0x9E37_79B9).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl SymbolTexts {
    /// The text of a symbol, if it was looked up.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&[u8]> {
        let place = self.table.find(spread(number), |place| place.number == number)?;
        self.arena.get(place.at as usize..)?.get(..place.length as usize)
    }

    /// Whether a symbol was looked up.
    pub fn contains(&self, number: u32) -> bool {
        self.table.find(spread(number), |place| place.number == number).is_some()
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.arena.capacity() + self.table.capacity() * size_of::<Place>()
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.table.clear();
        self.arena.clear();
    }

    fn insert(&mut self, number: u32, text: &[u8]) -> Result<(), Error> {
        let (Ok(at), Ok(length)) = (u32::try_from(self.arena.len()), u32::try_from(text.len())) else {
            return Err(Error::invalid("symbols", "more than 4 GiB of text at once"));
        };
        self.arena.extend_from_slice(text);
        self.table.insert_unique(spread(number), Place { number, at, length }, |place| spread(place.number));
        Ok(())
    }
}

impl IndexHeader {
    /// Looks up the symbols with these `numbers`, as series entries hold them, and empties `numbers`.
    ///
    /// # Errors
    /// `Corrupt` if there is no such symbol or a page is damaged, `Io` if reading fails.
    pub fn look_up(&self, numbers: &mut Vec<u32>, texts: &mut SymbolTexts) -> Result<(), Error> {
        self.in_order(numbers);
        numbers.retain(|&number| !texts.contains(number));
        let mut window = Window::default();
        let mut wanted = numbers.iter().copied().peekable();
        while let Some(&number) = wanted.peek() {
            let (page, first) = self.symbol_page(number)?;
            let (content, at) = self.page(&self.directory.symbols, page, &mut window)?;
            let mut reader = Reader::new(OBJECT, content).based_at(at);
            let mut place = 0;
            while reader.remaining() > 0 {
                let here = match self.directory.version {
                    Version::V1 => first + reader.position() as u64,
                    Version::V2 => first + place,
                };
                let text = reader.str("symbol")?;
                place += 1;
                if wanted.peek().is_some_and(|&number| u64::from(number) == here) {
                    wanted.next();
                    texts.insert(here as u32, text)?;
                }
            }
            // Each page gives at least the symbol for which it was read.
            if wanted.peek() == Some(&number) {
                return Err(self.unknown(number));
            }
        }
        numbers.clear();
        Ok(())
    }

    /// Sorts `numbers` and leaves each once. Where they are many among all there are, by way of a bit for each of these.
    fn in_order(&self, numbers: &mut Vec<u32>) {
        let words = self.directory.num_symbols.div_ceil(64);
        let all_known = || numbers.iter().all(|&number| u64::from(number) < self.directory.num_symbols);
        if self.directory.version == Version::V1 || numbers.len() as u64 * 4 < words || !all_known() {
            numbers.sort_unstable();
            numbers.dedup();
            return;
        }
        let mut bits = vec![0u64; usize::try_from(words).unwrap_or(0)];
        for number in numbers.drain(..) {
            if let Some(word) = bits.get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
        for (at, mut word) in (0u32..).zip(bits) {
            while word != 0 {
                numbers.push(at * 64 + word.trailing_zeros());
                word &= word - 1;
            }
        }
    }

    /// The page in which a symbol lies, and the number of the first one there.
    fn symbol_page(&self, number: u32) -> Result<(usize, u64), Error> {
        let directory = &*self.directory;
        match directory.version {
            Version::V1 => {
                // Numbers are offsets in the index; the pages hold all of the section behind its length and count.
                let base = directory.toc.symbols.saturating_add(8);
                let Some(at) = u64::from(number).checked_sub(base) else { return Err(self.unknown(number)) };
                let (page, first) = directory.symbols.containing(at);
                if page >= directory.symbols.ends.len() {
                    return Err(self.unknown(number));
                }
                Ok((page, base + first))
            }
            Version::V2 if u64::from(number) < directory.num_symbols => {
                let page = number as usize / PAGE;
                Ok((page, (page * PAGE) as u64))
            }
            Version::V2 => Err(self.unknown(number)),
        }
    }

    fn unknown(&self, number: u32) -> Error {
        Error::corrupt("index symbols", self.toc().symbols, format!("no symbol has the number {number}"))
    }
}
