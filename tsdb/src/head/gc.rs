//! Drop what has been cut; forget series nobody writes.
//!
//! Behind a cut, chunks that lie before it go, and with them every series that has no chunk left: nobody has written to it
//! since. It all happens in steps, each a bounded piece of work under one hold of the lock; between two steps the
//! head is whole. The caller makes sure that nobody still reads what is dropped.

use std::collections::HashSet;

use sarsen_block::{SeriesNo, Timestamp};

use super::Head;
use super::symbols::LabelNo;

/// Pages of series looked at in one step.
const PAGES_A_STEP: usize = 2;
/// Entries of lists written anew in one step; a longer list is a step of its own.
const ENTRIES_A_STEP: usize = 100_000;
/// Labels whose text may be moved in one step.
const LABELS_A_STEP: u32 = 8192;

#[derive(Debug)]
enum Stage {
    /// Chunks go, series without chunks go. Next page.
    Pages(usize),
    /// Lists lose the forgotten series, labels without series go.
    Lists,
    /// Texts and label lists move together. Next label, next page.
    Tidy(u32, usize),
    /// Tables that have become mostly empty shrink, one at a time.
    Shrink(usize),
    Done,
}

/// One collection, step by step.
#[derive(Debug)]
pub(crate) struct Gc {
    from: Timestamp,
    stage: Stage,
    dead: Vec<SeriesNo>,
    /// Labels of the dead.
    touched: HashSet<LabelNo>,
    queue: Vec<LabelNo>,
    oldest: Timestamp,
    /// What arrives while the collection runs is not older.
    arriving: Timestamp,
    samples_at_start: u64,
}

impl Gc {
    /// A collection of what lies before `from`.
    pub(crate) fn new(head: &Head, from: Timestamp) -> Self {
        let newest = head.times.max.max(from);
        Self {
            from,
            stage: Stage::Pages(0),
            dead: Vec::new(),
            touched: HashSet::new(),
            queue: Vec::new(),
            oldest: Timestamp::MAX,
            arriving: newest.saturating_sub(head.settings.block_range / 2).max(from),
            samples_at_start: head.counts.samples,
        }
    }

    /// How many series were forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.dead.len() as u64
    }

    /// Does one piece of work; whether there is more.
    pub(crate) fn step(&mut self, head: &mut Head) -> bool {
        match self.stage {
            Stage::Pages(page) if page < head.series.num_pages() => {
                let end = (page + PAGES_A_STEP).min(head.series.num_pages());
                for page in page..end {
                    self.collect_page(head, page);
                }
                self.stage = Stage::Pages(end);
            }
            Stage::Pages(_) => {
                let dropped = head.store.spill.drop_before(self.from);
                head.counts.chunks = head.counts.chunks.saturating_sub(dropped);
                self.oldest = self.oldest.min(head.store.spill.oldest());
                self.settle_times(head);
                self.queue = self.touched.drain().collect();
                self.stage = Stage::Lists;
            }
            Stage::Lists if !self.queue.is_empty() => self.shorten_lists(head),
            Stage::Lists => self.stage = if self.dead.is_empty() { Stage::Done } else { Stage::Tidy(0, 0) },
            Stage::Tidy(label, page) => self.tidy(head, label, page),
            Stage::Shrink(table) => {
                let has_more = head.map.shrink(table) | head.symbols.shrink(table);
                self.stage = if has_more { Stage::Shrink(table + 1) } else { Stage::Done };
            }
            Stage::Done => return false,
        }
        true
    }

    fn collect_page(&mut self, head: &mut Head, page: usize) {
        for no in head.series.numbers_of_page(page) {
            head.stones.drop_before(no, self.from);
            let Some(series) = head.series.get_mut(no) else { continue };
            let dropped = series.drop_before(&mut head.store, self.from);
            head.counts.chunks = head.counts.chunks.saturating_sub(u64::from(dropped));
            self.oldest = self.oldest.min(series.oldest().unwrap_or(Timestamp::MAX));
        }
        let Head { series, late, .. } = head;
        for (no, series) in series.remove_from_page(page, |no, series| series.is_empty() && !late.has(no)) {
            head.map.remove(series.hash().0, no.0);
            head.metadata.forget(no);
            self.touched.extend(head.label_numbers(&series));
            head.label_lists.free(series.labels);
            self.dead.push(no);
            head.counts.forgotten += 1;
        }
    }

    /// The head begins where its oldest sample is. Samples that came in while pages were looked at may have been missed.
    fn settle_times(&self, head: &mut Head) {
        let nothing_came = head.counts.samples == self.samples_at_start;
        head.times.min = match self.oldest {
            Timestamp::MAX if nothing_came => Timestamp::MAX,
            oldest if nothing_came => oldest.max(self.from),
            oldest => oldest.min(self.arriving).max(self.from),
        };
    }

    fn shorten_lists(&mut self, head: &mut Head) {
        let mut entries = 0;
        while let Some(label) = self.queue.pop() {
            entries += head.postings.count(label).max(64);
            head.forget_in_list(label, &self.dead);
            if entries >= ENTRIES_A_STEP {
                return;
            }
        }
    }

    fn tidy(&mut self, head: &mut Head, label: u32, page: usize) {
        if label < head.symbols.end() {
            head.symbols.tidy(label..label.saturating_add(LABELS_A_STEP));
            self.stage = Stage::Tidy(label.saturating_add(LABELS_A_STEP), page);
        } else if page < head.series.num_pages() {
            for no in head.series.numbers_of_page(page) {
                if let Some(series) = head.series.get_mut(no)
                    && head.label_lists.is_sparse(series.labels)
                    && let Some(place) = head.label_lists.relocate(series.labels)
                {
                    series.labels = place;
                }
            }
            self.stage = Stage::Tidy(label, page + 1);
        } else {
            self.stage = Stage::Shrink(0);
        }
    }
}
