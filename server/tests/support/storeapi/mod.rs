//! What tests of the StoreAPI share: recorded requests and their answers, a plain model of blocks, and how two answers are compared.
//!
//! Answers are compared as text, a line a thing, so that a difference shows itself.

pub(crate) mod golden;
pub(crate) mod text;

use std::path::Path;

use sarsen_benches::storeapi::{LabelMatcher, SeriesRequest};

/// Copies a folder with what is below it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A matcher; kinds are `=`, `!=`, `=~`, `!~`.
pub(crate) fn matcher(name: &str, kind: &str, value: &str) -> LabelMatcher {
    let kind = ["=", "!=", "=~", "!~"].iter().position(|known| *known == kind).unwrap();
    LabelMatcher { kind: kind as i32, name: name.into(), value: value.into() }
}

/// A request over a closed range of time.
pub(crate) fn request(min_time: i64, max_time: i64, matchers: Vec<LabelMatcher>) -> SeriesRequest {
    SeriesRequest { min_time, max_time, matchers, ..SeriesRequest::default() }
}
