//! A remote write 1.0 request, read in place: per series its labels as they lie in the body, and its samples.
//!
//! One pass checks the whole message, so that nothing of a broken one is ever used, and notes per series where its labels
//! lie and whether those bytes already are the byte form of a label set ([`LabelsRef`]): from an honest sender they are, and
//! then no label is copied. Samples are gathered in one run for all series. Rows and samples live in a [`Scratch`] that is
//! used again, so a request allocates nothing once the scratch has grown to its size.
//!
//! Histograms, exemplars and metadata are checked, counted and left where they are, to be read by who wants them (`extras`). What
//! labels a series may have is not decided here: see `receive/ingest`.

use sarsen_block::codec::uvarint_len;
use sarsen_block::{Histogram, LabelsRef, Timestamp};

pub use self::extras::{Exemplar, Exemplars, Histograms, Metadata, MetadataEntries};
use super::proto::{Cursor, ProtoError, Shape, WireType};

/// Why a request could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no such message.
    #[error(transparent)]
    Proto(#[from] ProtoError),
    /// What the message holds would take more memory than allowed.
    #[error("write request too large")]
    TooLarge,
}

/// Memory that one request after another is read into.
#[derive(Debug, Default)]
pub struct Scratch {
    rows: Vec<Row>,
    samples: Vec<(Timestamp, f64)>,
}

impl Scratch {
    /// Bytes that it holds on to.
    pub fn capacity_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.samples.capacity() * size_of::<(Timestamp, f64)>()
    }
}

/// A series: places in the body, and a run of the samples.
#[derive(Debug, Clone, Copy)]
struct Row {
    start: u32,
    end: u32,
    /// End of the labels, if they are in the byte form of a label set; 0 if they are not, or not all in one place.
    labels_end: u32,
    first_sample: u32,
    samples: u32,
    histograms: u32,
    exemplars: u32,
}

/// How much of everything a request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Series, with and without samples.
    pub series: u64,
    /// Float samples.
    pub samples: u64,
    /// Histogram samples.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Entries of metadata.
    pub metadata: u64,
}

/// A request that has been read and found whole.
#[derive(Debug, Clone, Copy)]
pub struct WriteRequest<'a> {
    bytes: &'a [u8],
    rows: &'a [Row],
    samples: &'a [(Timestamp, f64)],
    counts: Counts,
}

/// One series of a request.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// Its labels.
    pub labels: WireLabels<'a>,
    /// Its float samples, as they were sent.
    pub samples: &'a [(Timestamp, f64)],
    /// How many histogram samples it has.
    pub num_histograms: u32,
    /// How many exemplars it has.
    pub num_exemplars: u32,
    /// The whole message.
    message: Cursor<'a>,
}

impl<'a> Series<'a> {
    /// Its histogram samples, as they were sent, sensible or not.
    pub fn histograms(&self) -> Histograms<'a> {
        Histograms(if self.num_histograms > 0 { self.message } else { Cursor::new(&[]) })
    }

    /// How many samples it has, of either kind.
    pub fn num_samples(&self) -> usize {
        self.samples.len() + self.num_histograms as usize
    }

    /// Its exemplars, as they were sent.
    pub fn exemplars(&self) -> Exemplars<'a> {
        Exemplars(if self.num_exemplars > 0 { self.message } else { Cursor::new(&[]) })
    }
}

/// The labels of a series, as they came.
#[derive(Debug, Clone, Copy)]
pub enum WireLabels<'a> {
    /// At least one label; sorted, unique, none empty, in the shortest encoding: usable as they lie.
    Canonical(LabelsRef<'a>),
    /// Anything else.
    Loose(LoosePairs<'a>),
}

/// Names and values of a series, in the order in which they were sent.
#[derive(Debug, Clone, Copy)]
pub struct LoosePairs<'a>(Cursor<'a>);

const LABELS: u32 = 1;
const SAMPLES: u32 = 2;
const EXEMPLARS: u32 = 3;
const HISTOGRAMS: u32 = 4;

/// What a byte of a histogram's message becomes at most when it is read, and what a histogram takes besides.
const HISTOGRAM_GROWTH: usize = 8;
const HISTOGRAM_BYTES: usize = size_of::<Histogram>() + 64;

static LABEL: &[(u32, Shape)] = &[(1, Shape::Bytes), (2, Shape::Bytes)];
static EXEMPLAR: &[(u32, Shape)] =
    &[(1, Shape::Message(&[(1, Shape::Bytes), (2, Shape::Bytes)])), (2, Shape::Fixed64), (3, Shape::Varint)];
static METADATA: &[(u32, Shape)] =
    &[(1, Shape::Varint), (2, Shape::Bytes), (4, Shape::Bytes), (5, Shape::Bytes)];
static HISTOGRAM: &[(u32, Shape)] = &[
    (1, Shape::Varint),
    (2, Shape::Fixed64),
    (3, Shape::Fixed64),
    (4, Shape::Varint),
    (5, Shape::Fixed64),
    (6, Shape::Varint),
    (7, Shape::Fixed64),
    (8, Shape::Message(&[(1, Shape::Varint), (2, Shape::Varint)])),
    (9, Shape::Varints),
    (10, Shape::Fixed64s),
    (11, Shape::Message(&[(1, Shape::Varint), (2, Shape::Varint)])),
    (12, Shape::Varints),
    (13, Shape::Fixed64s),
    (14, Shape::Varint),
    (15, Shape::Varint),
    (16, Shape::Fixed64s),
];

/// Reads the message `bytes`. What it notes, and histograms once they are read, may take `memory` bytes at most.
///
/// # Errors
/// [`DecodeError`]; nothing of the message may be used then.
pub fn decode<'a>(
    bytes: &'a [u8],
    memory: usize,
    scratch: &'a mut Scratch,
) -> Result<WriteRequest<'a>, DecodeError> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(DecodeError::TooLarge);
    }
    scratch.rows.clear();
    scratch.samples.clear();
    let mut counts = Counts::default();
    // What histograms will take when they are read.
    let mut heavy = 0usize;
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_done() {
        let (number, wire_type) = cursor.tag()?;
        match (number, wire_type) {
            (1, WireType::Bytes) => {
                let row = read_series(cursor.message()?, bytes, &mut scratch.samples)?;
                counts.samples += u64::from(row.samples);
                counts.histograms += u64::from(row.histograms);
                counts.exemplars += u64::from(row.exemplars);
                scratch.rows.push(row);
                if row.histograms > 0 {
                    let message = (row.end - row.start) as usize;
                    heavy += message * HISTOGRAM_GROWTH + row.histograms as usize * HISTOGRAM_BYTES;
                }
                if size_of_val(&scratch.rows[..]) + size_of_val(&scratch.samples[..]) + heavy > memory {
                    return Err(DecodeError::TooLarge);
                }
            }
            (3, WireType::Bytes) => {
                cursor.message()?.check(METADATA)?;
                counts.metadata += 1;
            }
            (1 | 3, _) => return Err(cursor.fault("a field of the wrong wire type").into()),
            _ => cursor.skip(wire_type)?,
        }
    }
    counts.series = scratch.rows.len() as u64;
    Ok(WriteRequest { bytes, rows: &scratch.rows, samples: &scratch.samples, counts })
}

fn read_series(
    mut cursor: Cursor<'_>,
    bytes: &[u8],
    samples: &mut Vec<(Timestamp, f64)>,
) -> Result<Row, ProtoError> {
    let first_sample = samples.len();
    let (start, end) = (cursor.at, cursor.end);
    let (mut histograms, mut exemplars) = (0, 0);
    // If the labels at the front are not all in order, reading starts over without trusting any of them.
    let mut labels_end =
        canonical_labels_end(bytes.get(start..end).unwrap_or_default()).map_or(0, |n| start + n);
    cursor.at = labels_end.max(start);
    while !cursor.is_done() {
        let (number, wire_type) = cursor.tag()?;
        match (number, wire_type) {
            (SAMPLES, WireType::Bytes) => samples.push(read_sample(cursor.message()?)?),
            (LABELS, WireType::Bytes) => {
                cursor.message()?.check(LABEL)?;
                labels_end = 0;
            }
            (EXEMPLARS, WireType::Bytes) => {
                cursor.message()?.check(EXEMPLAR)?;
                exemplars += 1;
            }
            (HISTOGRAMS, WireType::Bytes) => {
                cursor.message()?.check(HISTOGRAM)?;
                histograms += 1;
            }
            (LABELS..=HISTOGRAMS, _) => return Err(cursor.fault("a field of the wrong wire type")),
            _ => cursor.skip(wire_type)?,
        }
    }
    Ok(Row {
        start: start as u32,
        end: end as u32,
        labels_end: labels_end as u32,
        first_sample: first_sample as u32,
        samples: (samples.len() - first_sample) as u32,
        histograms,
        exemplars,
    })
}

/// Length of the run of labels at the start of `series` if it is the byte form of a label set with at least one label.
fn canonical_labels_end(series: &[u8]) -> Option<usize> {
    let mut rest = series;
    let mut last: &[u8] = &[];
    while let Some(&0x0A) = rest.first() {
        let (name, behind) = match short_label(rest) {
            Some(label) => label,
            None => long_label(rest)?,
        };
        if !is_above(name, last) {
            return None;
        }
        (last, rest) = (name, behind);
    }
    let end = series.len() - rest.len();
    (end > 0).then_some(end)
}

/// Whether `name` comes after `last`. No name is below the empty one, so an empty name never does.
#[inline]
fn is_above(name: &[u8], last: &[u8]) -> bool {
    match (name.first(), last.first()) {
        // Neighbours mostly differ at once, and a look at two bytes costs less than a call.
        (Some(a), Some(b)) if a != b => a > b,
        _ => name > last,
    }
}

/// The name of the label at the start of `bytes` and what lies behind it, if it is in the shortest form, has a value and
/// every length is below 128: nearly every label.
#[inline]
fn short_label(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x0A, label_len @ ..0x80, rest @ ..] = bytes else { return None };
    let (label, behind) = rest.split_at_checked(usize::from(*label_len))?;
    let [0x0A, name_len @ ..0x80, tail @ ..] = label else { return None };
    let (name, tail) = tail.split_at_checked(usize::from(*name_len))?;
    let [0x12, value_len @ 1..0x80, value @ ..] = tail else { return None };
    (value.len() == usize::from(*value_len)).then_some((name, behind))
}

/// As [`short_label`], for lengths of any size.
fn long_label(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (label_len, label_at) = shortest_length(bytes, 1)?;
    let (label, behind) = bytes.get(label_at..)?.split_at_checked(label_len)?;
    if label.first() != Some(&0x0A) {
        return None;
    }
    let (name_len, name_at) = shortest_length(label, 1)?;
    let (name, tail) = label.get(name_at..)?.split_at_checked(name_len)?;
    if tail.first() != Some(&0x12) {
        return None;
    }
    let (value_len, value_at) = shortest_length(tail, 1)?;
    (value_len > 0 && tail.len() - value_at == value_len).then_some((name, behind))
}

/// A length at `at` in its shortest form, and where it ends.
#[inline]
fn shortest_length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((usize::from(first), at + 1));
    }
    let mut value = u64::from(first & 0x7F);
    for i in 1..5 {
        let byte = *bytes.get(at + i)?;
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            let shortest = uvarint_len(value) == i + 1;
            return shortest.then_some((usize::try_from(value).ok()?, at + i + 1));
        }
    }
    None
}

#[inline]
fn read_sample(cursor: Cursor<'_>) -> Result<(Timestamp, f64), ProtoError> {
    // As every sender writes it: the value, then the time, in as many bytes as a time of this century takes.
    if let [0x09, rest @ ..] = cursor.rest()
        && let Some((value, [0x10, a, b, c, d, e, f @ ..0x80])) = rest.split_first_chunk()
        && a & b & c & d & e & 0x80 != 0
    {
        let bits = |byte: &u8, shift: u32| i64::from(byte & 0x7F) << shift;
        let time = bits(a, 0) | bits(b, 7) | bits(c, 14) | bits(d, 21) | bits(e, 28) | bits(f, 35);
        return Ok((time, f64::from_bits(u64::from_le_bytes(*value))));
    }
    read_any_sample(cursor)
}

fn read_any_sample(mut cursor: Cursor<'_>) -> Result<(Timestamp, f64), ProtoError> {
    let (mut time, mut value) = (0i64, 0f64);
    while !cursor.is_done() {
        match cursor.tag()? {
            (1, WireType::Fixed64) => value = f64::from_bits(cursor.fixed64()?),
            (2, WireType::Varint) => time = cursor.varint()? as i64,
            (1 | 2, _) => return Err(cursor.fault("a field of the wrong wire type")),
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    Ok((time, value))
}

impl<'a> WriteRequest<'a> {
    /// How much of everything there is.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The series, in the order in which they were sent.
    pub fn series(self) -> impl ExactSizeIterator<Item = Series<'a>> {
        self.rows.iter().map(move |row| {
            let part = |from: u32, to: u32| self.bytes.get(from as usize..to as usize).unwrap_or_default();
            let labels = if row.labels_end > 0 {
                WireLabels::Canonical(LabelsRef::trusted(part(row.start, row.labels_end)))
            } else {
                WireLabels::Loose(LoosePairs(Cursor::new(part(row.start, row.end))))
            };
            let first = row.first_sample as usize;
            let samples = self.samples.get(first..first + row.samples as usize).unwrap_or_default();
            let message = Cursor::new(part(row.start, row.end));
            let (num_histograms, num_exemplars) = (row.histograms, row.exemplars);
            Series { labels, samples, num_histograms, num_exemplars, message }
        })
    }

    /// What is said about families of metrics.
    pub fn metadata(self) -> MetadataEntries<'a> {
        MetadataEntries(Cursor::new(if self.counts.metadata > 0 { self.bytes } else { &[] }))
    }
}

impl<'a> Iterator for LoosePairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_done() {
            // The message was checked when it was read, so nothing here fails; if it did, the labels would end.
            let (number, wire_type) = self.0.tag().ok()?;
            if number != LABELS {
                self.0.skip(wire_type).ok()?;
                continue;
            }
            let mut label = self.0.message().ok()?;
            let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
            while !label.is_done() {
                match label.tag().ok()? {
                    (1, _) => name = label.message().ok()?.rest(),
                    (2, _) => value = label.message().ok()?.rest(),
                    (_, wire_type) => label.skip(wire_type).ok()?,
                }
            }
            return Some((name, value));
        }
        None
    }
}

mod extras;
#[cfg(test)]
mod tests;
