//! Text to [`Json`]: the grammar of RFC 8259 with Go's leniency towards broken UTF-8 and half surrogates.

use super::{Json, lossy};
use crate::error::Error;

/// Deeper nesting is refused: nothing we read has it, and the parser calls itself once a level.
const DEEPEST: usize = 128;

impl Json {
    /// The first value in `bytes`; what follows it is ignored. `object` is what errors call the text.
    ///
    /// # Errors
    /// `Corrupt` with the offset at which the text stops being JSON.
    pub fn parse(object: &str, bytes: &[u8]) -> Result<Self, Error> {
        let mut parser = Parser { object, bytes, at: 0 };
        parser.value(0)
    }
}

struct Parser<'a> {
    object: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    #[cold]
    fn fault(&self, what: &str) -> Error {
        Error::corrupt(self.object, self.at as u64, what)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Passes `byte` after any space; whether it was there.
    fn passes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, depth: usize) -> Result<Json, Error> {
        if depth > DEEPEST {
            return Err(self.fault("nested too deeply"));
        }
        self.skip_space();
        match self.peek() {
            None => Err(self.fault("the text ends where a value should be")),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.fault("not a JSON value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Json, Error> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.passes(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.fault("expected the name of a field"));
            }
            let name = self.string()?;
            if !self.passes(b':') {
                return Err(self.fault("expected a colon"));
            }
            fields.push((name, self.value(depth + 1)?));
            if self.passes(b'}') {
                return Ok(Json::Object(fields));
            }
            if !self.passes(b',') {
                return Err(self.fault("expected a comma or the end of the object"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, Error> {
        self.at += 1;
        let mut items = Vec::new();
        if self.passes(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.passes(b']') {
                return Ok(Json::List(items));
            }
            if !self.passes(b',') {
                return Err(self.fault("expected a comma or the end of the list"));
            }
        }
    }

    fn digits(&mut self) -> Result<(), Error> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.fault("expected a digit"));
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Json, Error> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.fault("not a JSON value")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        Ok(Json::Number(lossy(text)))
    }

    fn string(&mut self) -> Result<String, Error> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            text.push_str(&lossy(self.bytes.get(start..self.at).unwrap_or_default()));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escaped()?);
                }
                Some(_) => return Err(self.fault("a control character in a string")),
                None => return Err(self.fault("the text ends inside a string")),
            }
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self) -> Result<char, Error> {
        let Some(byte) = self.peek() else { return Err(self.fault("the text ends inside a string")) };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.code_point()?,
            _ => return Err(self.fault("an unknown escape")),
        })
    }

    /// A `\uXXXX`, or two of them that make one character; half a pair alone is U+FFFD.
    fn code_point(&mut self) -> Result<char, Error> {
        let Some(first) = self.hex4() else { return Err(self.fault("expected four hex digits")) };
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let behind = self.at;
        if first < 0xDC00 && self.bytes.get(self.at..).unwrap_or_default().starts_with(b"\\u") {
            self.at += 2;
            if let Some(second @ 0xDC00..=0xDFFF) = self.hex4() {
                let joined = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.at = behind;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        let mut value = 0;
        for &digit in digits {
            value = value << 4 | char::from(digit).to_digit(16)?;
        }
        self.at += 4;
        Some(value)
    }
}
