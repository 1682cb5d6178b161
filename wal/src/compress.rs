//! Payloads packed with zstd, by contexts lent from a small pool.
//!
//! A context holds about a megabyte; one for each log would make a tenant dear, one for each thread would make a
//! thread dear. So a few are kept for the process and lent for the time of one record. Nothing else is shared.

use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use crate::error::Error;
use crate::pool::Pool;

/// Fastest of the ordinary levels; see `benches/record.rs` for what others gave.
const LEVEL: i32 = 1;

static COMPRESSORS: Pool<Compressor<'static>> = Pool::new();
static DECOMPRESSORS: Pool<Decompressor<'static>> = Pool::new();

/// Packs `raw` into `scratch`, replacing what it held. `false` if that saves less than an eighth or fails: then the
/// bytes are better stored as they are.
pub(crate) fn pack(raw: &[u8], scratch: &mut Vec<u8>) -> bool {
    let Some(mut context) = COMPRESSORS.lend().or_else(|| Compressor::new(LEVEL).ok()) else {
        return false;
    };
    scratch.clear();
    scratch.reserve(zstd_safe::compress_bound(raw.len()));
    let packed = context.compress_to_buffer(raw, scratch);
    COMPRESSORS.give_back(context);
    packed.is_ok_and(|length| length + length / 7 < raw.len())
}

/// Unpacks `stored` into `out`, replacing what it held; at most `limit` bytes, whatever the input claims.
pub(crate) fn unpack(stored: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
    let corrupt = |what: String| Error::Record(sarsen_block::Error::corrupt("packed record", 0, what));
    let size = match zstd_safe::get_frame_content_size(stored) {
        Ok(Some(size)) => size,
        _ => return Err(corrupt("no content size".to_owned())),
    };
    let size = usize::try_from(size).ok().filter(|size| *size <= limit);
    let Some(size) = size else { return Err(corrupt(format!("unpacks to more than {limit} bytes"))) };
    let mut context = match DECOMPRESSORS.lend() {
        Some(context) => context,
        None => Decompressor::new()
            .map_err(|source| Error::Io { operation: "making a zstd context".to_owned(), source })?,
    };
    out.clear();
    out.reserve(size);
    let unpacked: io::Result<usize> = context.decompress_to_buffer(stored, out);
    DECOMPRESSORS.give_back(context);
    match unpacked {
        Ok(length) if length == size => Ok(()),
        Ok(length) => Err(corrupt(format!("unpacks to {length} bytes, {size} were announced"))),
        Err(error) => Err(corrupt(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_what_repeats_and_leaves_what_does_not() {
        let mut packed = Vec::new();
        let raw: Vec<u8> = (0..4000u32).flat_map(|i| (i / 100).to_le_bytes()).collect();
        assert!(pack(&raw, &mut packed));
        let mut out = vec![1, 2, 3];
        unpack(&packed, &mut out, raw.len()).unwrap();
        assert_eq!(out, raw);
        assert!(unpack(&packed, &mut out, raw.len() - 1).is_err(), "over the limit");
        assert!(unpack(&packed[..packed.len() - 1], &mut out, raw.len()).is_err(), "cut short");
        assert!(unpack(b"nonsense", &mut out, 1000).is_err());
        assert!(!pack(&[7, 1, 200, 35, 9], &mut packed));
    }
}
