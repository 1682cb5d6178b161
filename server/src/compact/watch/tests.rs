//! What the listener makes of a compactor's calls: counters, the board, and nothing left over.

use std::collections::BTreeMap;

use sarsen_block::{BlockStats, ThanosMeta, TimeRange};
use sarsen_bucket::{Excluded, Reason};
use sarsen_compactor::GroupKey;

use super::*;
use crate::logging::tests::lines_of;
use crate::metrics::{Registry, todo};

struct Scene {
    registry: Registry,
    board: Board,
    watch: Watch,
}

fn scene() -> Scene {
    let (registry, board) = (Registry::new(), Board::default());
    let metrics = CompactMetrics::new(&registry, Duration::ZERO, Duration::ZERO);
    let watch = Watch::new(board.clone(), Arc::new(metrics), SyncMetrics::loaded(&registry));
    let shown = board.clone();
    registry.snapshot(move |page| todo::write(page, &shown, clock::now()));
    Scene { registry, board, watch }
}

impl Scene {
    /// The page must have these lines.
    #[track_caller]
    fn shows(&self, lines: &[&str]) {
        let page = self.registry.page(false).1;
        for line in lines {
            assert!(page.lines().any(|have| have == *line), "{line}: {page}");
        }
    }
}

fn meta(number: u64) -> Arc<BlockMeta> {
    let id = BlockId::from_parts(number, 0);
    let mut meta = BlockMeta::fresh(id, TimeRange::new(0, 7_199_999), BlockStats::default());
    meta.thanos = Some(ThanosMeta::default());
    Arc::new(meta)
}

fn job(work: Work, blocks: Vec<Arc<BlockMeta>>) -> Job {
    let group = GroupKey { resolution: 0, labels: 7 };
    Job { group, labels: BTreeMap::new(), work, blocks, bytes: 1 << 30, why: "they overlap".to_owned() }
}

#[test]
fn work_is_on_the_board_while_it_lasts_and_counted_when_it_ends() {
    let it = scene();
    let merge = job(Work::Merge { overlapping: true }, vec![meta(1), meta(2)]);
    it.watch.job_started(&merge);
    it.watch.job_progressed(&merge, Progress { read: 256 << 20, bytes: 1 << 30 });
    let running: Vec<_> = it.board.known().running.into_values().collect();
    assert_eq!(running.len(), 1);
    assert_eq!((running[0].percent(), running[0].what.as_str()), (25.0, "compact blocks: they overlap"));
    it.shows(&["sarsen_compact_running_jobs 1", "sarsen_compact_running_done_bytes 2.68435456e+08"]);
    it.watch.job_done(&merge, &[], Duration::from_secs(2));
    it.watch.job_failed(&merge, "no room", Duration::from_secs(2));
    it.watch.job_done(&job(Work::Coarsen { to: Vec::new() }, vec![meta(3)]), &[], Duration::from_secs(90));
    let duplicate = Work::Delete { reason: Outdated::Duplicate, covered_by: Vec::new() };
    it.watch.job_done(&job(duplicate, vec![meta(4)]), &[], Duration::ZERO);
    assert!(it.board.known().running.is_empty());
    it.shows(&[
        "sarsen_compact_running_jobs 0",
        "thanos_compact_group_compaction_runs_started_total{resolution=\"0\"} 1",
        "thanos_compact_group_compaction_runs_completed_total{resolution=\"0\"} 1",
        "thanos_compact_group_compactions_total{resolution=\"0\"} 2",
        "thanos_compact_group_compactions_failures_total{resolution=\"0\"} 1",
        "thanos_compact_group_vertical_compactions_total{resolution=\"0\"} 1",
        "prometheus_tsdb_compactions_total 1",
        "thanos_compact_downsample_total{resolution=\"0\"} 1",
        "thanos_compact_downsample_duration_seconds_bucket{resolution=\"0\",le=\"300\"} 1",
        "thanos_compact_garbage_collected_blocks_total 1",
        "thanos_compact_garbage_collection_total 1",
    ]);
}

#[test]
fn a_large_job_tells_at_each_tenth_how_far_it_is() {
    let it = scene();
    let large = job(Work::Merge { overlapping: false }, vec![meta(1), meta(2)]);
    let small = Job { bytes: LARGE - 1, ..job(Work::Coarsen { to: Vec::new() }, vec![meta(3)]) };
    let mib = |mib: u64| mib << 20;
    let lines = lines_of(|| {
        it.watch.job_started(&large);
        it.watch.job_started(&small);
        // A percent and a half at a time, beyond the end.
        for read in (0..80).map(|step| mib(step * 15)) {
            it.watch.job_progressed(&large, Progress { read, bytes: large.bytes });
        }
        it.watch.job_progressed(&small, Progress { read: small.bytes / 2, bytes: small.bytes });
    });
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("progress=")).collect();
    let percent = |line: &&String| {
        let (_, rest) = line.split_once("progress=").unwrap();
        rest.split_once('%').unwrap().0.parse::<u8>().unwrap()
    };
    let tenths: Vec<u8> = told.iter().map(|line| percent(line) / 10 * 10).collect();
    assert_eq!(tenths, [10, 20, 30, 40, 50, 60, 70, 80, 90], "{lines:#?}");
    assert!(
        told.iter().all(|line| line.contains("msg=\"compact blocks\"") && line.contains("bytes=1073741824"))
    );
    // Somebody asks: every job under way says how far it is, however small.
    let lines = lines_of(|| it.watch.tell());
    let share = |what: &str| lines.iter().any(|line| line.contains(what) && line.contains("they overlap"));
    assert!(share("progress=50%") && share("progress=100%"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("msg=\"work to be done\"")), "{lines:#?}");
}

#[test]
fn what_is_set_aside_keeps_its_time_and_goes_when_it_is_not_named_any_more() {
    let it = scene();
    let (marked, waiting) = (BlockId::from_parts(1, 0), BlockId::from_parts(2, 0));
    let mut view = View::default();
    let reason = Reason::Other("chunks-damaged".to_owned());
    let (kind, details) = (MarkKind::NoCompact, String::new());
    view.marks
        .insert(marked, vec![Marker { id: marked, kind, details, time: 5, reason: Some(reason.clone()) }]);
    it.watch.looked(&view);
    let out = |id, until| SetAside { id, why: "why".to_owned(), until };
    it.watch.left_out(&[out(marked, Until::Marked(reason)), out(waiting, Until::Time(9_000))]);
    let known = it.board.known().set_aside;
    assert_eq!((known[&marked].since_ms, known[&marked].again_ms), (5_000, None));
    assert_eq!(known[&waiting].again_ms, Some(9_000));
    it.shows(&[
        "sarsen_compact_set_aside_blocks{reason=\"chunks-damaged\"} 1",
        "sarsen_compact_set_aside_blocks{reason=\"retried\"} 1",
    ]);
    let since = known[&waiting].since_ms;
    it.watch.left_out(&[out(waiting, Until::Time(20_000))]);
    let known = it.board.known().set_aside;
    assert_eq!((known.len(), known[&waiting].since_ms, known[&waiting].again_ms), (1, since, Some(20_000)));
    it.watch.left_out(&[]);
    it.shows(&["sarsen_compact_set_aside_blocks{reason=\"retried\"} 0"]);
}

#[test]
fn a_plan_becomes_the_backlog_and_the_loaded_view() {
    let it = scene();
    let metas = [meta(1), meta(2), meta(3)];
    let mut view = View::default();
    view.blocks.extend(metas.iter().map(|meta| (meta.id, Arc::clone(meta))));
    view.partial.insert(BlockId::from_parts(9, 0), Partial::NoMeta { newest_ms: None });
    view.marks.insert(metas[2].id, vec![Marker::deletion(metas[2].id, 1, "old")]);
    it.board.change(|known| known.away = Some((0, "gone".to_owned())));
    it.watch.looked(&view);
    let plan = Plan {
        jobs: vec![job(Work::Merge { overlapping: false }, metas[..2].to_vec())],
        excluded: vec![(metas[2].id, Excluded::MarkedForDeletion)],
        ..Plan::default()
    };
    it.watch.planned(&plan);
    let known = it.board.known();
    assert_eq!((known.away, known.loaded.view.blocks.len(), known.global.view.blocks.len()), (None, 2, 3));
    it.shows(&[
        "thanos_compact_todo_compactions 1",
        "thanos_compact_todo_compaction_blocks 2",
        "sarsen_compact_backlog_bytes{stage=\"merge\"} 1.073741824e+09",
        "sarsen_compact_backlog_blocks{stage=\"removal\"} 1",
        "sarsen_compact_half_blocks 1",
        "thanos_blocks_meta_synced{state=\"loaded\"} 2",
        "thanos_blocks_meta_synced{state=\"marked-for-deletion\"} 1",
        "thanos_blocks_meta_synced{state=\"no-meta-json\"} 1",
    ]);
}

#[test]
fn many_ids_are_the_first_of_them() {
    assert_eq!(
        ids((1..3).map(|n| BlockId::from_parts(n, 0))),
        format!("[{} {}]", BlockId::from_parts(1, 0), BlockId::from_parts(2, 0))
    );
    assert!(ids((0..20).map(|n| BlockId::from_parts(n, 0))).ends_with(" and 4 more]"));
}
