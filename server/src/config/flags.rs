//! A command's flags as a table, and reading a command line against it the way Thanos' programs do.
//!
//! `--flag=value` and `--flag value`; a boolean stands alone, is negated by `--no-flag`, and may carry `=true` or
//! `=false`; flags and arguments mix until `--`; `@file` puts the lines of a file in its place; a flag that is not
//! repeatable may stand once. Every fault is one sentence that names the flag. What a flag means is not known here,
//! except whether we heed it: one that changes nothing in this program is accepted and reported, one that asks for
//! something we cannot do yet is refused unless it asks for the default.

#![cfg_attr(
    not(all(feature = "receive", feature = "compact")),
    expect(dead_code, reason = "a command alone needs fewer kinds of flags")
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::values;

/// The form of a flag's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No value: given or not.
    Bool,
    /// Anything.
    Text,
    /// A Prometheus duration (`15d`).
    Duration,
    /// A Go duration (`1.5h`).
    GoDuration,
    /// A size with a unit, in powers of two.
    Size,
    /// A size with a unit, or a bare number of bytes.
    Bytes,
    /// A whole number, zero or more.
    Number,
    /// A whole number of either sign.
    Integer,
    /// A floating point number.
    Float,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `name="value"`.
    Label,
    /// A date as in RFC 3339, or a duration from now (`-1d`).
    Moment,
}

/// What becomes of a flag that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// It has its effect.
    Heeded,
    /// It is accepted and has no effect here, for this reason.
    Inert(&'static str),
    /// A value other than the default is refused, for this reason.
    Refused(&'static str),
}

/// One flag of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    /// A letter that stands for the name of a boolean flag: `-w`.
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    /// The default as text; `""` stands for none.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
    pub(crate) hidden: bool,
    pub(crate) repeat: bool,
    pub(crate) duty: Duty,
}

impl Flag {
    /// A flag with a value of `kind`.
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, short: None, kind, default, help, hidden: false, repeat: false, duty: Duty::Heeded }
    }

    /// A boolean flag that is off unless given.
    pub(crate) const fn switch(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Bool, "false", help)
    }

    /// A letter that stands for it.
    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// Not shown in the help text.
    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// May be given more than once.
    pub(crate) const fn repeat(mut self) -> Self {
        self.repeat = true;
        self
    }

    /// Accepted without effect.
    pub(crate) const fn inert(mut self, why: &'static str) -> Self {
        self.duty = Duty::Inert(why);
        self
    }

    /// Refused when it asks for something else than the default.
    pub(crate) const fn refused(mut self, why: &'static str) -> Self {
        self.duty = Duty::Refused(why);
        self
    }

    /// The same flag with another default.
    pub(crate) const fn with_default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }
}

/// What a command line said, checked against a table.
#[derive(Debug)]
pub(crate) struct Given {
    table: Vec<Flag>,
    values: BTreeMap<&'static str, Vec<String>>,
    /// Arguments that are no flags, in order.
    pub(crate) arguments: Vec<String>,
}

/// A sentence for a person who mistyped a command line.
pub(crate) type Fault = String;

impl Given {
    /// Reads `args` (without the program and the command) against `table`.
    pub(crate) fn read(table: Vec<Flag>, args: &[String]) -> Result<Self, Fault> {
        let mut given = Self { table, values: BTreeMap::new(), arguments: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                given.arguments.extend(args.by_ref().cloned());
            } else if let Some(long) = arg.strip_prefix("--") {
                given.read_flag(long, &mut args)?;
            } else if arg.len() > 1 && arg.starts_with('-') {
                let long = given.long_of(arg).ok_or_else(|| format!("unknown short flag '{arg}'"))?;
                given.read_flag(long, &mut args)?;
            } else {
                given.arguments.push(arg.clone());
            }
        }
        given.check_duties()?;
        Ok(given)
    }

    /// The name of the flag that a letter stands for: of `-w`, for one.
    fn long_of(&self, short: &str) -> Option<&'static str> {
        let mut letters = short.chars().skip(1);
        let letter = letters.next().filter(|_| letters.next().is_none())?;
        self.table.iter().find(|flag| flag.short == Some(letter)).map(|flag| flag.name)
    }

    fn read_flag(&mut self, long: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<(), Fault> {
        let (name, inline) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let direct = self.table.iter().find(|flag| flag.name == name);
        let negated = || {
            let positive = name.strip_prefix("no-")?;
            self.table.iter().find(|flag| flag.name == positive && flag.kind == Kind::Bool)
        };
        let (flag, sense) = match direct {
            Some(flag) => (*flag, true),
            None => (*negated().ok_or_else(|| format!("unknown long flag '--{name}'"))?, false),
        };
        let value = if flag.kind == Kind::Bool {
            let positive = match inline {
                None | Some("true") => true,
                Some("false") => false,
                Some(other) => return Err(format!("--{name}: {other:?} is neither true nor false")),
            };
            (positive == sense).to_string()
        } else if let Some(value) = inline {
            value.to_owned()
        } else {
            let next = rest.as_slice().first().filter(|next| next.len() == 1 || !next.starts_with('-'));
            let value = next.ok_or_else(|| format!("expected argument for flag '--{name}'"))?.clone();
            rest.next();
            value
        };
        check(flag.kind, &value).map_err(|why| format!("--{name}: {why}"))?;
        let values = self.values.entry(flag.name).or_default();
        if !values.is_empty() && !flag.repeat {
            return Err(format!("flag '{name}' cannot be repeated"));
        }
        values.push(value);
        Ok(())
    }

    fn check_duties(&self) -> Result<(), Fault> {
        for (name, values) in &self.values {
            let Some(flag) = self.table.iter().find(|flag| flag.name == *name) else { continue };
            if let Duty::Refused(why) = flag.duty
                && let Some(value) = values.iter().find(|value| !same(flag.kind, value, flag.default))
            {
                return Err(format!("--{name}={value}: {why}"));
            }
        }
        Ok(())
    }

    /// Flags that were given and have no effect, with the reason.
    pub(crate) fn without_effect(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.table.iter().filter(|flag| self.is_given(flag.name)).filter_map(|flag| match flag.duty {
            Duty::Inert(why) => Some((flag.name, why)),
            _ => None,
        })
    }

    /// Whether the command line has this flag.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The value as text: given, or the default.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.values.get(name).and_then(|values| values.last()) {
            Some(value) => value,
            None => self.table.iter().find(|flag| flag.name == name).map_or("", |flag| flag.default),
        }
    }

    /// The value as text, `None` if it is empty.
    pub(crate) fn text_if_any(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// All values of a repeatable flag.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every flag with its value as text, given or not; of those whose name begins with one of `secret` only whether there is a value.
    pub(crate) fn values(&self, secret: &[&str]) -> BTreeMap<String, String> {
        let value = |flag: &Flag| {
            let value =
                if flag.repeat { self.all(flag.name).join(", ") } else { self.text(flag.name).to_owned() };
            let is_secret = !value.is_empty() && secret.iter().any(|secret| flag.name.starts_with(secret));
            (flag.name.to_owned(), if is_secret { "<hidden>".to_owned() } else { value })
        };
        self.table.iter().map(value).collect()
    }

    /// Whether a boolean flag is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// A Prometheus duration in milliseconds.
    pub(crate) fn millis(&self, name: &str) -> Result<i64, Fault> {
        values::model_duration(self.text(name)).map_err(|why| format!("--{name}: {why}"))
    }

    /// A Prometheus duration.
    pub(crate) fn duration(&self, name: &str) -> Result<std::time::Duration, Fault> {
        Ok(std::time::Duration::from_millis(self.millis(name)?.unsigned_abs()))
    }

    /// A whole number, as far as it is not negative: below zero means as much as zero.
    pub(crate) fn count(&self, name: &str) -> Result<u32, Fault> {
        let fault = |_| format!("--{name}: {:?} is no whole number in range", self.text(name));
        let number: i64 = self.text(name).parse().map_err(fault)?;
        u32::try_from(number.max(0)).map_err(|_| format!("--{name}: {number} is too large"))
    }

    /// A size or a number of bytes.
    pub(crate) fn bytes(&self, name: &str) -> Result<u64, Fault> {
        values::size_or_number(self.text(name)).map_err(|why| format!("--{name}: {why}"))
    }

    /// A date, or a duration from now.
    #[cfg(any(feature = "compact", feature = "tools"))]
    pub(crate) fn moment(&self, name: &str) -> Result<values::Moment, Fault> {
        values::moment(self.text(name)).map_err(|why| format!("--{name}: {why}"))
    }

    /// External labels, sorted by name; a name twice is a fault.
    pub(crate) fn labels(&self, name: &str) -> Result<Vec<(String, String)>, Fault> {
        let read = |text: &String| values::label(text).map_err(|why| format!("--{name}: {why}"));
        let mut labels = self.all(name).iter().map(read).collect::<Result<Vec<_>, _>>()?;
        labels.sort();
        match labels.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
            Some(pair) => {
                Err(format!("--{name}: the label {} is given twice", pair.first().map_or("", |l| &l.0)))
            }
            None => Ok(labels),
        }
    }
}

/// Whether `value` has the form that `kind` asks for.
fn check(kind: Kind, value: &str) -> Result<(), String> {
    match kind {
        Kind::Bool | Kind::Text => Ok(()),
        Kind::Duration => values::model_duration(value).map(drop),
        Kind::GoDuration => values::go_duration(value).map(drop),
        Kind::Size => values::size(value).map(drop),
        Kind::Bytes => values::size_or_number(value).map(drop),
        Kind::Number => value.parse::<u64>().map(drop).map_err(|_| format!("{value:?} is no whole number")),
        Kind::Integer => value.parse::<i64>().map(drop).map_err(|_| format!("{value:?} is no whole number")),
        Kind::Float => value.parse::<f64>().map(drop).map_err(|_| format!("{value:?} is no number")),
        Kind::Label => values::label(value).map(drop),
        Kind::Moment => values::moment(value).map(drop),
        Kind::Choice(words) => match words.contains(&value) {
            true => Ok(()),
            false => Err(format!("must be one of {}, not {value:?}", words.join(", "))),
        },
    }
}

/// Whether two texts mean the same value.
fn same(kind: Kind, a: &str, b: &str) -> bool {
    a == b
        || match kind {
            Kind::Duration => values::model_duration(a).ok() == values::model_duration(b).ok(),
            Kind::GoDuration => values::go_duration(a).ok() == values::go_duration(b).ok(),
            Kind::Size | Kind::Bytes => values::size_or_number(a).ok() == values::size_or_number(b).ok(),
            Kind::Number | Kind::Integer => a.parse::<i64>().ok() == b.parse::<i64>().ok(),
            _ => false,
        }
}

/// Replaces every `@file` before `--` by the lines of that file; lines that begin with `#` and empty ones are left out.
pub(crate) fn expand_files(args: Vec<String>) -> Result<Vec<String>, Fault> {
    let mut expanded = Vec::with_capacity(args.len());
    let mut literal = false;
    for arg in args {
        literal |= arg == "--";
        match arg.strip_prefix('@').filter(|path| !literal && !path.is_empty()) {
            None => expanded.push(arg),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|why| format!("@{path}: {why}"))?;
                let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
                expanded.extend(lines.map(str::to_owned));
            }
        }
    }
    Ok(expanded)
}

/// The flags of a table as help text.
pub(crate) fn help(table: &[Flag]) -> String {
    let mut out = String::from("Flags:\n");
    for flag in table.iter().filter(|flag| !flag.hidden) {
        let head = match flag.kind {
            Kind::Bool => match flag.short {
                Some(letter) => format!("  -{letter}, --[no-]{}", flag.name),
                None => format!("      --[no-]{}", flag.name),
            },
            _ if flag.default.is_empty() => format!("      --{}={}", flag.name, placeholder(flag)),
            _ => format!("      --{}={}", flag.name, flag.default),
        };
        let more = if flag.repeat { " ..." } else { "" };
        let _ = writeln!(out, "{head}{more}");
        wrap(flag.help, &mut out);
        match flag.duty {
            Duty::Heeded => {}
            Duty::Inert(why) => wrap(&format!("Accepted without effect: {why}."), &mut out),
            Duty::Refused(why) => wrap(&format!("Only the default: {why}."), &mut out),
        }
    }
    out
}

fn placeholder(flag: &Flag) -> String {
    match flag.kind {
        Kind::Label => "name=\"value\"".to_owned(),
        Kind::Choice(words) => words.join("|"),
        _ if flag.name.ends_with("-file") => "<file-path>".to_owned(),
        _ => flag.name.rsplit(['.', '-']).next().unwrap_or("value").to_uppercase(),
    }
}

/// Appends `text` in lines of at most 76 characters behind ten blanks.
fn wrap(text: &str, out: &mut String) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column == 0 || column + word.len() > 66 {
            if column > 0 {
                out.push('\n');
            }
            out.push_str("          ");
            column = 0;
        } else {
            out.push(' ');
        }
        out.push_str(word);
        column += word.len() + 1;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Vec<Flag> {
        vec![
            Flag::new("http-address", Kind::Text, "0.0.0.0:10902", "where"),
            Flag::new("label", Kind::Label, "", "labels").repeat(),
            Flag::new("tsdb.wal-compression", Kind::Bool, "true", "compress"),
            Flag::switch("wait", "go on").short('w'),
            Flag::switch("tsdb.no-lockfile", "no lock").inert("the lock is the kernel's"),
            Flag::new("receive.replication-factor", Kind::Number, "1", "copies")
                .refused("there is no ring yet"),
            Flag::new("tsdb.retention", Kind::Duration, "15d", "keep"),
        ]
    }

    fn read(args: &[&str]) -> Result<Given, Fault> {
        Given::read(table(), &args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn both_forms_and_defaults() {
        let given = read(&["--http-address", ":1", "x", "--tsdb.retention=0d", "--", "--y"]).unwrap();
        assert_eq!(given.text("http-address"), ":1");
        assert_eq!(given.millis("tsdb.retention"), Ok(0));
        assert_eq!(given.arguments, ["x", "--y"]);
        assert_eq!(read(&[]).unwrap().millis("tsdb.retention"), Ok(15 * 86_400_000));
    }

    #[test]
    fn booleans() {
        for (args, on) in [
            (&[][..], true),
            (&["--no-tsdb.wal-compression"], false),
            (&["--tsdb.wal-compression=false"], false),
            (&["--no-tsdb.wal-compression=false"], true),
            (&["--tsdb.wal-compression"], true),
        ] {
            assert_eq!(read(args).unwrap().is_on("tsdb.wal-compression"), on, "{args:?}");
        }
        assert!(read(&["--tsdb.no-lockfile"]).unwrap().is_on("tsdb.no-lockfile"));
        assert!(!read(&["--no-tsdb.no-lockfile"]).unwrap().is_on("tsdb.no-lockfile"));
        assert_eq!(read(&["--tsdb.wal-compression", "false"]).unwrap().arguments, ["false"]);
        assert!(read(&["-w"]).unwrap().is_on("wait") && !read(&[]).unwrap().is_on("wait"));
        assert!(read(&["-w", "--wait"]).unwrap_err().contains("cannot be repeated"));
    }

    #[test]
    fn faults_name_the_flag() {
        for (args, part) in [
            (&["--nope"][..], "unknown long flag '--nope'"),
            (&["--no-http-address"], "unknown long flag '--no-http-address'"),
            (&["-x"], "unknown short flag '-x'"),
            (&["-wx"], "unknown short flag '-wx'"),
            (&["--http-address"], "expected argument for flag '--http-address'"),
            (&["--http-address", "--label=a=\"b\""], "expected argument for flag '--http-address'"),
            (&["--http-address=a", "--http-address=b"], "flag 'http-address' cannot be repeated"),
            (&["--tsdb.retention=1.5h"], "--tsdb.retention: unknown unit"),
            (&["--label=a=b"], "--label: "),
            (&["--receive.replication-factor=3"], "--receive.replication-factor=3: there is no ring yet"),
            (&["--tsdb.wal-compression=maybe"], "--tsdb.wal-compression"),
        ] {
            let fault = read(args).unwrap_err();
            assert!(fault.contains(part), "{args:?}: {fault}");
        }
    }

    #[test]
    fn duties() {
        assert!(read(&["--receive.replication-factor=1"]).is_ok());
        let given = read(&["--tsdb.no-lockfile"]).unwrap();
        assert_eq!(given.without_effect().map(|(name, _)| name).collect::<Vec<_>>(), ["tsdb.no-lockfile"]);
    }

    #[test]
    fn labels_are_sorted_and_unique() {
        let given = read(&["--label=b=\"2\"", "--label", "a=\"1\""]).unwrap();
        let expected = [("a", "1"), ("b", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(given.labels("label").unwrap(), expected);
        assert!(read(&["--label=a=\"1\"", "--label=a=\"2\""]).unwrap().labels("label").is_err());
    }

    #[test]
    fn files_of_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("args");
        std::fs::write(&path, "# comment\n--http-address=:1\n\n--label=a=\"b c\"\n").unwrap();
        let at = format!("@{}", path.display());
        let args = expand_files(vec!["x".to_owned(), at.clone(), "--".to_owned(), at.clone()]).unwrap();
        assert_eq!(args, ["x", "--http-address=:1", "--label=a=\"b c\"", "--", &at]);
        assert!(expand_files(vec!["@/no/such/file".to_owned()]).unwrap_err().starts_with("@/no/such/file: "));
    }
}
