//! Literals with gaps between them, matched without an automaton: `prefix.*`, `.+suffix`, `.*part.*`, `a.*b.+c`.
//!
//! Taking the leftmost place for each literal in turn leaves the most room for the rest, so there is nothing to go back for.
//! A gap counts characters; a byte that is not UTF-8 counts as one.

use memchr::memmem::Finder;

use super::shape::{Piece, Run};

/// A literal somewhere after at least `gap` characters.
#[derive(Debug)]
struct Part {
    gap: u32,
    literal: Finder<'static>,
}

#[derive(Debug)]
pub(super) struct Glob {
    prefix: Box<[u8]>,
    middle: Box<[Part]>,
    /// The last gap and the literal behind it, which may be empty. `None` if the prefix is everything.
    end: Option<(u32, Box<[u8]>)>,
}

impl Glob {
    pub(super) fn new(run: Run) -> Self {
        let mut prefix = Vec::new();
        let mut middle = Vec::new();
        let mut end: Option<(u32, Box<[u8]>)> = None;
        for piece in run {
            match (piece, &mut end) {
                (Piece::Text(text), None) => prefix = text,
                (Piece::Text(text), Some((_, last))) => *last = text.into(),
                (Piece::Gap(count), end) => {
                    if let Some((gap, literal)) = end.replace((count, [].into())) {
                        middle.push(Part { gap, literal: Finder::new(&literal).into_owned() });
                    }
                }
            }
        }
        Self { prefix: prefix.into(), middle: middle.into(), end }
    }

    pub(super) fn is_match(&self, value: &[u8]) -> bool {
        let Some(mut rest) = value.strip_prefix(&*self.prefix) else {
            return false;
        };
        let Some((gap, suffix)) = &self.end else {
            return rest.is_empty();
        };
        for part in &self.middle {
            let Some(behind) = skip_chars(rest, part.gap) else {
                return false;
            };
            let Some(at) = part.literal.find(behind) else {
                return false;
            };
            rest = behind.get(at + part.literal.needle().len()..).unwrap_or_default();
        }
        rest.strip_suffix(&**suffix).is_some_and(|rest| skip_chars(rest, *gap).is_some())
    }

    /// The literal in front, if behind it is a single gap of no character or one, and which of them.
    pub(super) fn open_prefix(&self) -> Option<(&[u8], bool)> {
        match &self.end {
            Some((gap @ (0 | 1), suffix)) if self.middle.is_empty() && suffix.is_empty() => {
                Some((&self.prefix, *gap == 1))
            }
            _ => None,
        }
    }

    /// Whether this is a single gap with nothing around it, and how many characters it asks for.
    pub(super) fn lone_gap(&self) -> Option<u32> {
        match &self.end {
            Some((gap, suffix)) if self.prefix.is_empty() && self.middle.is_empty() && suffix.is_empty() => {
                Some(*gap)
            }
            _ => None,
        }
    }
}

/// `bytes` without their first `count` characters, if there are so many.
fn skip_chars(mut bytes: &[u8], count: u32) -> Option<&[u8]> {
    for _ in 0..count {
        let first = *bytes.first()?;
        let length = if first < 0x80 { 1 } else { char_length(bytes) };
        bytes = bytes.get(length..)?;
    }
    Some(bytes)
}

/// Bytes of the character at the start of `bytes`, which are not empty; 1 if there is none.
fn char_length(bytes: &[u8]) -> usize {
    let window = bytes.get(..4).unwrap_or(bytes);
    let valid = window.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    valid.chars().next().map_or(1, char::len_utf8)
}
