//! Room for large pieces of objects, used again and again.
//!
//! An allocator keeps pieces of a megabyte and more for a while after they were given back, in case more of them are wanted, and does
//! not always use those. A process that streams hundreds of megabytes a second has all of that resident: merging 375 MB took 938 MB
//! so. What is read of objects and files that go up therefore lies in room that this bucket keeps.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Smaller pieces are the allocator's.
pub(crate) const LEAST: usize = 256 << 10;
/// Bytes that are kept while nobody uses them.
const KEPT: usize = 64 << 20;

/// The room of a bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room(Arc<Mutex<Vec<Vec<u8>>>>);

/// A piece that is being filled, or is in use. Its room goes back when the last reference to it goes.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    room: Room,
}

impl Room {
    /// An empty piece with room for `size` bytes.
    pub(crate) fn take(&self, size: usize) -> Piece {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |bytes: &Vec<u8>| bytes.capacity() >= size && bytes.capacity() / 4 <= size;
        let found = kept.iter().position(fits).map(|at| kept.swap_remove(at));
        drop(kept);
        Piece { bytes: found.unwrap_or_else(|| Vec::with_capacity(size)), room: self.clone() }
    }
}

impl Piece {
    /// What was filled in.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() < LEAST {
            return;
        }
        bytes.clear();
        let mut kept = self.room.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held: usize = kept.iter().map(Vec::capacity).sum();
        if held + bytes.capacity() <= KEPT {
            kept.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_with_the_last_reference() {
        let room = Room::default();
        let mut piece = room.take(LEAST);
        piece.bytes.extend_from_slice(b"some bytes");
        let address = piece.bytes.as_ptr();
        let bytes = piece.into_bytes();
        let part = bytes.slice(5..);
        drop(bytes);
        assert_ne!(room.take(LEAST).bytes.as_ptr(), address, "it is still in use");
        assert_eq!(part, &b"bytes"[..]);
        drop(part);
        let kept = room.0.lock().unwrap().iter().any(|bytes| bytes.as_ptr() == address && bytes.is_empty());
        assert!(kept);
    }

    #[test]
    fn no_more_is_kept_than_the_bound_and_small_pieces_are_not() {
        let room = Room::default();
        let pieces: Vec<Piece> = (0..KEPT / LEAST + 10).map(|_| room.take(LEAST)).collect();
        drop(pieces);
        drop(room.take(10));
        let held: usize = room.0.lock().unwrap().iter().map(Vec::capacity).sum();
        assert!(held <= KEPT && held > KEPT / 2, "{held} bytes");
        assert!(room.take(8 << 20).bytes.capacity() >= 8 << 20);
    }
}
