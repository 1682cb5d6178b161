//! `tools tsdb import`: a data directory of Prometheus, or of Thanos Receive with its tenants, becomes the databases of a
//! `standalone`.
//!
//! Nothing in FROM is changed: blocks get second names, or are copied to another volume, and the log is translated. What was
//! made is opened once before the tool says that it is done. A tenant that is there already is refused, so that
//! an interrupted import is simply called again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sarsen_block::BlockId;
use sarsen_tsdb::{Db, ImportReport, Origin, import};
use sarsen_wal::real_disk;

use super::open::fail;
use super::print::on_stdout;
use crate::cli::Failure;
use crate::config::flags::{Flag, Given, Kind};
use crate::receive::is_tenant;

/// Own flags.
pub(super) const FLAGS: &[Flag] = &[
    Flag::new("data-dir", Kind::Text, "", "Where the databases go: the --data-dir of standalone. Required."),
    Flag::new(
        "tenant",
        Kind::Text,
        "default-tenant",
        "Whose a directory of Prometheus is. Tenants of Thanos Receive keep their names.",
    ),
];

/// Imports the one argument.
pub(super) fn run(given: Given) -> Result<(), Failure> {
    let usage = |why: &str| Err(Failure::Usage(why.to_owned()));
    let from = match &given.arguments[..] {
        [from] => Path::new(from),
        [] => return usage("required argument 'FROM' not provided"),
        [_, more, ..] => return Err(Failure::Usage(format!("unexpected {more}"))),
    };
    let (to, tenant) = (given.text("data-dir"), given.text("tenant"));
    if to.is_empty() {
        return usage("required flag --data-dir not provided");
    }
    if !is_tenant(tenant) {
        return Err(Failure::Usage(format!("--tenant: '{tenant}' cannot be the name of a tenant")));
    }
    let mut faults = 0;
    for (tenant, directory) in tenants(from, tenant)? {
        let target = Path::new(to).join("tenants").join(&tenant);
        faults += take_over(&directory, &target)?;
    }
    match faults {
        0 => Ok(()),
        faults => Err(Failure::Run(format!("{}: {faults} places could not be read", from.display()))),
    }
}

/// The databases in a directory, each with the tenant whose it is: itself, or those below it.
fn tenants(from: &Path, tenant: &str) -> Result<Vec<(String, PathBuf)>, Failure> {
    if is_foreign(from)? {
        return Ok(vec![(tenant.to_owned(), from.to_owned())]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(from).map_err(|why| fail(from, why))? {
        let path = entry.map_err(|why| fail(from, why))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && is_tenant(&name) && is_foreign(&path)? {
            found.push((name, path));
        }
    }
    found.sort_unstable();
    if found.is_empty() {
        return Err(fail(
            from,
            "no data directory of Prometheus or Thanos Receive (no wal/ and no block in it)",
        ));
    }
    Ok(found)
}

/// Whether a directory looks like one of Prometheus.
fn is_foreign(directory: &Path) -> Result<bool, Failure> {
    for entry in std::fs::read_dir(directory).map_err(|why| fail(directory, why))? {
        let entry = entry.map_err(|why| fail(directory, why))?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if entry.path().is_dir() && (name == "wal" || name.parse::<BlockId>().is_ok()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many places could not be read.
fn take_over(from: &Path, to: &Path) -> Result<usize, Failure> {
    let imported = import(&real_disk(), from, to, Origin::Keep).map_err(|why| fail(from, why))?;
    let db = Db::builder(to).open().map_err(|why| fail(to, why))?;
    let aside: Vec<String> = db
        .open_report()
        .set_aside
        .iter()
        .map(|aside| format!("{}: set aside: {}", aside.directory.display(), aside.why))
        .collect();
    db.close().map_err(|why| fail(to, why))?;
    let faults = aside.len() + imported.as_ref().map_or(0, |report| report.faults.len());
    on_stdout(|out| {
        for fault in imported.iter().flat_map(|report| &report.faults) {
            writeln!(out, "{} at offset {}: {}", fault.path.display(), fault.offset, fault.why)?;
        }
        for line in &aside {
            writeln!(out, "{line}")?;
        }
        Ok(writeln!(out, "{}", sentence(from, to, imported.as_ref()))?)
    })?;
    Ok(faults)
}

fn sentence(from: &Path, to: &Path, imported: Option<&ImportReport>) -> String {
    let (from, to) = (from.display(), to.display());
    match imported {
        None => format!("{from}: nothing is left to take over into {to}"),
        Some(report) => format!(
            "{from}: taken over into {to}: {} blocks, and of the head {} series, {} samples, {} late samples, {} exemplars",
            report.blocks.len(),
            report.series,
            report.samples,
            report.late,
            report.exemplars,
        ),
    }
}
