//! The side object of a block: a checksum for every chunk file and every section of the index, so that damage is found without decoding.
//!
//! The format's own checksums stand in thousands of places and leave out what lies between them. These here cover every byte of the
//! files, so a block is checked by reading it once from front to back. They are made while a block is written, before a byte
//! reaches a disk, or by reading a block that somebody else wrote. `FORMAT.md` shows the text. Who has no such object has lost nothing:
//! Thanos and Prometheus do not know it, and [`verify_quick`](crate::verify_quick) needs it not.

use std::sync::Arc;

use crate::codec::Crc32c;
use crate::error::Error;
use crate::index::Toc;
use crate::json::{Fields, Json};
use crate::meta::BlockId;
use crate::reader::Block;
use crate::source::Source;
use crate::verify::Fault;

const OBJECT: &str = "checks";
const VERSION: u64 = 1;
/// So much is read at once.
const STRETCH: u64 = 1 << 20;

pub(crate) const HEADER: &str = "header";
pub(crate) const SYMBOLS: &str = "symbols";
pub(crate) const SERIES: &str = "series";
pub(crate) const POSTINGS: &str = "postings";
pub(crate) const POSTINGS_TABLE: &str = "postings_table";
pub(crate) const CONTENTS: &str = "contents";

/// Checksums of the files of one block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checks {
    /// Whose files these are. [`BlockId::NONE`] while a block that is being written has no name.
    pub id: BlockId,
    /// The sections of the index, one behind the other from its first byte to its last.
    pub index: Vec<SectionCheck>,
    /// The chunk files, `chunks/000001` first.
    pub segments: Vec<SegmentCheck>,
}

/// A stretch of an index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SectionCheck {
    /// What it is: `header`, `symbols`, `series`, `postings`, `postings_table`, `contents`; in old indexes also `label_indices`,
    /// `label_indices_table`. Padding belongs to what it stands before.
    pub name: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// CRC-32C of all of them.
    pub crc32c: u32,
}

/// A chunk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentCheck {
    /// How many bytes it has.
    pub length: u64,
    /// CRC-32C of all of them.
    pub crc32c: u32,
}

impl Checks {
    /// Reads all of `block`. Nothing is decoded: what is damaged now counts as right from now on, so ask
    /// [`verify_quick`](crate::verify_quick) before.
    ///
    /// # Errors
    /// `Io` if reading fails.
    pub fn of(block: &Block) -> Result<Self, Error> {
        let source = block.index().source();
        let mut index = Vec::new();
        let mut starts = sections(block.index().toc(), source.len()).into_iter().peekable();
        while let Some((offset, name)) = starts.next() {
            let end = starts.peek().map_or(source.len(), |next| next.0);
            let crc32c = sum(source, offset, end - offset, "index")?;
            index.push(SectionCheck { name: name.to_owned(), offset, length: end - offset, crc32c });
        }
        let segment = |source: &Arc<dyn Source>| {
            let length = source.len();
            Ok(SegmentCheck { length, crc32c: sum(source, 0, length, "chunk file")? })
        };
        let segments = block.segments().iter().map(segment).collect::<Result<_, Error>>()?;
        Ok(Self { id: block.meta().id, index, segments })
    }

    /// Reads the files of the block and says which of them are not what they were. `segments` are the chunk files in the order of their names.
    ///
    /// # Errors
    /// `Io` if reading fails.
    pub fn verify(&self, index: &dyn Source, segments: &[Arc<dyn Source>]) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        let mut fault = |file: &str, offset, what| faults.push(Fault { file: file.to_owned(), offset, what });
        let length = self.index.iter().fold(0u64, |sum, section| sum.saturating_add(section.length));
        if index.len() != length {
            let what = format!("it has {} bytes, once there were {length}", index.len());
            fault("index", index.len().min(length), what);
        }
        for SectionCheck { name, offset, length, crc32c } in &self.index {
            if offset.saturating_add(*length) > index.len() {
                continue;
            }
            let found = sum(index, *offset, *length, "index")?;
            if found != *crc32c {
                let what = format!("section {name}: checksum {found:08x}, once it was {crc32c:08x}");
                fault("index", *offset, what);
            }
        }
        for (number, SegmentCheck { length, crc32c }) in (1..).zip(&self.segments) {
            let file = chunk_file(number);
            let Some(source) = segments.get(number as usize - 1) else {
                fault(&file, 0, "it is missing".to_owned());
                continue;
            };
            if source.len() != *length {
                let what = format!("it has {} bytes, once there were {length}", source.len());
                fault(&file, source.len().min(*length), what);
                continue;
            }
            let found = sum(source, 0, *length, "chunk file")?;
            if found != *crc32c {
                fault(&file, 0, format!("checksum {found:08x}, once it was {crc32c:08x}"));
            }
        }
        for number in self.segments.len() + 1..=segments.len() {
            fault(&chunk_file(number as u64), 0, "it was not there once".to_owned());
        }
        Ok(faults)
    }

    /// The text of the side object.
    pub fn to_bytes(&self) -> Vec<u8> {
        let hex = |crc: u32| Json::text(format!("{crc:08x}"));
        let section = |section: &SectionCheck| {
            Json::object([
                ("section", Json::text(section.name.as_str())),
                ("offset", Json::from(section.offset)),
                ("length", Json::from(section.length)),
                ("crc32c", hex(section.crc32c)),
            ])
        };
        let segment = |(number, segment): (u64, &SegmentCheck)| {
            Json::object([
                ("file", Json::text(chunk_file(number))),
                ("length", Json::from(segment.length)),
                ("crc32c", hex(segment.crc32c)),
            ])
        };
        let all = Json::object([
            ("version", Json::from(VERSION)),
            ("ulid", Json::text(self.id.to_string())),
            ("index", Json::list(self.index.iter().map(section))),
            ("segments", Json::list((1..).zip(&self.segments).map(segment))),
        ]);
        let mut text = all.tabbed();
        text.push('\n');
        text.into_bytes()
    }

    /// Reads the text of a side object.
    ///
    /// # Errors
    /// `Corrupt` if it is not one of version 1, or its sections and files do not follow one another.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let json = Json::parse(OBJECT, bytes)?;
        let fields = json.fields(OBJECT)?;
        if fields.u64("version")? != VERSION {
            return Err(fields.fault("version", "1, the only one that is known"));
        }
        let id = fields.text("ulid")?.parse().map_err(|_| fields.fault("ulid", "the name of a block"))?;
        let (mut index, mut end) = (Vec::new(), 0u64);
        for section in fields.objects("index")? {
            let (offset, length) = (section.u64("offset")?, section.u64("length")?);
            if offset != end {
                return Err(section.fault("offset", "the end of the section before it"));
            }
            end = end.checked_add(length).ok_or_else(|| section.fault("length", "less"))?;
            let name = section.text("section")?.to_owned();
            index.push(SectionCheck { name, offset, length, crc32c: crc(&section)? });
        }
        let mut segments = Vec::new();
        for (number, segment) in (1..).zip(fields.objects("segments")?) {
            if segment.text("file")? != chunk_file(number) {
                return Err(segment.fault("file", "the chunk file after the one before it"));
            }
            segments.push(SegmentCheck { length: segment.u64("length")?, crc32c: crc(&segment)? });
        }
        Ok(Self { id, index, segments })
    }
}

fn crc(fields: &Fields<'_>) -> Result<u32, Error> {
    let text = fields.text("crc32c")?;
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = digits.then(|| u32::from_str_radix(text, 16).ok()).flatten();
    value.ok_or_else(|| fields.fault("crc32c", "eight hexadecimal digits"))
}

fn chunk_file(number: u64) -> String {
    format!("chunks/{number:06}")
}

/// Where the sections of an index of `length` bytes begin, the first at 0.
fn sections(toc: &Toc, length: u64) -> Vec<(u64, &'static str)> {
    let contents = length.saturating_sub(Toc::LEN);
    // Of sections that begin at one place, only the last named is there: newer writers let the old names point at other sections.
    let named = [
        (0, HEADER),
        (toc.symbols, SYMBOLS),
        (toc.series, SERIES),
        (toc.label_indices, "label_indices"),
        (toc.label_indices_table, "label_indices_table"),
        (toc.postings, POSTINGS),
        (toc.postings_table, POSTINGS_TABLE),
        (contents, CONTENTS),
    ];
    let mut sections: Vec<(u64, &str)> = Vec::with_capacity(named.len());
    for (offset, name) in named {
        if (offset == 0 && name != HEADER) || offset > contents {
            continue;
        }
        match sections.iter_mut().find(|(known, _)| *known == offset) {
            Some(known) => known.1 = name,
            None => sections.push((offset, name)),
        }
    }
    sections.sort_by_key(|(offset, _)| *offset);
    sections
}

/// The checksum of a stretch.
fn sum(source: &dyn Source, offset: u64, length: u64, what: &str) -> Result<u32, Error> {
    let mut crc = Crc32c::new();
    let (mut at, end) = (offset, offset.saturating_add(length));
    while at < end {
        let to = end.min(at.saturating_add(STRETCH));
        let bytes = source.read(at..to).map_err(|e| Error::io(format!("{what} at offset {at}"), e))?;
        crc.update(&bytes);
        at = to;
    }
    Ok(crc.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checks() -> impl Strategy<Value = Checks> {
        let sections = proptest::collection::vec(("[a-z_]{0,9}", 0u64..1 << 40, any::<u32>()), 0..7);
        let segments = proptest::collection::vec((any::<u64>(), any::<u32>()), 0..5);
        (any::<(u64, u64)>(), sections, segments).prop_map(|((time, rest), sections, segments)| {
            let mut offset = 0;
            let index = sections.into_iter().map(|(name, length, crc32c)| {
                let section = SectionCheck { name, offset, length, crc32c };
                offset += length;
                section
            });
            let id = BlockId::from_parts(time >> 16, rest.into());
            let index = index.collect();
            let segments = segments.into_iter().map(|(length, crc32c)| SegmentCheck { length, crc32c });
            Checks { id, index, segments: segments.collect() }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(checks in checks()) {
            prop_assert_eq!(Checks::parse(&checks.to_bytes()).unwrap(), checks);
        }

        #[test]
        fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Checks::parse(&bytes);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let text = |edit: &dyn Fn(String) -> String| {
            let section = |name: &str, offset, length| SectionCheck {
                name: name.to_owned(),
                offset,
                length,
                crc32c: 7,
            };
            let checks = Checks {
                id: BlockId::from_parts(1, 2),
                index: vec![section(HEADER, 0, 5), section(SYMBOLS, 5, 100)],
                segments: vec![SegmentCheck { length: 9, crc32c: 0xFF }],
            };
            edit(String::from_utf8(checks.to_bytes()).unwrap()).into_bytes()
        };
        assert!(Checks::parse(&text(&|text| text)).is_ok());
        for (old, new) in [
            ("\"version\": 1", "\"version\": 2"),
            ("\"offset\": 5", "\"offset\": 6"),
            ("\"length\": 100", "\"length\": 18446744073709551615"),
            ("chunks/000001", "chunks/000002"),
            ("000000ff", "0000ff"),
            ("000000ff", "+00000ff"),
            ("\"ulid\": \"0", "\"ulid\": \""),
        ] {
            assert!(text(&|text| text).windows(old.len()).any(|at| at == old.as_bytes()), "{old}");
            assert!(Checks::parse(&text(&|text| text.replace(old, new))).is_err(), "{new}");
        }
    }
}
