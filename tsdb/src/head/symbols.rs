//! Every label once: a series keeps its labels as small numbers.
//!
//! What is kept once is a whole label, name and value, in the bytes that it has in the byte form of a label set; a value
//! hardly ever stands under two names. So the bytes of a series' label set are the texts of its numbers, one behind the
//! other, and a birth asks the table once per label. Numbers of labels that no series has any more are used again.

use sarsen_block::{LabelsRef, SeriesHasher};

use super::arena::{Arena, Place};
use super::map::NumberMap;

/// The number of a label (a name with a value) in one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LabelNo(pub(crate) u32);

/// The labels of a head.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    table: NumberMap,
    texts: Arena,
    /// By number; `None` for a number that waits to be used again.
    places: Vec<Option<Place>>,
    unused: Vec<u32>,
}

impl Symbols {
    /// The number of the label `field` (bytes as in a label set), made if there is none: then the flag is set.
    /// `None` if numbers or room have run out.
    pub(super) fn intern(&mut self, hasher: &SeriesHasher, field: &[u8]) -> Option<(LabelNo, bool)> {
        let hash = hasher.hash(LabelsRef::trusted(field)).0;
        if let Some(no) = self.find_hashed(hash, field) {
            return Some((no, false));
        }
        if self.unused.is_empty() && self.places.len() >= u32::MAX as usize {
            return None;
        }
        let place = self.texts.put(field)?;
        let number = match self.unused.pop() {
            Some(number) => {
                if let Some(slot) = self.places.get_mut(number as usize) {
                    *slot = Some(place);
                }
                number
            }
            None => {
                self.places.push(Some(place));
                (self.places.len() - 1) as u32
            }
        };
        self.table.insert(hash, number);
        Some((LabelNo(number), true))
    }

    /// Gives the label `field` the number that it had when this was written down; numbers come rising. No bytes, no label.
    /// `false` if it has one already, or if room has run out.
    pub(super) fn restore(&mut self, hasher: &SeriesHasher, no: LabelNo, field: &[u8]) -> bool {
        let number = no.0 as usize;
        if number < self.places.len() {
            return false;
        }
        self.unused.extend(self.places.len() as u32..no.0);
        self.places.resize(number, None);
        let place = if field.is_empty() { None } else { self.texts.put(field) };
        self.places.push(place);
        match place {
            Some(_) => self.table.insert(hasher.hash(LabelsRef::trusted(field)).0, no.0),
            None => self.unused.push(no.0),
        }
        place.is_some()
    }

    /// The number of the label `field`, if a series has it.
    pub(super) fn find(&self, hasher: &SeriesHasher, field: &[u8]) -> Option<LabelNo> {
        self.find_hashed(hasher.hash(LabelsRef::trusted(field)).0, field)
    }

    fn find_hashed(&self, hash: u128, field: &[u8]) -> Option<LabelNo> {
        self.table.find(hash, |number| self.text(LabelNo(number)) == field).map(LabelNo)
    }

    /// The label as bytes of a label set; nothing for a number that is not in use.
    pub(super) fn text(&self, no: LabelNo) -> &[u8] {
        match self.places.get(no.0 as usize) {
            Some(&Some(place)) => self.texts.get(place),
            _ => &[],
        }
    }

    /// Name and value of a label.
    pub(super) fn pair(&self, no: LabelNo) -> (&[u8], &[u8]) {
        LabelsRef::trusted(self.text(no)).iter().next().unwrap_or_default()
    }

    /// Forgets a label that no series has any more.
    pub(super) fn release(&mut self, hasher: &SeriesHasher, no: LabelNo) {
        let hash = hasher.hash(LabelsRef::trusted(self.text(no))).0;
        if let Some(place) = self.places.get_mut(no.0 as usize).and_then(Option::take) {
            self.table.remove(hash, no.0);
            self.texts.free(place);
            self.unused.push(no.0);
        }
    }

    /// Moves texts away from pages that are mostly holes, for the numbers of one slice.
    pub(super) fn tidy(&mut self, numbers: std::ops::Range<u32>) {
        let end = (numbers.end as usize).min(self.places.len());
        for place in self.places.get_mut(numbers.start as usize..end).unwrap_or_default().iter_mut().flatten()
        {
            if self.texts.is_sparse(*place)
                && let Some(to) = self.texts.relocate(*place)
            {
                *place = to;
            }
        }
    }

    /// Gives memory of one part of the table back if it is mostly empty; whether there is such a part.
    pub(super) fn shrink(&mut self, part: usize) -> bool {
        self.table.shrink(part)
    }

    /// One past the largest number ever used.
    pub(super) fn end(&self) -> u32 {
        self.places.len() as u32
    }

    /// How many labels there are.
    pub(super) fn count(&self) -> usize {
        self.places.len() - self.unused.len()
    }

    /// Bytes held.
    pub(super) fn held(&self) -> u64 {
        let numbers =
            self.places.capacity() * size_of::<Option<Place>>() + self.unused.capacity() * size_of::<u32>();
        self.table.held() + self.texts.held() + numbers as u64
    }
}

/// The labels of a set, each as its bytes: tag, length, name and value.
pub(crate) fn fields(labels: LabelsRef<'_>) -> impl Iterator<Item = &[u8]> {
    let mut rest = labels.as_bytes();
    std::iter::from_fn(move || {
        let mut length = 0usize;
        for (i, &byte) in rest.iter().enumerate().skip(1).take(5) {
            length |= usize::from(byte & 0x7F) << (7 * (i - 1));
            if byte < 0x80 {
                let (field, tail) = rest.split_at_checked(i + 1 + length)?;
                rest = tail;
                return Some(field);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::Labels;

    #[test]
    fn a_label_has_one_number_until_it_is_released() {
        let hasher = SeriesHasher::new([1, 2, 3, 4]);
        let long = "x".repeat(300);
        let set = Labels::from_pairs([("a", "1"), ("b", "1"), ("job", long.as_str())]).unwrap();
        let mut symbols = Symbols::default();
        let numbers: Vec<LabelNo> =
            fields(set.as_ref()).map(|field| symbols.intern(&hasher, field).unwrap().0).collect();
        assert_eq!(numbers, [LabelNo(0), LabelNo(1), LabelNo(2)]);
        let bytes: Vec<u8> = numbers.iter().flat_map(|&no| symbols.text(no).to_vec()).collect();
        assert_eq!(bytes, set.as_ref().as_bytes());
        let first = fields(set.as_ref()).next().unwrap();
        assert_eq!(symbols.intern(&hasher, first), Some((LabelNo(0), false)));
        assert_eq!(symbols.pair(LabelNo(2)), (&b"job"[..], long.as_bytes()));
        symbols.release(&hasher, LabelNo(0));
        assert_eq!(symbols.find(&hasher, first), None);
        assert_eq!(symbols.text(LabelNo(0)), b"");
        assert_eq!(symbols.intern(&hasher, first), Some((LabelNo(0), true)));
        assert_eq!((symbols.count(), symbols.end()), (3, 3));
    }
}
