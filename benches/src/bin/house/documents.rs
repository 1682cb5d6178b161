//! Documents that name a file name one that exists.
//!
//! Looked at are links and words in backticks of every `.md`, and words in backticks of `//!` lines. A word counts as a
//! file of ours if it ends in `.rs`, `.md`, `.toml` or `.sh`, or has a folder and ends in `.yaml`, `.yml` or `.proto`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Findings;

/// Looks at every document.
pub(crate) fn check(root: &Path, files: &[PathBuf], found: &mut Findings) -> anyhow::Result<()> {
    for path in files {
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or("");
        if end != "md" && end != "rs" {
            continue;
        }
        let text = fs::read_to_string(root.join(path))?;
        for (number, line) in text.lines().enumerate() {
            let mut named = Vec::new();
            if end == "md" {
                named.extend(links(line));
            }
            if end == "md" || line.trim_start().starts_with("//!") {
                named.extend(line.split('`').skip(1).step_by(2).filter(|word| is_file_name(word)));
            }
            for name in named.into_iter().filter(|name| !exists(root, path, files, name)) {
                found.faults.push(format!("{}:{}: there is no {name}", path.display(), number + 1));
            }
        }
    }
    Ok(())
}

fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or(""))
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
}

fn is_file_name(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let Some((stem, end)) = word.rsplit_once('.') else { return false };
    let ours = matches!(end, "rs" | "md" | "toml" | "sh");
    let foldered = word.contains('/') && matches!(end, "yaml" | "yml" | "proto");
    plain && !stem.is_empty() && !word.starts_with('/') && (ours || foldered)
}

/// Whether `name` is a file seen from the document, from a folder above it, or from the sources of such a folder; a bare
/// name may stand anywhere.
fn exists(root: &Path, document: &Path, files: &[PathBuf], name: &str) -> bool {
    let bases = document.ancestors().skip(1);
    let near = bases.flat_map(|base| [base.to_path_buf(), base.join("src")]);
    near.into_iter().any(|base| root.join(base).join(name).exists())
        || files.iter().any(|file| !name.contains('/') && file.ends_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_files_only_if_they_look_like_ours() {
        assert!(
            is_file_name("tsdb/tests/crash.rs")
                && is_file_name("FORMAT.md")
                && is_file_name("deploy/base/a.yaml")
        );
        assert!(!is_file_name("meta.json") && !is_file_name("objstore.yml") && !is_file_name("a b.rs"));
        assert_eq!(links("see [a](b.md#c) and [d](https://e.f)").collect::<Vec<_>>(), ["b.md"]);
    }
}
