//! What a person who types a command meets: exit codes, one line that says what is wrong and where, help.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod program;

use std::process::Output;

use program::{program, testdata};

fn run(name: &str, args: &[&str]) -> Output {
    program(name).args(args).output().unwrap()
}

/// Runs and expects this exit code; gives standard error.
#[track_caller]
fn fails(args: &[&str], code: i32) -> String {
    let output = run("sarsen", args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    let errors: Vec<&str> = text.lines().filter(|line| line.contains("error:")).collect();
    assert_eq!(errors.len(), 1, "{args:?}: {text}");
    errors.concat()
}

#[track_caller]
fn prints(args: &[&str]) -> String {
    let output = run("sarsen", args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn version_and_help() {
    assert!(prints(&["--version"]).starts_with("sarsen 0."));
    let help = prints(&["receive", "--help"]);
    for flag in [
        "--tsdb.path=./data",
        "--remote-write.address=0.0.0.0:19291",
        "--[no-]tsdb.wal-compression",
        "--tsdb.on-damage",
    ] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    assert!(!help.contains("--tsdb.min-block-duration"), "hidden flags are not shown");
    let overview = prints(&["--help"]);
    for command in ["standalone", "receive", "compact", "tools block dump", "tools tsdb repair"] {
        assert!(overview.contains(command), "{command}: {overview}");
    }
    let alone = run("sarsen-receive", &["--help"]);
    assert!(String::from_utf8(alone.stdout).unwrap().starts_with("usage: sarsen-receive [<flags>]"));
    let alone = String::from_utf8(run("sarsen-compact", &["--help"]).stdout).unwrap();
    assert!(
        alone.starts_with("usage: sarsen-compact [<flags>]") && alone.contains("  -w, --[no-]wait"),
        "{alone}"
    );
}

#[test]
fn a_wrong_command_line_is_2_and_names_the_flag() {
    for (args, part) in [
        (&["nonsense"][..], "unknown command 'nonsense'"),
        (&["tools", "block", "look"], "unknown command 'tools block'"),
        (&["receive", "--no-such-flag"], "unknown long flag '--no-such-flag'"),
        (&["receive"], "--label"),
        (&["receive", "--label=a=b"], "--label: label a: the value b must be a quoted string"),
        (
            &["receive", "--label=a=\"b\"", "--tsdb.retention=soon"],
            "--tsdb.retention: not a valid duration string",
        ),
        (&["receive", "--label=a=\"b\"", "--receive.replication-factor=2"], "--receive.replication-factor=2"),
        (&["receive", "--label=a=\"b\"", "--receive.hashrings-file=x"], "--receive.hashrings-file=x"),
        (
            &["receive", "--label=a=\"b\"", "--tsdb.path", "a", "--tsdb.path", "b"],
            "'tsdb.path' cannot be repeated",
        ),
        (&["receive", "--label=a=\"b\"", "--log.level=loud"], "--log.level"),
        (
            &["receive", "--label=a=\"b\"", "--objstore.config-file=/no/such.yml"],
            "--objstore.config-file: /no/such.yml",
        ),
        (&["receive", "--label=a=\"b\"", "--http.config=/no/such.yml"], "--http.config: /no/such.yml"),
        (&["receive", "--label=a=\"b\"", "--http-address=nowhere"], "--http-address: \"nowhere\""),
        (
            &["receive", "--label=a=\"b\"", "--receive.limits-config=wri: 1"],
            "--receive.limits-config: line 1",
        ),
        (
            &[
                "receive",
                "--label=a=\"b\"",
                "--remote-write.server-tls-cert=/no",
                "--remote-write.server-tls-key=/no",
            ],
            "--remote-write.server-tls-*: /no",
        ),
        (&["receive", "--label=a=\"b\"", "extra"], "unexpected extra"),
        (&["receive", "@/no/such/args"], "@/no/such/args"),
        (&["--retention.resolution-raw=1d"], "--retention.resolution-raw"),
        (&["compact"], "--objstore.config-file"),
        (&["compact", "--objstore.config-file=/no/such.yml"], "--objstore.config-file: /no/such.yml"),
        (
            &["compact", "--objstore.config=type: FILESYSTEM", "--retention.resolution-raw=30h"],
            "--retention.resolution-raw",
        ),
        (
            &["compact", "--objstore.config=type: FILESYSTEM", "--deduplication.func=penalty"],
            "--deduplication.func",
        ),
        (
            &["compact", "--objstore.config=type: FILESYSTEM", "--selector.relabel-config=[{action: dance}]"],
            "--selector.relabel-config",
        ),
        (&["tools", "block", "dump"], "'DIR' not provided"),
        (&["tools", "block", "dump", "x", "--match={a"], "--match: "),
        (&["tools", "bucket", "ls"], "--objstore.config-file"),
        (&["tools", "bucket", "ls", "--objstore.config=type: S3\nconfig:\n  bucke: a\n"], "bucke"),
    ] {
        let line = fails(args, 2);
        assert!(line.contains(part), "{args:?}: {line}");
    }
}

#[test]
fn a_fault_in_a_file_names_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.yml");
    std::fs::write(&path, "tls_server_config:\n  cert_file: a\n  key_file: b\n  unknown_key: c\n").unwrap();
    let flag = format!("--http.config={}", path.display());
    let line = fails(&["receive", "--label=a=\"b\"", &flag], 2);
    assert!(line.contains("web.yml") && line.contains("line 4") && line.contains("unknown_key"), "{line}");

    let path = dir.path().join("objstore.yml");
    std::fs::write(&path, "type: FILESYSTEM\nconfig:\n  directory: /tmp/x\n  colour: red\n").unwrap();
    let flag = format!("--objstore.config-file={}", path.display());
    let line = fails(&["tools", "bucket", "ls", &flag], 2);
    assert!(line.contains("objstore.yml") && line.contains("line 4") && line.contains("colour"), "{line}");
}

#[test]
fn every_flag_of_thanos_is_known() {
    assert!(known_flags("receive", &["--label=a=\"b\""], &[]) > 80);
    // The recorded list has no hidden flags of the compactor; these are in its source.
    let hidden = [
        "--compact.enable-vertical-compaction",
        "--compact.block-max-index-size=64GB",
        "--compact.skip-block-with-out-of-order-chunks",
        "--debug.halt-on-error",
        "--debug.accept-malformed-index",
        "--debug.max-compaction-level=4",
        "--debug.name=x",
        "-w",
    ];
    assert!(known_flags("compact", &[], &hidden) > 45);
    // Nor of the store gateway's.
    let hidden = [
        "--store.caching-bucket.config=",
        "--store.caching-bucket.config-file=",
        "--store.index-header-posting-offsets-in-mem-sampling=32",
        "--store.index-header-lazy-reader-idle-timeout=5m",
        "--debug.series-batch-size=10000",
        "--debug.estimated-max-series-size=65536",
        "--debug.estimated-max-chunk-size=16000",
        "--debug.advertise-compatibility-label",
    ];
    assert!(known_flags("store", &[], &hidden) > 55);
    // Of the querier those of v0.37 are not recorded either.
    let hidden = ["--store=", "--store-strict=", "--rule=", "--metadata=", "--exemplar=", "--target="];
    assert!(known_flags("query", &[], &hidden) > 85);
}

/// What we do not do, and say so: there are no `xrate` and its sisters.
const REFUSED: [&str; 1] = ["--query.enable-x-functions"];

/// Gives every flag that Thanos' command has, alone and with its default; how many there were.
fn known_flags(command: &str, beside: &[&str], hidden: &[&str]) -> usize {
    let listed = std::fs::read_to_string(testdata("services/metrics/flags.jsonl")).unwrap();
    let recorded = std::fs::read_to_string(testdata("services/metrics/hidden_flags.json")).unwrap();
    let listed = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let hidden_: Vec<serde_json::Value> = serde_json::from_str(&recorded).unwrap();
    let mut known = 0;
    let mut listed: Vec<_> = listed.chain(hidden_).filter(|flag| flag["command"] == command).collect();
    listed.extend(hidden.iter().map(|flag| serde_json::json!({"flag": flag, "boolean": true})));
    for flag in listed {
        let name = flag["flag"].as_str().unwrap();
        if ["--help", "--version"].contains(&name) {
            continue;
        }
        if REFUSED.contains(&name) {
            assert!(fails(&[command, name], 2).contains(name), "{name}");
            known += 1;
            continue;
        }
        // The default must be taken; what comes after it must be what stops the program.
        let given = match (flag["boolean"] == true, flag["default"].as_str()) {
            (true, _) => name.to_owned(),
            (false, Some(default)) => format!("{name}={default}"),
            // These have no default, and an empty text is neither a duration nor a label.
            (false, None) if name == "--query.lookback-delta" => format!("{name}=5m"),
            (false, None) if name == "--selector-label" => format!("{name}=a=\"b\""),
            (false, None) => format!("{name}="),
        };
        if name == "--label" {
            continue;
        }
        let arguments = [&[command, given.as_str()], beside, &["--stop-here"]].concat();
        let line = fails(&arguments, 2);
        assert!(line.contains("'--stop-here'"), "{given}: {line}");
        known += 1;
    }
    known
}

#[test]
fn what_cannot_be_opened_is_1() {
    assert!(fails(&["tools", "block", "inspect", "/no/such/block"], 1).contains("/no/such/block"));
    assert!(fails(&["tools", "tsdb", "verify", "/no/such/db"], 1).contains("/no/such/db"));
}
