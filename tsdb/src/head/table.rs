//! All series of a head by number.
//!
//! Records lie in pages of 1,024 numbers. A number is given once and never again while the head lives; a page whose series
//! were forgotten closes ranks and keeps a bitmap, so that memory follows the living. No lock: the head is the owner.

use sarsen_block::SeriesNo;

use super::series::MemSeries;

const PAGE_SERIES: usize = 1024;
const PAGE_WORDS: usize = PAGE_SERIES / 64;

/// Which numbers of a page live, when not all up to the last do.
#[derive(Debug)]
struct Ranks {
    words: [u64; PAGE_WORDS],
    /// How many live before each word.
    before: [u16; PAGE_WORDS],
}

impl Ranks {
    fn from_living(living: impl Iterator<Item = usize>) -> Self {
        let mut words = [0u64; PAGE_WORDS];
        for slot in living {
            if let Some(word) = words.get_mut(slot / 64) {
                *word |= 1 << (slot % 64);
            }
        }
        let mut before = [0; PAGE_WORDS];
        let mut sum = 0;
        for (before, word) in before.iter_mut().zip(&words) {
            *before = sum;
            sum += word.count_ones() as u16;
        }
        Self { words, before }
    }

    /// Place of a slot among the living, and whether it lives.
    fn rank(&self, slot: usize) -> (usize, bool) {
        let (Some(&word), Some(&before)) = (self.words.get(slot / 64), self.before.get(slot / 64)) else {
            return (0, false);
        };
        let bit = 1u64 << (slot % 64);
        (usize::from(before) + (word & (bit - 1)).count_ones() as usize, word & bit != 0)
    }

    fn living(&self) -> impl Iterator<Item = usize> {
        (0..PAGE_SERIES).filter(|&slot| self.rank(slot).1)
    }
}

#[derive(Debug, Default)]
struct Page {
    records: Vec<MemSeries>,
    /// `None` while the living are the first numbers of the page without a gap.
    ranks: Option<Box<Ranks>>,
}

impl Page {
    #[inline]
    fn index(&self, slot: usize) -> Option<usize> {
        match &self.ranks {
            None => Some(slot),
            Some(ranks) => {
                let (rank, lives) = ranks.rank(slot);
                lives.then_some(rank)
            }
        }
    }

    fn slots(&self) -> Vec<usize> {
        match &self.ranks {
            None => (0..self.records.len()).collect(),
            Some(ranks) => ranks.living().collect(),
        }
    }

    fn insert(&mut self, slot: usize, series: MemSeries) {
        if self.records.len() == self.records.capacity() {
            let larger = (self.records.len() * 2).clamp(8, PAGE_SERIES);
            self.records.reserve_exact(larger.saturating_sub(self.records.len()).max(1));
        }
        if self.ranks.is_none() && slot == self.records.len() {
            self.records.push(series);
            return;
        }
        let mut slots = self.slots();
        let at = slots.partition_point(|&other| other < slot);
        slots.insert(at, slot);
        self.records.insert(at, series);
        self.ranks = Some(Box::new(Ranks::from_living(slots.into_iter())));
    }
}

/// All series of a head by number.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    pages: Vec<Page>,
    /// The number that the next birth gets.
    next: u32,
    count: usize,
}

impl SeriesTable {
    /// The number that the next birth gets; `None` if they have run out.
    pub(super) fn next_no(&self) -> Option<SeriesNo> {
        (self.next < u32::MAX).then_some(SeriesNo(self.next))
    }

    /// No birth gets this number.
    pub(super) fn skip(&mut self, no: SeriesNo) {
        self.next = self.next.max(no.0.saturating_add(1));
    }

    /// How many series there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// How many pages there are; their numbers are the argument of [`numbers_of_page`](Self::numbers_of_page).
    pub(super) fn num_pages(&self) -> usize {
        self.pages.len()
    }

    #[inline]
    pub(super) fn get(&self, no: SeriesNo) -> Option<&MemSeries> {
        let page = self.pages.get(no.0 as usize / PAGE_SERIES)?;
        page.records.get(page.index(no.0 as usize % PAGE_SERIES)?)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, no: SeriesNo) -> Option<&mut MemSeries> {
        let page = self.pages.get_mut(no.0 as usize / PAGE_SERIES)?;
        let index = page.index(no.0 as usize % PAGE_SERIES)?;
        page.records.get_mut(index)
    }

    /// Adds a series under a number that no living series has.
    pub(super) fn insert(&mut self, no: SeriesNo, series: MemSeries) {
        let page = no.0 as usize / PAGE_SERIES;
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, Page::default);
        }
        if let Some(page) = self.pages.get_mut(page) {
            page.insert(no.0 as usize % PAGE_SERIES, series);
        }
        self.count += 1;
        self.next = self.next.max(no.0.saturating_add(1));
    }

    /// Puts series of one page in, with rising numbers that it does not have yet. As one, because a page with holes costs
    /// its whole length with every single one.
    pub(super) fn insert_all(&mut self, series: Vec<(SeriesNo, MemSeries)>) {
        let Some(&(last, _)) = series.last() else { return };
        let number = last.0 as usize / PAGE_SERIES;
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, Page::default);
        }
        let is_one_page = series.iter().all(|(no, _)| no.0 as usize / PAGE_SERIES == number);
        match self.pages.get_mut(number) {
            Some(page) if is_one_page && page.records.is_empty() => {
                let slot = |no: SeriesNo| no.0 as usize % PAGE_SERIES;
                let is_dense = slot(last) + 1 == series.len();
                page.ranks =
                    (!is_dense).then(|| Box::new(Ranks::from_living(series.iter().map(|&(no, _)| slot(no)))));
                self.count += series.len();
                self.next = self.next.max(last.0.saturating_add(1));
                page.records = series.into_iter().map(|(_, series)| series).collect();
            }
            _ => series.into_iter().for_each(|(no, series)| self.insert(no, series)),
        }
    }

    /// Takes one series out.
    pub(super) fn remove(&mut self, no: SeriesNo) -> Option<MemSeries> {
        let page = self.pages.get_mut(no.0 as usize / PAGE_SERIES)?;
        let slot = no.0 as usize % PAGE_SERIES;
        let index = page.index(slot).filter(|&index| index < page.records.len())?;
        let slots = page.slots();
        let series = page.records.remove(index);
        page.ranks = Some(Box::new(Ranks::from_living(slots.into_iter().filter(|&other| other != slot))));
        self.count -= 1;
        Some(series)
    }

    /// The living numbers of a page, rising.
    pub(super) fn numbers_of_page(&self, page: usize) -> Vec<SeriesNo> {
        let numbers = |found: &Page| {
            found.slots().into_iter().map(|slot| SeriesNo((page * PAGE_SERIES + slot) as u32)).collect()
        };
        self.pages.get(page).map(numbers).unwrap_or_default()
    }

    /// Takes series of one page out. The next birth goes to a page behind it.
    pub(super) fn remove_from_page(
        &mut self,
        page: usize,
        mut is_dead: impl FnMut(SeriesNo, &MemSeries) -> bool,
    ) -> Vec<(SeriesNo, MemSeries)> {
        let base = page * PAGE_SERIES;
        let no = |slot: usize| SeriesNo((base + slot) as u32);
        let Some(page) = self.pages.get_mut(page) else { return Vec::new() };
        let slots = page.slots();
        if !slots.iter().zip(&page.records).any(|(&slot, series)| is_dead(no(slot), series)) {
            return Vec::new();
        }
        let (mut kept, mut kept_slots, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, series) in slots.into_iter().zip(page.records.drain(..)) {
            if is_dead(no(slot), &series) {
                removed.push((no(slot), series));
            } else {
                kept_slots.push(slot);
                kept.push(series);
            }
        }
        kept.shrink_to_fit();
        // A page with gaps takes no births: placing one would rebuild its bitmap.
        self.next = self.next.max((base + PAGE_SERIES) as u32);
        page.records = kept;
        page.ranks = Some(Box::new(Ranks::from_living(kept_slots.into_iter())));
        self.count -= removed.len();
        removed
    }

    /// Bytes held by the records.
    pub(super) fn held(&self) -> u64 {
        let page = |page: &Page| {
            page.records.capacity() * size_of::<MemSeries>()
                + page.ranks.as_ref().map_or(0, |_| size_of::<Ranks>())
        };
        (self.pages.iter().map(page).sum::<usize>() + self.pages.capacity() * size_of::<Page>()) as u64
    }
}
