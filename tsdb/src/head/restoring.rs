//! A second thread beside the reading of a checkpoint: labels, lists of series by label, and the map from hash to series.
//!
//! Reading a checkpoint is two works of about the same length that need nothing of each other until the end: the series
//! with their open chunks, which stay with the thread that reads, and what finds them, which is built here. The tables are
//! taken out of the head, filled in the order of the records, and put back; what the thread found out about the series, their
//! hashes and which of them have a label that nobody knows, is entered then.
//!
//! The thread ends with the call that began it. Between [`Head::begin_restoring`] and [`Head::end_restoring`] no series of the
//! head can be found by its labels.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use sarsen_block::codec::Reader;
use sarsen_block::{LabelsRef, SeriesHash, SeriesHasher, SeriesNo, Timestamp};

use super::Head;
use super::map::NumberMap;
use super::postings::MemPostings;
use super::state::{label_numbers, restore_labels};
use super::symbols::Symbols;
use crate::error::Error;

/// Records that may wait for the second thread: some hundred kilobytes each.
const WAITING: usize = 8;

/// A piece of work for the second thread.
enum Task {
    /// Texts of labels, as the checkpoint has them.
    Labels(Vec<u8>),
    /// Series of one page.
    Series(Lists),
}

/// Series, each with the list of its labels.
#[derive(Debug, Default)]
pub(super) struct Lists {
    numbers: Vec<(SeriesNo, usize)>,
    bytes: Vec<u8>,
}

impl Lists {
    /// Adds a series with its list of label numbers.
    pub(super) fn push(&mut self, no: SeriesNo, list: &[u8]) {
        self.bytes.extend_from_slice(list);
        self.numbers.push((no, self.bytes.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (SeriesNo, &[u8])> {
        let starts = std::iter::once(0).chain(self.numbers.iter().map(|&(_, end)| end));
        let pairs = self.numbers.iter().zip(starts);
        pairs.map(|(&(no, end), start)| (no, self.bytes.get(start..end).unwrap_or_default()))
    }
}

/// The tables by which series are found, while they are filled.
struct Tables {
    hasher: SeriesHasher,
    symbols: Symbols,
    postings: MemPostings,
    map: NumberMap,
    hashes: Vec<(SeriesNo, SeriesHash)>,
    /// Series with a label that is not known: a repair took it.
    lost: Vec<SeriesNo>,
}

impl Tables {
    fn fill(mut self, tasks: &Receiver<Task>) -> Result<Self, Error> {
        let mut text = Vec::new();
        for task in tasks {
            match task {
                Task::Labels(record) => {
                    let mut reader = Reader::new("checkpoint", &record);
                    restore_labels(&mut reader, &self.hasher, &mut self.symbols, &mut self.postings)?;
                }
                Task::Series(lists) => {
                    for (no, list) in lists.iter() {
                        self.enter(no, list, &mut text);
                    }
                }
            }
        }
        Ok(self)
    }

    /// Hashes a series anew and enters it.
    fn enter(&mut self, no: SeriesNo, list: &[u8], text: &mut Vec<u8>) {
        text.clear();
        for label in label_numbers(list) {
            match self.symbols.text(label) {
                [] => return self.lost.push(no),
                field => text.extend_from_slice(field),
            }
        }
        let hash = self.hasher.hash(LabelsRef::trusted(text));
        for label in label_numbers(list) {
            self.postings.add(label, no);
        }
        self.map.insert(hash.0, no.0);
        self.hashes.push((no, hash));
    }
}

/// The second thread at work.
#[derive(Debug)]
pub(crate) struct Restoring<'scope> {
    tasks: SyncSender<Task>,
    thread: ScopedJoinHandle<'scope, Result<Tables, Error>>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("series", &self.hashes.len()).finish_non_exhaustive()
    }
}

impl Restoring<'_> {
    pub(super) fn labels(&self, record: &[u8]) {
        // If the thread has ended, it ended with an error, and the end of restoring tells it.
        let _ = self.tasks.send(Task::Labels(record.to_vec()));
    }

    pub(super) fn series(&self, lists: Lists) {
        let _ = self.tasks.send(Task::Series(lists));
    }
}

impl Head {
    /// Begins to read a checkpoint into an empty head.
    pub(crate) fn begin_restoring<'scope>(&mut self, scope: &'scope Scope<'scope, '_>) -> Restoring<'scope> {
        let tables = Tables {
            hasher: self.hasher.clone(),
            symbols: std::mem::take(&mut self.symbols),
            postings: std::mem::take(&mut self.postings),
            map: std::mem::take(&mut self.map),
            hashes: Vec::new(),
            lost: Vec::new(),
        };
        let (tasks, waiting) = sync_channel(WAITING);
        let thread = scope.spawn(move || tables.fill(&waiting));
        Restoring { tasks, thread }
    }

    /// Waits for the second thread and makes the head whole. How many series cannot be told any more, because a repair took
    /// their labels: they are dropped.
    ///
    /// # Errors
    /// [`Error::Block`] if the labels were no such record.
    pub(crate) fn end_restoring(&mut self, restoring: Restoring<'_>) -> Result<u64, Error> {
        let Restoring { tasks, thread } = restoring;
        drop(tasks);
        let tables = thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        (self.symbols, self.postings, self.map) = (tables.symbols, tables.postings, tables.map);
        for (no, hash) in tables.hashes {
            if let Some(series) = self.series.get_mut(no) {
                series.set_hash(hash);
            }
        }
        let lost = tables.lost.len() as u64;
        for no in tables.lost {
            if let Some(mut series) = self.series.remove(no) {
                let dropped = series.drop_before(&mut self.store, Timestamp::MAX);
                self.counts.chunks = self.counts.chunks.saturating_sub(u64::from(dropped));
                self.label_lists.free(series.labels);
            }
        }
        Ok(lost)
    }
}
