//! Where each postings list lies: the offset table of an index.
//!
//! The entries stay in the bytes of the section. Of the values of a name, the places of every 32nd and of the last are
//! kept in memory; a lookup halves over these and steps on. Version 1 did not promise an order, so there the places of
//! all entries are kept, sorted.

use bytes::Bytes;

use super::{Version, checked_section};
use crate::codec::Reader;
use crate::error::Error;

const OBJECT: &str = "index postings table";
const STRIDE: usize = 32;

/// The postings offset table of an index.
#[derive(Debug, Clone)]
pub(crate) struct PostingsTable {
    /// The section from its count on, without its checksum.
    body: Bytes,
    /// Offset of `body` in the index.
    base: u64,
    names: Vec<Name>,
}

/// The entries of one name.
#[derive(Debug, Clone)]
struct Name {
    /// Offsets in `body` of the kept entries, by value.
    places: Vec<u32>,
    /// How many entries from one kept one to the next: 32, or 1 in version 1.
    stride: usize,
    count: usize,
}

/// One entry: which list, and the offset of its length field in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) list: u64,
}

pub(crate) fn read_entry<'a>(reader: &mut Reader<'a>) -> Result<Entry<'a>, Error> {
    let keys = reader.uvarint("number of keys")?;
    if keys != 2 {
        return Err(reader.corrupt(format!("an entry of {keys} keys, 2 are possible")));
    }
    Ok(Entry {
        name: reader.str("name")?,
        value: reader.str("value")?,
        list: reader.uvarint("offset of the list")?,
    })
}

impl PostingsTable {
    /// Reads an offset table. `bytes` begin with its length; `base` is their offset in the index.
    pub(crate) fn decode(bytes: &Bytes, base: u64, version: Version) -> Result<Self, Error> {
        let body = checked_section(OBJECT, bytes, base)?;
        let base = base + 4;
        let mut reader = Reader::new(OBJECT, &body).based_at(base);
        let count = reader.u32("count")?;
        let names = match version {
            Version::V2 => sorted_names(&mut reader, count)?,
            Version::V1 => unsorted_names(&mut reader, count)?,
        };
        reader.finish()?;
        Ok(Self { base, names, body })
    }

    /// Bytes that the table holds in memory besides the section itself.
    pub(crate) fn index_bytes(&self) -> usize {
        let places: usize = self.names.iter().map(|name| name.places.capacity() * size_of::<u32>()).sum();
        self.names.capacity() * size_of::<Name>() + places
    }

    fn reader_at(&self, place: u32) -> Reader<'_> {
        let base = self.base + u64::from(place);
        Reader::new(OBJECT, self.body.get(place as usize..).unwrap_or_default()).based_at(base)
    }

    fn entry_at(&self, place: u32) -> Result<Entry<'_>, Error> {
        read_entry(&mut self.reader_at(place))
    }

    /// Name and value at one place, for comparing; what cannot be read was refused by `decode`.
    fn key_at(&self, place: Option<&u32>) -> (&[u8], &[u8]) {
        let entry = place.and_then(|&place| self.entry_at(place).ok());
        entry.map_or((b"", b""), |entry| (entry.name, entry.value))
    }

    fn find_name(&self, name: &[u8]) -> Option<&Name> {
        let at = self.names.binary_search_by(|n| self.key_at(n.places.first()).0.cmp(name)).ok()?;
        self.names.get(at)
    }

    /// The entry of one list.
    pub(crate) fn find(&self, name: &[u8], value: &[u8]) -> Result<Option<Entry<'_>>, Error> {
        let mut found = None;
        self.walk(name, value, &mut |entry| {
            found = (entry.value == value).then_some(entry);
            false
        })?;
        Ok(found)
    }

    /// Visits the entries of `name` from `least` on, by value, until `visit` says false.
    pub(crate) fn walk<'a>(
        &'a self,
        name: &[u8],
        least: &[u8],
        visit: &mut dyn FnMut(Entry<'a>) -> bool,
    ) -> Result<(), Error> {
        let Some(entries) = self.find_name(name) else { return Ok(()) };
        // The last kept entry that is not above `least`; everything wanted lies from there on.
        let above = entries.places.partition_point(|place| self.key_at(Some(place)).1 <= least);
        let first = above.saturating_sub(1);
        if entries.stride == 1 {
            for &place in entries.places.get(first..).unwrap_or_default() {
                let entry = self.entry_at(place)?;
                if entry.value >= least && !visit(entry) {
                    break;
                }
            }
            return Ok(());
        }
        let Some(&place) = entries.places.get(first) else { return Ok(()) };
        let mut reader = self.reader_at(place);
        // The last kept entry is the last one, which need not lie a whole stride behind the one before it.
        let passed = if above == entries.places.len() { entries.count - 1 } else { first * entries.stride };
        for _ in passed..entries.count {
            let entry = read_entry(&mut reader)?;
            if entry.value >= least && !visit(entry) {
                break;
            }
        }
        Ok(())
    }

    /// The names, rising. The empty one, under which all series are listed, is among them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| self.key_at(name.places.first()).0)
    }

    /// All entries with their offsets in the index, in file order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<(u64, Entry<'_>), Error>> {
        let mut reader = self.reader_at(4);
        std::iter::from_fn(move || {
            let at = self.base + 4 + reader.position() as u64;
            (reader.remaining() > 0).then(|| Ok((at, read_entry(&mut reader)?)))
        })
        .fuse()
    }
}

/// Entries sorted by name and value, as version 2 promises.
fn sorted_names(reader: &mut Reader<'_>, count: u32) -> Result<Vec<Name>, Error> {
    let mut names: Vec<Name> = Vec::new();
    let mut last: Option<(Entry<'_>, u32)> = None;
    for _ in 0..count {
        let place = reader.position() as u32;
        let entry = read_entry(reader)?;
        match last {
            Some((last, _)) if (last.name, last.value) >= (entry.name, entry.value) => {
                return Err(reader.corrupt("the entries are not sorted by name and value"));
            }
            Some((last, last_place)) if last.name != entry.name => {
                if let Some(name) = names.last_mut() {
                    name.keep_last(last_place);
                }
                names.push(Name { places: Vec::new(), stride: STRIDE, count: 0 });
            }
            Some(_) => {}
            None => names.push(Name { places: Vec::new(), stride: STRIDE, count: 0 }),
        }
        if let Some(name) = names.last_mut() {
            if name.count % STRIDE == 0 {
                name.places.push(place);
            }
            name.count += 1;
        }
        last = Some((entry, place));
    }
    if let (Some(name), Some((_, place))) = (names.last_mut(), last) {
        name.keep_last(place);
    }
    names.shrink_to_fit();
    Ok(names)
}

impl Name {
    fn keep_last(&mut self, place: u32) {
        if self.places.last() != Some(&place) {
            self.places.push(place);
        }
        self.places.shrink_to_fit();
    }
}

/// Entries in any order, as version 1 may have them.
fn unsorted_names(reader: &mut Reader<'_>, count: u32) -> Result<Vec<Name>, Error> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let place = reader.position() as u32;
        let entry = read_entry(reader)?;
        entries.push((entry.name, entry.value, place));
    }
    entries.sort_unstable();
    let same_name = |a: &(&[u8], &[u8], u32), b: &(&[u8], &[u8], u32)| a.0 == b.0;
    let name_of = |group: &[(&[u8], &[u8], u32)]| Name {
        places: group.iter().map(|&(_, _, place)| place).collect(),
        stride: 1,
        count: group.len(),
    };
    Ok(entries.chunk_by(same_name).map(name_of).collect())
}
