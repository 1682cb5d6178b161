//! A data directory of Prometheus is taken over: nothing lost, nothing twice, whatever interrupts it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod foreign;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foreign::{Content, compare, expected, golden, plain, read, unpack, variants};
use sarsen_block::{BlockMeta, Labels, Value};
use sarsen_tsdb::{Db, Error, ImportReport, Origin, import};
use sarsen_wal::{Disk, Fault, Record, SimDisk, Step, Survival, real_disk, replay};

/// What the log of a database holds.
#[derive(Debug, Default)]
struct Log {
    samples: Content,
    late: Content,
    exemplars: Vec<(Labels, i64, u64, Labels)>,
    metadata: Vec<(Labels, u8, String, String)>,
}

fn read_log(disk: Arc<dyn Disk>, directory: &Path) -> Log {
    let mut walk = replay(disk, directory, None).unwrap();
    let (mut log, mut names, mut scratch) = (Log::default(), HashMap::new(), Vec::new());
    while let Step::Record(logged) = walk.next().unwrap() {
        match logged.record(&mut scratch).unwrap() {
            Record::Births(mut rows) => {
                while let Some((id, labels)) = rows.next().unwrap() {
                    assert!(names.insert(id, labels.to_owned()).is_none());
                }
            }
            Record::Samples(mut rows) => {
                while let Some(row) = rows.next().unwrap() {
                    let series = log.samples.entry(names[&row.id].clone()).or_default();
                    assert!(series.insert(row.t, Value::Float(row.value())).is_none());
                }
            }
            Record::Rows(mut rows) => {
                while let Some(row) = rows.next().unwrap() {
                    let series = log.samples.entry(names[&row.id].clone()).or_default();
                    assert!(series.insert(row.t, row.value.decode().unwrap()).is_none());
                }
            }
            Record::Late(mut rows) => {
                while let Some(row) = rows.next().unwrap() {
                    let series = log.late.entry(names[&row.id].clone()).or_default();
                    assert!(series.insert(row.t, row.value.decode().unwrap()).is_none());
                }
            }
            Record::Exemplars(mut rows) => {
                while let Some(row) = rows.next().unwrap() {
                    log.exemplars.push((names[&row.id].clone(), row.t, row.bits, row.labels.to_owned()));
                }
            }
            Record::Metadata(mut rows) => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                while let Some(row) = rows.next().unwrap() {
                    log.metadata.push((names[&row.id].clone(), row.kind, text(row.unit), text(row.help)));
                }
            }
            other => panic!("a record nobody wrote: {other:?}"),
        }
    }
    log
}

fn take(directory: &Path) -> ImportReport {
    import(&real_disk(), directory, directory, Origin::Move).unwrap().unwrap()
}

/// A copy of the data directory of a variant.
fn copy(variant: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    unpack(&variant.join("data"), directory.path());
    directory
}

/// Where the blocks of a directory end.
fn end_of_blocks(directory: &Path) -> i64 {
    let metas = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path().join("meta.json"));
    let metas = metas.filter(|path| path.exists()).map(|path| fs::read(path).unwrap());
    metas.map(|text| BlockMeta::parse(&text).unwrap().max_time).max().unwrap()
}

#[test]
fn the_head_of_prometheus_becomes_our_log() {
    for variant in variants().iter().filter(|variant| !variant.join("data/wbl").exists()) {
        let (from, to) = (copy(variant), tempfile::tempdir().unwrap());
        let report = import(&real_disk(), from.path(), to.path(), Origin::Keep).unwrap().unwrap();
        assert_eq!((report.faults.len(), report.blocks.len(), report.late), (0, 1, 0), "{report:?}");
        let log = read_log(real_disk(), to.path());
        compare(&log.samples, &expected(variant, "replay_head.jsonl"), &variant.display().to_string());
        // What was there before is there still.
        assert!(from.path().join("wal/00000003").exists() && from.path().join("chunks_head/000003").exists());
    }
}

#[test]
fn late_samples_come_along() {
    for variant in variants() {
        let directory = copy(&variant);
        let report = take(directory.path());
        assert_eq!(report.late > 0, variant.join("data/wbl").exists());
        let Log { samples: mut content, late, .. } = read_log(real_disk(), directory.path());
        for (labels, samples) in late {
            content.entry(labels).or_default().extend(samples);
        }
        // What the block has is in no log; before its end a log has only what came late.
        let end = end_of_blocks(directory.path());
        for (labels, wanted) in expected(&variant, "replay_db.jsonl") {
            let found = content.remove(&labels).unwrap_or_default();
            for (t, value) in found.range(..end) {
                assert_eq!(Some(plain(value)), wanted.get(t).map(plain), "{labels:?} at {t}");
            }
            let (found, wanted): (Vec<_>, Vec<_>) = (
                found.range(end..).map(|(t, value)| (*t, plain(value))).collect(),
                wanted.range(end..).map(|(t, value)| (*t, plain(value))).collect(),
            );
            assert_eq!(found, wanted, "{labels:?}");
        }
        assert!(content.is_empty(), "{content:?}");
    }
}

#[test]
fn a_database_opened_on_the_directory_answers_the_same() {
    for variant in variants() {
        let directory = copy(&variant);
        let wanted = expected(&variant, "replay_db.jsonl");
        let what = variant.display().to_string();
        let open = || Db::builder(directory.path()).hash_seed([1, 2, 3, 4]).open().unwrap();
        let db = open();
        assert!(db.open_report().imported.is_some());
        assert_eq!(db.open_report().orphans, 0);
        compare(&read(&db), &wanted, &what);
        db.close().unwrap();
        drop(db);
        // The second time it is ours. What is cut answers the same too.
        let db = open();
        assert_eq!(db.open_report().imported, None);
        compare(&read(&db), &wanted, &format!("{what}, opened again"));
        db.flush(1_800_000_000_000).unwrap();
        compare(&read(&db), &wanted, &format!("{what}, flushed"));
        db.close().unwrap();
        drop(db);
        let db = open();
        compare(&read(&db), &wanted, &format!("{what}, opened after the flush"));
        db.close().unwrap();
        drop(db);
    }
}

#[test]
fn exemplars_and_metadata_come_along() {
    for variant in variants() {
        let directory = copy(&variant);
        take(directory.path());
        let log = read_log(real_disk(), directory.path());
        let json = |file: &str| -> serde_json::Value {
            let own = variant.join(file);
            let path = if own.exists() { own } else { golden().join("none").join(file) };
            serde_json::from_slice(&zstd::decode_all(&*fs::read(path).unwrap()).unwrap()).unwrap()
        };
        let mut wanted = Vec::new();
        for series in json("replay.json.zst")["exemplars"].as_array().unwrap() {
            let labels = foreign::labels(&series["series"]);
            for exemplar in series["exemplars"].as_array().unwrap() {
                let bits = foreign::float(&exemplar["v"]).to_bits();
                let own = foreign::labels(&exemplar["labels"]);
                wanted.push((labels.clone(), exemplar["t"].as_i64().unwrap(), bits, own));
            }
        }
        let mut found = log.exemplars;
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
        let mut found: Vec<_> =
            log.metadata.into_iter().map(|(_, kind, unit, help)| (kind, unit, help)).collect();
        let text = |json: &serde_json::Value| json.as_str().unwrap().to_owned();
        let row = |row: &serde_json::Value| {
            (
                u8::try_from(row["type_byte"].as_u64().unwrap()).unwrap(),
                text(&row["unit"]),
                text(&row["help"]),
            )
        };
        let mut wanted: Vec<_> = json("metadata.json.zst").as_array().unwrap().iter().map(row).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}

#[test]
fn the_old_files_go_when_all_was_read_and_the_directory_is_ours() {
    let directory = copy(&golden().join("none"));
    let block = take(directory.path()).blocks.remove(0).to_string();
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [block.as_str(), "lock", "log", "wal"]);
    assert_eq!(fs::read_dir(directory.path().join("wal")).unwrap().count(), 0);
    assert_eq!(import(&real_disk(), directory.path(), directory.path(), Origin::Move).unwrap(), None);
}

#[test]
fn blocks_move_into_another_directory_or_stay() {
    for origin in [Origin::Keep, Origin::Move] {
        let (from, to) = (copy(&golden().join("snappy")), tempfile::tempdir().unwrap());
        fs::write(from.path().join("thanos.shipper.json"), b"{}").unwrap();
        let block = import(&real_disk(), from.path(), to.path(), origin).unwrap().unwrap().blocks.remove(0);
        let path =
            |directory: &tempfile::TempDir| directory.path().join(block.to_string()).join("chunks/000001");
        assert!(path(&to).exists() && to.path().join("thanos.shipper.json").exists());
        assert_eq!(path(&from).exists(), origin == Origin::Keep);
        assert_eq!(from.path().join("chunks_head").exists(), origin == Origin::Keep);
        compare(
            &read_log(real_disk(), to.path()).samples,
            &expected(&golden().join("snappy"), "replay_head.jsonl"),
            "moved",
        );
    }
}

#[test]
fn what_cannot_be_read_is_named_and_its_files_are_kept() {
    let directory = copy(&golden().join("none"));
    let segment = directory.path().join("wal/00000004");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4999] ^= 0x55;
    fs::write(&segment, &bytes).unwrap();
    let report = take(directory.path());
    assert_eq!(report.faults.len(), 1, "{report:?}");
    assert_eq!((&report.faults[0].path, report.faults[0].offset), (&segment, 32_768));
    let kept = report.kept.unwrap();
    assert_eq!(fs::read(kept.join("old/wal/00000004")).unwrap(), bytes);
    assert!(!directory.path().join("chunks_head").exists() && directory.path().join("log").exists());
}

#[test]
fn a_torn_end_is_no_fault() {
    let directory = copy(&golden().join("none"));
    let segment = directory.path().join("wal/00000005");
    let bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&segment, &bytes[..end - 2]).unwrap();
    let report = take(directory.path());
    assert_eq!((report.faults, report.kept), (Vec::new(), None));
}

#[test]
fn a_log_of_our_own_beside_a_foreign_one_is_refused() {
    let directory = copy(&golden().join("none"));
    fs::create_dir(directory.path().join("log")).unwrap();
    fs::write(directory.path().join("log/00000001"), b"ours").unwrap();
    let error = import(&real_disk(), directory.path(), directory.path(), Origin::Move).unwrap_err();
    assert!(matches!(error, Error::Invalid { what: "directory", .. }), "{error}");
    assert!(directory.path().join("wal/00000003").exists());
}

#[test]
fn a_program_that_only_looked_leaves_nothing_to_take_over() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Db::builder(directory.path()).hash_seed([1, 2, 3, 4]).open().unwrap();
    for segment in [vec![], vec![0; 32 << 10]] {
        // Prometheus makes a segment when it opens a directory, whatever it does then.
        fs::create_dir_all(directory.path().join("wal")).unwrap();
        fs::write(directory.path().join("wal/00000000"), segment).unwrap();
        let db = open();
        assert_eq!(db.open_report().imported, None);
        let labels = Labels::from_pairs([("a", "b")]).unwrap();
        let mut batch = db.appender();
        batch.append(labels.as_ref(), 1_700_000_000_000, 1.0);
        batch.commit().unwrap().pending.wait().unwrap();
        db.close().unwrap();
    }
    assert_eq!(read(&open()).len(), 1);
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = copy(&golden().join("none"));
    let _held = real_disk().lock(&directory.path().join("lock")).unwrap().unwrap();
    let to = tempfile::tempdir().unwrap();
    for to in [directory.path(), to.path()] {
        let error = import(&real_disk(), directory.path(), to, Origin::Keep).unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
    }
}

/// A directory on the simulated disk, as it lies on the real one.
fn simulate(disk: &SimDisk, from: &Path, to: &Path) {
    disk.create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            simulate(disk, &path, &target);
        } else {
            let file = disk.create(&target).unwrap();
            file.append(&fs::read(&path).unwrap()).unwrap();
            file.sync().unwrap();
        }
    }
    disk.sync_dir(to).unwrap();
}

/// All names below a directory.
fn names(disk: &SimDisk, directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in disk.read_dir(directory).unwrap() {
        let path = directory.join(&entry.name);
        found.extend(if entry.is_dir { names(disk, &path) } else { Vec::new() });
        found.push(path);
    }
    found
}

#[test]
fn a_takeover_survives_a_power_cut_at_every_call() {
    let variant = golden().join("ooo-snappy");
    let source = copy(&variant);
    for (from, to) in [("/db", "/db"), ("/old", "/new")].map(|(from, to)| (Path::new(from), Path::new(to))) {
        let prepare = || {
            let disk = SimDisk::new(1);
            simulate(&disk, source.path(), from);
            disk.sync_dir(Path::new("/")).unwrap();
            disk
        };
        let whole = prepare();
        let first = whole.calls();
        let run = |disk: &SimDisk| import(&(Arc::new(disk.clone()) as Arc<dyn Disk>), from, to, Origin::Move);
        assert!(run(&whole).unwrap().is_some());
        let wanted = read_log(Arc::new(whole.clone()), to);
        assert!(!wanted.samples.is_empty() && !wanted.late.is_empty());
        for call in first..whole.calls() {
            for fault in [Fault::PowerCut, Fault::Error(std::io::ErrorKind::Other)] {
                let disk = prepare();
                disk.fail_call(call, fault);
                // A fault of the removal at the very end may pass unheard.
                let _ = run(&disk);
                let left = if disk.is_dark() { disk.survivor(Survival::Some(call)) } else { disk };
                left.heal();
                run(&left).unwrap();
                let when = format!("{fault:?} at call {call}");
                let found = read_log(Arc::new(left.clone()), to);
                compare(&found.samples, &wanted.samples, &when);
                compare(&found.late, &wanted.late, &when);
                let mut there = names(&left, to);
                let mut names_wanted = names(&whole, to);
                there.sort();
                names_wanted.sort();
                assert_eq!(there, names_wanted, "{when}");
            }
        }
    }
}
