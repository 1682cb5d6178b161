//! An answer of `Store.Series`, read by hand: the way back of `message`.
//!
//! Data of chunks is not copied: a chunk shares the bytes of the message it came in. Labels are copied once, as one run of bytes if they
//! came in the form in which we keep them, which they do from everybody who writes them sorted. What no reader of this format
//! may skip (a wrong length, a label twice, an encoding nobody knows) is a fault of the whole message.

use bytes::{Buf, Bytes};
use sarsen_block::{Chunk, Encoding, Labels, LabelsBuilder, LabelsRef, TimeRange};
use sarsen_downsample::AggrChunk;

use super::message::SeriesMessage;
use crate::store::{ChunkParts, StoreChunk, StoreSeries};
use crate::wire::proto::{Cursor, ProtoError, WireType};

/// Reads a message.
///
/// # Errors
/// Where it is broken, and how.
pub(crate) fn read(message: &Bytes) -> Result<SeriesMessage, ProtoError> {
    let mut cursor = Cursor::new(message);
    let mut found = SeriesMessage::Batch(Vec::new());
    while !cursor.is_done() {
        let (number, wire_type) = cursor.tag()?;
        if !(1..=4).contains(&number) {
            cursor.skip(wire_type)?;
            continue;
        }
        expect(&cursor, wire_type, WireType::Bytes)?;
        let inner = cursor.message()?;
        // Of several, the last one counts.
        found = match number {
            1 => SeriesMessage::Series(series(inner, message)?),
            2 => SeriesMessage::Warning(String::from_utf8_lossy(inner.rest()).into_owned()),
            3 => SeriesMessage::Hints(message.slice(inner.at..inner.end)),
            _ => SeriesMessage::Batch(batch(inner, message)?),
        };
    }
    Ok(found)
}

/// Reads the next message of a connection's buffer.
pub(super) fn read_from(buffer: &mut impl Buf) -> Result<SeriesMessage, ProtoError> {
    read(&buffer.copy_to_bytes(buffer.remaining()))
}

/// How far a message of `bytes` is read: `None` if it is refused. For fuzzing: nothing in here panics.
#[must_use]
pub fn frames_in(bytes: &[u8]) -> Option<usize> {
    match read(&Bytes::copy_from_slice(bytes)).ok()? {
        SeriesMessage::Series(_) => Some(1),
        SeriesMessage::Batch(series) => Some(series.len()),
        SeriesMessage::Warning(_) | SeriesMessage::Hints(_) => Some(0),
    }
}

fn expect(cursor: &Cursor<'_>, found: WireType, wanted: WireType) -> Result<(), ProtoError> {
    if found == wanted { Ok(()) } else { Err(cursor.fault("a field of the wrong wire type")) }
}

fn batch(mut cursor: Cursor<'_>, message: &Bytes) -> Result<Vec<StoreSeries>, ProtoError> {
    let mut all = Vec::new();
    while !cursor.is_done() {
        match cursor.tag()? {
            (1, WireType::Bytes) => all.push(series(cursor.message()?, message)?),
            (1, _) => return Err(cursor.fault("a field of the wrong wire type")),
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    Ok(all)
}

fn series(mut cursor: Cursor<'_>, message: &Bytes) -> Result<StoreSeries, ProtoError> {
    let start = cursor;
    // Where the labels stand, if they stand in a row.
    let mut run: Option<(usize, usize)> = None;
    let mut scattered = false;
    let mut chunks = Vec::new();
    while !cursor.is_done() {
        let from = cursor.at;
        match cursor.tag()? {
            (1, WireType::Bytes) => {
                cursor.message()?;
                let begin = run.map_or(from, |(begin, _)| begin);
                scattered |= run.is_some_and(|(_, end)| end != from);
                run = Some((begin, cursor.at));
            }
            (2, WireType::Bytes) => chunks.push(chunk(cursor.message()?, message)?),
            (1 | 2, _) => return Err(cursor.fault("a field of the wrong wire type")),
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    let (begin, end) = run.unwrap_or((start.at, start.at));
    let bytes = message.get(begin..end).unwrap_or_default();
    let labels = match LabelsRef::decode(bytes) {
        Ok(labels) if !scattered => labels.to_owned(),
        _ => any_labels(start)?,
    };
    Ok(StoreSeries { labels, chunks })
}

/// Labels in any order and form.
fn any_labels(mut cursor: Cursor<'_>) -> Result<Labels, ProtoError> {
    let mut builder = LabelsBuilder::new();
    let start = cursor;
    while !cursor.is_done() {
        match cursor.tag()? {
            (1, WireType::Bytes) => {
                let mut label = cursor.message()?;
                let (mut name, mut value) = (&[][..], &[][..]);
                while !label.is_done() {
                    match label.tag()? {
                        (1, WireType::Bytes) => name = label.message()?.rest(),
                        (2, WireType::Bytes) => value = label.message()?.rest(),
                        (_, wire_type) => label.skip(wire_type)?,
                    }
                }
                builder.push(name, value);
            }
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    builder.build().map_err(|_| start.fault("a label without a name, or one that stands twice"))
}

fn chunk(mut cursor: Cursor<'_>, message: &Bytes) -> Result<StoreChunk, ProtoError> {
    let (mut min, mut max, mut raw) = (0, 0, None);
    let mut aggregates = [const { None }; 5];
    while !cursor.is_done() {
        match cursor.tag()? {
            (1, WireType::Varint) => min = cursor.varint()? as i64,
            (2, WireType::Varint) => max = cursor.varint()? as i64,
            (3, WireType::Bytes) => raw = Some(part(cursor.message()?, message)?),
            (number @ 4..=8, WireType::Bytes) => {
                let read = part(cursor.message()?, message)?;
                if let Some(place) = aggregates.get_mut(number as usize - 4) {
                    *place = Some(read);
                }
            }
            (1..=8, _) => return Err(cursor.fault("a field of the wrong wire type")),
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    let parts = match raw {
        Some(raw) => ChunkParts::Raw(raw),
        None => ChunkParts::Aggregates(Box::new(AggrChunk::new(aggregates))),
    };
    Ok(StoreChunk { range: TimeRange::new(min, max), parts })
}

fn part(mut cursor: Cursor<'_>, message: &Bytes) -> Result<Chunk, ProtoError> {
    let (mut kind, mut data) = (0, Bytes::new());
    while !cursor.is_done() {
        match cursor.tag()? {
            (1, WireType::Varint) => kind = cursor.varint()?,
            (2, WireType::Bytes) => {
                let inner = cursor.message()?;
                data = message.slice(inner.at..inner.end);
            }
            (1 | 2, _) => return Err(cursor.fault("a field of the wrong wire type")),
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    let encoding = u8::try_from(kind.saturating_add(1)).ok().and_then(Encoding::from_byte);
    let known = encoding.filter(|encoding| *encoding != Encoding::Aggregate);
    let encoding = known.ok_or_else(|| cursor.fault("a chunk in an encoding nobody knows"))?;
    Ok(Chunk { encoding, data })
}
