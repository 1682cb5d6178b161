//! Does this value match, with fast paths for plain alternatives.
//!
//! A matcher compares the value of one label with a text or with a regular expression in RE2's language, anchored at both
//! ends. A series without the label counts as one whose value is empty; so `a!="x"` also holds for a series without `a`.
//! Values are bytes and need not be UTF-8. Building a matcher is the only step that can fail.

use std::fmt;
use std::sync::Arc;

use super::text::{plain_name, quote};
use crate::error::Error;
use crate::regex::Pattern;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`: the value is this text.
    Equal,
    /// `!=`: the value is not this text.
    NotEqual,
    /// `=~`: the whole value matches this expression.
    Regex,
    /// `!~`: the whole value does not match this expression.
    NotRegex,
}

impl MatchOp {
    /// The operator as it is written in a selector.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }

    /// Whether the operator asks for the opposite: `!=` and `!~`.
    pub const fn is_negative(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotRegex)
    }
}

/// A condition on the value of one label. Cloning shares the compiled expression.
#[derive(Clone)]
pub struct Matcher {
    name: Box<[u8]>,
    op: MatchOp,
    value: Box<[u8]>,
    pattern: Option<Arc<Pattern>>,
}

impl Matcher {
    /// A matcher on label `name`; `value` is a text or an expression, depending on `op`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the value should be an expression and is none; its `why` is the text that Prometheus gives:
    /// `error parsing regexp: ...`.
    pub fn new(op: MatchOp, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Self, Error> {
        let value = value.as_ref();
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(Pattern::new(value)?)),
        };
        Ok(Self { name: name.as_ref().into(), op, value: value.into(), pattern })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self { name: name.as_ref().into(), op: MatchOp::Equal, value: value.as_ref().into(), pattern: None }
    }

    /// The name of the label.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How the value is compared.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The text or the expression, as it was given.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Whether the condition holds for `value`. A label that a series does not have is passed as empty.
    pub fn matches(&self, value: &[u8]) -> bool {
        let hit = match &self.pattern {
            None => *self.value == *value,
            Some(pattern) => pattern.is_match(value),
        };
        hit != self.op.is_negative()
    }

    /// Whether the condition holds for a series without the label.
    pub fn matches_empty(&self) -> bool {
        self.matches(b"")
    }

    /// The values that the text or expression accepts, sorted and unique, if they are few enough to be listed. For `!=` and
    /// `!~` these are the values that the matcher refuses. An empty list means that nothing is accepted.
    pub fn literals(&self) -> Option<&[Box<[u8]>]> {
        match &self.pattern {
            None => Some(std::slice::from_ref(&self.value)),
            Some(pattern) => pattern.literals(),
        }
    }

    /// Bytes with which every value begins that the text or expression accepts; empty if none are known.
    pub fn prefix(&self) -> &[u8] {
        match &self.pattern {
            None => &self.value,
            Some(pattern) => pattern.prefix(),
        }
    }

    /// The beginning that the expression asks for, if it asks for nothing else, as `abc.*` does; and whether something must follow it, as
    /// for `abc.+`. For `!~` this is what the matcher refuses.
    pub fn accepts_prefix(&self) -> Option<(&[u8], bool)> {
        self.pattern.as_ref().and_then(|pattern| pattern.accepts_prefix())
    }

    /// Whether the expression accepts every value, the empty one included, as `.*` does.
    pub fn accepts_all(&self) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.accepts_all())
    }

    /// Whether the expression accepts every value but the empty one, as `.+` does.
    pub fn accepts_all_but_empty(&self) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.accepts_all_but_empty())
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    /// As it stands in a selector: `name="value"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if plain_name(&self.name) {
            f.write_str(&String::from_utf8_lossy(&self.name))?;
        } else {
            quote(f, &self.name)?;
        }
        f.write_str(self.op.as_str())?;
        quote(f, &self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(op: MatchOp, value: &str) -> Matcher {
        Matcher::new(op, "job", value).unwrap()
    }

    #[test]
    fn the_four_kinds() {
        assert!(matcher(MatchOp::Equal, "a").matches(b"a"));
        assert!(!matcher(MatchOp::Equal, "a").matches(b"b"));
        assert!(matcher(MatchOp::NotEqual, "a").matches(b""));
        assert!(matcher(MatchOp::Regex, "a|b.*").matches(b"bcd"));
        assert!(!matcher(MatchOp::Regex, "a|b.*").matches(b"xa"));
        assert!(matcher(MatchOp::NotRegex, "a.+").matches(b"a"));
        assert!(matcher(MatchOp::Regex, ".*").accepts_all());
        assert!(matcher(MatchOp::NotRegex, ".+").matches_empty());
        assert!(Matcher::new(MatchOp::Regex, "job", "(").is_err());
    }

    #[test]
    fn literals_are_sorted_and_unique() {
        let listed = matcher(MatchOp::Regex, "b|a|b");
        let expected: [Box<[u8]>; 2] = [(*b"a").into(), (*b"b").into()];
        assert_eq!(listed.literals(), Some(&expected[..]));
        assert_eq!(matcher(MatchOp::Regex, "ab.*").literals(), None);
        assert_eq!(matcher(MatchOp::Equal, "x").literals().map(<[_]>::len), Some(1));
    }

    #[test]
    fn printing() {
        assert_eq!(matcher(MatchOp::Regex, "a\\d\"").to_string(), r#"job=~"a\\d\"""#);
        assert_eq!(Matcher::equal("k8s.pod", "\u{e9}\n").to_string(), "\"k8s.pod\"=\"\u{e9}\\n\"");
        assert_eq!(Matcher::equal("a", b"\xff").to_string(), r#"a="\xff""#);
    }
}
