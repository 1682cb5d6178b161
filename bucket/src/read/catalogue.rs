//! What a [`Fetcher`] remembers, in a local file.
//!
//! With it a process that starts again knows every block and mark as last seen without a request, reads from the bucket only what has
//! changed since, and can begin while the bucket is away. The file is one for the whole bucket. It is replaced as a
//! whole and carries a checksum over everything, so it is either read as it was written or not at all; who cannot read it begins with nothing and
//! writes it anew. `LAYOUT.md` draws it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use sarsen_block::codec::{Crc32c, Reader, crc32c, put_str, put_u64, put_uvarint};
use sarsen_block::{BlockId, BlockMeta};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::marker::{MarkKind, Marker};
use crate::view::{Fetcher, Known, Noted, Stamp};

const OBJECT: &str = "catalogue";
const MAGIC: [u8; 5] = [0x53, 0x58, 0x43, 0x54, 1];
const CRC_LEN: usize = 4;

impl Fetcher {
    /// What was [saved](Self::save) of `bucket`. Blocks the thread while it reads.
    ///
    /// # Errors
    /// `Local` if there is no such file or it cannot be read; `Corrupt` if it is damaged, of another version or of another bucket.
    /// Whatever it is: to begin with nothing is right, and takes longer.
    pub fn load(path: &Path, bucket: &Bucket) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|e| Error::local(path, e))?;
        let corrupt = |why: String| Error::corrupt(path.display().to_string(), why);
        decode(&bytes, &bucket.whole_name("")).map_err(|error| corrupt(error.to_string()))
    }

    /// Writes what is remembered of `bucket` into a file, over the one that is there; its size in bytes. Blocks the thread.
    ///
    /// # Errors
    /// `Local`; then the old file is as it was.
    pub fn save(&self, path: &Path, bucket: &Bucket) -> Result<u64, Error> {
        let failed = |e| Error::local(path, e);
        let temporary = path.with_extension("new");
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let size = self.write(&temporary, &bucket.whole_name("")).map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)?;
        Ok(size)
    }

    fn write(&self, path: &Path, bucket: &str) -> std::io::Result<u64> {
        let mut out = BufWriter::new(File::create(path)?);
        let (mut sum, mut size) = (Crc32c::new(), 0);
        let mut send = |part: &mut Vec<u8>| {
            sum.update(part);
            size += part.len() as u64;
            out.write_all(part).map(|()| part.clear())
        };
        let mut part = MAGIC.to_vec();
        put_str(&mut part, bucket.as_bytes());
        put_uvarint(&mut part, self.known.len() as u64);
        send(&mut part)?;
        for (id, known) in &self.known {
            put_known(&mut part, *id, known);
            send(&mut part)?;
        }
        let sum = sum.value().to_be_bytes();
        out.write_all(&sum)?;
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(size + sum.len() as u64)
    }
}

fn put_known(out: &mut Vec<u8>, id: BlockId, known: &Known) {
    put_str(out, id.to_string().as_bytes());
    out.push(u8::from(known.meta.is_some()));
    if let Some(meta) = &known.meta {
        put_noted(out, meta, |meta| meta.to_bytes());
    }
    put_uvarint(out, known.marks.len() as u64);
    for (kind, mark) in &known.marks {
        put_str(out, kind.file_name().as_bytes());
        put_noted(out, mark, Marker::to_bytes);
    }
}

fn put_noted<T>(out: &mut Vec<u8>, noted: &Noted<T>, text: impl Fn(&T) -> Vec<u8>) {
    put_u64(out, noted.stamp.size);
    put_u64(out, noted.stamp.modified_ms.cast_unsigned());
    out.push(u8::from(noted.content.is_ok()));
    match &noted.content {
        Ok(content) => put_str(out, &text(content)),
        Err(why) => put_str(out, why.as_bytes()),
    }
}

fn decode(bytes: &[u8], bucket: &str) -> Result<Fetcher, sarsen_block::Error> {
    let fault = |why: &str| Err(Reader::new(OBJECT, bytes).corrupt(why));
    let Some((body, sum)) = bytes.len().checked_sub(CRC_LEN).and_then(|at| bytes.split_at_checked(at)) else {
        return fault("it is too short");
    };
    if body.get(..MAGIC.len()) != Some(&MAGIC[..]) {
        return fault("not a catalogue, version 1");
    }
    if crc32c(body).to_be_bytes() != *sum {
        return fault("the checksum does not match");
    }
    let mut reader = Reader::new(OBJECT, body);
    reader.take(MAGIC.len(), "magic")?;
    let of = reader.str("bucket")?;
    if of != bucket.as_bytes() {
        let of = String::from_utf8_lossy(of);
        return Err(reader.corrupt(format!("it is of the bucket {of:?}, and this one is {bucket:?}")));
    }
    let count = reader.length(body.len(), "number of blocks")?;
    let mut fetcher = Fetcher::default();
    for _ in 0..count {
        let id = text(&mut reader, "id")?;
        let id: BlockId = id.parse().map_err(|_| reader.corrupt(format!("{id:?} is no block id")))?;
        fetcher.known.insert(id, known(&mut reader)?);
    }
    reader.finish()?;
    Ok(fetcher)
}

fn known(reader: &mut Reader<'_>) -> Result<Known, sarsen_block::Error> {
    let mut known = Known::default();
    if reader.u8("whether there is a meta")? != 0 {
        known.meta = Some(noted(reader, |text| BlockMeta::parse(text).map(Arc::new))?);
    }
    let count = reader.length(MarkKind::ALL.len(), "number of marks")?;
    for _ in 0..count {
        let name = text(reader, "kind of mark")?;
        let kind =
            MarkKind::of_file_name(name).ok_or_else(|| reader.corrupt(format!("{name:?} is no mark")))?;
        let bad = reader.corrupt("a mark that cannot be read");
        let mark = noted(reader, |text| Marker::parse(kind, text).map_err(|_| bad))?;
        known.marks.push((kind, mark));
    }
    Ok(known)
}

fn noted<T>(
    reader: &mut Reader<'_>,
    parse: impl FnOnce(&[u8]) -> Result<T, sarsen_block::Error>,
) -> Result<Noted<T>, sarsen_block::Error> {
    let size = reader.u64("size")?;
    let modified_ms = reader.u64("time")?.cast_signed();
    let good = reader.u8("whether it is good")? != 0;
    let content =
        if good { Ok(parse(reader.str("content")?)?) } else { Err(text(reader, "reason")?.to_owned()) };
    Ok(Noted { stamp: Stamp { size, modified_ms }, content })
}

fn text<'a>(reader: &mut Reader<'a>, what: &'static str) -> Result<&'a str, sarsen_block::Error> {
    let text = reader.str(what)?;
    std::str::from_utf8(text).map_err(|_| reader.corrupt(format!("{what} is no UTF-8")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use sarsen_block::{BlockStats, ThanosMeta, TimeRange};

    use super::*;

    fn stamp() -> impl Strategy<Value = Stamp> {
        (any::<u64>(), any::<i64>()).prop_map(|(size, modified_ms)| Stamp { size, modified_ms })
    }

    fn fetcher() -> impl Strategy<Value = Fetcher> {
        let meta =
            (stamp(), any::<u64>(), prop::collection::btree_map("[a-z]{1,5}", ".{0,9}", 0..4), any::<bool>());
        let marks =
            prop::collection::btree_map(0usize..3, (stamp(), any::<i64>(), ".{0,20}", any::<bool>()), 0..3);
        let block = (any::<u128>(), prop::option::of(meta), marks);
        prop::collection::vec(block, 0..12).prop_map(|blocks| {
            let known = blocks.into_iter().map(|(random, meta, marks)| {
                let id = BlockId::from_parts(1_700_000_000_000, random >> 48);
                let meta = meta.map(|(stamp, num_series, labels, good)| {
                    let stats = BlockStats { num_series, ..BlockStats::default() };
                    let mut meta = BlockMeta::fresh(id, TimeRange::new(0, 7_199_999), stats);
                    meta.thanos = Some(ThanosMeta { labels, ..ThanosMeta::default() });
                    let content = if good { Ok(Arc::new(meta)) } else { Err("not so".to_owned()) };
                    Noted { stamp, content }
                });
                let marks = marks.into_iter().map(|(kind, (stamp, time, details, good))| {
                    let kind = MarkKind::ALL[kind];
                    let reason = (kind != MarkKind::Deletion).then(|| "manual".into());
                    let mark = Marker { id, kind, details, time, reason };
                    (kind, Noted { stamp, content: if good { Ok(mark) } else { Err("bad".to_owned()) } })
                });
                (id, Known { meta, marks: marks.collect() })
            });
            Fetcher { known: known.collect::<BTreeMap<_, _>>() }
        })
    }

    fn encoded(fetcher: &Fetcher) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalogue");
        let size = fetcher.write(&path, "a/b/").unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(size, bytes.len() as u64);
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_seen_comes_back(fetcher in fetcher()) {
            let bytes = encoded(&fetcher);
            prop_assert_eq!(&decode(&bytes, "a/b/").unwrap().known, &fetcher.known);
            let other = decode(&bytes, "a/c/").unwrap_err().to_string();
            prop_assert!(other.contains("\"a/b/\"") && other.contains("\"a/c/\""), "{}", other);
        }

        #[test]
        fn damage_is_found(fetcher in fetcher(), at in any::<prop::sample::Index>(), bit in 0u32..8) {
            let mut bytes = encoded(&fetcher);
            let length = bytes.len();
            let at = at.index(length);
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes, "a/b/").is_err());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes[..at], "a/b/").is_err());
        }
    }
}
