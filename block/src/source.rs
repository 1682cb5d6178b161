//! A range of bytes in, `Bytes` out: how everything in this crate reads what it does not hold.
//!
//! A source is a run of bytes of fixed length that is asked for by range: a file read at a position, a map, an object
//! in a bucket, or simply [`Bytes`]. Reading is synchronous and changes nothing. A range outside the source is an error
//! of kind [`io::ErrorKind::UnexpectedEof`], never a short answer. This room knows no path and opens nothing.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;

/// Bytes of a fixed length, read by range.
pub trait Source: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there is not one byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly the bytes of `range`.
    ///
    /// # Errors
    /// Of kind `UnexpectedEof` if the range does not lie within `0..len()`; otherwise what the medium says.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

impl Source for Bytes {
    fn len(&self) -> u64 {
        (**self).len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let outside = || {
            let (start, end, len) = (range.start, range.end, (**self).len());
            io::Error::new(io::ErrorKind::UnexpectedEof, format!("bytes {start}..{end} of {len}"))
        };
        let start = usize::try_from(range.start).map_err(|_| outside())?;
        let end = usize::try_from(range.end).map_err(|_| outside())?;
        if start > end || end > (**self).len() {
            return Err(outside());
        }
        Ok(self.slice(start..end))
    }
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        (**self).read(range)
    }
}

/// The smallest and largest stretch that a [`Window`] reads at once.
const NARROW: u64 = 8 << 10;
const WIDE: u64 = 256 << 10;

/// A bounded look at a source: keeps the stretch read last, so that many small reads that go forward cost few large
/// ones. Reads that jump stay small. Over bytes in memory it only slices.
#[derive(Debug, Default)]
pub(crate) struct Window {
    start: u64,
    held: Bytes,
    width: u64,
}

impl Window {
    /// At least `least` bytes from `at`, and more if they are at hand; fewer only where the source ends.
    pub(crate) fn at_least(
        &mut self,
        source: &dyn Source,
        at: u64,
        least: u64,
        object: &'static str,
    ) -> Result<Bytes, Error> {
        let from = self.look(source, at, least, object)?;
        Ok(self.held.slice(from..))
    }

    /// The same bytes, lent.
    #[inline]
    pub(crate) fn view(
        &mut self,
        source: &dyn Source,
        at: u64,
        least: u64,
        object: &'static str,
    ) -> Result<&[u8], Error> {
        let from = self.look(source, at, least, object)?;
        Ok(self.held.get(from..).unwrap_or_default())
    }

    /// Sees to it that these bytes are held; where they begin in what is held.
    #[inline]
    fn look(
        &mut self,
        source: &dyn Source,
        at: u64,
        least: u64,
        object: &'static str,
    ) -> Result<usize, Error> {
        let held_end = self.start + self.held.len() as u64;
        let is_held = at >= self.start && at <= held_end && at.saturating_add(least) <= held_end;
        if !is_held {
            self.move_to(source, at, least, object)?;
        }
        Ok(usize::try_from(at - self.start).unwrap_or(usize::MAX).min(self.held.len()))
    }

    fn move_to(
        &mut self,
        source: &dyn Source,
        at: u64,
        least: u64,
        object: &'static str,
    ) -> Result<(), Error> {
        let held_end = self.start + self.held.len() as u64;
        let wanted_end = at.saturating_add(least).min(source.len());
        if at < self.start || at > held_end || wanted_end > held_end {
            let forward = at >= self.start && at <= held_end.saturating_add(self.width);
            self.width = if forward { (self.width * 2).clamp(NARROW, WIDE) } else { NARROW };
            let end = at.saturating_add(least.max(self.width)).min(source.len());
            if at > end {
                return Err(Error::corrupt(object, at, format!("an offset past the end at {end}")));
            }
            // What was held is given back first, so that both are never in memory together.
            self.held = Bytes::new();
            self.start = at;
            self.held = source.read(at..end).map_err(|e| Error::io(format!("{object} at offset {at}"), e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Counted(Bytes, AtomicU64);

    impl Source for Counted {
        fn len(&self) -> u64 {
            Source::len(&self.0)
        }
        fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.read(range)
        }
    }

    #[test]
    fn a_range_outside_is_an_error_not_a_short_answer() {
        let bytes = Bytes::from_static(b"0123456789");
        assert_eq!(&bytes.read(2..4).unwrap()[..], b"23");
        assert!(bytes.read(8..11).is_err());
        #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
        let reversed = 4..2;
        assert!(bytes.read(reversed).is_err());
    }

    #[test]
    fn a_window_reads_forward_in_few_steps() {
        let body: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
        let source = Counted(Bytes::from(body.clone()), AtomicU64::new(0));
        let mut window = Window::default();
        for at in (0..1_000_000usize).step_by(100) {
            let got = window.at_least(&source, at as u64, 50, "t").unwrap();
            assert_eq!(got[..50], body[at..at + 50]);
        }
        assert!(source.1.load(Ordering::Relaxed) < 12);
        assert_eq!(window.at_least(&source, 999_990, 50, "t").unwrap().len(), 10);
        assert!(window.at_least(&source, 1_000_001, 5, "t").is_err());
    }
}
