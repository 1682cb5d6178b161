//! An object in the store as a source that is read forward, with the next stretch on its way while this one is used.
//!
//! A read that goes on where the last one ended, or a little behind, is served from stretches of fixed size; the one after is
//! asked for as soon as one is taken up. A read elsewhere brings little more than it asked for, and begins a new walk. When the
//! last byte has been read, nothing is held any more. A failed read leaves the source as it was: the next one asks again.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use sarsen_block::Source;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::Reading;
use crate::bucket::{Bucket, Object};
use crate::error::Error;

/// A read out of order brings at least this many bytes.
const NEAR: u64 = 64 << 10;

/// One object.
pub(super) struct Forward {
    object: Remote,
    walk: Mutex<Walk>,
}

/// Where the bytes are.
struct Remote {
    bucket: Bucket,
    name: String,
    length: u64,
    stretch: u64,
    runtime: Handle,
    fetched: Arc<AtomicU64>,
}

/// What is at hand.
#[derive(Default)]
struct Walk {
    start: u64,
    held: Bytes,
    ahead: Option<Ahead>,
}

/// A stretch on its way. It is called off with this value.
struct Ahead {
    range: Range<u64>,
    task: JoinHandle<Result<Bytes, Error>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forward {
    /// `head` is how the object begins; it is at hand from the start.
    pub(super) fn new(bucket: Bucket, object: &Object, head: Bytes, reading: &Reading) -> Self {
        let object = Remote {
            bucket,
            name: object.name.clone(),
            length: object.size,
            stretch: reading.stretch.max(NEAR),
            runtime: reading.runtime.clone(),
            fetched: Arc::clone(&reading.fetched),
        };
        Self { object, walk: Mutex::new(Walk { start: 0, held: head, ahead: None }) }
    }
}

impl Source for Forward {
    fn len(&self) -> u64 {
        self.object.length
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = self.object.length;
        if range.start > range.end || range.end > length {
            let why = format!("bytes {}..{} of {length}", range.start, range.end);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let end = range.end;
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = walk.read(&self.object, range).map_err(Error::into_io)?;
        if end == length {
            *walk = Walk { start: length, ..Walk::default() };
        }
        Ok(bytes)
    }
}

impl Walk {
    fn end(&self) -> u64 {
        self.start + self.held.len() as u64
    }

    /// What is at hand from `at` to at most `end`; `None` if `at` is not.
    fn piece(&self, at: u64, end: u64) -> Option<Bytes> {
        if at < self.start || at >= self.end() {
            return None;
        }
        let place = |offset: u64| usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Some(self.held.slice(place(at)..place(end.min(self.end()))))
    }

    fn read(&mut self, object: &Remote, range: Range<u64>) -> Result<Bytes, Error> {
        let goes_on = range.start >= self.start && range.start <= self.end().saturating_add(object.stretch);
        if !goes_on {
            self.begin(object, &range)?;
        }
        let wanted = range.end - range.start;
        let mut joined = BytesMut::new();
        let mut at = range.start;
        loop {
            if let Some(piece) = self.piece(at, range.end) {
                if piece.len() as u64 == wanted {
                    return Ok(piece);
                }
                joined.reserve(usize::try_from(range.end - at).unwrap_or(0));
                joined.extend_from_slice(&piece);
                at += piece.len() as u64;
                if at == range.end {
                    return Ok(joined.freeze());
                }
            }
            self.go_on(object, at)?;
        }
    }

    /// Holds what `range` asks for, and a little behind it.
    fn begin(&mut self, object: &Remote, range: &Range<u64>) -> Result<(), Error> {
        let end = range.end.max(range.start.saturating_add(NEAR)).min(object.length);
        let held = object.runtime.block_on(object.get(range.start..end))?;
        object.count(&held);
        *self = Self { start: range.start, held, ahead: None };
        Ok(())
    }

    /// Holds the stretch in which `at` lies, and asks for the one behind it.
    fn go_on(&mut self, object: &Remote, at: u64) -> Result<(), Error> {
        let (start, held) = match self.ahead.take() {
            Some(mut ahead) if ahead.range.contains(&at) => {
                let fetched = object.runtime.block_on(&mut ahead.task);
                let fetched = fetched.map_err(|error| Error::local(&object.name, io::Error::other(error)));
                (ahead.range.start, fetched??)
            }
            _ => (at, object.runtime.block_on(object.get(object.stretch_from(at)))?),
        };
        object.count(&held);
        *self = Self { start, held, ahead: None };
        let next = object.stretch_from(self.end());
        if !next.is_empty() {
            let (bucket, name, range) = (object.bucket.clone(), object.name.clone(), next.clone());
            let task = object.runtime.spawn(async move { bucket.get_range(&name, range).await });
            self.ahead = Some(Ahead { range: next, task });
        }
        Ok(())
    }
}

impl Remote {
    fn stretch_from(&self, at: u64) -> Range<u64> {
        at..at.saturating_add(self.stretch).min(self.length)
    }

    fn count(&self, fetched: &Bytes) {
        self.fetched.fetch_add(fetched.len() as u64, Ordering::Relaxed);
    }

    async fn get(&self, range: Range<u64>) -> Result<Bytes, Error> {
        self.bucket.get_range(&self.name, range).await
    }
}
