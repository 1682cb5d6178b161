//! `tools tsdb flush`: cuts and ships the whole head of a stopped database, for a member that leaves for good.
//!
//! The directory is one tenant's, named after it; the flags are those that `receive` was run with.

use std::io::Write as _;
use std::path::Path;

use super::print::on_stdout;
use super::{directories, usage};
use crate::app;
use crate::cli::Failure;
use crate::config::content::Content;
use crate::config::flags::{Flag, Given, Kind};
use crate::objstore::Objstore;
use crate::receive::{ReceiveOptions, ShippingOptions, TenancyOptions};

/// Own flags.
pub(super) const FLAGS: &[Flag] = &[
    Flag::new("label", Kind::Label, "", "External labels of the blocks, as receive had them.").repeat(),
    Flag::new(
        "receive.tenant-label-name",
        Kind::Text,
        "tenant_id",
        "External label that carries the tenant.",
    ),
    Flag::new("hash-func", Kind::Choice(&["SHA256", ""]), "", "Hashes of files in meta.json."),
];

/// Flushes the databases of the arguments, one after the other.
pub(super) fn run(given: Given) -> Result<(), Failure> {
    let content = Content::of(&given, "objstore.config").map_err(usage)?;
    let objstore = content.map(Objstore::open).transpose().map_err(usage)?;
    let external_labels = given.labels("label").map_err(usage)?;
    let options = ReceiveOptions {
        external_labels,
        tenancy: TenancyOptions {
            label: given.text("receive.tenant-label-name").to_owned(),
            ..TenancyOptions::default()
        },
        shipping: ShippingOptions {
            hash_files: given.text("hash-func") == "SHA256",
            ..ShippingOptions::default()
        },
        ..ReceiveOptions::default()
    };
    for directory in directories(&given)? {
        // The name of the directory is the tenant's, so `.` and a slash at the end must not hide it.
        let path = Path::new(directory);
        let path = path.canonicalize().map_err(|why| super::open::fail(path, why))?;
        if !path.join("log").is_dir() {
            return Err(super::open::fail(&path, "no database (there is no log/ in it)"));
        }
        let done = app::flush_stopped(&path, options.clone(), objstore.as_ref())?;
        on_stdout(|out| {
            let place = path.display();
            Ok(writeln!(
                out,
                "{place}: {} cut, {} uploaded, {} left to upload",
                blocks(done.cut),
                done.uploaded,
                done.left
            )?)
        })?;
        if done.left > 0 {
            return Err(Failure::Run(format!(
                "{}: {} could not be uploaded",
                path.display(),
                blocks(done.left)
            )));
        }
    }
    Ok(())
}

/// A number of blocks in words.
fn blocks(count: u64) -> String {
    if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") }
}
