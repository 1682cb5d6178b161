//! Blocks looked at, dumped and checked by hand: the stored blocks of the original give what was recorded from them.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod program;

use std::path::{Path, PathBuf};

use program::{program, said, testdata};

fn tool(args: &[&str], paths: &[&Path]) -> (i32, String, String) {
    said(program("sarsen").arg("tools").args(args).args(paths).output().unwrap())
}

fn block_in(folder: &str) -> PathBuf {
    let entries = std::fs::read_dir(testdata(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut blocks: Vec<PathBuf> = entries.filter(|path| path.join("meta.json").exists()).collect();
    blocks.pop().unwrap()
}

fn recorded(path: &str) -> Vec<serde_json::Value> {
    let packed = std::fs::read(testdata(path)).unwrap();
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Labels, bits of the value, time: read back from a line. Quoted values may hold anything, so the line is read from its end.
fn parse(line: &str) -> (String, u64, i64) {
    let (rest, time) = line.rsplit_once(' ').unwrap();
    let (labels, value) = rest.rsplit_once(' ').unwrap();
    let bits = match value {
        "NaN" => u64::MAX,
        value => value.parse::<f64>().unwrap().to_bits(),
    };
    (labels.to_owned(), bits, time.parse().unwrap())
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| (' '..='~').contains(&c) && c != '"' && c != '\\')
}

#[test]
fn dumps_hold_every_recorded_sample() {
    for (folder, dump) in [
        ("blocks/a-floats", "blocks/a-floats/dump.jsonl.zst"),
        ("blocks/e-segments", "blocks/e-segments/dump.jsonl.zst"),
        ("blocks/f-cardinality", "blocks/f-cardinality/dump.jsonl.zst"),
    ] {
        let (code, text, error) = tool(&["block", "dump"], &[&block_in(folder)]);
        assert_eq!(code, 0, "{folder}: {error}");
        let mut lines = text.lines().map(parse);
        for series in recorded(dump) {
            let labels: Vec<(&str, &str)> = series["labels"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
                .collect();
            let shown: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let shown = format!("{{{}}}", shown.join(", "));
            let bare = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let plain = labels.iter().all(|(name, value)| bare(name) && is_plain(value));
            for chunk in series["chunks"].as_array().unwrap() {
                for sample in chunk["samples"].as_array().unwrap() {
                    let (labels, bits, time) = lines.next().unwrap();
                    assert_eq!(time, sample[0].as_i64().unwrap(), "{labels}");
                    let expected = u64::from_str_radix(sample[1].as_str().unwrap(), 16).unwrap();
                    let expected = if f64::from_bits(expected).is_nan() { u64::MAX } else { expected };
                    assert_eq!(bits, expected, "{labels} at {time}");
                    if plain {
                        assert_eq!(labels, shown);
                    }
                }
            }
        }
        assert_eq!(lines.next(), None, "{folder}");
    }
}

/// promtool loses a sample wherever it asks a series for samples of another kind than come next, so ours are more.
#[test]
fn histograms_are_dumped_as_promtool_dumps_them() {
    let packed = std::fs::read(testdata("blocks/b-histograms/promtool-dump.txt.zst")).unwrap();
    let expected = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    let (code, text, error) = tool(&["block", "dump"], &[&block_in("blocks/b-histograms")]);
    assert_eq!(code, 0, "{error}");
    let mut lines = text.lines();
    for line in expected.lines() {
        assert!(lines.any(|other| other == line), "{line}");
    }
    let recorded = recorded("blocks/b-histograms/dump.jsonl.zst");
    let chunks = recorded.iter().flat_map(|series| series["chunks"].as_array().unwrap());
    let samples: usize = chunks.map(|chunk| chunk["samples"].as_array().unwrap().len()).sum();
    assert_eq!(text.lines().count(), samples);
}

#[test]
fn labels_are_quoted_as_go_quotes_them() {
    let (_, text, _) = tool(&["block", "dump"], &[&block_in("blocks/a-floats")]);
    for line in [
        r#"{A="1", _="2", a="3", z="4", "~"="5"} 20 1700000220000"#,
        r#"{__name__="escapes", v="quote\" back\\slash newline\n tab\t nul\x00 end"} 12 1700000220000"#,
        r#"{__name__="escapes", v="\u2028\u2029<&>"} 14 1700000220000"#,
        r#"{__name__="größe", "größe"="1", "ключ"="значение"} 11 1700000220000"#,
    ] {
        assert!(text.lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn dumps_can_be_narrowed() {
    let block = block_in("blocks/f-cardinality");
    let (_, whole, _) = tool(&["block", "dump"], &[&block]);
    let (labels, _, time) = parse(whole.lines().nth(3).unwrap());
    let (code, one, _) = tool(&["block", "dump", "--match", &labels], &[&block]);
    assert_eq!((code, one.lines().count()), (0, 1));
    let (from, until) = (format!("--min-time={time}"), format!("--max-time={time}"));
    let (_, then, _) = tool(&["block", "dump", &from, &until], &[&block]);
    let expected: Vec<&str> = whole.lines().filter(|line| parse(line).2 == time).collect();
    assert_eq!(then.lines().collect::<Vec<_>>(), expected);
    let (_, none, _) = tool(&["block", "dump", "--match={__name__=\"\",job=\"none\"}"], &[&block]);
    assert_eq!(none, "");
}

#[test]
fn parts_of_downsampled_blocks_are_dumped() {
    let block = block_in("downsample/floats/5m");
    let dump = |parts: &str| {
        let (code, text, error) = tool(
            &["block", "dump", "--match={what=\"counter\"}", &format!("--aggregate={parts}")],
            &[&block],
        );
        assert_eq!(code, 0, "{error}");
        text
    };
    let (counts, sums) = (dump("count"), dump("sum"));
    let both = dump("sum, count");
    let named = |name: &str| both.lines().filter_map(|line| line.strip_suffix(name)).collect::<Vec<_>>();
    assert_eq!(named(" count"), counts.lines().collect::<Vec<_>>());
    assert_eq!(named(" sum"), sums.lines().collect::<Vec<_>>());

    // Their quotients are the averages that Thanos' own reader gives.
    let expanded = recorded("downsample/floats/expanded.jsonl.zst");
    let of_it = |line: &&serde_json::Value| line["resolution"] == "5m" && line["labels"][1][1] == "counter";
    let averages = expanded.iter().find(of_it).unwrap()["avg"].as_array().unwrap();
    assert_eq!(averages.len(), counts.lines().count());
    for ((count, sum), average) in counts.lines().map(parse).zip(sums.lines().map(parse)).zip(averages) {
        let quotient = f64::from_bits(sum.1) / f64::from_bits(count.1);
        let bits = u64::from_str_radix(average[1].as_str().unwrap(), 16).unwrap();
        assert_eq!((sum.2, quotient.to_bits()), (average[0].as_i64().unwrap(), bits));
    }
}

#[test]
fn what_is_to_be_dumped_must_be_there() {
    let (five, raw) = (block_in("downsample/floats/5m"), block_in("downsample/floats/raw"));
    for (args, block, wanted) in [
        (&["block", "dump"][..], &five, (1, "--aggregate")),
        (&["block", "dump", "--aggregate=count"][..], &raw, (1, "not downsampled")),
        (&["block", "dump", "--aggregate=avg"][..], &five, (2, "avg")),
    ] {
        let (code, text, error) = tool(args, &[block]);
        assert_eq!((code, text.as_str()), (wanted.0, ""));
        assert!(error.contains(wanted.1), "{error}");
    }
}

#[test]
fn deleted_samples_are_not_dumped() {
    let (_, cleaned, _) =
        tool(&["block", "dump", "--match={job=\"db\"}"], &[&block_in("blocks/d-tombstones/cleaned")]);
    let (_, marked, _) =
        tool(&["block", "dump", "--match={job=\"db\"}"], &[&block_in("blocks/d-tombstones/marked")]);
    assert_eq!(cleaned, marked);
}

#[test]
fn inspect_says_what_the_meta_says() {
    let block = block_in("blocks/a-floats");
    let (code, text, _) = tool(&["block", "inspect", "--output=json"], &[&block]);
    assert_eq!(code, 0);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let meta: serde_json::Value =
        serde_json::from_slice(&std::fs::read(block.join("meta.json")).unwrap()).unwrap();
    assert_eq!((&told[0]["ulid"], &told[0]["minTime"]), (&meta["ulid"], &meta["minTime"]));
    assert_eq!(told[0]["samples"], meta["stats"]["numSamples"]);
    let (_, table, _) = tool(&["block", "inspect"], &[&block]);
    assert!(table.contains(meta["ulid"].as_str().unwrap()) && table.contains("#SAMPLES"), "{table}");
}

#[test]
fn damage_is_found_with_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let (source, block) = (block_in("blocks/e-segments"), dir.path().join("01HF84EGP8P103NWDKN4EJP172"));
    std::fs::create_dir_all(block.join("chunks")).unwrap();
    for file in ["meta.json", "index", "tombstones", "chunks/000001", "chunks/000002", "chunks/000003"] {
        if source.join(file).exists() {
            std::fs::write(block.join(file), std::fs::read(source.join(file)).unwrap()).unwrap();
        }
    }
    let (code, text, error) = tool(&["block", "verify"], &[&block]);
    assert_eq!(code, 0, "{text}{error}");

    let path = block.join("chunks/000001");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    let (code, text, error) = tool(&["block", "verify"], &[&block]);
    assert_eq!(code, 1);
    assert!(text.contains("chunks/000001 at offset "), "{text}");
    assert!(error.contains("fault") && error.lines().count() == 1, "{error}");
}
