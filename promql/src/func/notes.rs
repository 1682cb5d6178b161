//! What functions note while they compute, and where in the query it belongs.
//!
//! A function says what and at which part of its call; this room knows the places and the metric at hand. Of notes that say the
//! same of one series only the first is built.

use crate::annotations::{Annotations, Note};
use crate::ast::{Call, Expr, ExprKind, Place};
use crate::error::Error;

/// The places of a call that notes refer to, as Prometheus reckons them.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    call: Place,
    list: Place,
    arguments: Box<[Place]>,
}

impl Places {
    /// Those of a call that stands at `place`.
    ///
    /// Parentheses round an argument do not count. Prometheus replaces a subquery that is an argument by a
    /// selector that has no place, and thus puts notes about it at the very beginning of the query.
    pub(crate) fn of(call: &Call, place: Place) -> Self {
        let arguments: Box<[_]> = call.arguments.iter().map(argument_place).collect();
        let list = match (arguments.first(), arguments.last()) {
            (Some(first), Some(last)) => Place { start: first.start, end: last.end },
            _ => place,
        };
        Self { call: place, list, arguments }
    }

    /// So many arguments, all at one place.
    #[cfg(test)]
    pub(crate) fn plain(place: Place, arguments: usize) -> Self {
        Self { call: place, list: place, arguments: vec![place; arguments].into() }
    }
}

fn argument_place(expr: &Expr) -> Place {
    match &expr.kind {
        ExprKind::Paren(inner) => argument_place(inner),
        ExprKind::Subquery(_) => Place::default(),
        _ => expr.place,
    }
}

/// A part of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    /// The list of its arguments.
    List,
    /// One argument, from 0.
    Argument(usize),
}

/// Makes a note of a metric's name.
pub(crate) type NoteOfMetric = fn(&[u8]) -> Note;

/// Collects what a function notes while it goes over series.
#[derive(Debug)]
pub(crate) struct Notes<'a> {
    places: &'a Places,
    metric: Vec<u8>,
    /// What was noted of the series at hand.
    seen: Vec<(Spot, NoteOfMetric)>,
    annotations: Annotations,
    failure: Option<Error>,
}

impl<'a> Notes<'a> {
    /// None yet, of a call with these places.
    pub(crate) fn new(places: &'a Places) -> Self {
        Self {
            places,
            metric: Vec::new(),
            seen: Vec::new(),
            annotations: Annotations::default(),
            failure: None,
        }
    }

    /// Goes on to another series; `metric` is its name, empty if it has none.
    pub(crate) fn series(&mut self, metric: &[u8]) {
        self.metric.clear();
        self.metric.extend_from_slice(metric);
        self.seen.clear();
    }

    /// The name of the series at hand.
    pub(crate) fn metric(&self) -> &[u8] {
        &self.metric
    }

    /// Notes something of the metric at hand, once for the series.
    pub(crate) fn of_metric(&mut self, note: NoteOfMetric, spot: Spot) {
        if !self.seen.iter().any(|(at, seen)| *at == spot && std::ptr::fn_addr_eq(*seen, note)) {
            self.seen.push((spot, note));
            let note = note(&self.metric);
            self.add(note, spot);
        }
    }

    /// Notes something.
    pub(crate) fn add(&mut self, note: Note, spot: Spot) {
        let place = match spot {
            Spot::List => self.places.list,
            Spot::Argument(at) => self.places.arguments.get(at).copied().unwrap_or(self.places.call),
        };
        self.annotations.add(note, place);
    }

    /// Makes the whole query fail with a text of Prometheus; the first one stays.
    pub(crate) fn fail(&mut self, text: String) {
        self.failure.get_or_insert(Error::Execution(text));
    }

    /// What was noted.
    ///
    /// # Errors
    /// [`Error::Execution`] if a function made the query fail.
    pub(crate) fn finish(self) -> Result<Annotations, Error> {
        self.failure.map_or(Ok(self.annotations), Err)
    }
}
