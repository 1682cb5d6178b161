//! The bytes of all open chunks, in cells of one size.
//!
//! An open chunk grows a few bytes at a time and there is one for every series, so slack is what it costs. A chunk is a
//! chain of 32-byte cells: growing takes one cell, moves nothing, and all chunks take from the same store, whatever
//! their length. A cell handed back is taken first.

const CELL_LEN: usize = 28;
const PAGE_CELLS: usize = 2048;
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Cell {
    bytes: [u8; CELL_LEN],
    next: u32,
}

/// A run of bytes in cells. Belongs to the store that filled it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    first: u32,
    last: u32,
    len: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }
}

impl Chain {
    /// The run of `len` bytes that [`ends`](Self::ends) told of.
    pub(super) const fn new((first, last): (u32, u32), len: usize) -> Self {
        Self { first, last, len: len as u32 }
    }

    /// First and last cell.
    pub(super) const fn ends(&self) -> (u32, u32) {
        (self.first, self.last)
    }

    /// Length in bytes.
    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }
}

/// The store of cells.
#[derive(Debug)]
pub(super) struct Cells {
    pages: Vec<Vec<Cell>>,
    /// First of the cells handed back, chained.
    free: u32,
    used: usize,
}

impl Default for Cells {
    fn default() -> Self {
        Self { pages: Vec::new(), free: NONE, used: 0 }
    }
}

impl Cells {
    fn cell(&self, no: u32) -> Option<&Cell> {
        self.pages.get(no as usize / PAGE_CELLS)?.get(no as usize % PAGE_CELLS)
    }

    fn cell_mut(&mut self, no: u32) -> Option<&mut Cell> {
        self.pages.get_mut(no as usize / PAGE_CELLS)?.get_mut(no as usize % PAGE_CELLS)
    }

    /// Takes a cell. The owner has asked [`is_full`](Self::is_full).
    fn take(&mut self) -> u32 {
        let empty = Cell { bytes: [0; CELL_LEN], next: NONE };
        if self.free != NONE {
            let no = self.free;
            let next = self.cell(no).map_or(NONE, |cell| cell.next);
            self.free = next;
            if let Some(cell) = self.cell_mut(no) {
                *cell = empty;
            }
            self.used += 1;
            return no;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE_CELLS) {
            // The first page of a small database grows with it.
            let capacity = if self.pages.is_empty() { 16 } else { PAGE_CELLS };
            self.pages.push(Vec::with_capacity(capacity));
        }
        let before = (self.pages.len() - 1) * PAGE_CELLS;
        let Some(page) = self.pages.last_mut() else { return NONE };
        page.push(empty);
        self.used += 1;
        (before + page.len() - 1) as u32
    }

    /// Whether the references of cells have nearly run out: then nothing more may be pushed.
    pub(super) fn is_full(&self) -> bool {
        self.used >= (NONE as usize / PAGE_CELLS - 64) * PAGE_CELLS
    }

    /// Adds bytes at the end of a chain.
    #[inline]
    pub(super) fn push(&mut self, chain: &mut Chain, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = chain.len() % CELL_LEN;
            if at == 0 {
                let no = self.take();
                match self.cell_mut(chain.last) {
                    Some(last) if chain.first != NONE => last.next = no,
                    _ => chain.first = no,
                }
                chain.last = no;
            }
            let count = bytes.len().min(CELL_LEN - at);
            let (now, later) = bytes.split_at(count);
            if let Some(room) = self.cell_mut(chain.last).and_then(|cell| cell.bytes.get_mut(at..at + count))
            {
                room.copy_from_slice(now);
            }
            chain.len += count as u32;
            bytes = later;
        }
    }

    /// Appends the bytes of a chain to `out`.
    pub(super) fn read(&self, chain: &Chain, out: &mut Vec<u8>) {
        let (mut no, mut left) = (chain.first, chain.len());
        while left > 0 {
            let Some(cell) = self.cell(no) else { return };
            let count = left.min(CELL_LEN);
            out.extend_from_slice(cell.bytes.get(..count).unwrap_or_default());
            left -= count;
            no = cell.next;
        }
    }

    /// Hands the cells of a chain back and empties it.
    pub(super) fn free(&mut self, chain: &mut Chain) {
        let freed = std::mem::take(chain);
        if freed.first == NONE {
            return;
        }
        let free = self.free;
        if let Some(last) = self.cell_mut(freed.last) {
            last.next = free;
        }
        self.free = freed.first;
        self.used = self.used.saturating_sub(freed.len().div_ceil(CELL_LEN));
        if self.used == 0 {
            *self = Self::default();
        }
    }

    /// Bytes held, free cells included.
    pub(super) fn held(&self) -> u64 {
        self.pages.iter().map(|page| (page.capacity() * size_of::<Cell>()) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Chains that grow, are read and are freed in any order hold what was pushed into them.
        #[test]
        fn chains_are_vectors(steps in prop::collection::vec((0usize..6, 0usize..70, any::<u8>()), 1..300)) {
            let mut cells = Cells::default();
            let mut chains = [Chain::default(); 6];
            let mut model = vec![Vec::new(); 6];
            for (which, count, byte) in steps {
                if count >= 60 {
                    cells.free(&mut chains[which]);
                    model[which].clear();
                } else {
                    let bytes = vec![byte; count];
                    cells.push(&mut chains[which], &bytes);
                    model[which].extend_from_slice(&bytes);
                }
                for (chain, expected) in chains.iter().zip(&model) {
                    let mut read = Vec::new();
                    cells.read(chain, &mut read);
                    prop_assert_eq!(&read, expected);
                }
                let needed: usize = model.iter().map(|bytes| bytes.len().div_ceil(CELL_LEN)).sum();
                prop_assert_eq!(cells.used, needed);
            }
        }
    }
}
