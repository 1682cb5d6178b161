//! A sorted set of names and values in one allocation, and its hash.
//!
//! The one byte form of a label set in this house is the one that remote write 1.0 sends for sorted labels: per label
//! `0A len (0A len name) (12 len value)`, lengths as shortest uvarints, names rising bytewise and unique, no value empty. A request with sorted
//! labels is therefore hashed and looked up without being copied, and [`Labels`] is that run of bytes, owned.
//! Names and values are bytes: the storage of Prometheus does not ask for UTF-8, so neither do we.

mod hash;
mod matcher;
mod selector;
mod text;

use std::cmp::Ordering;
use std::fmt;

use crate::codec::{put_uvarint, uvarint_len};
use crate::error::Error;

pub use hash::{SeriesHash, SeriesHasher};
pub use matcher::{MatchOp, Matcher};
pub use selector::{parse_selector, unquote};
pub use text::quote;

const LABEL_TAG: u8 = 0x0A;
const NAME_TAG: u8 = 0x0A;
const VALUE_TAG: u8 = 0x12;

/// The label that holds a metric's name.
pub const METRIC_NAME: &[u8] = b"__name__";

/// A label set, owned: sorted by name, names unique, no empty value.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels(Box<[u8]>);

/// A label set, borrowed, with the same promises as [`Labels`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LabelsRef<'a>(&'a [u8]);

impl Labels {
    /// From names and values in any order. Empty values are left out, as Prometheus does.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a name is empty or stands twice.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Error> {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.push(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Checks that `bytes` are the byte form of a label set, and copies them.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the offset of the first fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(LabelsRef::decode(bytes)?.to_owned())
    }

    /// The same set, borrowed.
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef(&self.0)
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.as_ref().get(name)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> LabelsIter<'_> {
        self.as_ref().iter()
    }
}

impl<'a> LabelsRef<'a> {
    /// Checks that `bytes` are the byte form of a label set: tags, lengths in their shortest form, order, no empty
    /// name or value, nothing left over.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the offset of the first fault.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut at = 0;
        let mut last: Option<&[u8]> = None;
        while at < bytes.len() {
            let fault = |what| Error::corrupt("labels", at as u64, what);
            let (name, value, end) =
                checked_label(bytes, at).ok_or_else(|| fault("not a label in its byte form"))?;
            if name.is_empty() || value.is_empty() {
                return Err(fault("a label with an empty name or value"));
            }
            if last.is_some_and(|last| last >= name) {
                return Err(fault("label names are not sorted and unique"));
            }
            last = Some(name);
            at = end;
        }
        Ok(Self(bytes))
    }

    /// The labels whose names `keep` lets through: a smaller set is as good a set.
    pub fn keeping(self, keep: impl Fn(&[u8]) -> bool) -> Labels {
        let mut out = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            put_label(&mut out, name, value);
        }
        Labels(out.into())
    }

    /// Trusts that `bytes` are the byte form of a label set, because the caller has just checked or written them.
    /// If they are not, results are wrong but nothing panics.
    pub const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The byte form.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// A copy that owns its bytes.
    pub fn to_owned(self) -> Labels {
        Labels(self.0.into())
    }

    /// Names and values, by name.
    pub const fn iter(self) -> LabelsIter<'a> {
        LabelsIter(self.0)
    }

    /// Whether there is no label.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// How many labels there are.
    pub fn count(self) -> usize {
        self.iter().count()
    }

    /// The value of `name`, if the set has it.
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().take_while(|(n, _)| *n <= name).find_map(|(n, v)| (n == name).then_some(v))
    }
}

/// Reads a length as uvarint at the start of `bytes`; the length and the rest.
fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let mut value = u64::from(first & 0x7F);
    for shift in (7..35).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        rest = tail;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some((usize::try_from(value).ok()?, rest));
        }
    }
    None
}

fn read_field(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    if found != tag {
        return None;
    }
    let (length, rest) = read_length(rest)?;
    rest.split_at_checked(length)
}

/// The label that begins at `at` and the offset behind it, if its form is the shortest one.
fn checked_label(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8], usize)> {
    let (label, rest) = read_field(bytes.get(at..)?, LABEL_TAG)?;
    let (name, tail) = read_field(label, NAME_TAG)?;
    let (value, tail) = read_field(tail, VALUE_TAG)?;
    let end = bytes.len() - rest.len();
    let shortest = tail.is_empty()
        && label.len() == field_len(name.len()) + field_len(value.len())
        && end - at == field_len(label.len());
    shortest.then_some((name, value, end))
}

const fn field_len(length: usize) -> usize {
    1 + uvarint_len(length as u64) + length
}

/// Appends a label to the byte form of a label set. The caller sees to it that names rise and that neither is empty, so that the whole can
/// be [trusted](LabelsRef::trusted).
pub fn append_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put_label(out, name, value);
}

fn put_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(LABEL_TAG);
    put_uvarint(out, (field_len(name.len()) + field_len(value.len())) as u64);
    out.push(NAME_TAG);
    put_uvarint(out, name.len() as u64);
    out.extend_from_slice(name);
    out.push(VALUE_TAG);
    put_uvarint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Names and values of a label set, by name.
#[derive(Debug, Clone)]
pub struct LabelsIter<'a>(&'a [u8]);

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (label, rest) = read_field(self.0, LABEL_TAG)?;
        let (name, tail) = read_field(label, NAME_TAG)?;
        let (value, _) = read_field(tail, VALUE_TAG)?;
        self.0 = rest;
        Some((name, value))
    }
}

impl Ord for LabelsRef<'_> {
    /// The order of series in an index: pair by pair, name then value, bytewise; a strict prefix comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0 == other.0 { Ordering::Equal } else { self.iter().cmp(other.iter()) }
    }
}

impl PartialOrd for LabelsRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for LabelsRef<'_> {
    /// `{name="value", ...}` with bytes that are not ASCII escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}=\"{}\"", name.escape_ascii(), value.escape_ascii())?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// Collects labels in any order and brings them into the one byte form. Can be used again after [`clear`](Self::clear).
#[derive(Debug, Default, Clone)]
pub struct LabelsBuilder {
    text: Vec<u8>,
    /// Start of the name, start of the value, end of the value; all in `text`.
    spans: Vec<(u32, u32, u32)>,
    bytes: Vec<u8>,
}

impl LabelsBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all labels, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.bytes.clear();
    }

    /// Adds a label. An empty value means "no such label" and is left out.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        if value.is_empty() {
            return;
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(name);
        let middle = self.text.len() as u32;
        self.text.extend_from_slice(value);
        self.spans.push((start, middle, self.text.len() as u32));
    }

    /// The set, sorted, borrowed from the builder.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a name is empty or stands twice.
    pub fn finish(&mut self) -> Result<LabelsRef<'_>, Error> {
        let Self { text, spans, bytes } = self;
        let part = |from: u32, to: u32| text.get(from as usize..to as usize).unwrap_or_default();
        spans.sort_by(|a, b| part(a.0, a.1).cmp(part(b.0, b.1)));
        bytes.clear();
        let mut last: Option<&[u8]> = None;
        for &(start, middle, end) in spans.iter() {
            let name = part(start, middle);
            if name.is_empty() {
                return Err(Error::invalid("labels", "a label has no name"));
            }
            if last == Some(name) {
                return Err(Error::invalid(
                    "labels",
                    format!("label {:?} stands twice", String::from_utf8_lossy(name)),
                ));
            }
            last = Some(name);
            put_label(bytes, name, part(middle, end));
        }
        Ok(LabelsRef(bytes))
    }

    /// The set, sorted, as an owned value.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn build(&mut self) -> Result<Labels, Error> {
        Ok(self.finish()?.to_owned())
    }
}

#[cfg(test)]
mod tests;
