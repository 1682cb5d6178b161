//! The text of a series selector: `http_requests_total{job="api", code=~"5.."}`.
//!
//! The language is that of Prometheus' `match[]` parameters: a metric name, matchers in braces, or both; names and the
//! metric name may be quoted; strings stand in `"`, `'` (with escapes) or `` ` `` (without). Strings give bytes, because
//! `\xff` may stand in them. Nothing here reads queries.

use super::{METRIC_NAME, MatchOp, Matcher};
use crate::error::Error;

/// Reads a selector.
///
/// # Errors
/// `Invalid` with the position (in bytes, from 1) for text that is no selector or holds a bad regular expression.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, Error> {
    let mut reader = Reader { text, at: 0 };
    let mut matchers = Vec::new();
    if let Some(name) = reader.word(true) {
        matchers.push(Matcher::equal(METRIC_NAME, name));
    }
    if reader.eat("{") {
        reader.matchers(&mut matchers)?;
    } else if matchers.is_empty() {
        return Err(reader.fault("expected a metric name or '{'"));
    }
    reader.blanks();
    if reader.rest().is_empty() { Ok(matchers) } else { Err(reader.fault("expected the end")) }
}

/// The bytes that a quoted string stands for, with the escapes of Go; `None` if it is not one whole quoted string.
pub fn unquote(literal: &str) -> Option<Vec<u8>> {
    let (value, rest) = read_string(literal)?;
    rest.is_empty().then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn fault(&self, what: &str) -> Error {
        Error::invalid("selector", format!("{what} at position {} of {:?}", self.at + 1, self.text))
    }

    /// A bare name; a metric name may hold colons.
    fn word(&mut self, metric: bool) -> Option<&'a str> {
        self.blanks();
        let rest = self.rest();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || (metric && c == ':');
        let length = rest.find(|c| !plain(c)).unwrap_or(rest.len());
        let word = rest
            .get(..length)
            .filter(|word| !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit()))?;
        self.at += length;
        Some(word)
    }

    fn string(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.blanks();
        let rest = self.rest();
        if !rest.starts_with(['"', '\'', '`']) {
            return Ok(None);
        }
        let (value, left) =
            read_string(rest).ok_or_else(|| self.fault("a string that does not end or has a bad escape"))?;
        self.at += rest.len() - left.len();
        Ok(Some(value))
    }

    /// Everything behind the opening brace, the closing one included.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), Error> {
        while !self.eat("}") {
            let (name, quoted) = match self.string()? {
                Some(name) => (name, true),
                None => match self.word(false) {
                    Some(name) => (name.as_bytes().to_vec(), false),
                    None => return Err(self.fault("expected a label name or '}'")),
                },
            };
            match self.operator() {
                Some(op) => {
                    let value = self.string()?.ok_or_else(|| self.fault("expected a quoted value"))?;
                    matchers.push(Matcher::new(op, &name, &value)?);
                }
                None if quoted => {
                    if matchers.iter().any(|matcher| matcher.name() == METRIC_NAME) {
                        return Err(self.fault("the metric name stands twice"));
                    }
                    matchers.push(Matcher::equal(METRIC_NAME, &name));
                }
                None => return Err(self.fault("expected one of = != =~ !~")),
            }
            if !self.eat(",") {
                return if self.eat("}") { Ok(()) } else { Err(self.fault("expected ',' or '}'")) };
            }
        }
        Ok(())
    }

    fn operator(&mut self) -> Option<MatchOp> {
        let operators = [
            ("=~", MatchOp::Regex),
            ("!~", MatchOp::NotRegex),
            ("!=", MatchOp::NotEqual),
            ("=", MatchOp::Equal),
        ];
        operators.into_iter().find(|(token, _)| self.eat(token)).map(|(_, op)| op)
    }
}

/// The string at the start of `text` and what follows it.
fn read_string(text: &str) -> Option<(Vec<u8>, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let mut chars = text.get(1..)?.chars();
    let mut value = Vec::new();
    loop {
        match chars.next()? {
            c if c == quote => return Some((value, chars.as_str())),
            '\n' if quote != '`' => return None,
            '\r' if quote == '`' => {}
            '\\' if quote != '`' => escape(&mut chars, quote, &mut value)?,
            c => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Reads what follows a backslash and appends what it means.
fn escape(chars: &mut std::str::Chars<'_>, quote: char, out: &mut Vec<u8>) -> Option<()> {
    let byte = match chars.next()? {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == quote => u8::try_from(c).ok()?,
        'x' => u8::try_from(digits(chars, 2, 16, 0)?).ok()?,
        'u' => return push_char(digits(chars, 4, 16, 0)?, out),
        'U' => return push_char(digits(chars, 8, 16, 0)?, out),
        first @ '0'..='7' => u8::try_from(digits(chars, 2, 8, first.to_digit(8)?)?).ok()?,
        _ => return None,
    };
    out.push(byte);
    Some(())
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, base: u32, start: u32) -> Option<u32> {
    let mut value = start;
    for _ in 0..count {
        value = value.checked_mul(base)?.checked_add(chars.next()?.to_digit(base)?)?;
    }
    Some(value)
}

fn push_char(code: u32, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse_selector(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn forms() {
        assert_eq!(shown("up"), ["__name__=\"up\""]);
        assert_eq!(shown(" a:b { } "), ["__name__=\"a:b\""]);
        assert_eq!(shown("{a=\"b\",c=~'d|e',}"), ["a=\"b\"", "c=~\"d|e\""]);
        assert_eq!(shown("{ \"größe\" != `x\\y`, \"m\" }"), ["\"größe\"!=\"x\\\\y\"", "__name__=\"m\""]);
        assert_eq!(shown("{__name__=~'(?s:.*)'}"), ["__name__=~\"(?s:.*)\""]);
        assert!(shown("{}").is_empty());
    }

    #[test]
    fn faults_name_the_position() {
        for (text, position) in [
            ("", 1),
            ("{", 2),
            ("{a}", 3),
            ("{a=b}", 4),
            ("{a=\"b\" c=\"d\"}", 8),
            ("{a=\"b}", 4),
            ("{,}", 2),
            ("up{} x", 6),
            ("1up", 1),
            ("up{\"x\"}", 7),
            ("{a=\"\\q\"}", 4),
        ] {
            let fault = parse_selector(text).unwrap_err().to_string();
            assert!(fault.contains(&format!("at position {position} ")), "{text}: {fault}");
        }
        assert!(parse_selector("{a=~\"(\"}").is_err());
    }

    #[test]
    fn strings() {
        assert_eq!(unquote("\"a\\x41\\101\\u00e9\\\"\""), Some("aAAé\"".as_bytes().to_vec()));
        assert_eq!(unquote("\"\\xff\""), Some(vec![0xff]));
        assert_eq!(unquote("'it\\'s'"), Some(b"it's".to_vec()));
        for bad in ["", "a", "\"a", "\"a\"b", "\"\\'\"", "\"\n\"", "\"\\400\"", "\"\\ud800\""] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }
}
