//! The words of a query: what each is, and how messages call it.
//!
//! Keywords are read without regard to case. Which of them may also be names is the grammar's business.

use sarsen_block::quote;

use super::ast::{AggregateOp, ArithmeticOp, BinaryOp, CompareOp, Place, SetOp};

/// A word with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) place: Place,
}

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// `=`.
    Equal,
    /// `=~`.
    EqualRegex,
    /// `!~`.
    NotEqualRegex,
    At,
    Text,
    Number,
    Duration,
    /// A name without a colon that is no keyword.
    Name,
    /// A name with a colon.
    MetricName,
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    /// `start`, `end`, `step`, `range`, `min_of`, `max_of`.
    Time(Time),
}

/// Words that modify what stands beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
}

/// Functions that may also stand in durations or behind `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// What a word of letters is if it is not a name.
pub(super) fn keyword(word: &str) -> Option<Kind> {
    const LONGEST: usize = "count_values".len();
    if word.len() > LONGEST {
        return None;
    }
    aggregation(&word.to_ascii_lowercase()).or_else(|| other(&word.to_ascii_lowercase()))
}

fn aggregation(word: &str) -> Option<Kind> {
    Some(Kind::Aggregate(match word {
        "sum" => AggregateOp::Sum,
        "avg" => AggregateOp::Avg,
        "count" => AggregateOp::Count,
        "min" => AggregateOp::Min,
        "max" => AggregateOp::Max,
        "group" => AggregateOp::Group,
        "stddev" => AggregateOp::Stddev,
        "stdvar" => AggregateOp::Stdvar,
        "topk" => AggregateOp::Topk,
        "bottomk" => AggregateOp::Bottomk,
        "count_values" => AggregateOp::CountValues,
        "quantile" => AggregateOp::Quantile,
        "limitk" => AggregateOp::Limitk,
        "limit_ratio" => AggregateOp::LimitRatio,
        _ => return None,
    }))
}

fn other(word: &str) -> Option<Kind> {
    Some(match word {
        "and" => Kind::Operator(BinaryOp::Set(SetOp::And)),
        "or" => Kind::Operator(BinaryOp::Set(SetOp::Or)),
        "unless" => Kind::Operator(BinaryOp::Set(SetOp::Unless)),
        "atan2" => Kind::Operator(BinaryOp::Arithmetic(ArithmeticOp::Atan2)),
        "offset" => Kind::Keyword(Keyword::Offset),
        "smoothed" => Kind::Keyword(Keyword::Smoothed),
        "anchored" => Kind::Keyword(Keyword::Anchored),
        "by" => Kind::Keyword(Keyword::By),
        "without" => Kind::Keyword(Keyword::Without),
        "on" => Kind::Keyword(Keyword::On),
        "ignoring" => Kind::Keyword(Keyword::Ignoring),
        "group_left" => Kind::Keyword(Keyword::GroupLeft),
        "group_right" => Kind::Keyword(Keyword::GroupRight),
        "fill" => Kind::Keyword(Keyword::Fill),
        "fill_left" => Kind::Keyword(Keyword::FillLeft),
        "fill_right" => Kind::Keyword(Keyword::FillRight),
        "bool" => Kind::Keyword(Keyword::Bool),
        "inf" | "nan" => Kind::Number,
        _ => return time(word).map(Kind::Time),
    })
}

/// The function of time that a word in lower case stands for.
pub(super) fn time(word: &str) -> Option<Time> {
    Some(match word {
        "start" => Time::Start,
        "end" => Time::End,
        "step" => Time::Step,
        "range" => Time::Range,
        "max_of" => Time::MaxOf,
        "min_of" => Time::MinOf,
        _ => return None,
    })
}

impl BinaryOp {
    /// How tightly it binds; operators with more go first.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Set(SetOp::Or) => 1,
            Self::Set(_) => 2,
            Self::Compare(_) | Self::TrimUpper | Self::TrimLower => 3,
            Self::Arithmetic(op) => op.precedence(),
        }
    }

    /// Whether `a ^ b ^ c` is `a ^ (b ^ c)`.
    pub(super) fn is_right_associative(self) -> bool {
        matches!(self, Self::Arithmetic(ArithmeticOp::Pow))
    }
}

impl ArithmeticOp {
    /// See [`BinaryOp::precedence`].
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
        }
    }
}

/// The operator of arithmetic or comparison that a sign stands for.
pub(super) fn sign(text: &str) -> Option<BinaryOp> {
    use ArithmeticOp::{Add, Div, Mod, Mul, Pow, Sub};
    use BinaryOp::{Arithmetic, Compare};
    Some(match text {
        "+" => Arithmetic(Add),
        "-" => Arithmetic(Sub),
        "*" => Arithmetic(Mul),
        "/" => Arithmetic(Div),
        "%" => Arithmetic(Mod),
        "^" => Arithmetic(Pow),
        "==" => Compare(CompareOp::Equal),
        "!=" => Compare(CompareOp::NotEqual),
        ">" => Compare(CompareOp::Greater),
        "<" => Compare(CompareOp::Less),
        ">=" => Compare(CompareOp::GreaterOrEqual),
        "<=" => Compare(CompareOp::LessOrEqual),
        "</" => BinaryOp::TrimUpper,
        ">/" => BinaryOp::TrimLower,
        _ => return None,
    })
}

impl Token<'_> {
    /// As messages call it.
    pub(super) fn described(&self) -> String {
        let class = match self.kind {
            Kind::End => return "end of input".to_owned(),
            Kind::Keyword(_) => return format!("<{}>", self.text),
            Kind::Operator(_) | Kind::At | Kind::EqualRegex | Kind::NotEqualRegex => {
                return format!("<op:{}>", self.text);
            }
            Kind::Aggregate(_) => return format!("<aggr:{}>", self.text),
            Kind::Name => "identifier",
            Kind::MetricName => "metric identifier",
            Kind::Text => "string",
            Kind::Number => "number",
            Kind::Duration => "duration",
            _ => return quoted(self.text),
        };
        let is_name = matches!(self.kind, Kind::Name | Kind::MetricName);
        if is_name || self.text.len() <= 10 {
            return format!("{class} {}", quoted(self.text));
        }
        let short: String = self.text.chars().take(10).collect();
        format!("{class} {}...", quoted(&short))
    }
}

/// In double quotes, escaped as Go does.
pub(super) fn quoted(text: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = quote(&mut out, text.as_ref());
    out
}

/// In single quotes, escaped as Go does; the end of the text is shown as U+FFFD.
pub(super) fn quoted_char(c: Option<char>) -> String {
    match c.unwrap_or(char::REPLACEMENT_CHARACTER) {
        '"' => "'\"'".to_owned(),
        '\'' => "'\\''".to_owned(),
        c => format!("'{}'", quoted(c.to_string()).trim_matches('"')),
    }
}
