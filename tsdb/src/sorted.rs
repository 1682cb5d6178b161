//! Label sets in order, in little memory: every label once, and a row of small numbers for every series.
//!
//! Rows are gathered in any order, each as the places of its labels in a table of texts. Sorting sorts the texts and turns
//! places into ranks; from then on comparing two label sets is comparing their ranks, and no text is looked at again.
//! A row may end in labels that are not shown: they keep series apart that look the same, and stand behind all that is shown.

use std::cmp::Ordering;

use sarsen_block::LabelsRef;

use crate::error::Error;

/// Some series with their labels, each known by a key.
#[derive(Debug)]
pub(crate) struct SortedRows<K> {
    /// Labels of all the series, each once: bytes as in a label set.
    texts: Vec<u8>,
    /// By place, and after sorting by rank: where a label lies in `texts`.
    spans: Vec<(u32, u32)>,
    /// Places, and after sorting ranks, of the labels of one series after the other.
    ranks: Vec<u32>,
    /// In label order once sorted.
    rows: Vec<Row<K>>,
}

#[derive(Debug, Clone, Copy)]
struct Row<K> {
    key: K,
    start: u32,
    shown: u32,
    hidden: u32,
}

impl<K> Default for SortedRows<K> {
    fn default() -> Self {
        Self { texts: Vec::new(), spans: Vec::new(), ranks: Vec::new(), rows: Vec::new() }
    }
}

fn full() -> Error {
    Error::Full { what: "labels of a selection" }
}

impl<K: Copy + Ord> SortedRows<K> {
    /// Forgets everything, keeps memory; room for `rows`.
    pub(crate) fn restart(&mut self, rows: usize) {
        self.texts.clear();
        self.spans.clear();
        self.ranks.clear();
        self.rows.clear();
        self.rows.reserve_exact(rows);
    }

    /// Adds a label that the table does not have; its place.
    ///
    /// # Errors
    /// [`Error::Full`] if the labels have more than four billion bytes in all.
    pub(crate) fn add_label(&mut self, text: &[u8]) -> Result<u32, Error> {
        let from = u32::try_from(self.texts.len()).map_err(|_| full())?;
        self.texts.extend_from_slice(text);
        let to = u32::try_from(self.texts.len()).map_err(|_| full())?;
        self.spans.push((from, to));
        Ok(self.spans.len() as u32 - 1)
    }

    /// The label at a place or of a rank: bytes as in a label set.
    pub(crate) fn text(&self, at: u32) -> &[u8] {
        let span = self.spans.get(at as usize);
        span.and_then(|&(from, to)| self.texts.get(from as usize..to as usize)).unwrap_or_default()
    }

    /// Adds a row of labels by their places: those that are shown, and those that are not, each by name unless the shown ones are
    /// to be put in order by [`sort`](Self::sort).
    ///
    /// # Errors
    /// [`Error::Full`] if the series have more than four billion labels in all.
    pub(crate) fn add_row(
        &mut self,
        key: K,
        shown: impl Iterator<Item = u32>,
        hidden: &[u32],
    ) -> Result<(), Error> {
        let start = u32::try_from(self.ranks.len()).map_err(|_| full())?;
        self.ranks.extend(shown);
        let shown = self.ranks.len() - start as usize;
        self.ranks.extend_from_slice(hidden);
        if u32::try_from(self.ranks.len()).is_err() {
            return Err(full());
        }
        self.rows.push(Row { key, start, shown: shown as u32, hidden: hidden.len() as u32 });
        Ok(())
    }

    /// From places to ranks, and the rows in the order of what they show, then of what they do not show, then of their keys.
    /// `mixed`: the shown labels of a row are not by name yet.
    pub(crate) fn sort(&mut self, mixed: bool) {
        let Self { texts, spans, ranks, rows } = self;
        let pair_at = |place: u32| {
            let &(from, to) = spans.get(place as usize)?;
            LabelsRef::trusted(texts.get(from as usize..to as usize)?).iter().next()
        };
        let mut order: Vec<u32> = (0..spans.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| pair_at(a).cmp(&pair_at(b)));
        let mut rank_of = vec![0u32; order.len()];
        for (rank, &place) in order.iter().enumerate() {
            if let Some(slot) = rank_of.get_mut(place as usize) {
                *slot = rank as u32;
            }
        }
        let sorted: Vec<(u32, u32)> =
            order.iter().filter_map(|&place| spans.get(place as usize).copied()).collect();
        for rank in ranks.iter_mut() {
            *rank = rank_of.get(*rank as usize).copied().unwrap_or_default();
        }
        *spans = sorted;
        if mixed {
            for row in rows.iter() {
                let shown = row.start as usize..(row.start + row.shown) as usize;
                ranks.get_mut(shown).unwrap_or_default().sort_unstable();
            }
        }
        let mut rows = std::mem::take(rows);
        rows.sort_unstable_by(|a, b| self.compare(a, b).then(a.key.cmp(&b.key)));
        self.rows = rows;
    }

    fn compare(&self, a: &Row<K>, b: &Row<K>) -> Ordering {
        self.shown(a).cmp(self.shown(b)).then_with(|| self.hidden(a).cmp(self.hidden(b)))
    }

    fn shown(&self, row: &Row<K>) -> &[u32] {
        self.ranks.get(row.start as usize..(row.start + row.shown) as usize).unwrap_or_default()
    }

    fn hidden(&self, row: &Row<K>) -> &[u32] {
        let start = (row.start + row.shown) as usize;
        self.ranks.get(start..start + row.hidden as usize).unwrap_or_default()
    }

    /// Whether two rows have the same labels, shown or not.
    pub(crate) fn is_same(&self, a: usize, b: usize) -> bool {
        match (self.rows.get(a), self.rows.get(b)) {
            (Some(a), Some(b)) => self.compare(a, b) == Ordering::Equal,
            _ => false,
        }
    }

    /// Names and values of the labels of all the series, each pair once; rising once sorted.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().filter_map(|&(from, to)| {
            LabelsRef::trusted(self.texts.get(from as usize..to as usize)?).iter().next()
        })
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The key of the row at a place in label order.
    pub(crate) fn key(&self, at: usize) -> Option<K> {
        self.rows.get(at).map(|row| row.key)
    }

    /// Writes the shown labels of the row at a place in label order.
    pub(crate) fn labels<'b>(&self, at: usize, out: &'b mut Vec<u8>) -> LabelsRef<'b> {
        out.clear();
        if let Some(row) = self.rows.get(at) {
            self.shown(row).iter().for_each(|&rank| out.extend_from_slice(self.text(rank)));
        }
        LabelsRef::trusted(out)
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.texts.capacity()
            + self.spans.capacity() * size_of::<(u32, u32)>()
            + self.ranks.capacity() * size_of::<u32>()
            + self.rows.capacity() * size_of::<Row<K>>()
    }
}
