//! Warnings and infos that travel with an answer.
//!
//! An annotation is remembered once for its text without position; texts, places and the rules of merging are Prometheus' own
//! (`util/annotations`). Of equal ones the later stays, except for the two that gather numbers: they grow and keep their first place.

mod kinds;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sarsen_block::Timestamp;

use crate::ast::Place;
pub(crate) use kinds::Operation;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The answer is right but may not be what was meant.
    Info,
    /// The answer may be wrong.
    Warning,
}

/// What can be noted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// A text that is complete but for its position.
    Text(Severity, String),
    /// Buckets of classic histograms did not rise.
    ForcedMonotonicity {
        /// The text, without numbers.
        text: String,
        /// How far it went.
        repaired: Repaired,
    },
    /// Samples began before the samples before them; counted.
    StartTimeOverlap {
        /// The metric's name.
        metric: String,
        /// How often.
        count: u64,
    },
}

/// How far buckets had to be repaired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repaired {
    /// The time of the first step, in milliseconds.
    pub first: Timestamp,
    /// The time of the last step, in milliseconds.
    pub last: Timestamp,
    /// The lowest upper bound of a repaired bucket.
    pub lowest: f64,
    /// The highest upper bound of a repaired bucket.
    pub highest: f64,
    /// The largest difference.
    pub difference: f64,
    /// How many samples.
    pub samples: u64,
}

/// A note with the place of the expression that it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// What.
    pub note: Note,
    /// Where in the query.
    pub place: Place,
}

/// The notes of an evaluation.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    notes: BTreeMap<String, Annotation>,
}

impl Annotation {
    /// As an answer shows it: the text and `(line:column)` of the place in `query`.
    pub fn text(&self, query: &str) -> String {
        format!("{} ({})", self.note.full_text(), position(self.place, query))
    }

    /// Takes in the place of an equal one that was noted before.
    fn take_in(&mut self, earlier: Self) {
        match (&mut self.note, earlier.note) {
            (Note::ForcedMonotonicity { repaired, .. }, Note::ForcedMonotonicity { repaired: other, .. }) => {
                repaired.first = repaired.first.min(other.first);
                repaired.last = repaired.last.max(other.last);
                // The later one wins only by a comparison, so a NaN never gets in; and it never gets out.
                repaired.lowest = if repaired.lowest < other.lowest { repaired.lowest } else { other.lowest };
                repaired.highest =
                    if repaired.highest > other.highest { repaired.highest } else { other.highest };
                repaired.difference = if repaired.difference > other.difference {
                    repaired.difference
                } else {
                    other.difference
                };
                repaired.samples += other.samples;
                self.place = earlier.place;
            }
            (Note::StartTimeOverlap { count, .. }, Note::StartTimeOverlap { count: other, .. }) => {
                *count += other;
                self.place = earlier.place;
            }
            _ => {}
        }
    }
}

impl Annotations {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Adds one; one with the same text is replaced or taken in.
    pub fn add(&mut self, note: Note, place: Place) {
        self.put(note.key(), Annotation { note, place });
    }

    /// Takes those of a later part of the evaluation in.
    pub fn merge(&mut self, later: Self) {
        if self.notes.is_empty() {
            self.notes = later.notes;
            return;
        }
        for (key, annotation) in later.notes {
            self.put(key, annotation);
        }
    }

    fn put(&mut self, key: String, mut annotation: Annotation) {
        match self.notes.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(annotation)),
            Entry::Occupied(mut entry) => {
                let earlier = std::mem::replace(
                    entry.get_mut(),
                    Annotation { note: Note::nothing(), place: Place::default() },
                );
                annotation.take_in(earlier);
                *entry.get_mut() = annotation;
            }
        }
    }

    /// All of them, by their texts without numbers and positions.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.notes.values()
    }

    /// The texts of all of one severity, with the positions in `query`.
    pub fn texts(&self, severity: Severity, query: &str) -> Vec<String> {
        self.iter().filter(|one| one.note.severity() == severity).map(|one| one.text(query)).collect()
    }
}

/// `line:column` from 1, the column in bytes.
fn position(place: Place, query: &str) -> String {
    if query.is_empty() {
        return "unknown position".to_owned();
    }
    let Some(before) = query.as_bytes().get(..place.start as usize) else {
        return "invalid position".to_owned();
    };
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: u32) -> Place {
        Place { start, end: start + 1 }
    }

    #[test]
    fn the_later_of_two_equal_ones_stays() {
        let mut notes = Annotations::default();
        notes.add(Note::mixed_floats_histograms(b"m"), at(1));
        notes.add(Note::invalid_quantile(1.5), at(3));
        let mut more = Annotations::default();
        more.add(Note::mixed_floats_histograms(b"m"), at(8));
        more.add(Note::possible_non_counter(b"m\"x"), at(0));
        notes.merge(more);
        let query = "01234\n789";
        assert_eq!(
            notes.texts(Severity::Warning, query),
            [
                "PromQL warning: encountered a mix of histograms and floats for metric name \"m\" (2:3)",
                "PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:4)",
            ]
        );
        let infos = notes.texts(Severity::Info, query);
        assert_eq!(
            infos,
            [
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"m\\\"x\" (1:1)"
            ]
        );
    }

    #[test]
    fn those_with_numbers_gather_them() {
        let mut notes = Annotations::default();
        let one = |t, bound| Repaired {
            first: t,
            last: t,
            lowest: bound,
            highest: bound,
            difference: 0.125,
            samples: 1,
        };
        notes.add(Note::forced_monotonicity(b"", one(5000, 0.5)), at(2));
        notes.add(Note::forced_monotonicity(b"", one(1000, 2.0)), at(4));
        notes.add(Note::start_time_overlap(b"m"), at(1));
        notes.add(Note::start_time_overlap(b"m"), at(1));
        notes.add(Note::start_time_overlap(b"n"), at(1));
        assert_eq!(
            notes.texts(Severity::Info, "12345"),
            ["PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile), from buckets 0.5 to 2, with a \
                 max diff of 0.12, over 2 samples from 1970-01-01T00:00:01Z to 1970-01-01T00:00:05Z (1:3)"]
        );
        assert_eq!(
            notes.texts(Severity::Warning, "12345"),
            [
                "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"m\" (2 occurrences) (1:2)",
                "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"n\" (1:2)",
            ]
        );
    }
}
