//! What a matcher asks of an index: all series, none, or certain postings lists.
//!
//! The rules are those of `postings/select.rs`. No series is in two lists of one name, so lists that together have as many numbers as there
//! are series have them all, and need not be read.

use std::ops::Range;

use super::directory::Name;
use super::{IndexHeader, Slot};
use crate::error::Error;
use crate::labels::Matcher;
use crate::source::Window;

/// Length, count and checksum of a postings list: what it takes besides its numbers, in bytes.
const AROUND: u64 = 12;

/// What a matcher asks of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// Every series passes.
    Every,
    /// No series passes.
    None,
    /// The series in these lists pass.
    Union(Lists),
    /// The series that are in none of these lists pass.
    Without(Lists),
}

/// Some postings lists of one name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lists {
    /// Where they lie, in the order of their values.
    pub runs: Vec<ListRun>,
    /// How many series they have together.
    pub numbers: u64,
}

/// Postings lists that lie back to back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRun {
    /// Their bytes in the index, lengths and checksums included.
    pub range: Range<u64>,
    /// How many there are.
    pub lists: u32,
}

impl Lists {
    fn push(&mut self, range: Range<u64>, lists: u32) {
        let around = AROUND * u64::from(lists);
        self.numbers += (range.end - range.start).saturating_sub(around) / 4;
        match self.runs.last_mut() {
            Some(last) if last.range.end == range.start => {
                last.range.end = range.end;
                last.lists = last.lists.saturating_add(lists);
            }
            _ => self.runs.push(ListRun { range, lists }),
        }
    }

    /// How many bytes the lists take.
    pub fn size(&self) -> u64 {
        self.runs.iter().map(|run| run.range.end - run.range.start).sum()
    }
}

impl IndexHeader {
    /// Where the list of all series lies in the index.
    pub fn all_series(&self) -> Lists {
        let mut lists = Lists::default();
        if let Some((start, end)) = self.directory.find(b"").and_then(|name| name.hull) {
            lists.push(start..end, 1);
        }
        lists
    }

    /// What `matcher` asks of the index. Values are looked at only where an expression says more than a beginning.
    ///
    /// # Errors
    /// `Corrupt` if a page is damaged, `Io` if reading fails.
    pub fn lists_of(&self, matcher: &Matcher) -> Result<Listed, Error> {
        let every = |yes: bool| if yes { Listed::Every } else { Listed::None };
        if matcher.name().is_empty() || matcher.accepts_all() {
            return Ok(every(matcher.matches_empty()));
        }
        let takes_away = matcher.matches_empty();
        let Some(name) = self.directory.find(matcher.name()) else { return Ok(every(takes_away)) };
        let lists = self.chosen(name, matcher, takes_away)?;
        Ok(if lists.numbers == 0 {
            every(takes_away)
        } else if lists.numbers >= self.num_series() {
            every(!takes_away)
        } else if takes_away {
            Listed::Without(lists)
        } else {
            Listed::Union(lists)
        })
    }

    /// The lists of the values that `matcher` accepts, or refuses if it `takes_away`.
    fn chosen(&self, name: &Name, matcher: &Matcher, takes_away: bool) -> Result<Lists, Error> {
        let mut lists = Lists::default();
        // Whether the text or the expression itself says what is chosen, and not its opposite.
        let is_said = matcher.op().is_negative() == takes_away;
        if is_said && let Some(values) = matcher.literals() {
            let mut window = Window::default();
            for value in values.iter().filter(|value| !value.is_empty()) {
                self.find(name, value, &mut window, &mut lists)?;
            }
            return Ok(lists);
        }
        if let Some((start, end)) = name.hull {
            let all_but_empty = if is_said {
                matcher.accepts_all_but_empty()
            } else {
                matcher.literals().is_some_and(|values| values.iter().all(|value| value.is_empty()))
            };
            if all_but_empty {
                lists.push(start..end, name.values);
                return Ok(lists);
            }
            if is_said && let Some((prefix, more)) = matcher.accepts_prefix() {
                let (first, from) =
                    self.first(name, start, &mut |v| if more { v > prefix } else { v >= prefix })?;
                let (past, to) = self.first(name, start, &mut |v| v > prefix && !v.starts_with(prefix))?;
                if first < past {
                    lists.push(from..to, past - first);
                }
                return Ok(lists);
            }
        }
        let prefix: &[u8] = if is_said { matcher.prefix() } else { b"" };
        self.walk(name, prefix, &mut |_, slot| {
            let within = slot.value.starts_with(prefix);
            if within && matcher.matches(slot.value) != takes_away {
                lists.push(slot.start..slot.end, 1);
            }
            within
        })?;
        Ok(lists)
    }

    /// Adds the list of one value, if there is one.
    fn find(&self, name: &Name, value: &[u8], window: &mut Window, lists: &mut Lists) -> Result<(), Error> {
        let page = self.page_below(name, window, &mut |first| first > value)?;
        self.slots(name, page, window, &mut |slot: Slot<'_>| {
            if slot.value == value {
                lists.push(slot.start..slot.end, 1);
            }
            slot.value < value
        })
    }

    /// The number of the first value of `name` that is `above`, and where its list begins. What is above goes on to be so; the lists lie
    /// back to back from `start`.
    fn first(
        &self,
        name: &Name,
        start: u64,
        above: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(u32, u64), Error> {
        let mut window = Window::default();
        let page = self.page_below(name, &mut window, above)?;
        let (mut number, mut at) = (page * super::PAGE as u32, start);
        self.slots(name, page, &mut window, &mut |slot| {
            if above(slot.value) {
                at = slot.start;
                return false;
            }
            number += 1;
            at = slot.end;
            true
        })?;
        Ok((number, at))
    }
}
