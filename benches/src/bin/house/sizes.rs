//! How long files and functions are, and whether a file begins by saying what it is.
//!
//! Counted are lines of code: no comments, no blank lines, no tests at the foot. Source is taken as rustfmt leaves it,
//! so a function ends at the first `}` under its `fn`. A file that is long for a reason says so in its first line,
//! as in `//! What it is (long: why).`; a function says so with `#[expect(clippy::too_many_lines, reason = "..")]`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Findings, tree};

const FILE_NOTE: usize = 500;
const FILE_FAULT: usize = 650;
const FUNCTION_NOTE: usize = 60;
const FUNCTION_FAULT: usize = 80;

/// Looks at every Rust file.
pub(crate) fn check(root: &Path, files: &[PathBuf], found: &mut Findings) -> anyhow::Result<()> {
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let text = fs::read_to_string(root.join(path))?;
        let name = path.display();
        if !text.starts_with("//!") {
            found.faults.push(format!("{name}: does not begin with //! and its one sentence"));
        }
        if tree::is_test(path) {
            continue;
        }
        let lines = without_tests(&text);
        let code = lines.iter().filter(|line| is_code(line)).count();
        let excused = text.lines().next().is_some_and(|line| line.contains("(long: "));
        if code > FILE_FAULT && !excused {
            found.faults.push(format!("{name}: {code} lines of code and no reason in its first line"));
        } else if code > FILE_NOTE {
            found.notes.push(format!("{name}: {code} lines of code"));
        }
        for function in functions(&lines) {
            let place = format!("{name}:{}: fn {}: {} lines", function.line, function.name, function.code);
            if function.code > FUNCTION_FAULT && !function.excused {
                found.faults.push(place);
            } else if function.code > FUNCTION_NOTE {
                found.notes.push(place);
            }
        }
    }
    Ok(())
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

/// The lines in front of the tests at the foot of a file.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let foot = lines.windows(2).position(|pair| {
        pair[0].starts_with("#[cfg(test)]") && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    lines[..foot.unwrap_or(lines.len())].to_vec()
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    code: usize,
    excused: bool,
}

fn functions<'a>(lines: &[&'a str]) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let same_level = |line: &str| line.len() - line.trim_start().len() == indent && is_code(line);
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let end = lines[at + 1..]
            .iter()
            .position(|line| same_level(line) && (line.trim_start().starts_with('}') || line.ends_with(';')));
        let body = &lines[at..end.map_or(at + 1, |end| at + 2 + end)];
        let above = lines[..at].iter().rev().take_while(|line| !line.trim().is_empty()).take(12);
        found.push(Function {
            name,
            line: at + 1,
            code: body.iter().filter(|line| is_code(line)).count(),
            excused: above.into_iter().any(|line| line.contains("too_many_lines")),
        });
    }
    found
}

/// The name in a line that begins a function.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let marks = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe"];
    let marked = before.split_whitespace().all(|word| marks.contains(&word));
    let name = after.split(['(', '<']).next()?;
    (marked && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_without_comments_and_tests() {
        let text = "//! Room.\n\nfn one(\n    a: u8,\n) -> u8 {\n    // why\n    a\n}\n\npub(crate) const fn two() {}\n\n\
                    #[cfg(test)]\nmod tests {\n    fn three() {\n    }\n}\n";
        let lines = without_tests(text);
        let found = functions(&lines);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name, found[0].line, found[0].code), ("one", 3, 5));
    }
}
