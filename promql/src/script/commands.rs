//! A script as a list of commands, each with the line it stands on.
//!
//! Lines are trimmed; one that begins with `#` is as good as empty, and an empty one ends a command. Queries are kept as text.

use sarsen_block::{Labels, MatchOp, Matcher, unquote};

use super::series::{SeriesLine, StartsLine, Written, series_line, starts_line};
use super::text::number;

/// What a script does.
#[derive(Debug)]
pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// `load 5m` and its series.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) line: usize,
    pub(super) gap_ms: i64,
    /// Whether classic histograms are to be loaded as native ones too.
    pub(super) with_nhcb: bool,
    /// Later lines of a series come in the place of earlier ones.
    pub(super) series: Vec<(SeriesLine, Option<StartsLine>)>,
}

/// When a query is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// `eval ...` and what it expects.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) query: String,
    pub(super) when: When,
    pub(super) ordered: bool,
    /// The error that is expected, if one is.
    pub(super) fail: Option<Text>,
    pub(super) warn: Notes,
    pub(super) info: Notes,
    pub(super) expected: Expected,
    /// The grid of `expect range vector`.
    pub(super) grid: Option<(i64, i64, i64)>,
    /// Whether it is asked as a range query too.
    pub(super) also_as_range: bool,
}

/// What is expected of the warnings, or of the infos.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// There are some.
    pub(super) any: bool,
    /// There are none.
    pub(super) none: bool,
    /// Each is matched by one of these, and each of these matches one.
    pub(super) texts: Vec<Text>,
}

/// A text that is expected.
#[derive(Debug)]
pub(super) enum Text {
    Any,
    Exactly(String),
    Matching(String, Matcher),
}

impl Text {
    pub(super) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => expected == text,
            Self::Matching(_, matcher) => matcher.matches(text.as_bytes()),
        }
    }

    pub(super) fn shown(&self) -> &str {
        match self {
            Self::Any => "any",
            Self::Exactly(text) | Self::Matching(text, _) => text,
        }
    }

    /// A text in which `pattern` is found somewhere.
    fn matching(pattern: &str) -> Result<Self, String> {
        let whole = format!(".*(?:{pattern}).*");
        let matcher = Matcher::new(MatchOp::Regex, "text", whole).map_err(|error| error.to_string())?;
        Ok(Self::Matching(pattern.to_owned(), matcher))
    }
}

/// The result that is expected.
#[derive(Debug)]
pub(super) enum Expected {
    Scalar(f64),
    String(Vec<u8>),
    /// Values of series; of a series that stands twice the later line counts.
    Series(Vec<(Labels, Vec<Written>)>),
}

/// What is wrong with a script, and on which line.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads a whole script.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Command>, Fault> {
    let mut lines = Lines { lines: text.split('\n').map(meant).collect(), at: 0 };
    let mut commands = Vec::new();
    while let Some(line) = lines.take() {
        if line.is_empty() {
            continue;
        }
        let word = line.split([' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
        let command = match word.as_str() {
            "clear" => Ok(Command::Clear),
            load if load.starts_with("load") => read_load(line, &mut lines).map(Command::Load),
            eval if eval.starts_with("eval") => {
                read_eval(line, &mut lines).map(|eval| Command::Eval(Box::new(eval)))
            }
            _ => Err(format!("invalid command {line:?}")),
        };
        commands.push(command.map_err(|what| Fault { line: lines.at, what })?);
    }
    Ok(commands)
}

/// A line without blanks and comments.
fn meant(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    /// The number of the line that was taken last, from 1.
    at: usize,
}

impl<'a> Lines<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at).copied();
        self.at += usize::from(line.is_some());
        line
    }

    /// The next line of the present command.
    fn take_more(&mut self) -> Option<&'a str> {
        self.lines.get(self.at).copied().filter(|line| !line.is_empty())?;
        self.take()
    }
}

fn read_load(line: &str, lines: &mut Lines<'_>) -> Result<Load, String> {
    let (word, gap) = line.split_once([' ', '\t']).ok_or("a load without its step")?;
    let with_nhcb = match word {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return Err(format!("invalid load command {word:?}")),
    };
    let gap_ms = duration(gap)?;
    let mut load = Load { line: lines.at, gap_ms, with_nhcb, series: Vec::new() };
    let mut starts: Option<StartsLine> = None;
    while let Some(line) = lines.take_more() {
        if let Some(read) = starts_line(line) {
            if starts.is_some() {
                return Err("@st line has no following sample line".to_owned());
            }
            starts = Some(read?);
            continue;
        }
        let series = series_line(line)?;
        if let Some(starts) = &starts {
            if starts.labels != series.labels {
                return Err("@st metric does not match the following sample line metric".to_owned());
            }
            let (given, samples) = (starts.values.len(), series.values.len());
            if given != samples {
                return Err(format!("@st line has {given} values but sample line has {samples}"));
            }
        }
        load.series.retain(|(other, _)| other.labels != series.labels);
        load.series.push((series, starts.take()));
    }
    if starts.is_some() {
        return Err("@st line has no following sample line".to_owned());
    }
    Ok(load)
}

fn duration(text: &str) -> Result<i64, String> {
    let text = text.trim();
    sarsen_block::parse_duration(text).map_err(|why| why.to_string())
}

/// Splits at the first run of blanks.
fn word(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once([' ', '\t'])?;
    Some((word, rest.trim_start()))
}

fn read_eval(line: &str, lines: &mut Lines<'_>) -> Result<Eval, String> {
    const FORM: &str = "invalid evaluation command; it is 'eval instant [at <time>] <query>' or 'eval range from <from> to <to> step <step> <query>'";
    let (command, rest) = word(line).ok_or(FORM)?;
    let (kind, rest) = word(rest).ok_or(FORM)?;
    let (when, query) = match kind {
        "instant" => match rest.strip_prefix("at ") {
            Some(rest) => {
                let (at, query) = word(rest.trim_start()).ok_or(FORM)?;
                (When::Instant(duration(at)?), query)
            }
            None => (When::Instant(0), rest),
        },
        "range" => {
            let (from, rest) =
                rest.strip_prefix("from ").and_then(|rest| rest.split_once(" to ")).ok_or(FORM)?;
            let (to, rest) = rest.split_once(" step ").ok_or(FORM)?;
            let (step, query) = word(rest.trim_start()).ok_or(FORM)?;
            let (start, end) = times(from, to)?;
            (When::Range { start, end, step: duration(step)? }, query)
        }
        _ => return Err(FORM.to_owned()),
    };
    let mut eval = Eval {
        line: lines.at,
        query: query.to_owned(),
        when,
        ordered: false,
        fail: None,
        warn: Notes::default(),
        info: Notes::default(),
        expected: Expected::Series(Vec::new()),
        grid: None,
        also_as_range: matches!(when, When::Instant(_)),
    };
    match command {
        "eval" => {}
        "eval_ordered" => eval.ordered = true,
        "eval_fail" => eval.fail = Some(Text::Any),
        "eval_warn" => eval.warn.any = true,
        "eval_info" => eval.info.any = true,
        _ => return Err(FORM.to_owned()),
    }
    while let Some(line) = lines.take_more() {
        if read_expectation(line, &mut eval)? {
            break;
        }
    }
    Ok(eval)
}

/// Two times in order.
fn times(from: &str, to: &str) -> Result<(i64, i64), String> {
    let (start, end) = (duration(from)?, duration(to)?);
    if end < start { Err(format!("the end {to} is before the start {from}")) } else { Ok((start, end)) }
}

/// Reads a line behind an `eval`; whether it is the last one that may stand there.
fn read_expectation(line: &str, eval: &mut Eval) -> Result<bool, String> {
    if eval.fail.is_some() {
        if let Some(message) = line.strip_prefix("expected_fail_message") {
            eval.fail = Some(Text::Exactly(message.trim().to_owned()));
            return Ok(true);
        }
        if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            eval.fail = Some(Text::matching(pattern.trim())?);
            return Ok(true);
        }
    }
    if let Some(rest) = line.strip_prefix("expect range vector") {
        return read_grid(rest, eval).map(|()| false);
    }
    if let Some(rest) = line.strip_prefix("expect string") {
        let text = unquote(rest.trim()).ok_or_else(|| format!("expected a quoted string, got {rest:?}"))?;
        eval.expected = Expected::String(text);
        eval.also_as_range = false;
        return Ok(false);
    }
    if line.split([' ', '\t']).next() == Some("expect") {
        return read_expect(line, eval).map(|()| false);
    }
    if let Some(value) = number(line) {
        eval.expected = Expected::Scalar(value);
        return Ok(true);
    }
    let SeriesLine { labels, values } = series_line(line)?;
    if values.len() > 1 && matches!(eval.when, When::Instant(_)) && eval.grid.is_none() {
        return Err("several values of an instant query; `expect range vector` lets them".to_owned());
    }
    match &mut eval.expected {
        Expected::Series(series) => {
            series.retain(|(other, _)| *other != labels);
            series.push((labels, values));
        }
        other => *other = Expected::Series(vec![(labels, values)]),
    }
    Ok(false)
}

/// `from <from> to <to> step <step>` behind `expect range vector`.
fn read_grid(rest: &str, eval: &mut Eval) -> Result<(), String> {
    let parts = rest.trim().strip_prefix("from ").and_then(|rest| rest.split_once(" to "));
    let parts = parts.and_then(|(from, rest)| Some((from, rest.split_once(" step ")?)));
    let (from, (to, step)) = parts.ok_or_else(|| format!("invalid range vector definition {rest:?}"))?;
    let (start, end) = times(from, to)?;
    eval.grid = Some((start, end, duration(step)?));
    eval.also_as_range = false;
    Ok(())
}

/// `expect fail|warn|no_warn|info|no_info|ordered [msg: ...|regex: ...]`.
fn read_expect(line: &str, eval: &mut Eval) -> Result<(), String> {
    let bad = || format!("invalid expect statement {line:?}");
    let rest = line.strip_prefix("expect").unwrap_or_default().trim_start();
    let (mode, rest) = word(rest).unwrap_or((rest, ""));
    let text = match rest.split_once(':') {
        _ if rest.is_empty() => Text::Any,
        Some(("msg", text)) if !text.is_empty() => Text::Exactly(text.trim().to_owned()),
        Some(("regex", pattern)) if !pattern.is_empty() => Text::matching(pattern.trim())?,
        _ => return Err(bad()),
    };
    match mode {
        "ordered" => eval.ordered = true,
        "fail" if matches!(eval.fail, Some(Text::Exactly(_) | Text::Matching(..))) => {
            return Err("several expect fail lines".to_owned());
        }
        "fail" => eval.fail = Some(text),
        "warn" => eval.warn.texts.push(text),
        "info" => eval.info.texts.push(text),
        "no_warn" => eval.warn.none = true,
        "no_info" => eval.info.none = true,
        _ => return Err(bad()),
    }
    for notes in [&eval.warn, &eval.info] {
        if notes.none && !notes.texts.is_empty() {
            return Err(format!("{line:?} says the contrary of a line before it"));
        }
    }
    Ok(())
}
