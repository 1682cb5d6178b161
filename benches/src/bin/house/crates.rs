//! Who may use whom (DESIGN: the storeys), what a role's binary may link, and under which licences we stand.
//!
//! All three are read from `cargo tree`, so they see what is really resolved.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::Findings;

/// Each crate of ours with the crates of ours that it may use: *down is a call, sideways does not exist*.
const ARROWS: [(&str, &[&str]); 8] = [
    ("block", &[]),
    ("wal", &["block"]),
    ("downsample", &["block"]),
    ("promql", &["block"]),
    ("bucket", &["block"]),
    ("tsdb", &["block", "wal"]),
    ("compactor", &["block", "bucket", "downsample"]),
    ("server", &["block", "wal", "tsdb", "bucket", "downsample", "promql", "compactor"]),
];

/// Crates below the network, and what therefore must not be anywhere under them.
const DRY: [&str; 5] = ["block", "wal", "tsdb", "downsample", "promql"];
const WET: [&str; 9] =
    ["tokio", "object_store", "hyper", "tonic", "axum", "reqwest", "rustls", "async-trait", "tower"];

/// A role's feature, and what belongs to other roles or to the tools.
const ROLES: [(&str, &[&str]); 3] = [
    ("receive", &["comfy-table", "sarsen-compactor"]),
    ("store", &["comfy-table", "sarsen-compactor", "sarsen-tsdb", "sarsen-wal"]),
    ("compact", &["comfy-table", "snap", "sarsen-promql", "sarsen-tsdb", "sarsen-wal"]),
];

const LICENCES: [&str; 12] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
];

fn cargo_tree(arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["tree", "--locked", "--prefix", "none", "--no-dedupe"])
        .args(arguments)
        .output()
        .context("running cargo tree")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "cargo tree {arguments:?}: {complaint}");
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.retain(|line| !line.is_empty());
    lines.sort_unstable();
    lines.dedup();
    Ok(lines)
}

/// The names of the packages in lines such as `name v1.2.3 (...)`.
fn names(lines: &[String]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| line.split(' ').next())
}

/// Arrows between our crates, and no network below `bucket`.
pub(crate) fn check_storeys(root: &Path, found: &mut Findings) -> anyhow::Result<()> {
    for (own, allowed) in ARROWS {
        if !root.join(own).join("Cargo.toml").is_file() {
            continue;
        }
        let package = format!("sarsen-{own}");
        let direct = cargo_tree(&["-p", &package, "--all-features", "-e", "normal,build", "--depth", "1"])?;
        for used in names(&direct).filter_map(|name| name.strip_prefix("sarsen-")) {
            if used != own && !allowed.contains(&used) {
                found.faults.push(format!("{own} uses {used}: no such arrow between the storeys"));
            }
        }
        if DRY.contains(&own) {
            let whole = cargo_tree(&["-p", &package, "--all-features", "-e", "normal,build"])?;
            for wet in names(&whole).filter(|name| WET.contains(name)) {
                found
                    .faults
                    .push(format!("{own} links {wet}: nothing below bucket is async or touches the network"));
            }
        }
    }
    Ok(())
}

/// A role's binary links its own stack only.
pub(crate) fn check_roles(found: &mut Findings) -> anyhow::Result<()> {
    for (role, foreign) in ROLES {
        let arguments = ["-p", "sarsen-server", "--no-default-features", "--features", role, "-e", "normal"];
        let linked = cargo_tree(&arguments)?;
        for name in names(&linked).filter(|name| foreign.contains(name)) {
            found.faults.push(format!("a binary with only the role {role} links {name}"));
        }
    }
    Ok(())
}

/// Every crate that ends up in a program of ours, or builds one, stands under a licence of the list.
pub(crate) fn check_licences(found: &mut Findings) -> anyhow::Result<()> {
    for line in cargo_tree(&["--workspace", "--all-features", "-e", "normal,build", "-f", "{p}|{l}"])? {
        let (package, licence) = line.split_once('|').unwrap_or((&line, ""));
        let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
        if !allowed(&licence) {
            found.faults.push(format!("{package} stands under {licence:?}, which is not on the list"));
        }
    }
    Ok(())
}

/// Whether an SPDX expression can be satisfied from the list.
fn allowed(expression: &str) -> bool {
    let expression = unwrapped(expression.trim());
    for (word, any) in [(" AND ", false), (" OR ", true)] {
        let parts = split_outside(expression, word);
        if parts.len() > 1 {
            return if any {
                parts.iter().any(|part| allowed(part))
            } else {
                parts.iter().all(|part| allowed(part))
            };
        }
    }
    LICENCES.contains(&expression)
}

/// Splits at a word where no parenthesis is open.
fn split_outside<'a>(expression: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    for (at, _) in expression.match_indices(word) {
        let before = &expression[..at];
        if before.matches('(').count() == before.matches(')').count() {
            parts.push(&expression[from..at]);
            from = at + word.len();
        }
    }
    parts.push(&expression[from..]);
    parts
}

fn unwrapped(expression: &str) -> &str {
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) if !inner.contains(['(', ')']) => inner,
        _ => expression,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions_are_read_as_spdx_means_them() {
        assert!(allowed("MIT OR GPL-3.0"));
        assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!allowed("(MIT OR Apache-2.0) AND GPL-2.0"));
        assert!(allowed("ISC AND (Apache-2.0 OR ISC)"));
        assert!(allowed("Apache-2.0 WITH LLVM-exception OR GPL-2.0"));
        assert!(!allowed(""));
    }
}
