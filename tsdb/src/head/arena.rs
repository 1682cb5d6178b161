//! Many small runs of bytes in few large pages, each found by a 32-bit reference.
//!
//! A run is written once, read often and given back some day. Pages hold 64 KiB and are never moved; a longer run gets a
//! page of its own. Runs given back leave holes; a page whose runs are all given back is freed, and the owner of the
//! references may move runs away from pages that are mostly holes ([`Arena::is_sparse`]). No lock: the head is the owner.

use sarsen_block::codec::{put_uvarint, uvarint_len};

const PAGE_LEN: usize = 1 << 16;
const MAX_PAGES: usize = 1 << 16;

/// Where a run lies: page in the upper half, offset in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    const fn page(self) -> usize {
        (self.0 >> 16) as usize
    }

    const fn offset(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }
}

#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    /// Bytes of runs not given back.
    live: usize,
}

/// The pages.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pages: Vec<Page>,
    /// Pages that hold nothing and may be filled anew.
    empty: Vec<u16>,
    /// The page that takes the next run.
    filling: Option<u16>,
}

impl Arena {
    /// Writes a run; `None` if all references are in use.
    pub(super) fn put(&mut self, run: &[u8]) -> Option<Place> {
        let needed = uvarint_len(run.len() as u64) + run.len();
        let no = self.page_with_room(needed)?;
        let page = self.pages.get_mut(usize::from(no))?;
        let place = Place(u32::from(no) << 16 | page.bytes.len() as u32);
        put_uvarint(&mut page.bytes, run.len() as u64);
        page.bytes.extend_from_slice(run);
        page.live += needed;
        Some(place)
    }

    fn page_with_room(&mut self, needed: usize) -> Option<u16> {
        if needed > PAGE_LEN {
            let no = self.new_page()?;
            self.pages.get_mut(usize::from(no))?.bytes.reserve_exact(needed);
            return Some(no);
        }
        if let Some(no) = self.filling {
            let page = self.pages.get_mut(usize::from(no))?;
            if page.bytes.len() + needed <= PAGE_LEN {
                if page.bytes.capacity() < page.bytes.len() + needed {
                    let larger =
                        (page.bytes.capacity() * 2).clamp(1024, PAGE_LEN).max(page.bytes.len() + needed);
                    page.bytes.reserve_exact(larger - page.bytes.len());
                }
                return Some(no);
            }
        }
        let left = self.filling.take();
        self.filling = self.new_page();
        // A page that lost all its runs while it was being filled has waited for this moment.
        if let Some(no) = left {
            self.free_if_dead(no);
        }
        let no = self.filling?;
        let first = self.pages.len() == 1;
        let page = self.pages.get_mut(usize::from(no))?;
        page.bytes.reserve_exact(if first { needed.max(1024) } else { PAGE_LEN });
        Some(no)
    }

    fn new_page(&mut self) -> Option<u16> {
        if let Some(no) = self.empty.pop() {
            return Some(no);
        }
        if self.pages.len() == MAX_PAGES {
            return None;
        }
        self.pages.push(Page::default());
        u16::try_from(self.pages.len() - 1).ok()
    }

    /// The run at `place`; nothing for a reference that was never given out.
    #[inline]
    pub(super) fn get(&self, place: Place) -> &[u8] {
        let Some(bytes) = self.pages.get(place.page()).and_then(|page| page.bytes.get(place.offset()..))
        else {
            return &[];
        };
        let (mut length, mut shift, mut at) = (0usize, 0u32, 0);
        for &byte in bytes.iter().take(5) {
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            at += 1;
            if byte < 0x80 {
                break;
            }
        }
        bytes.get(at..at + length).unwrap_or_default()
    }

    /// Gives a run back. Its reference must not be used again.
    pub(super) fn free(&mut self, place: Place) {
        let length = self.get(place).len();
        if let Some(page) = self.pages.get_mut(place.page()) {
            page.live = page.live.saturating_sub(uvarint_len(length as u64) + length);
        }
        self.free_if_dead(place.page() as u16);
    }

    fn free_if_dead(&mut self, no: u16) {
        if self.filling == Some(no) {
            return;
        }
        if let Some(page) = self.pages.get_mut(usize::from(no))
            && page.live == 0
            && page.bytes.capacity() > 0
        {
            page.bytes = Vec::new();
            self.empty.push(no);
        }
    }

    /// Whether the run lies in a page that is more holes than runs, so that moving it away pays.
    pub(super) fn is_sparse(&self, place: Place) -> bool {
        Some(place.page() as u16) != self.filling
            && self.pages.get(place.page()).is_some_and(|page| page.live < page.bytes.len() / 2)
    }

    /// Writes the run at `place` again, elsewhere, and gives the old one back. `None`, and nothing is changed, if all
    /// references are in use.
    pub(super) fn relocate(&mut self, place: Place) -> Option<Place> {
        let run = self.get(place).to_vec();
        let to = self.put(&run)?;
        self.free(place);
        Some(to)
    }

    /// Bytes held, holes included.
    pub(super) fn held(&self) -> u64 {
        let pages: usize = self.pages.iter().map(|page| page.bytes.capacity()).sum();
        (pages + self.pages.capacity() * size_of::<Page>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_kept_apart_and_pages_come_back() {
        let mut arena = Arena::default();
        let runs: Vec<Vec<u8>> = (0..3000usize).map(|i| vec![i as u8; i % 300]).collect();
        let long = vec![7; 3 * PAGE_LEN];
        let long_place = arena.put(&long).unwrap();
        let places: Vec<Place> = runs.iter().map(|run| arena.put(run).unwrap()).collect();
        assert!(runs.iter().zip(&places).all(|(run, &place)| arena.get(place) == &run[..]));
        assert_eq!(arena.get(long_place), &long[..]);
        let held = arena.held();
        arena.free(long_place);
        assert!(arena.held() + 3 * PAGE_LEN as u64 <= held);
        // All but every tenth go; the rest moves together.
        let mut kept = Vec::new();
        for (i, &place) in places.iter().enumerate() {
            if i % 10 == 0 { kept.push((i, place)) } else { arena.free(place) }
        }
        for (i, place) in &mut kept {
            if arena.is_sparse(*place) {
                *place = arena.relocate(*place).unwrap();
            }
            assert_eq!(arena.get(*place), &runs[*i][..]);
        }
        assert!(kept.iter().all(|(i, place)| arena.get(*place) == &runs[*i][..]));
        assert!(arena.held() < 3 * PAGE_LEN as u64, "{}", arena.held());
    }
}
