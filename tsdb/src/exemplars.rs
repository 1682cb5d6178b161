//! Exemplars: a ring of bounded size for the whole database.
//!
//! The ring keeps what came last, whatever its time and its series; the next one pushes out the oldest arrival. Beside
//! it stands, for each series that has one, its label set and the places of its exemplars by time. A series stays here as
//! long as it has an exemplar, also when the head has forgotten it. Which exemplar is taken is Prometheus' rule, down to the
//! hash that breaks a tie: what is asked is the newest exemplar of the series, and nothing is searched.
//!
//! The ring lies in the head and under its lock, so readers take it a slice of series at a time.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use parking_lot::RwLock;
use sarsen_block::codec::xxh64;
use sarsen_block::{Labels, LabelsRef, Matcher, SeriesHash, TimeRange, Timestamp};

use crate::head::Head;

/// Names and values of an exemplar's labels have at most this many characters together.
pub const MAX_EXEMPLAR_CHARS: usize = 128;
/// Series looked at under one hold of the lock.
const SLICE: usize = 1024;

/// An exemplar that is to be stored. Labels are borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExemplarRef<'a> {
    /// What it points at: mostly one label with the id of a trace.
    pub labels: LabelsRef<'a>,
    /// When it was observed.
    pub t: Timestamp,
    /// What was observed.
    pub value: f64,
}

/// An exemplar that was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What it points at.
    pub labels: Labels,
    /// When it was observed.
    pub t: Timestamp,
    /// What was observed.
    pub value: f64,
}

/// The exemplars of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// Which series.
    pub labels: Labels,
    /// Its exemplars; times rise or stay.
    pub exemplars: Vec<Exemplar>,
}

/// Why an exemplar was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExemplarReason {
    /// Older than the newest exemplar of its series and outside the out-of-order window; or of the same time with a
    /// smaller value, or with the same value and labels of a smaller hash.
    OutOfOrder,
    /// Names and values have more than [`MAX_EXEMPLAR_CHARS`] characters.
    LabelsTooLong,
}

/// An exemplar that was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExemplarRefusal {
    /// Which exemplar of the batch, counted from 0 in the order of staging.
    pub exemplar: u32,
    /// Why.
    pub reason: ExemplarReason,
}

/// What is to become of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExemplarVerdict {
    Good,
    /// It is there already: nothing to do and nothing wrong.
    Duplicate,
    Refused(ExemplarReason),
}

/// One place of the ring.
#[derive(Debug)]
struct Place {
    series: u32,
    exemplar: Exemplar,
}

/// A series that has exemplars.
#[derive(Debug)]
struct Owner {
    hash: SeriesHash,
    labels: Labels,
    /// Places in the ring, by time; of equal times in the order of arrival.
    places: VecDeque<u32>,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct ExemplarRing {
    capacity: u32,
    /// How many milliseconds an exemplar may be behind the newest of its series.
    window: Timestamp,
    places: Vec<Place>,
    /// The place that the next exemplar takes.
    next: u32,
    owners: Vec<Option<Owner>>,
    free: Vec<u32>,
    by_hash: HashMap<SeriesHash, u32>,
}

impl ExemplarRing {
    /// A ring of `capacity` places; with none, it takes nothing.
    pub(crate) fn new(capacity: u32, window: Timestamp) -> Self {
        Self {
            capacity,
            window,
            places: Vec::new(),
            next: 0,
            owners: Vec::new(),
            free: Vec::new(),
            by_hash: HashMap::new(),
        }
    }

    /// Whether anything is taken at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.capacity > 0
    }

    /// How many exemplars there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether a series has exemplars.
    pub(crate) fn knows(&self, series: SeriesHash) -> bool {
        self.by_hash.contains_key(&series)
    }

    fn owner(&self, series: SeriesHash) -> Option<&Owner> {
        self.owners.get(*self.by_hash.get(&series)? as usize)?.as_ref()
    }

    fn at(&self, place: u32) -> Option<&Exemplar> {
        self.places.get(place as usize).map(|place| &place.exemplar)
    }

    /// What is to become of an exemplar of a series.
    pub(crate) fn judge(&self, series: SeriesHash, exemplar: ExemplarRef<'_>) -> ExemplarVerdict {
        if chars(exemplar.labels) > MAX_EXEMPLAR_CHARS {
            return ExemplarVerdict::Refused(ExemplarReason::LabelsTooLong);
        }
        let newest = self.owner(series).and_then(|owner| self.at(*owner.places.back()?));
        let Some(newest) = newest else { return ExemplarVerdict::Good };
        // Numbers are compared, not bits: an exemplar that is not a number is nobody's duplicate.
        let same_value = exemplar.value == newest.value;
        if exemplar.t == newest.t && same_value && exemplar.labels == newest.labels.as_ref() {
            return ExemplarVerdict::Duplicate;
        }
        let is_behind = match exemplar.t.cmp(&newest.t) {
            Ordering::Less => exemplar.t <= newest.t.saturating_sub(self.window),
            Ordering::Equal => {
                exemplar.value < newest.value
                    || same_value && hash(exemplar.labels) < hash(newest.labels.as_ref())
            }
            Ordering::Greater => false,
        };
        match is_behind {
            true => ExemplarVerdict::Refused(ExemplarReason::OutOfOrder),
            false => ExemplarVerdict::Good,
        }
    }

    /// Judges an exemplar and takes it if it is good. One that arrives late at a time that is there already counts as a
    /// duplicate, whatever it says.
    pub(crate) fn add(
        &mut self,
        series: SeriesHash,
        labels: impl FnOnce() -> Labels,
        exemplar: ExemplarRef<'_>,
    ) -> ExemplarVerdict {
        let verdict = self.judge(series, exemplar);
        if verdict != ExemplarVerdict::Good || !self.is_on() {
            return verdict;
        }
        if let Some(owner) = self.owner(series)
            && let (_, Some(before)) = self.position(owner, exemplar.t)
            && before.t == exemplar.t
            && owner.places.back().and_then(|&newest| self.at(newest)).is_some_and(|n| n.t > exemplar.t)
        {
            return ExemplarVerdict::Duplicate;
        }
        let number = self.owner_for(series, labels);
        if let Some(place) = self.places.get(self.next as usize) {
            self.unlink(place.series, number);
        }
        let ExemplarRef { labels, t, value } = exemplar;
        let place = Place { series: number, exemplar: Exemplar { labels: labels.to_owned(), t, value } };
        let at = match self.owners.get(number as usize) {
            Some(Some(owner)) => self.position(owner, t).0,
            _ => 0,
        };
        match self.places.get_mut(self.next as usize) {
            Some(old) => *old = place,
            None => self.places.push(place),
        }
        if let Some(Some(owner)) = self.owners.get_mut(number as usize) {
            owner.places.insert(at, self.next);
        }
        self.next = (self.next + 1) % self.capacity;
        ExemplarVerdict::Good
    }

    /// Where an exemplar of time `t` goes among those of a series, and the one before it.
    fn position(&self, owner: &Owner, t: Timestamp) -> (usize, Option<&Exemplar>) {
        let at = owner.places.partition_point(|&place| self.at(place).is_some_and(|found| found.t <= t));
        let before = at.checked_sub(1).and_then(|before| self.at(*owner.places.get(before)?));
        (at, before)
    }

    /// The place that the next exemplar takes is no longer one of the series that has it. A series without any goes, unless it
    /// is the one that gets the place.
    fn unlink(&mut self, number: u32, taker: u32) {
        let Some(slot) = self.owners.get_mut(number as usize) else { return };
        let Some(owner) = slot else { return };
        // Mostly the first: what came first is oldest.
        if let Some(at) = owner.places.iter().position(|&place| place == self.next) {
            owner.places.remove(at);
        }
        if owner.places.is_empty() && number != taker {
            self.by_hash.remove(&owner.hash);
            *slot = None;
            self.free.push(number);
        }
    }

    fn owner_for(&mut self, hash: SeriesHash, labels: impl FnOnce() -> Labels) -> u32 {
        if let Some(&number) = self.by_hash.get(&hash) {
            return number;
        }
        let owner = Some(Owner { hash, labels: labels(), places: VecDeque::new() });
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.owners.push(None);
                (self.owners.len() - 1) as u32
            }
        };
        if let Some(slot) = self.owners.get_mut(number as usize) {
            *slot = owner;
        }
        self.by_hash.insert(hash, number);
        number
    }

    /// The exemplars whose turn to be replaced comes at `turns` (0 is the next), with their series.
    pub(crate) fn in_turn(
        &self,
        turns: std::ops::Range<u32>,
    ) -> impl Iterator<Item = (SeriesHash, &Exemplar)> {
        let count = self.places.len() as u32;
        // A ring that is not full begins at its first place.
        let first = if count < self.capacity { 0 } else { self.next };
        (turns.start..turns.end.min(count)).filter_map(move |turn| {
            let place = self.places.get(((first + turn) % count) as usize)?;
            let owner = self.owners.get(place.series as usize)?.as_ref()?;
            Some((owner.hash, &place.exemplar))
        })
    }

    /// Bytes held, labels of series and exemplars included.
    pub(crate) fn held(&self) -> u64 {
        let owners = self.owners.iter().flatten();
        let labels = owners.map(|owner| owner.labels.as_ref().as_bytes().len() + owner.places.capacity() * 4);
        let texts = self.places.iter().map(|place| place.exemplar.labels.as_ref().as_bytes().len());
        let tables = self.places.capacity() * size_of::<Place>()
            + self.owners.capacity() * size_of::<Option<Owner>>()
            + self.by_hash.capacity() * (size_of::<(SeriesHash, u32)>() + 1);
        (labels.sum::<usize>() + texts.sum::<usize>() + tables) as u64
    }

    /// Adds what one slice of series has to `found`; whether there are more behind it.
    fn select_slice<M: AsRef<[Matcher]>>(
        &self,
        slice: std::ops::Range<usize>,
        sets: &[M],
        range: TimeRange,
        found: &mut Vec<SeriesExemplars>,
    ) -> bool {
        let is_last = slice.end >= self.owners.len();
        let owners = self.owners.get(slice.start..slice.end.min(self.owners.len())).unwrap_or_default();
        for owner in owners.iter().flatten() {
            let exemplars = owner.places.iter().filter_map(|&place| self.at(place));
            let mut inside = exemplars.filter(|found| range.contains(found.t)).peekable();
            if inside.peek().is_some() && sets.iter().any(|set| accepts(set.as_ref(), &owner.labels)) {
                let exemplars = inside.cloned().collect();
                found.push(SeriesExemplars { labels: owner.labels.clone(), exemplars });
            }
        }
        !is_last
    }
}

/// Whether all matchers hold for a label set.
fn accepts(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
}

/// How many characters names and values have. A byte that is not UTF-8 counts as one.
fn chars(labels: LabelsRef<'_>) -> usize {
    let count = |text: &[u8]| {
        text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum::<usize>()
    };
    labels.iter().map(|(name, value)| count(name) + count(value)).sum()
}

/// The hash of a label set in Thanos.
fn hash(labels: LabelsRef<'_>) -> u64 {
    let mut bytes = Vec::with_capacity(labels.as_bytes().len());
    for (name, value) in labels.iter() {
        bytes.extend_from_slice(name);
        bytes.push(0xFF);
        bytes.extend_from_slice(value);
        bytes.push(0xFF);
    }
    xxh64(&bytes)
}

/// The exemplars in `range` of the series that at least one of the sets of matchers accepts, labels rising.
pub(crate) fn select<M: AsRef<[Matcher]>>(
    head: &RwLock<Head>,
    sets: &[M],
    range: TimeRange,
) -> Vec<SeriesExemplars> {
    let mut found = Vec::new();
    let mut start = 0;
    while head.read().exemplars.select_slice(start..start + SLICE, sets, range, &mut found) {
        start += SLICE;
    }
    // A series that lost its last exemplar and got a new one between two slices may have been met twice.
    found.sort_by(|a, b| a.labels.as_ref().cmp(&b.labels.as_ref()));
    found.dedup_by(|next, last| next.labels == last.labels);
    found
}
