//! Warnings and infos that travel with an answer.
//!
//! An annotation is remembered once for its text without position; texts and places are Prometheus' own.

use std::collections::BTreeMap;

use crate::ast::Place;

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
    /// A text that is complete but for its position. What else is noted gets variants of its own as merging asks for it.
    Text(Severity, String),
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

impl Annotations {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Adds one; one with the same text is replaced.
    pub fn add(&mut self, note: Note, place: Place) {
        let key = match &note {
            Note::Text(_, text) => text.clone(),
        };
        self.notes.insert(key, Annotation { note, place });
    }

    /// Takes those of another part of the evaluation in.
    pub fn merge(&mut self, other: Self) {
        self.notes.extend(other.notes);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.notes.values()
    }
}
