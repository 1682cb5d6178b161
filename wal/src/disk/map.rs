//! A read-only file as `Bytes`: the only unsafe line of the crate.
//!
//! The length of the map is the length of the file at this moment; `Bytes` checks every access against it. What it
//! cannot check is that nobody shortens the file afterwards: files that are mapped are written once, under another
//! name, and are never cut or rewritten in place. Callers of `Disk::map` make that promise.
#![allow(unsafe_code, reason = "the address of unsafe in this crate")]

use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::Mmap;

/// The whole of `file`. An empty file gives empty bytes, because a map of nothing does not exist.
pub(super) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the memory of a map is sound as long as the file behind it is neither changed nor shortened while the
    // map lives. `Disk::map` is documented to take only files that are finished: they got their name by a rename
    // after the last write, and this house removes such files but never cuts or rewrites them. Removal leaves the
    // pages of an open map in place.
    let map = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_what_was_written_and_survives_removal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"some bytes").unwrap();
        let bytes = map(&File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes, &b"some bytes"[..]);
        assert_eq!(bytes.slice(5..10), &b"bytes"[..]);
    }

    #[test]
    fn nothing_maps_to_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"").unwrap();
        assert!(map(&File::open(&path).unwrap()).unwrap().is_empty());
    }
}
