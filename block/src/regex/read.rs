//! Reads the language of RE2 as Go's `regexp` does, with Go's verdicts and Go's error texts.
//!
//! The text is read once from left to right onto a stack of open groups, without recursion. What is accepted differs from
//! Go's reader only for trees near the greatest height, where Go counts after its own rewriting, and for expressions whose classes
//! together need more memory than [`MAX_RANGES`] allows.

use regex_syntax::hir::{ClassUnicode, Look};

use super::class::{Members, perl_class, posix_class, unicode_class};
use super::node::{List, MAX_HEIGHT, Node, Term, Times};

/// The greatest count in `{n,m}`, nested counts multiplied.
const MAX_COPIES: u32 = 1000;
/// Ranges of characters that all classes of one expression may have together: 16 MB.
const MAX_RANGES: usize = 1 << 21;

/// Why a text is no expression: what Go calls the code, and the part of the text that it names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    code: &'static str,
    part: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.code, self.part)
    }
}

impl Fault {
    pub(super) fn new(code: &'static str, part: impl Into<String>) -> Self {
        Self { code, part: part.into() }
    }
}

const BAD_CLASS_RANGE: &str = "invalid character class range";
const BAD_COUNT: &str = "invalid repeat count";
const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_NAME: &str = "invalid named capture";
const BAD_PERL: &str = "invalid or unsupported Perl syntax";
const BAD_REPEAT: &str = "invalid nested repetition operator";
const MISSING_BRACKET: &str = "missing closing ]";
const MISSING_PAREN: &str = "missing closing )";
const NOTHING_TO_REPEAT: &str = "missing argument to repetition operator";
const TRAILING_BACKSLASH: &str = "trailing backslash at end of expression";
const UNEXPECTED_PAREN: &str = "unexpected )";
pub(super) const TOO_DEEP: &str = "expression nests too deeply";
pub(super) const TOO_LARGE: &str = "expression too large";

/// What `(?imsU)` switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flags {
    fold: bool,
    lines: bool,
    dot_newline: bool,
    /// Whether repetitions are lazy without a question mark, and greedy with one.
    lazy: bool,
}

/// An open parenthesis, or the whole text.
#[derive(Debug)]
struct Group {
    /// Finished alternatives.
    branches: Vec<Term>,
    /// What the alternative being read consists of.
    terms: Vec<Term>,
    /// Whether the last term is a literal that the next character may join.
    open: bool,
    /// The number of a capturing group.
    captures: Option<u32>,
    /// Flags outside.
    outside: Flags,
}

impl Group {
    const fn new(captures: Option<u32>, outside: Flags) -> Self {
        Self { branches: Vec::new(), terms: Vec::new(), open: false, captures, outside }
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    flags: Flags,
    /// Groups around `group`, outermost first.
    outer: Vec<Group>,
    group: Group,
    ranges: usize,
    /// Whether a `:]` may still come: without this, looking for it again and again would take quadratic time.
    may_name: bool,
    /// Names of the capturing groups that were opened, empty if they have none.
    names: Vec<Box<str>>,
    /// Whether groups leave nodes.
    keep_groups: bool,
}

/// Reads `text`; `.` matches newlines unless a flag in the text says otherwise.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    Ok(read_groups(text, false)?.0)
}

/// The same; if `keep_groups`, the node remembers its groups. With it the groups' names, empty for those without.
pub(super) fn read_groups(text: &str, keep_groups: bool) -> Result<(Node, Vec<Box<str>>), Fault> {
    let flags = Flags { fold: false, lines: false, dot_newline: true, lazy: false };
    let group = Group::new(None, flags);
    let (outer, names) = (Vec::new(), Vec::new());
    let mut reader =
        Reader { text, rest: text, flags, outer, group, ranges: 0, may_name: true, names, keep_groups };
    // The text from the repetition that was just read, if one was.
    let mut last_repeat: Option<&str> = None;
    while let Some(&byte) = reader.rest.as_bytes().first() {
        last_repeat = match byte {
            b'*' | b'+' | b'?' | b'{' => reader.repetition(byte, last_repeat)?,
            _ => {
                reader.element(byte)?;
                None
            }
        };
    }
    let whole = reader.close_alternatives()?;
    if !reader.outer.is_empty() {
        return Err(Fault::new(MISSING_PAREN, text));
    }
    // Prometheus puts the expression between anchors, in a list.
    let anchored = whole.height + u32::from(whole.captured || !matches!(whole.node, Node::Concat(_)));
    if anchored > MAX_HEIGHT { Err(Fault::new(TOO_DEEP, text)) } else { Ok((whole.node, reader.names)) }
}

impl<'a> Reader<'a> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// The text from `start`, a former `rest`, to where the reader stands.
    fn since(&self, start: &'a str) -> &'a str {
        start.get(..start.len().saturating_sub(self.rest.len())).unwrap_or(start)
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    /// Everything but repetitions.
    fn element(&mut self, byte: u8) -> Result<(), Fault> {
        match byte {
            b'(' if self.rest.as_bytes().get(1) == Some(&b'?') => return self.question_group(),
            b'(' => self.open_group(Some("")),
            b')' => return self.close_group(),
            b'|' => self.next_alternative()?,
            b'[' => return self.brackets(),
            b'\\' => return self.backslash(),
            b'^' => self.push(Node::Look(if self.flags.lines { Look::StartLF } else { Look::Start }))?,
            b'$' => self.push(Node::Look(if self.flags.lines { Look::EndLF } else { Look::End }))?,
            b'.' if self.flags.dot_newline => self.push(Node::AnyChar)?,
            b'.' => {
                let mut newline = Members::default();
                newline.push(u32::from('\n'), u32::from('\n'), false);
                self.push(Node::Class(newline.finish(true)))?;
            }
            _ => {
                if let Some(c) = self.next_char() {
                    self.literal(c);
                }
                return Ok(());
            }
        }
        self.skip(1);
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<(), Fault> {
        self.push_term(Term::leaf(node))
    }

    fn push_term(&mut self, term: Term) -> Result<(), Fault> {
        if term.height > MAX_HEIGHT {
            return Err(Fault::new(TOO_DEEP, self.text));
        }
        self.group.open = false;
        self.group.terms.push(term);
        Ok(())
    }

    fn push_class(&mut self, class: ClassUnicode) -> Result<(), Fault> {
        self.ranges += class.ranges().len();
        if self.ranges > MAX_RANGES {
            return Err(Fault::new(TOO_LARGE, self.text));
        }
        self.push(Node::Class(class))
    }

    fn literal(&mut self, c: char) {
        if self.group.open
            && let Some(Term { node: Node::Literal { text, fold }, .. }) = self.group.terms.last_mut()
            && *fold == self.flags.fold
        {
            text.push(c);
            return;
        }
        let node = Node::Literal { text: c.into(), fold: self.flags.fold };
        self.group.terms.push(Term::leaf(node));
        self.group.open = true;
    }

    /// A repetition, or a brace that is none. Gives back the text from the repetition on.
    fn repetition(&mut self, byte: u8, last: Option<&'a str>) -> Result<Option<&'a str>, Fault> {
        let start = self.rest;
        let (min, max) = match byte {
            b'*' => (0, None),
            b'+' => (1, None),
            b'?' => (0, Some(1)),
            _ => {
                let Some((min, max, length)) = counts(start) else {
                    self.skip(1);
                    self.literal('{');
                    return Ok(None);
                };
                self.skip(length - 1);
                let beyond = min > MAX_COPIES || max.is_some_and(|max| max > MAX_COPIES || max < min);
                if beyond {
                    self.skip(1);
                    return Err(Fault::new(BAD_COUNT, self.since(start)));
                }
                (min, max)
            }
        };
        self.skip(1);
        let mut greedy = !self.flags.lazy;
        if self.rest.starts_with('?') {
            self.skip(1);
            greedy = !greedy;
        }
        if let Some(last) = last {
            return Err(Fault::new(BAD_REPEAT, self.since(last)));
        }
        let Some(term) = self.take_repeatable() else {
            return Err(Fault::new(NOTHING_TO_REPEAT, self.since(start)));
        };
        let counted = byte == b'{';
        let term = term.repeat(Times { min, max, greedy }, counted);
        let large = counted && (min >= 2 || max.is_some_and(|max| max >= 2)) && term.copies > MAX_COPIES;
        self.push_term(term)?;
        if large { Err(Fault::new(BAD_COUNT, self.since(start))) } else { Ok(Some(start)) }
    }

    /// The last element of the alternative being read: of a run of characters the last one.
    fn take_repeatable(&mut self) -> Option<Term> {
        if self.group.open
            && let Some(Term { node: Node::Literal { text, fold }, .. }) = self.group.terms.last_mut()
            && text.chars().nth(1).is_some()
            && let Some(c) = text.pop()
        {
            return Some(Term::leaf(Node::Literal { text: c.into(), fold: *fold }));
        }
        self.group.terms.pop()
    }

    /// Opens a group; one that captures has a name, which may be empty.
    fn open_group(&mut self, captures: Option<&str>) {
        let captures = captures.map(|name| {
            self.names.push(name.into());
            u32::try_from(self.names.len()).unwrap_or(u32::MAX)
        });
        let inner = Group::new(captures, self.flags);
        self.outer.push(std::mem::replace(&mut self.group, inner));
    }

    fn next_alternative(&mut self) -> Result<(), Fault> {
        let terms = std::mem::take(&mut self.group.terms);
        let branch = Term::list(terms, List::Concat);
        if branch.height > MAX_HEIGHT {
            return Err(Fault::new(TOO_DEEP, self.text));
        }
        self.group.open = false;
        self.group.branches.push(branch);
        Ok(())
    }

    fn close_alternatives(&mut self) -> Result<Term, Fault> {
        self.next_alternative()?;
        let term = Term::list(std::mem::take(&mut self.group.branches), List::Alternate);
        if term.height > MAX_HEIGHT { Err(Fault::new(TOO_DEEP, self.text)) } else { Ok(term) }
    }

    fn close_group(&mut self) -> Result<(), Fault> {
        let mut term = self.close_alternatives()?;
        let Some(outer) = self.outer.pop() else {
            return Err(Fault::new(UNEXPECTED_PAREN, self.text));
        };
        let inner = std::mem::replace(&mut self.group, outer);
        self.flags = inner.outside;
        if let Some(number) = inner.captures {
            term.height += 1;
            term.captured = true;
            if self.keep_groups {
                term.node = Node::Group { number, node: Box::new(term.node) };
            }
        }
        self.skip(1);
        self.push_term(term)
    }

    /// `(?:`, `(?flags)`, `(?flags:`, `(?P<name>` and `(?<name>`.
    fn question_group(&mut self) -> Result<(), Fault> {
        let start = self.rest;
        let name_at = if start.len() > 4 && start.starts_with("(?P<") {
            Some(4)
        } else if start.len() > 3 && start.starts_with("(?<") {
            Some(3)
        } else {
            None
        };
        if let Some(name_at) = name_at {
            let end = start.find('>').ok_or_else(|| Fault::new(BAD_NAME, start))?;
            let name = start.get(name_at..end).unwrap_or_default();
            self.skip(end + 1);
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err(Fault::new(BAD_NAME, self.since(start)));
            }
            self.open_group(Some(name));
            return Ok(());
        }
        self.skip(2);
        let mut flags = self.flags;
        let (mut on, mut seen) = (true, false);
        while let Some(c) = self.next_char() {
            match c {
                'i' => flags.fold = on,
                'm' => flags.lines = on,
                's' => flags.dot_newline = on,
                'U' => flags.lazy = on,
                '-' if on => {
                    (on, seen) = (false, false);
                    continue;
                }
                ':' | ')' if on || seen => {
                    if c == ':' {
                        self.open_group(None);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            seen = true;
        }
        Err(Fault::new(BAD_PERL, self.since(start)))
    }

    /// What a backslash outside of brackets begins.
    fn backslash(&mut self) -> Result<(), Fault> {
        let start = self.rest;
        let letter = start.as_bytes().get(1).copied().unwrap_or_default();
        let look = match letter {
            b'A' => Look::Start,
            b'z' => Look::End,
            b'b' => Look::WordAscii,
            b'B' => Look::WordAsciiNegate,
            b'C' => {
                self.skip(2);
                return Err(Fault::new(BAD_ESCAPE, self.since(start)));
            }
            b'Q' => {
                self.skip(2);
                let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.rest = rest;
                quoted.chars().for_each(|c| self.literal(c));
                return Ok(());
            }
            b'p' | b'P' => {
                let class = self.unicode()?;
                return self.push_class(class);
            }
            _ => {
                if let Some(class) = perl_class(letter, self.flags.fold) {
                    self.skip(2);
                    return self.push_class(class);
                }
                let code = self.escape()?;
                // Half of a surrogate pair becomes U+FFFD when Go makes text of it.
                self.literal(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                return Ok(());
            }
        };
        self.skip(2);
        self.push(Node::Look(look))
    }

    /// `\pN`, `\p{Name}`, `\p{^Name}` and the same with `P`.
    fn unicode(&mut self) -> Result<ClassUnicode, Fault> {
        let start = self.rest;
        let negated = start.as_bytes().get(1) == Some(&b'P');
        self.skip(2);
        let name = if self.rest.starts_with('{') {
            let end = self.rest.find('}').ok_or_else(|| Fault::new(BAD_CLASS_RANGE, start))?;
            let name = self.rest.get(1..end).unwrap_or_default();
            self.skip(end + 1);
            name
        } else {
            let letter = self.rest;
            self.next_char();
            self.since(letter)
        };
        unicode_class(name, self.flags.fold, negated)
            .ok_or_else(|| Fault::new(BAD_CLASS_RANGE, self.since(start)))
    }

    /// An escape that stands for one code point.
    fn escape(&mut self) -> Result<u32, Fault> {
        let start = self.rest;
        self.skip(1);
        let Some(c) = self.next_char() else {
            return Err(Fault::new(TRAILING_BACKSLASH, ""));
        };
        let code = match c {
            '1'..='7' if !self.rest.starts_with(|c: char| c.is_digit(8)) => None,
            '0'..='7' => {
                let more = self.rest.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let digits = start.get(1..2 + more).unwrap_or_default();
                self.skip(more);
                u32::from_str_radix(digits, 8).ok()
            }
            'x' => self.hex(),
            'a' => Some(0x07),
            'f' => Some(0x0C),
            'n' => Some(0x0A),
            'r' => Some(0x0D),
            't' => Some(0x09),
            'v' => Some(0x0B),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        code.ok_or_else(|| Fault::new(BAD_ESCAPE, self.since(start)))
    }

    /// The digits after `\x`: two of them, or any number in braces. On a fault the reader stands behind the character at fault.
    fn hex(&mut self) -> Option<u32> {
        let first = self.next_char()?;
        if first != '{' {
            let second = self.next_char()?;
            return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
        }
        let mut code: Option<u32> = None;
        loop {
            let c = self.next_char()?;
            if c == '}' {
                return code;
            }
            let next = code.unwrap_or(0) * 16 + c.to_digit(16)?;
            if next > u32::from(char::MAX) {
                return None;
            }
            code = Some(next);
        }
    }

    /// `[...]` and `[^...]`.
    fn brackets(&mut self) -> Result<(), Fault> {
        let start = self.rest;
        self.skip(1);
        let negated = self.rest.starts_with('^');
        if negated {
            self.skip(1);
        }
        let mut members = Members::default();
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if !self.named_member(&mut members)? {
                self.range_member(start, &mut members)?;
            }
        }
        self.skip(1);
        self.push_class(members.finish(negated))
    }

    /// A class with a name inside of brackets; false if there is none here.
    fn named_member(&mut self, members: &mut Members) -> Result<bool, Fault> {
        let fold = self.flags.fold;
        let bytes = self.rest.as_bytes();
        let name_length = if self.may_name && self.rest.starts_with("[:") {
            let found = self.rest.get(2..).unwrap_or_default().find(":]");
            self.may_name = found.is_some();
            found
        } else {
            None
        };
        if let Some(length) = name_length {
            let start = self.rest;
            self.skip(length + 4);
            let name = start.get(2..2 + length).unwrap_or_default();
            let class = posix_class(name, fold);
            members.extend(&class.ok_or_else(|| Fault::new(BAD_CLASS_RANGE, self.since(start)))?);
            return Ok(true);
        }
        let letter = match bytes {
            [b'\\', letter, ..] => *letter,
            _ => return Ok(false),
        };
        if matches!(letter, b'p' | b'P') {
            let class = self.unicode()?;
            members.extend(&class);
            return Ok(true);
        }
        let class = perl_class(letter, fold);
        if let Some(class) = &class {
            self.skip(2);
            members.extend(class);
        }
        Ok(class.is_some())
    }

    /// A character or `a-z` inside of brackets that began at `start`.
    fn range_member(&mut self, start: &'a str, members: &mut Members) -> Result<(), Fault> {
        let here = self.rest;
        let low = self.member_char(start)?;
        let mut high = low;
        if self.rest.len() >= 2 && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
            self.skip(1);
            high = self.member_char(start)?;
            if high < low {
                return Err(Fault::new(BAD_CLASS_RANGE, self.since(here)));
            }
        }
        members.push(low, high, self.flags.fold);
        Ok(())
    }

    fn member_char(&mut self, start: &'a str) -> Result<u32, Fault> {
        if self.rest.starts_with('\\') {
            return self.escape();
        }
        self.next_char().map(u32::from).ok_or_else(|| Fault::new(MISSING_BRACKET, start))
    }
}

/// `{min}`, `{min,}` or `{min,max}` at the start of `text`, and its length. Counts too large to hold come out as `u32::MAX`.
fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let inner = text.strip_prefix('{')?;
    let (inner, behind) =
        inner.split_at(inner.bytes().take_while(|b| b.is_ascii_digit() || *b == b',').count());
    if !behind.starts_with('}') {
        return None;
    }
    let length = inner.len() + 2;
    let (min, max) = match inner.split_once(',') {
        None => (count(inner)?, Some(count(inner)?)),
        Some((min, "")) => (count(min)?, None),
        Some((min, max)) => (count(min)?, Some(count(max)?)),
    };
    Some((min, max, length))
}

/// Digits without a leading zero.
fn count(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty();
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    (plain && !leading_zero).then(|| digits.parse().unwrap_or(u32::MAX))
}
