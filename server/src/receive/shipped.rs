//! `thanos.shipper.json`: which of a tenant's local blocks are in the bucket.
//!
//! The bytes are those of Thanos' shipper, so that either can follow the other on the same directory. The file is a note and
//! not the truth: without it, or if it cannot be read, the bucket is asked for every block.

use std::io;
use std::path::Path;

use sarsen_block::BlockId;
use sarsen_wal::{Disk, read_file, replace_file};
use serde::Deserialize;

/// Name of the file in a tenant's directory.
const NAME: &str = "thanos.shipper.json";

#[derive(Deserialize)]
struct File {
    version: u64,
    uploaded: Option<Vec<String>>,
}

/// The blocks that are noted as uploaded, in the order of the file. A file that cannot be understood counts as empty.
pub(super) fn read(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<BlockId>> {
    match read_file(disk, &directory.join(NAME)) {
        Ok(bytes) => Ok(parse(&bytes).unwrap_or_else(|why| {
            tracing::warn!(dir = %directory.display(), err = why, "the shipper's file is damaged, the bucket is asked instead");
            Vec::new()
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Replaces the file.
pub(super) fn write(disk: &dyn Disk, directory: &Path, uploaded: &[BlockId]) -> io::Result<()> {
    replace_file(disk, &directory.join(NAME), &to_bytes(uploaded))
}

fn parse(bytes: &[u8]) -> Result<Vec<BlockId>, String> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if file.version != 1 {
        return Err(format!("version {} is unknown", file.version));
    }
    let ids = file.uploaded.unwrap_or_default();
    ids.iter().map(|id| id.parse().map_err(|_| format!("{id:?} is no block"))).collect()
}

/// As Go writes it: tabs, a newline at the end, `null` for a list nothing was ever put in.
fn to_bytes(uploaded: &[BlockId]) -> Vec<u8> {
    let list = if uploaded.is_empty() {
        "null".to_owned()
    } else {
        let ids: Vec<String> = uploaded.iter().map(|id| format!("\n\t\t\"{id}\"")).collect();
        format!("[{}\n\t]", ids.join(","))
    };
    format!("{{\n\t\"version\": 1,\n\t\"uploaded\": {list}\n}}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_thanos() {
        let three = "{\n\t\"version\": 1,\n\t\"uploaded\": [\n\t\t\"01HF87X99BAWC1TPA4KAKP5JFE\",\n\t\t\"01HFE0MJZTBFY8Q1TZX7BSF4TD\"\n\t]\n}\n";
        let ids = parse(three.as_bytes()).unwrap();
        assert_eq!(ids.len(), 2);
        assert_eq!(to_bytes(&ids), three.as_bytes());
        assert_eq!(to_bytes(&[]), b"{\n\t\"version\": 1,\n\t\"uploaded\": null\n}\n");
        assert_eq!(parse(b"{\"version\":1,\"uploaded\":null}").unwrap(), vec![]);
        assert!(parse(b"{\"version\":2}").is_err());
        assert!(parse(b"{\"version\":1,\"uploaded\":[\"x\"]}").is_err());
    }
}
