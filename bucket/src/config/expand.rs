//! `$(VAR)` in a configuration text, replaced by the environment's variable.

use crate::error::{Error, Place};

/// The text with every `$(NAME)` replaced. A name is made of ASCII letters, digits and `_`; anything else stays as it is.
pub(super) fn expand(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<String, Error> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let (before, from) = rest.split_at(at);
        expanded.push_str(before);
        let inner = from.get(2..).unwrap_or_default();
        let length = inner.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, behind) = inner.split_at(length);
        if name.is_empty() || !behind.starts_with(')') {
            expanded.push_str("$(");
            rest = inner;
            continue;
        }
        let value = env(name).ok_or_else(|| Error::Config {
            place: place(text, text.len() - from.len()),
            why: format!("the environment has no variable {name:?}"),
        })?;
        expanded.push_str(&value);
        rest = behind.get(1..).unwrap_or_default();
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.matches('\n').count() as u64 + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() as u64 + 1,
    }
}
