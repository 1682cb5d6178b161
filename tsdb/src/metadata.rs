//! Metadata: what a series means, in the words of whoever exposes it.
//!
//! A series has the metadata that was told last, or none. The same words are told for every series of a metric and for every
//! target, so each combination is kept once and a series costs a number of four bytes, in pages that exist only where
//! a series has any. Metadata goes when the head forgets the series. Nothing here logs.

use std::hash::{Hash, Hasher, RandomState};

use bytes::Bytes;
use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use sarsen_block::{Labels, Matcher, SeriesNo, TimeRange};

use crate::error::Error;
use crate::head::{Head, HeadLists, Reach, SortedHead};

/// Series numbers of a page.
const PAGE: usize = 1024;

/// What kind of numbers a metric gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[repr(u8)]
pub enum MetricType {
    /// Nobody said.
    #[default]
    Unknown = 0,
    /// A number that only rises, but for restarts.
    Counter = 1,
    /// A number that rises and falls.
    Gauge = 2,
    /// Counters by bucket.
    Histogram = 3,
    /// Gauges by bucket.
    GaugeHistogram = 4,
    /// Quantiles that the exposer computes.
    Summary = 5,
    /// Labels with the value 1.
    Info = 6,
    /// One series for each state, 1 if it holds.
    StateSet = 7,
}

impl MetricType {
    const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
    ];

    /// The type with this number: those of remote write and of Prometheus' log. Others are unknown types.
    pub fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// The number of the type.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name of the type as Prometheus' HTTP API gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// What a series means. Borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MetadataRef<'a> {
    /// What kind of numbers it gives.
    pub kind: MetricType,
    /// In which unit; may be empty.
    pub unit: &'a [u8],
    /// A sentence about it; may be empty.
    pub help: &'a [u8],
}

/// What a series means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// What kind of numbers it gives.
    pub kind: MetricType,
    /// In which unit; may be empty.
    pub unit: Bytes,
    /// A sentence about it; may be empty.
    pub help: Bytes,
}

/// A series and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesMetadata {
    /// Which series.
    pub labels: Labels,
    /// What it means.
    pub metadata: Metadata,
}

impl Metadata {
    /// The same, borrowed.
    pub fn as_ref(&self) -> MetadataRef<'_> {
        MetadataRef { kind: self.kind, unit: &self.unit, help: &self.help }
    }
}

impl Hash for Metadata {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Equivalent<Metadata> for MetadataRef<'_> {
    fn equivalent(&self, key: &Metadata) -> bool {
        *self == key.as_ref()
    }
}

/// A combination of words and how many series have it.
#[derive(Debug)]
struct Entry {
    metadata: Metadata,
    series: u32,
}

/// The metadata of the series of one page: one more than the place among the entries, 0 for none.
#[derive(Debug)]
struct Page {
    entries: [u32; PAGE],
    used: u32,
}

/// The metadata of all series of a head.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    numbers: HashMap<Metadata, u32, RandomState>,
    pages: Vec<Option<Box<Page>>>,
}

impl MetadataTable {
    /// What is known of a series.
    pub(crate) fn get(&self, no: SeriesNo) -> Option<&Metadata> {
        let entry = self.slot(no)?.checked_sub(1)?;
        self.entries.get(entry as usize)?.as_ref().map(|entry| &entry.metadata)
    }

    fn slot(&self, no: SeriesNo) -> Option<u32> {
        let page = self.pages.get(no.0 as usize / PAGE)?.as_ref()?;
        page.entries.get(no.0 as usize % PAGE).copied()
    }

    /// Whether no series has any.
    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Tells what a series means; whether that is news.
    pub(crate) fn set(&mut self, no: SeriesNo, metadata: MetadataRef<'_>) -> bool {
        if self.get(no).is_some_and(|known| known.as_ref() == metadata) {
            return false;
        }
        self.forget(no);
        let entry = self.entry_for(metadata);
        let at = no.0 as usize / PAGE;
        if at >= self.pages.len() {
            self.pages.resize_with(at + 1, || None);
        }
        if let Some(page) = self.pages.get_mut(at) {
            let page = page.get_or_insert_with(|| Box::new(Page { entries: [0; PAGE], used: 0 }));
            if let Some(slot) = page.entries.get_mut(no.0 as usize % PAGE) {
                *slot = entry + 1;
                page.used += 1;
            }
        }
        true
    }

    /// The number of a combination of words, which one more series has.
    fn entry_for(&mut self, metadata: MetadataRef<'_>) -> u32 {
        if let Some(&entry) = self.numbers.get(&metadata)
            && let Some(Some(found)) = self.entries.get_mut(entry as usize)
        {
            found.series += 1;
            return entry;
        }
        let MetadataRef { kind, unit, help } = metadata;
        let metadata =
            Metadata { kind, unit: Bytes::copy_from_slice(unit), help: Bytes::copy_from_slice(help) };
        let entry = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        });
        self.numbers.insert(metadata.clone(), entry);
        if let Some(slot) = self.entries.get_mut(entry as usize) {
            *slot = Some(Entry { metadata, series: 1 });
        }
        entry
    }

    /// A series has no metadata any more.
    pub(crate) fn forget(&mut self, no: SeriesNo) {
        let Some(place) = self.pages.get_mut(no.0 as usize / PAGE) else { return };
        let Some(page) = place else { return };
        let Some(slot) = page.entries.get_mut(no.0 as usize % PAGE) else { return };
        let Some(entry) = std::mem::take(slot).checked_sub(1) else { return };
        page.used -= 1;
        if page.used == 0 {
            *place = None;
        }
        if let Some(slot) = self.entries.get_mut(entry as usize)
            && let Some(found) = slot
        {
            found.series -= 1;
            if found.series == 0 {
                self.numbers.remove(&found.metadata);
                *slot = None;
                self.free.push(entry);
            }
        }
    }

    /// Bytes held, words included.
    pub(crate) fn held(&self) -> u64 {
        let words = self.entries.iter().flatten().map(|entry| {
            // Each owns its bytes, behind a count of who shares them.
            entry.metadata.unit.len() + entry.metadata.help.len() + 2 * 24
        });
        let tables = self.entries.capacity() * size_of::<Option<Entry>>()
            + self.numbers.capacity() * (size_of::<(Metadata, u32)>() + 1)
            + self.pages.capacity() * size_of::<Option<Box<Page>>>()
            + self.pages.iter().flatten().count() * size_of::<Page>();
        (words.sum::<usize>() + tables) as u64
    }
}

/// What is known of the series of the head that all matchers accept, labels rising. Series of which nothing is known are
/// left out.
pub(crate) fn select(head: &RwLock<Head>, matchers: &[Matcher]) -> Result<Vec<SeriesMetadata>, Error> {
    if head.read().metadata.is_empty() {
        return Ok(Vec::new());
    }
    let mut selected =
        HeadLists::new(head).select(matchers, Reach { ordered: TimeRange::ALL, late: TimeRange::ALL })?;
    for slice in selected.chunks_mut(PAGE) {
        let head = head.read();
        slice
            .iter_mut()
            .filter(|no| head.metadata.get(**no).is_none())
            .for_each(|no| *no = SeriesNo(u32::MAX));
    }
    selected.retain(|&no| no != SeriesNo(u32::MAX));
    let sorted = SortedHead::collect(head, &selected)?;
    let mut found = Vec::with_capacity(sorted.len());
    let mut bytes = Vec::new();
    let places: Vec<usize> = (0..sorted.len()).collect();
    for slice in places.chunks(PAGE) {
        let head = head.read();
        for &at in slice {
            if let Some(metadata) = sorted.key(at).and_then(|no| head.metadata.get(no)) {
                let labels = sorted.labels(at, &mut bytes).to_owned();
                found.push(SeriesMetadata { labels, metadata: metadata.clone() });
            }
        }
    }
    Ok(found)
}
