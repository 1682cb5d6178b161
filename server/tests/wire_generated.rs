//! The generated code of the StoreAPI and its sister services is what `server/proto` says.
//!
//! Nobody who builds the server needs a compiler of protobuf, so what such a compiler makes of our texts is checked in: messages
//! and servers in `src/wire/gen`, clients for the tests in `tests/storeapi_client`, descriptors for reflection. This test makes all of
//! it anew and compares. After a change of the texts, `SARSEN_WRITE_GENERATED=1 cargo test -p sarsen-server --test wire_generated`
//! writes it.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;

/// In the order in which they are read.
const TEXTS: [&str; 10] = [
    "store.proto",
    "info.proto",
    "exemplars.proto",
    "hints.proto",
    "rules.proto",
    "targets.proto",
    "metadata.proto",
    "status.proto",
    "types.proto",
    "query.proto",
];

/// Names and values of labels need not be UTF-8 where we are: the server's messages hold them as bytes, which on the wire is
/// the same. Clients are told that they are strings.
const TEXT_AS_BYTES: [(&str, &str); 12] = [
    ("Label", "name"),
    ("Label", "value"),
    ("LabelMatcher", "name"),
    ("LabelMatcher", "value"),
    ("ShardInfo", "labels"),
    ("SeriesRequest", "without_replica_labels"),
    ("LabelNamesRequest", "without_replica_labels"),
    ("LabelNamesResponse", "names"),
    ("LabelValuesRequest", "label"),
    ("LabelValuesRequest", "without_replica_labels"),
    ("LabelValuesResponse", "values"),
    ("ExemplarsRequest", "query"),
];

fn descriptors() -> FileDescriptorSet {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    protox::Compiler::new([include])
        .unwrap()
        .include_imports(true)
        .include_source_info(false)
        .open_files(TEXTS)
        .unwrap()
        .file_descriptor_set()
}

/// The set with labels as bytes, and how many fields that changed.
fn labels_as_bytes(mut set: FileDescriptorSet) -> (FileDescriptorSet, usize) {
    let mut changed = 0;
    for message in set.file.iter_mut().flat_map(|file| &mut file.message_type) {
        let name = message.name().to_owned();
        for field in &mut message.field {
            if TEXT_AS_BYTES.contains(&(name.as_str(), field.name())) {
                field.set_type(Type::Bytes);
                changed += 1;
            }
        }
    }
    (set, changed)
}

fn compare(made: &Path, kept: &Path) -> usize {
    let write = std::env::var_os("SARSEN_WRITE_GENERATED").is_some();
    let mut compared = 0;
    for entry in fs::read_dir(made).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let kept = kept.join(path.file_name().unwrap());
        // Messages of Google come from prost-types.
        if path.file_stem().unwrap().to_string_lossy().starts_with("google") {
            continue;
        }
        let made = fs::read(&path).unwrap();
        if write {
            fs::write(&kept, &made).unwrap();
        }
        assert!(fs::read(&kept).unwrap_or_default() == made, "{} is not what the texts say", kept.display());
        compared += 1;
    }
    compared
}

#[test]
fn generated_code_is_what_the_texts_say() {
    let made = tempfile::tempdir().unwrap();
    let (server, client) = (made.path().join("server"), made.path().join("client"));
    fs::create_dir_all(&server).unwrap();
    fs::create_dir_all(&client).unwrap();
    let set = descriptors();
    fs::write(server.join("descriptors.bin"), set.encode_to_vec()).unwrap();
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(false)
        .emit_rerun_if_changed(false)
        .out_dir(&client)
        .compile_fds(set.clone())
        .unwrap();
    let (set, changed) = labels_as_bytes(set);
    assert_eq!(changed, TEXT_AS_BYTES.len());
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(true)
        .build_transport(false)
        .bytes(".")
        .extern_path(".thanos.SeriesResponse", "crate::wire::storeapi::SeriesMessage")
        .codec_path("crate::wire::storeapi::WireCodec")
        .emit_rerun_if_changed(false)
        .out_dir(&server)
        .compile_fds(set)
        .unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compared =
        compare(&server, &root.join("src/wire/gen")) + compare(&client, &root.join("tests/storeapi_client"));
    assert_eq!(compared, 9, "four packages for servers, four for clients, one set of descriptors");
}
