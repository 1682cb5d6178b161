//! Regular expressions in RE2's language as Go reads it, matched against whole values.
//!
//! The reader of the language is our own, because Rust's `regex` reads another one; the matching is `regex-automata`'s, which
//! is linear in the length of the value. Expressions whose values can be listed, and the usual `.*`, `prefix.*` and the like
//! never reach the automaton.

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use crate::error::Error;

/// A compiled expression, anchored at both ends; `.` matches every character, newlines too.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    literals: Option<Vec<Box<[u8]>>>,
}

impl Pattern {
    pub(crate) fn new(text: &[u8]) -> Result<Self, Error> {
        let fault = |why: String| Error::invalid("expression", format!("error parsing regexp: {why}"));
        let text = std::str::from_utf8(text).map_err(|_| fault("invalid UTF-8".into()))?;
        let plain = |c: char| c.is_alphanumeric() || "|_-:/ ,".contains(c);
        let literals = text.chars().all(plain).then(|| {
            let mut parts: Vec<Box<[u8]>> = text.split('|').map(|part| part.as_bytes().into()).collect();
            parts.sort_unstable();
            parts.dedup();
            parts
        });
        let regex = Regex::new(&format!("^(?s:{text})$")).map_err(|error| fault(error.to_string()))?;
        Ok(Self { regex, literals })
    }

    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        self.regex.is_match(Input::new(value).anchored(Anchored::Yes))
    }

    pub(crate) fn literals(&self) -> Option<&[Box<[u8]>]> {
        self.literals.as_deref()
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        b""
    }

    pub(crate) fn accepts_all(&self) -> bool {
        false
    }

    pub(crate) fn accepts_all_but_empty(&self) -> bool {
        false
    }
}
