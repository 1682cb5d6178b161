//! Text to words, one at a time as the grammar asks for them.
//!
//! What a sign means depends on where it stands: in braces every word is a name, behind `[` only durations may stand until the first number.
//! The first fault ends the reading. Every byte is looked at a bounded number of times.

use super::ast::Place;
use super::literal::LETTERS_OF_UNITS;
use super::token::{self, Keyword, Kind, Time, Token, quoted, quoted_char};

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) place: Place,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the word that is read begins.
    start: usize,
    at: usize,
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Behind `[`, before the first number.
    in_duration: bool,
    got_colon: bool,
    got_duration: bool,
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_name_char(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            start: 0,
            at: 0,
            parens: 0,
            in_braces: false,
            in_brackets: false,
            in_duration: false,
            got_colon: false,
            got_duration: false,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += c.map_or(0, char::len_utf8);
        c
    }

    fn is(&self, accepted: &[u8]) -> bool {
        self.text.as_bytes().get(self.at).is_some_and(|byte| accepted.contains(byte))
    }

    fn accept(&mut self, accepted: &[u8]) -> bool {
        let is = self.is(accepted);
        self.at += usize::from(is);
        is
    }

    fn skip(&mut self, passed: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !passed(c)).unwrap_or(rest.len());
    }

    fn place(start: usize, end: usize) -> Place {
        let at = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
        Place { start: at(start), end: at(end) }
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { message: message.into(), place: Self::place(self.start, self.text.len()) })
    }

    fn word(&mut self, kind: Kind) -> Token<'a> {
        let text = self.text.get(self.start..self.at).unwrap_or_default();
        let place = Self::place(self.start, self.at);
        self.start = self.at;
        Token { kind, text, place }
    }

    /// The next word; at the end again and again [`Kind::End`].
    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault> {
        loop {
            self.skip(|c| BLANKS.contains(&c));
            self.start = self.at;
            if self.in_duration || self.peek() != Some('#') {
                break;
            }
            self.skip(|c| !matches!(c, '\r' | '\n'));
        }
        if self.in_duration {
            self.duration_word()
        } else if self.in_braces {
            self.word_in_braces()
        } else {
            self.plain_word()
        }
    }

    fn plain_word(&mut self) -> Result<Token<'a>, Fault> {
        let Some(c) = self.next_char() else { return self.end() };
        let kind = match c {
            ',' => Kind::Comma,
            '@' => Kind::At,
            '0'..='9' => return self.number_or_duration(),
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => return self.number_or_duration(),
            '"' | '\'' | '`' => return self.string(c),
            '(' | ')' => return self.paren(c),
            '{' => {
                self.in_braces = true;
                Kind::LeftBrace
            }
            '[' => return self.open_bracket(),
            ']' => {
                if !self.in_brackets {
                    return self.fault(format!("unexpected right bracket {}", quoted_char(Some(c))));
                }
                self.in_brackets = false;
                Kind::RightBracket
            }
            c if is_letter(c) || c == ':' => return self.name(c),
            _ => return self.operator(c),
        };
        Ok(self.word(kind))
    }

    fn end(&mut self) -> Result<Token<'a>, Fault> {
        if self.parens > 0 {
            return self.fault("unclosed left parenthesis");
        }
        if self.in_brackets {
            return self.fault("unclosed left bracket");
        }
        Ok(self.word(Kind::End))
    }

    fn paren(&mut self, c: char) -> Result<Token<'a>, Fault> {
        if c == '(' {
            self.parens += 1;
            return Ok(self.word(Kind::LeftParen));
        }
        let word = self.word(Kind::RightParen);
        match self.parens.checked_sub(1) {
            Some(left) => self.parens = left,
            None => return self.fault(format!("unexpected right parenthesis {}", quoted_char(Some(c)))),
        }
        Ok(word)
    }

    fn open_bracket(&mut self) -> Result<Token<'a>, Fault> {
        if self.in_brackets {
            return self.fault(format!("unexpected left bracket {}", quoted_char(Some('['))));
        }
        self.got_colon = false;
        self.in_brackets = true;
        self.in_duration = true;
        Ok(self.word(Kind::LeftBracket))
    }

    /// A name, a keyword, or in brackets a colon or a function of time.
    fn name(&mut self, first: char) -> Result<Token<'a>, Fault> {
        if !self.in_brackets {
            self.skip(|c| is_name_char(c) || c == ':');
            let word = self.text.get(self.start..self.at).unwrap_or_default();
            let is_fill = |kind: &Kind| {
                matches!(kind, Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
            };
            // These came late to the language: they are names wherever they can be.
            let kind = token::keyword(word)
                .filter(|kind| !is_fill(kind) || self.rest().trim_start_matches(BLANKS).starts_with('('));
            let name = if word.contains(':') { Kind::MetricName } else { Kind::Name };
            return Ok(self.word(kind.unwrap_or(name)));
        }
        if first == ':' {
            if self.got_colon {
                return self.fault(format!("unexpected colon {}", quoted_char(Some(first))));
            }
            self.got_colon = true;
            return Ok(self.word(Kind::Colon));
        }
        match self.function_of_time(first) {
            Some(kind) => Ok(self.word(kind)),
            None => self.fault(format!("unexpected character: {}, expected ':'", quoted_char(Some(first)))),
        }
    }

    fn function_of_time(&mut self, first: char) -> Option<Kind> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.skip(is_letter);
        let word = self.text.get(self.start..self.at).unwrap_or_default().to_ascii_lowercase();
        token::time(&word).filter(|time| !matches!(time, Time::Start | Time::End)).map(Kind::Time)
    }

    fn operator(&mut self, c: char) -> Result<Token<'a>, Fault> {
        let second: &[u8] = match c {
            '=' => {
                if self.peek() == Some('~') {
                    return self.fault("unexpected character after '=': '~'");
                }
                if !self.accept(b"=") {
                    return Ok(self.word(Kind::Equal));
                }
                b""
            }
            '!' => {
                let next = self.next_char();
                if next != Some('=') {
                    return self.fault(format!("unexpected character after '!': {}", quoted_char(next)));
                }
                b""
            }
            '<' | '>' => b"=/",
            _ => b"",
        };
        self.accept(second);
        match token::sign(self.text.get(self.start..self.at).unwrap_or_default()) {
            Some(op) => Ok(self.word(Kind::Operator(op))),
            None => self.fault(format!("unexpected character: {}", quoted_char(Some(c)))),
        }
    }

    /// Inside the braces of a selector.
    fn word_in_braces(&mut self) -> Result<Token<'a>, Fault> {
        let Some(c) = self.next_char() else { return self.fault("unexpected end of input inside braces") };
        let kind = match c {
            ',' => Kind::Comma,
            '"' | '\'' | '`' => return self.string(c),
            '=' if self.accept(b"~") => Kind::EqualRegex,
            '=' => Kind::Equal,
            '!' => match self.next_char() {
                Some('~') => Kind::NotEqualRegex,
                Some('=') => return self.operator_not_equal(),
                other => {
                    let shown = quoted_char(other);
                    return self.fault(format!("unexpected character after '!' inside braces: {shown}"));
                }
            },
            '{' => return self.fault("unexpected left brace '{'"),
            '}' => {
                self.in_braces = false;
                Kind::RightBrace
            }
            c if is_letter(c) => {
                self.skip(is_name_char);
                Kind::Name
            }
            c => return self.fault(format!("unexpected character inside braces: {}", quoted_char(Some(c)))),
        };
        Ok(self.word(kind))
    }

    fn operator_not_equal(&mut self) -> Result<Token<'a>, Fault> {
        match token::sign("!=") {
            Some(op) => Ok(self.word(Kind::Operator(op))),
            None => self.fault("unexpected character: '!'"),
        }
    }

    /// Behind `[`, before the first number.
    fn duration_word(&mut self) -> Result<Token<'a>, Fault> {
        let unexpected = |lexer: &Self, c| {
            lexer.fault(format!("unexpected character in duration expression: {}", quoted_char(Some(c))))
        };
        let Some(c) = self.next_char() else {
            return self.fault("unexpected end of input in duration expression");
        };
        match c {
            ']' => {
                self.in_brackets = false;
                self.in_duration = false;
                self.got_colon = false;
                Ok(self.word(Kind::RightBracket))
            }
            ':' => {
                let word = self.word(Kind::Colon);
                if !self.got_duration {
                    return self.fault("unexpected colon before duration in duration expression");
                }
                if self.got_colon {
                    return self.fault("unexpected repeated colon in duration expression");
                }
                self.got_colon = true;
                Ok(word)
            }
            '(' | ')' => self.paren(c),
            ',' => Ok(self.word(Kind::Comma)),
            '+' | '-' | '*' | '/' | '%' | '^' => self.operator(c),
            c if matches!(c.to_ascii_lowercase(), 's' | 'r' | 'm') => match self.function_of_time(c) {
                Some(kind) => Ok(self.word(kind)),
                None => unexpected(self, c),
            },
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit())) => {
                self.got_duration = true;
                self.in_duration = false;
                self.number_or_duration()
            }
            c => unexpected(self, c),
        }
    }

    fn number_or_duration(&mut self) -> Result<Token<'a>, Fault> {
        self.at = self.start;
        if self.scan_number() {
            return Ok(self.word(Kind::Number));
        }
        if self.scan_rest_of_duration() {
            return Ok(self.word(Kind::Duration));
        }
        let read = self.text.get(self.start..self.at).unwrap_or_default();
        self.fault(format!("bad number or duration syntax: {}", quoted(read)))
    }

    /// Passes over a number; whether it is one. On `false`, what was passed is where the fault lies or the start of a duration.
    fn scan_number(&mut self) -> bool {
        const DECIMAL: &[u8] = b"0123456789";
        const HEXADECIMAL: &[u8] = b"0123456789abcdefABCDEF";
        let mut digits = DECIMAL;
        if self.accept(b"0") && self.accept(b"xX") {
            self.accept(b"_");
            digits = HEXADECIMAL;
        }
        let hexadecimal = digits.len() > DECIMAL.len();
        self.accept(b".");
        self.accept(digits);
        let (mut has_dot, mut has_exponent) = (false, false);
        while self.is(digits) || self.is(b"._eE") {
            if (has_dot && self.accept(b".")) || (has_exponent && self.accept(b"eE")) {
                return false;
            }
            if self.accept(b".") {
                has_dot = true;
                if self.accept(b"_.") || hexadecimal {
                    return false;
                }
            } else if self.accept(b"eE") {
                has_exponent = true;
                self.accept(b"+-");
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept(b"_") {
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                while self.accept(digits) {}
            }
        }
        self.at > self.start && !self.peek().is_some_and(is_name_char)
    }

    /// Passes over the units of a duration and what follows them, the first number being passed.
    fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept(LETTERS_OF_UNITS) {
            return false;
        }
        self.accept(b"s");
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.skip(|c| c.is_ascii_digit());
            // Years come first or not at all.
            if self.is(b"y") || !self.accept(LETTERS_OF_UNITS) {
                return false;
            }
            self.accept(b"s");
        }
        if self.peek().is_some_and(is_name_char) {
            self.next_char();
            return false;
        }
        true
    }

    fn string(&mut self, quote: char) -> Result<Token<'a>, Fault> {
        loop {
            match self.next_char() {
                Some('\\') if quote != '`' => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return self.fault("invalid UTF-8 rune"),
                None if quote == '`' => return self.fault("unterminated raw string"),
                Some('\n') | None if quote != '`' => return self.fault("unterminated quoted string"),
                Some(c) if c == quote => return Ok(self.word(Kind::Text)),
                _ => {}
            }
        }
    }

    /// Passes over what follows a backslash.
    fn escape(&mut self, quote: char) -> Result<(), Fault> {
        const UNTERMINATED: &str = "escape sequence not terminated";
        let first = self.next_char();
        let (count, base, max) = match first {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some('0'..='7') => (3, 8, 255),
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, u32::from(char::MAX)),
            Some('U') => (8, 16, u32::from(char::MAX)),
            None => return self.fault(UNTERMINATED),
            Some(c) => return self.fault(format!("unknown escape sequence {}", code_point(c))),
        };
        let mut digit = if base == 8 { first } else { self.next_char() };
        let mut value = 0_u32;
        for left in (0..count).rev() {
            let Some(c) = digit else { return self.fault(UNTERMINATED) };
            let Some(read) = c.to_digit(base) else {
                return self.fault(format!("illegal character {} in escape sequence", code_point(c)));
            };
            value = value.wrapping_mul(base).wrapping_add(read);
            if left > 0 {
                digit = self.next_char();
            }
        }
        if value > max || (0xD800..0xE000).contains(&value) {
            return self.fault("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }
}

/// `U+0041 'A'`, as Go shows a character; without the character if it cannot be printed.
fn code_point(c: char) -> String {
    let quoted = quoted_char(Some(c));
    let number = format!("U+{:04X}", u32::from(c));
    if matches!(c, '\\' | '\'') {
        return format!("{number} '{c}'");
    }
    if quoted.starts_with("'\\") { number } else { format!("{number} {quoted}") }
}
