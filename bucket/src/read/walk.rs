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
        let held = object.get(range.start..end)?;
        object.count(&held);
        *self = Self { start: range.start, held, ahead: None };
        Ok(())
    }

    /// Holds the stretch in which `at` lies, and asks for the one behind it.
    fn go_on(&mut self, object: &Remote, at: u64) -> Result<(), Error> {
        let (start, held) = match self.ahead.take() {
            Some(ahead) if ahead.range.contains(&at) => (ahead.range.start, object.wait(ahead)?),
            _ => (at, object.get(object.stretch_from(at))?),
        };
        object.count(&held);
        *self = Self { start, held, ahead: None };
        let next = object.stretch_from(self.end());
        if !next.is_empty() {
            self.ahead = Some(object.ask(next));
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

    /// Sets a request on its way.
    fn ask(&self, range: Range<u64>) -> Ahead {
        let (bucket, name, wanted) = (self.bucket.clone(), self.name.clone(), range.clone());
        let task = self.runtime.spawn(async move { bucket.get_range(&name, wanted).await });
        Ahead { range, task }
    }

    /// What a request has brought. A runtime that is being stopped is an error.
    fn wait(&self, mut ahead: Ahead) -> Result<Bytes, Error> {
        let fetched = self.runtime.block_on(&mut ahead.task);
        fetched.map_err(|error| Error::local(&self.name, io::Error::other(error)))?
    }

    fn get(&self, range: Range<u64>) -> Result<Bytes, Error> {
        self.wait(self.ask(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use proptest::prelude::*;

    /// Where a read begins, seen from where the last one ended, and how long it is.
    fn reads() -> impl Strategy<Value = Vec<(i64, u64)>> {
        let step = prop_oneof![4 => Just(0i64), 2 => 0i64..90_000, 1 => -300_000i64..600_000];
        let length = prop_oneof![3 => 0u64..20_000, 1 => 0u64..300_000];
        proptest::collection::vec((step, length), 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is asked for in whatever order: the bytes are those of the object.
        #[test]
        fn any_walk_gives_the_bytes_of_the_object(reads in reads(), stretch in 1u64..200_000) {
            let body: Vec<u8> = (0..1_000_003u32).map(|i| (i % 251) as u8 ^ (i >> 12) as u8).collect();
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            let bucket = Bucket::builder(std::sync::Arc::new(InMemory::new()), "memory").build();
            runtime.block_on(bucket.put("object", body.clone().into())).unwrap();
            let object = runtime.block_on(bucket.attributes("object")).unwrap().unwrap();
            let guard = runtime.enter();
            let reading = Reading { stretch, ..Reading::new("") };
            drop(guard);
            let source = Forward::new(bucket, &object, Bytes::copy_from_slice(&body[..8]), &reading);
            let mut end = 8i64;
            for (step, length) in reads {
                let start = u64::try_from(end + step).unwrap_or(0).min(source.len());
                let to = (start + length).min(source.len());
                let read = source.read(start..to).unwrap();
                prop_assert!(read == body[start as usize..to as usize], "{start}..{to}");
                end = i64::try_from(to).unwrap();
            }
            prop_assert!(source.read(5..source.len() + 1).is_err());
        }
    }

    #[test]
    fn a_walk_to_the_end_fetches_every_byte_once_and_holds_nothing() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let bucket = Bucket::builder(std::sync::Arc::new(InMemory::new()), "memory").build();
        runtime.block_on(bucket.put("object", vec![7; 1_000_003].into())).unwrap();
        let object = runtime.block_on(bucket.attributes("object")).unwrap().unwrap();
        let guard = runtime.enter();
        let reading = Reading { stretch: 100_000, ..Reading::new("") };
        drop(guard);
        let source = Forward::new(bucket, &object, Bytes::from_static(&[7; 8]), &reading);
        for start in (8..source.len()).step_by(777) {
            assert!(!source.read(start..(start + 777).min(source.len())).unwrap().is_empty());
        }
        assert_eq!(reading.fetched.load(Ordering::Relaxed), 1_000_003 - 8);
        let walk = source.walk.lock().unwrap();
        assert!(walk.held.is_empty() && walk.ahead.is_none());
    }
}
