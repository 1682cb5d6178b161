//! A configuration that is given as a file or as text: `--x-file` or `--x`.
//!
//! Both at once is a fault, as in Thanos. Text from a file may be read again when the file changes. `$(VAR)` stands for
//! an environment variable where the owner of the content asks for it; an unknown one is a fault.

use super::flags::{Fault, Given};

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file, read when asked.
    File {
        /// The flag that named it.
        flag: String,
        /// Its path.
        path: String,
    },
    /// The text itself.
    Text {
        /// The flag that carried it.
        flag: String,
        /// The text.
        text: String,
    },
}

impl Content {
    /// What `--<name>-file` or `--<name>` gave.
    pub(crate) fn of(given: &Given, name: &str) -> Result<Option<Self>, Fault> {
        let file_flag = format!("{name}-file");
        match (given.text_if_any(&file_flag), given.text_if_any(name)) {
            (Some(_), Some(_)) => Err(format!("both --{file_flag} and --{name} are given; give one")),
            (Some(path), None) => Ok(Some(Self::File { flag: file_flag, path })),
            (None, Some(text)) => Ok(Some(Self::Text { flag: name.to_owned(), text })),
            (None, None) => Ok(None),
        }
    }

    /// The text, read from the file if it is one.
    pub(crate) fn read(&self) -> Result<String, Fault> {
        match self {
            Self::Text { text, .. } => Ok(text.clone()),
            Self::File { flag, path } => {
                std::fs::read_to_string(path).map_err(|why| format!("--{flag}: {path}: {why}"))
            }
        }
    }

    /// The text with every `$(VAR)` replaced by that environment variable.
    #[cfg(feature = "serve")]
    pub(crate) fn read_expanded(&self) -> Result<String, Fault> {
        expand_environment(&self.read()?).map_err(|why| format!("{}: {why}", self.place()))
    }

    /// The flag, and the file if there is one, for messages.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Text { flag, .. } => format!("--{flag}"),
            Self::File { flag, path } => format!("--{flag}: {path}"),
        }
    }
}

/// The first line of a fault of a YAML reader, without the excerpt that follows: `line 4 column 3: unknown field ...`.
#[cfg(feature = "serve")]
pub(crate) fn yaml_fault(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The one door to the environment.
#[cfg(any(feature = "objstore", feature = "serve"))]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Replaces every `$(VAR)` by that environment variable.
#[cfg(feature = "serve")]
pub(crate) fn expand_environment(text: &str) -> Result<String, String> {
    expand(text, environment)
}

/// Replaces every `$(NAME)`; what only looks like one (`$( )`, `$NAME`) stays.
#[cfg(feature = "serve")]
fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let name = tail.get(2..).and_then(|inner| inner.split_once(')')).map(|(name, _)| name);
        let is_name = |name: &&str| {
            let mut bytes = name.bytes();
            bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match name.filter(is_name) {
            Some(name) => {
                out.push_str(
                    &lookup(name)
                        .ok_or_else(|| format!("found reference to unset environment variable {name:?}"))?,
                );
                rest = tail.get(name.len() + 3..).unwrap_or("");
            }
            None => {
                out.push_str("$(");
                rest = tail.get(2..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let lookup = |name: &str| (name == "POD_NAME").then(|| "pod-$(X)".to_owned());
        assert_eq!(expand("a: $(POD_NAME)!", lookup).unwrap(), "a: pod-$(X)!");
        assert_eq!(expand("$POD_NAME $() $(a b) $(", lookup).unwrap(), "$POD_NAME $() $(a b) $(");
        assert!(expand("$(NOT_SET)", lookup).unwrap_err().contains("NOT_SET"));
    }
}
