//! The selectors that stand in a PromQL expression.
//!
//! Exemplars are asked for with an expression, of which only the selectors count: which series it reads. So nothing is
//! understood here but what a selector can be mistaken for: functions, aggregations with their lists of labels, operators with theirs,
//! strings, numbers, ranges, offsets. What an expression computes, and whether its types fit, is not looked at.

use sarsen_block::{Matcher, parse_selector};

const AGGREGATIONS: &[&str] = &[
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "limit_ratio",
    "limitk",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];
const SIGNS: &[&str] = &["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^"];
const WORDS: &[&str] = &["and", "or", "unless", "atan2"];

/// The selectors of an expression, in the order in which they stand.
///
/// # Errors
/// What is wrong and where, counted in bytes from 1: for text that is no expression, for a selector that is broken, and for one
/// that takes every series.
pub(crate) fn selectors_of(expression: &str) -> Result<Vec<Vec<Matcher>>, String> {
    let mut scan = Scan { text: expression, at: 0, open: Vec::new(), found: Vec::new() };
    loop {
        scan.operand()?;
        if !scan.operator()? {
            return Ok(scan.found);
        }
    }
}

/// What an opening parenthesis belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Group,
    Call,
    Aggregation,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Open>,
    found: Vec<Vec<Matcher>>,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("1:{}: parse error: {what}", self.at + 1))
    }

    /// Passes over blanks and comments.
    fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            let left = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            let left = match left.strip_prefix('#') {
                Some(comment) => comment.find('\n').map_or("", |end| comment.get(end..).unwrap_or_default()),
                None => left,
            };
            if left.len() == rest.len() {
                return;
            }
            self.at += rest.len() - left.len();
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        self.blanks();
        let is_there = self.rest().starts_with(token);
        self.at += if is_there { token.len() } else { 0 };
        is_there
    }

    /// The word that comes next, if one does.
    fn peek_word(&mut self) -> &'a str {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if word.starts_with(|c: char| c.is_ascii_digit()) { "" } else { word }
    }

    fn eat_word(&mut self, words: &[&str]) -> bool {
        let next = self.peek_word();
        let is_there = words.iter().any(|word| next.eq_ignore_ascii_case(word));
        self.at += if is_there { next.len() } else { 0 };
        is_there
    }

    /// What can be computed with: everything up to where an operator may stand.
    fn operand(&mut self) -> Result<(), String> {
        loop {
            if self.eat("(") {
                self.open.push(Open::Group);
            } else if !self.eat("+") && !self.eat("-") {
                break;
            }
        }
        let start = self.at;
        match self.rest().chars().next() {
            Some('{') => self.selector(start, start),
            Some('"' | '\'' | '`') => self.string(),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            _ => match self.peek_word() {
                "" => self.fault("expected an expression"),
                word => {
                    self.at += word.len();
                    self.named(word, start)
                }
            },
        }
    }

    /// What begins with a word: an aggregation, a function, a number, or a selector.
    fn named(&mut self, word: &str, start: usize) -> Result<(), String> {
        let end = self.at;
        let is_one_of = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
        if is_one_of(AGGREGATIONS) {
            let has_list = self.grouping()?;
            if self.eat("(") {
                self.open.push(Open::Aggregation);
                return self.operand();
            }
            if has_list {
                return self.fault("expected '('");
            }
        } else if self.eat("(") {
            if self.eat(")") {
                return Ok(());
            }
            self.open.push(Open::Call);
            return self.operand();
        } else if is_one_of(&["inf", "nan"]) && !self.rest().starts_with('{') {
            return Ok(());
        }
        self.selector(start, end)
    }

    /// A selector: the name from `start` to `end`, which was passed already, or braces, or both.
    fn selector(&mut self, start: usize, end: usize) -> Result<(), String> {
        self.at = end;
        let name = self.text.get(start..end).unwrap_or_default();
        self.blanks();
        let braces = self.at;
        if self.eat("{") {
            while !self.eat("}") {
                match self.rest().chars().next() {
                    None => return self.fault("unclosed braces"),
                    Some('"' | '\'' | '`') => self.string()?,
                    Some(c) => self.at += c.len_utf8(),
                }
            }
        }
        let text = format!("{name}{}", self.text.get(braces..self.at).unwrap_or_default());
        let matchers = parse_selector(&text).map_err(|error| error.to_string())?;
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(format!(
                "1:{}: parse error: vector selector must contain at least one non-empty matcher",
                start + 1
            ));
        }
        self.found.push(matchers);
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        let mut chars = self.rest().char_indices();
        let Some((_, quote)) = chars.next() else { return self.fault("expected a string") };
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.at += at + 1;
                return Ok(());
            }
            if c == '\\' && quote != '`' {
                chars.next();
            }
        }
        self.fault("a string that does not end")
    }

    /// A number or a duration.
    fn number(&mut self) -> Result<(), String> {
        self.blanks();
        let rest = self.rest();
        let mut last = ' ';
        let is_part = |c: char| {
            let is_sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E') && !rest.starts_with("0x");
            last = c;
            c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || is_sign
        };
        let mut is_part = is_part;
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return self.fault("expected a number");
        }
        self.at += end;
        Ok(())
    }

    /// `by (...)` or `without (...)`, if it stands here.
    fn grouping(&mut self) -> Result<bool, String> {
        let stands = self.eat_word(&["by", "without"]);
        if stands && !self.list()? {
            return self.fault("expected a list of labels");
        }
        Ok(stands)
    }

    /// A list of labels in parentheses, if one stands here.
    fn list(&mut self) -> Result<bool, String> {
        if !self.eat("(") {
            return Ok(false);
        }
        while !self.eat(")") {
            match self.rest().chars().next() {
                None => return self.fault("unclosed parenthesis"),
                Some('"' | '\'' | '`') => self.string()?,
                Some(c) => self.at += c.len_utf8(),
            }
        }
        Ok(true)
    }

    /// What may follow an operand; whether another operand follows.
    fn operator(&mut self) -> Result<bool, String> {
        loop {
            self.blanks();
            if self.rest().is_empty() {
                return if self.open.is_empty() { Ok(false) } else { self.fault("unclosed parenthesis") };
            }
            if self.eat(")") {
                match self.open.pop() {
                    None => return self.fault("unexpected ')'"),
                    Some(Open::Aggregation) => {
                        self.grouping()?;
                    }
                    Some(Open::Group | Open::Call) => {}
                }
            } else if self.eat(",") {
                let is_in_call = matches!(self.open.last(), Some(Open::Call | Open::Aggregation));
                return if is_in_call { Ok(true) } else { self.fault("unexpected ','") };
            } else if self.eat("[") {
                match self.rest().find(']') {
                    Some(end) => self.at += end + 1,
                    None => return self.fault("unclosed bracket"),
                }
            } else if self.eat("@") {
                if self.eat_word(&["start", "end"]) {
                    self.list()?;
                } else {
                    self.signed()?;
                }
            } else if self.eat_word(&["offset"]) {
                self.signed()?;
            } else if !self.eat_word(&["anchored", "smoothed"]) {
                return self.binary();
            }
        }
    }

    fn signed(&mut self) -> Result<(), String> {
        let _ = self.eat("-") || self.eat("+");
        if self.list()? { Ok(()) } else { self.number() }
    }

    fn binary(&mut self) -> Result<bool, String> {
        let is_operator = SIGNS.iter().any(|sign| self.eat(sign)) || self.eat_word(WORDS);
        if !is_operator {
            return self.fault("expected an operator");
        }
        let _ = self.eat_word(&["bool"]);
        if self.eat_word(&["on", "ignoring"]) && !self.list()? {
            return self.fault("expected a list of labels");
        }
        if self.eat_word(&["group_left", "group_right"]) {
            self.list()?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        let show =
            |matchers: &Vec<Matcher>| matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        selectors_of(text).unwrap_or_else(|why| panic!("{text}: {why}")).iter().map(show).collect()
    }

    #[test]
    fn one_selector() {
        for text in [
            "up",
            "(up)",
            "-up",
            " up # a comment",
            "up # a comment\n {}",
            "{__name__=\"up\"}",
            "{'up'}",
            "rate(up[5m])",
            "sum(up)",
            "sum by (job) (up)",
            "sum(up) by (job, \"le\")",
            "SUM WITHOUT () (up)",
            "topk(5, up)",
            "histogram_quantile(0.9, sum by (le) (rate(up[5m] offset -1w)))",
            "up @ start() offset 5m",
            "max_over_time(up[1h:5m])",
            "max_over_time(up[1h:] @ 1.5e+3)",
            "label_replace(up, \"a\", \"$1\", \"b\", \"up{}\")",
            "up > bool 1e-3",
            "time() - up",
            "up * Inf",
            "vector(1) or on() up",
            "up - 0x1F",
            "count_values(\"version\", up)",
        ] {
            assert_eq!(shown(text), ["__name__=\"up\""], "{text}");
        }
    }

    #[test]
    fn several_selectors() {
        assert_eq!(
            shown("sum(a{x='}'}) by (on) / on (job) group_left (b) c{d=~\"e|f\"} unless ignoring(z) g:h"),
            ["__name__=\"a\",x=\"}\"", "__name__=\"c\",d=~\"e|f\"", "__name__=\"g:h\""]
        );
        assert!(shown("1 + 2").is_empty());
        assert!(shown("\"text\"").is_empty());
    }

    #[test]
    fn words_may_be_names() {
        for name in ["sum", "by", "on", "offset", "bool", "and", "start", "group_left"] {
            assert_eq!(shown(name), [format!("__name__=\"{name}\"")]);
        }
        assert_eq!(shown("sum + count{a='b'}"), ["__name__=\"sum\"", "__name__=\"count\",a=\"b\""]);
        assert_eq!(shown("inf{a='b'}"), ["__name__=\"inf\",a=\"b\""]);
    }

    #[test]
    fn what_is_no_expression() {
        for text in [
            "",
            "(",
            "up)",
            "up up",
            "up{",
            "up{a=\"",
            "sum by up",
            "up[5m",
            "1 +",
            "rate(",
            "up,up",
            "{}",
            "{a=~\".*\"}",
            "up offset",
            "up{a=}",
            "up @",
            "größe",
            "a + on b",
        ] {
            assert!(selectors_of(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "[a-c(){}\\[\\]\"'`,+=~@#0-9eE.\\\\ é-]{0,40}|(sum|by|on|up|offset|[(){}, ]){0,12}") {
            let _ = selectors_of(&text);
        }
    }
}
