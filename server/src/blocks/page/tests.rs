//! The page as text: what it must say, and that nothing from a bucket becomes markup.

use std::collections::BTreeMap;
use std::sync::Arc;

use sarsen_block::{BlockStats, ThanosMeta};

use super::*;
use crate::blocks::board::{Aside, Running, Waiting};

fn meta(number: u64, range: (i64, i64), label: &str, resolution: i64) -> BlockMeta {
    let stats = BlockStats { num_samples: 7, num_series: 3, ..BlockStats::default() };
    let mut meta = BlockMeta::fresh(BlockId::from_parts(number, 0), TimeRange::new(range.0, range.1), stats);
    let labels = BTreeMap::from([("tenant".to_owned(), label.to_owned())]);
    meta.thanos = Some(ThanosMeta { labels, resolution, ..ThanosMeta::default() });
    meta
}

fn known(metas: Vec<BlockMeta>) -> Known {
    let blocks = metas.into_iter().map(|meta| (meta.id, Arc::new(meta))).collect();
    let view = View { blocks, ..View::default() };
    let mut known = Known::default();
    known.global.looked(1_700_000_000_000, Ok(Arc::new(view)));
    known
}

fn frame() -> Frame {
    Frame { bucket: "fs: x".to_owned(), label: None, admin: true, works: true }
}

#[test]
fn blocks_stand_by_group_and_resolution_with_their_marks() {
    let mut known = known(vec![
        meta(1, (0, 7_199_999), "a", 0),
        meta(2, (7_200_000, 14_399_999), "a", 0),
        meta(3, (0, 14_399_999), "a", 300_000),
        meta(4, (0, 14_399_999), "b", 3_600_000),
    ]);
    let (first, second) = (BlockId::from_parts(1, 0), BlockId::from_parts(2, 0));
    let view = Arc::make_mut(&mut known.global.view);
    view.marks.insert(first, vec![Marker::deletion(first, 1_700_000_000, "outdated")]);
    let aside =
        Aside { reason: "chunks-damaged".into(), why: "bad checksum".into(), since_ms: 0, again_ms: None };
    known.set_aside.insert(second, aside);
    known.backlog.push(Waiting { stage: "merge", jobs: 1, blocks: 2, bytes: 3 << 20 });
    let what = "merge 2 blocks".to_owned();
    known
        .running
        .insert("merge".to_owned(), Running { what, group: "0@1".into(), since_ms: 0, bytes: 200, done: 50 });
    let html = render(&known, &frame(), &Ask::default(), 1_700_000_000_000);
    for part in [
        "4 blocks, 0 half blocks, as of 2023-11-14 22:13:20Z",
        "<b>raw</b><a class=\"l1 d\"",
        "marked for deletion",
        "<a class=\"l1 x\"",
        "set aside: bad checksum",
        "<b>5m</b>",
        "<b>1h</b>",
        "<code>{tenant=&quot;a&quot;}</code>",
        "<tr><td>merge<td>1<td>2<td>3.0 MiB</tr>",
        "when its marks are removed",
        "25 % of 200 B",
        "left:50.000%;width:50.000%",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("<script"), "{html}");
}

#[test]
fn nothing_from_the_bucket_becomes_markup() {
    let mut known = known(vec![meta(1, (0, 9), "\"><script>x</script>", 0)]);
    known.away = Some((0, "<b>gone</b>".to_owned()));
    let view = Arc::make_mut(&mut known.global.view);
    view.bad_marks.push(("<i>".to_owned(), "<u>".to_owned()));
    let id = BlockId::from_parts(1, 0);
    let ask = Ask { group: "<script>".to_owned(), block: Some(id), ..Ask::default() };
    for ask in [ask.clone(), Ask { group: String::new(), ..ask }] {
        let html = render(&known, &frame(), &ask, 60_000);
        for bad in ["<script", "<i>", "<u>", "<b>gone"] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
    }
}

#[test]
fn details_have_the_meta_and_the_form_only_where_marks_can_be_set() {
    let known = known(vec![meta(1, (0, 9), "a", 0)]);
    let ask = Ask { block: Some(BlockId::from_parts(1, 0)), ..Ask::default() };
    let html = render(&known, &frame(), &ask, 0);
    assert!(html.contains("&quot;ulid&quot;") && html.contains("action=\"api/v1/blocks/mark\""), "{html}");
    let html = render(&known, &Frame { admin: false, ..frame() }, &ask, 0);
    assert!(!html.contains("blocks/mark"));
    let missing = Ask { block: Some(BlockId::from_parts(9, 0)), ..Ask::default() };
    assert!(render(&known, &frame(), &missing, 0).contains("not in this view"));
}

#[test]
fn windows_and_groups_stay_in_the_links() {
    let known = known(vec![meta(1, (0, 9), "a b", 0)]);
    let ask = Ask { group: "a b".to_owned(), window: Some(TimeRange::new(-5, 20)), ..Ask::default() };
    let html = render(&known, &frame(), &ask, 0);
    assert!(html.contains("global?min=-5&amp;max=20&amp;group=a%20b&amp;block=0"), "{html}");
}

#[test]
fn sizes_and_steps_read_well() {
    assert_eq!([0, 1023, 1024, 1 << 30].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.0 GiB"]);
    assert_eq!([0, 300_000, 3_600_000, 7].map(resolution), ["raw", "5m", "1h", "7ms"]);
}
