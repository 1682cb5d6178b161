//! Holds the rules of the house that no lint holds: storeys, roles, licences, sizes, openings, documents.
//!
//! Run from the root of the repository: `cargo run -p sarsen-benches --bin house`. Prints every offence on a line of
//! its own and ends with 1 if there is one. What is merely large is listed without failing.

mod crates;
mod documents;
mod sizes;
mod tree;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// What the checks found: notes are for reading, faults fail the run.
#[derive(Default)]
struct Findings {
    notes: Vec<String>,
    faults: Vec<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let root = Path::new(".");
    anyhow::ensure!(root.join("Cargo.lock").is_file(), "run this from the root of the repository");
    let files = tree::files(root)?;
    let mut found = Findings::default();
    crates::check_storeys(root, &mut found)?;
    crates::check_roles(&mut found)?;
    crates::check_licences(&mut found)?;
    sizes::check(root, &files, &mut found)?;
    documents::check(root, &files, &mut found)?;
    let mut screen = std::io::stdout().lock();
    for note in &found.notes {
        writeln!(screen, "note: {note}")?;
    }
    for fault in &found.faults {
        writeln!(screen, "fault: {fault}")?;
    }
    writeln!(
        screen,
        "house: {} files, {} notes, {} faults",
        files.len(),
        found.notes.len(),
        found.faults.len()
    )?;
    Ok(if found.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
