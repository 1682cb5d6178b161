//! The files of the repository that people write.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// All files below `root`, relative to it, in order; build output, data and dot folders are left out.
pub(crate) fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let left_out =
                name.starts_with('.') || matches!(name.as_str(), "target" | "data" | "testdata" | "bin");
            if entry.file_type()?.is_file() {
                found.push(path);
            } else if !left_out || path.ends_with("src/bin") {
                folders.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a path is a test, an example or a bench rather than a room.
pub(crate) fn is_test(path: &Path) -> bool {
    let inside = |name: &str| path.iter().any(|part| part == name);
    path.ends_with("tests.rs") || inside("tests") || inside("fuzz") || inside("examples")
}
