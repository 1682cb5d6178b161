//! Regular expressions in RE2's language as Go reads it, matched against whole values.
//!
//! The reader of the language is our own, because Rust's `regex` reads another one (`\d` is ASCII here, `[a&&b]` is a plain set,
//! `{,3}` is text). The matching is `regex-automata`'s, linear in the length of the value. Expressions whose values can be
//! listed, and literals with gaps such as `.*`, `prefix.*` and `.*part.*`, never reach an automaton.
//!
//! Values are bytes. Go sees each byte that is not UTF-8 as one character U+FFFD; so do we. A [`Pattern`] does not capture; a
//! [`Rewriter`] does.

mod class;
mod fold;
mod glob;
mod literals;
mod node;
mod read;
mod rewriter;
mod shape;
#[cfg(test)]
mod tests;

use regex_automata::meta::{Config, Regex};
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Hir, Look};

use self::glob::Glob;
use self::literals::Literals;
use self::node::Node;
use self::read::{Fault, TOO_LARGE};
use self::shape::{Piece, Run};
use crate::error::Error;
pub use rewriter::Rewriter;

/// Bytes that an automaton may take. The classes of Unicode are large in UTF-8: `\pL{1000}` does not fit.
const MAX_AUTOMATON: usize = 32 << 20;
/// Up to so many ways to be accepted are tried one after the other; beyond, one automaton is faster.
const MAX_GLOBS: usize = 16;

/// A compiled expression, anchored at both ends; `.` matches newlines too.
#[derive(Debug)]
pub(crate) struct Pattern {
    plan: Plan,
    prefix: Box<[u8]>,
}

#[derive(Debug)]
enum Plan {
    Literals(Literals),
    Globs(Box<[Glob]>),
    Automaton(Box<Regex>),
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// [`Error::Invalid`] whose `why` is the text that Go gives, beginning with `error parsing regexp: `.
    pub(crate) fn new(text: &[u8]) -> Result<Self, Error> {
        Self::compile(text).map_err(|fault| Error::invalid("expression", fault.to_string()))
    }

    fn compile(text: &[u8]) -> Result<Self, Fault> {
        let text = valid(text)?;
        let node = read::read(text)?;
        let prefix = shape::prefix(&node).into();
        let plan = match shape::runs(&node, text.len()) {
            Some(runs) => Plan::of_runs(runs),
            None => None,
        };
        let plan = match plan {
            Some(plan) => plan,
            None => Plan::Automaton(Box::new(automaton(&node, text)?)),
        };
        Ok(Self { plan, prefix })
    }

    /// Whether the whole of `value` matches.
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        match &self.plan {
            Plan::Literals(literals) => literals.contains(value),
            Plan::Globs(globs) => globs.iter().any(|glob| glob.is_match(value)),
            Plan::Automaton(regex) => value.starts_with(&self.prefix) && run(regex, value),
        }
    }

    /// The accepted values, sorted and unique, if they can be listed.
    pub(crate) fn literals(&self) -> Option<&[Box<[u8]>]> {
        match &self.plan {
            Plan::Literals(literals) => Some(literals.sorted()),
            _ => None,
        }
    }

    /// Bytes with which every accepted value begins.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The beginning that is all that an accepted value needs, and whether at least one character must follow it.
    pub(crate) fn accepts_prefix(&self) -> Option<(&[u8], bool)> {
        match &self.plan {
            Plan::Globs(globs) => match &**globs {
                [only] => only.open_prefix(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether every value is accepted.
    pub(crate) fn accepts_all(&self) -> bool {
        matches!((self.lone_gap(), self.is_match(b"")), (Some(0 | 1), true))
    }

    /// Whether every value but the empty one is accepted.
    pub(crate) fn accepts_all_but_empty(&self) -> bool {
        // Another branch may accept the empty value: `.+|`.
        matches!((self.lone_gap(), self.is_match(b"")), (Some(1), false))
    }

    fn lone_gap(&self) -> Option<u32> {
        match &self.plan {
            Plan::Globs(globs) => globs.iter().filter_map(Glob::lone_gap).min(),
            _ => None,
        }
    }
}

impl Plan {
    fn of_runs(runs: Vec<Run>) -> Option<Self> {
        let is_text = |run: &Run| !run.iter().any(|piece| matches!(piece, Piece::Gap(_)));
        if runs.iter().all(is_text) {
            let text = |piece| match piece {
                Piece::Text(text) => text,
                Piece::Gap(_) => Vec::new(),
            };
            let values = runs.into_iter().map(|run| run.into_iter().flat_map(text).collect());
            return Some(Self::Literals(Literals::new(values.collect())));
        }
        (runs.len() <= MAX_GLOBS).then(|| Self::Globs(runs.into_iter().map(Glob::new).collect()))
    }
}

fn valid(text: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(text).map_err(|error| {
        let rest = text.get(error.valid_up_to()..).unwrap_or_default();
        Fault::new("invalid UTF-8", String::from_utf8_lossy(rest))
    })
}

fn automaton(node: &Node, text: &str) -> Result<Regex, Fault> {
    let whole = Hir::concat(vec![Hir::look(Look::Start), node::lower(node), Hir::look(Look::End)]);
    let config = Config::new().utf8_empty(false).auto_prefilter(false).nfa_size_limit(Some(MAX_AUTOMATON));
    let built = Regex::builder().configure(config).build_from_hir(&whole);
    // The expression has been read and is valid, so only its size can be at fault.
    built.map_err(|_| Fault::new(TOO_LARGE, text))
}

fn run(regex: &Regex, value: &[u8]) -> bool {
    let search = |value: &[u8]| regex.is_match(Input::new(value).anchored(Anchored::Yes));
    if std::str::from_utf8(value).is_ok() {
        return search(value);
    }
    let mut replaced = String::with_capacity(value.len() + 8);
    for chunk in value.utf8_chunks() {
        replaced.push_str(chunk.valid());
        replaced.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    search(replaced.as_bytes())
}
