//! Makes a text of a value that an expression matches, as Go's `Regexp.Expand` does.
//!
//! Which of several ways to match is taken is Go's as well as Perl's: the leftmost alternative, repetitions as often as they can unless they are lazy.

use regex_automata::meta::{Config, Regex};
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Hir, Look};

use super::class::unicode_class;
use super::{MAX_AUTOMATON, node, read, valid};
use crate::error::Error;

/// An expression whose groups are remembered, and a template that names them.
#[derive(Debug)]
pub struct Rewriter {
    regex: Regex,
    template: Vec<Part>,
}

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    /// What the first of these groups matched that matched at all.
    Groups(Box<[usize]>),
}

impl Rewriter {
    /// `expression` matches whole values, `.` newlines too. `template` is a text in which `$1`, `${1}`, `$name` and `${name}` stand for what
    /// groups matched, `$0` for the value, `$$` for a dollar; groups that do not exist stand for nothing, and a dollar before anything else
    /// is a dollar. Without braces a name is as long as it can be.
    ///
    /// # Errors
    /// [`Error::Invalid`] whose `why` is the text that Go gives.
    pub fn new(expression: &[u8], template: &[u8]) -> Result<Self, Error> {
        let fault = |fault: read::Fault| Error::invalid("expression", fault.to_string());
        let text = valid(expression).map_err(fault)?;
        let (node, names) = read::read_groups(text, true).map_err(fault)?;
        let whole = Hir::concat(vec![Hir::look(Look::Start), node::lower(&node), Hir::look(Look::End)]);
        let config =
            Config::new().utf8_empty(false).auto_prefilter(false).nfa_size_limit(Some(MAX_AUTOMATON));
        let built = Regex::builder().configure(config).build_from_hir(&whole);
        let regex = built.map_err(|_| fault(read::Fault::new(read::TOO_LARGE, text)))?;
        Ok(Self { regex, template: parts(template, &names) })
    }

    /// The template with the groups of `value` put in; `None` if it does not match.
    pub fn rewrite(&self, value: &[u8]) -> Option<Vec<u8>> {
        let seen = Seen::of(value);
        let mut captures = self.regex.create_captures();
        let input = Input::new(seen.text.as_deref().unwrap_or(value)).anchored(Anchored::Yes);
        self.regex.search_captures(&input, &mut captures);
        if !captures.is_match() {
            return None;
        }
        let mut out = Vec::new();
        for part in &self.template {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Groups(groups) => {
                    if let Some(span) = groups.iter().find_map(|group| captures.get_group(*group)) {
                        let span = seen.place(span.start)..seen.place(span.end);
                        out.extend_from_slice(value.get(span).unwrap_or_default());
                    }
                }
            }
        }
        Some(out)
    }
}

/// A value as Go sees it: with U+FFFD in place of each byte that is not UTF-8.
struct Seen {
    text: Option<Vec<u8>>,
    /// Ends of the bytes that were replaced: in the text, and how much longer it is there than in the value.
    shifts: Vec<(usize, usize)>,
}

impl Seen {
    fn of(value: &[u8]) -> Self {
        if std::str::from_utf8(value).is_ok() {
            return Self { text: None, shifts: Vec::new() };
        }
        let (mut text, mut shifts, mut longer) = (Vec::with_capacity(value.len() + 8), Vec::new(), 0);
        for chunk in value.utf8_chunks() {
            text.extend_from_slice(chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                text.extend_from_slice("\u{fffd}".as_bytes());
                longer += 2;
                shifts.push((text.len(), longer));
            }
        }
        Self { text: Some(text), shifts }
    }

    /// Where in the value a place in the text is.
    fn place(&self, at: usize) -> usize {
        let before = self.shifts.partition_point(|(end, _)| *end <= at);
        let longer =
            before.checked_sub(1).and_then(|last| self.shifts.get(last)).map_or(0, |(_, longer)| *longer);
        at - longer
    }
}

fn parts(mut template: &[u8], names: &[Box<str>]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    while let Some((&byte, rest)) = template.split_first() {
        template = rest;
        if byte != b'$' {
            text.push(byte);
            continue;
        }
        if let Some(rest) = template.strip_prefix(b"$") {
            text.push(b'$');
            template = rest;
            continue;
        }
        let Some((name, rest)) = reference(template) else {
            text.push(b'$');
            continue;
        };
        template = rest;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text).into()));
        }
        parts.push(Part::Groups(groups(name, names)));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    parts
}

/// The name behind a dollar, and what follows it.
fn reference(template: &[u8]) -> Option<(&str, &[u8])> {
    let (braced, inner) = match template.strip_prefix(b"{") {
        Some(inner) => (true, inner),
        None => (false, template),
    };
    let valid = inner.utf8_chunks().next()?.valid();
    let length = valid.find(|c: char| !in_name(c)).unwrap_or(valid.len());
    let (name, _) = valid.split_at(length);
    let rest = inner.get(length..)?;
    let rest = if braced { rest.strip_prefix(b"}")? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

/// Whether a name goes on: a letter, a decimal digit or `_`, as Unicode has them.
fn in_name(c: char) -> bool {
    let is = |class: &str| {
        let class = unicode_class(class, false, false);
        class.is_some_and(|class| {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&c))
        })
    };
    c == '_' || c.is_ascii_alphanumeric() || (!c.is_ascii() && (is("L") || is("Nd")))
}

/// The groups that a name means: digits are a number, unless there is a leading zero or they are too many.
fn groups(name: &str, names: &[Box<str>]) -> Box<[usize]> {
    let number = name.bytes().all(|b| b.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    if number && let Ok(number @ 0..100_000_000) = name.parse::<usize>() {
        return [number].into();
    }
    names.iter().enumerate().filter(|(_, other)| ***other == *name).map(|(at, _)| at + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(expression: &str, template: &str, value: impl AsRef<[u8]>) -> Option<String> {
        let rewriter = Rewriter::new(expression.as_bytes(), template.as_bytes()).unwrap();
        rewriter.rewrite(value.as_ref()).map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn templates_are_filled_as_go_does() {
        // Expression, template, value and what Go 1.26 makes of it.
        let cases = [
            ("(a+)(b*)", "$1-$2", "aab", "aa-b"),
            ("(a+?)(a*)", "$1-$2", "aaa", "a-aa"),
            ("(?U)(a+)(a*)", "$1-$2", "aaa", "a-aa"),
            ("(a|ab)(c|bcd)?(d*)", "$1,$2,$3", "abcd", "a,bcd,"),
            ("(?P<x>.)(?<y>.*)", "${y}$x", "abc", "bca"),
            ("(.*)", "$1x", "abc", ""),
            ("(.*)", "${1}x$$y", "abc", "abcx$y"),
            ("(.*)", "$1\u{b2}$1\u{e9}", "abc", "abc\u{b2}"),
            ("(.*)", "$ $- ${ ${1 ${} $9 $01", "abc", "$ $- ${ ${1 ${}  "),
            ("(?:(a)|(b))", "<$0|$1|$2>", "b", "<b||b>"),
            ("(?P<n>a)?(?P<n>b)", "$n", "b", "b"),
            (".*\n.*", "x", "a\nb", "x"),
            ("((a)|b)*", "$1$2", "ab", "ba"),
            ("", "e", "", "e"),
            ("x{0}(a)(?i)b", "$1", "aB", "a"),
        ];
        for (expression, template, value, expected) in cases {
            assert_eq!(
                rewrite(expression, template, value).as_deref(),
                Some(expected),
                "{expression} {template}"
            );
        }
        assert_eq!(rewrite("a", "x", "ab"), None);
        assert!(Rewriter::new(b"(a", b"").is_err());
    }

    #[test]
    fn bytes_that_are_no_text_stay_what_they_are() {
        let rewriter = Rewriter::new(b"(..)(.*)", b"$2$1").unwrap();
        assert_eq!(rewriter.rewrite(b"\xffa\xfe\xc3\xa9b").unwrap(), b"\xfe\xc3\xa9b\xffa");
    }
}
