//! The page of blocks: what the role does, what waits, what is set aside, and every block on a line of time.
//!
//! One HTML page that loads nothing and needs no script: bars are links, the window of time is part of the address, and
//! marks are set by a form. All links are relative, so the page works below any prefix. What comes from the bucket is
//! text and cannot write markup.

use std::fmt::Write as _;

use sarsen_block::{BlockId, BlockMeta, TimeRange};
use sarsen_bucket::{MarkKind, Marker, Partial, View};

use super::board::{Known, Look, State};
use super::timeline::{BARS, Bar, Group, Timeline, labels_of, lay_out, resolution_of, share, ticks};
use crate::html::{escape, head};

const STYLE: &str = "\
    body{max-width:none}nav a,.zoom a{margin-right:1rem}h3{margin:1rem 0 .2rem;font-size:1rem}\
    .axis,.lane{position:relative;margin-left:3rem;border-left:1px solid #8888;border-right:1px solid #8888}\
    .axis{height:1.4rem;font-size:.75rem}.axis span{position:absolute;border-left:1px solid #8888;padding-left:.2rem;white-space:nowrap}\
    .lane{background:#8881;margin-bottom:2px}.lane>b{position:absolute;left:-3rem;font-size:.8rem}\
    .lane a{position:absolute;height:1.1rem;min-width:3px;box-sizing:border-box;border:1px solid #fff8;border-radius:2px;overflow:hidden;\
    font-size:.7rem;line-height:1rem;text-align:center;text-decoration:none;color:#000;background:#9bd}\
    .lane a.l1{background:#ccc}.lane a.l2{background:#9bd}.lane a.l3{background:#7c9}.lane a.l4{background:#dc7}.lane a.l5{background:#e96}\
    .lane a.d{opacity:.45;text-decoration:line-through}.lane a.c{border:2px solid #c0c}.lane a.s{border:2px dotted #06c}.lane a.x{background:#f55}\
    .lane a:hover,.lane a.chosen{outline:2px solid currentColor;z-index:1}progress{width:20rem}";

/// What somebody asked to see.
#[derive(Debug, Clone, Default)]
pub(super) struct Ask {
    /// Only what the role works with.
    pub(super) loaded: bool,
    /// Only groups whose labels contain this.
    pub(super) group: String,
    /// Only this stretch of time, milliseconds since 1970.
    pub(super) window: Option<TimeRange>,
    /// The block whose details are shown.
    pub(super) block: Option<BlockId>,
}

/// What does not change while the process runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    /// What the bucket is called.
    pub(super) bucket: String,
    /// The external label whose value stands for a group.
    pub(super) label: Option<String>,
    /// Whether marks can be set.
    pub(super) admin: bool,
    /// Whether the role has work to tell of.
    pub(super) works: bool,
}

/// The page.
pub(super) fn render(known: &Known, frame: &Frame, ask: &Ask, now_ms: i64) -> String {
    let mut html = head("Blocks", STYLE);
    let look = if ask.loaded { &known.loaded } else { &known.global };
    let (path, other) = if ask.loaded { ("loaded", "global") } else { ("global", "loaded") };
    let seen = look.at_ms.map_or_else(|| "not looked at yet".to_owned(), |at| format!("as of {}", time(at)));
    let _ = write!(
        html,
        "<nav><b>{path}</b> <a href=\"{other}\">{other}</a><a href=\"api/v1/blocks?view={path}\">JSON</a><a href=\"metrics\">metrics</a></nav>\
         <p>Bucket <code>{}</code>: {} blocks, {} half blocks, {seen}.</p>",
        escape(&frame.bucket),
        look.view.blocks.len(),
        look.view.partial.len()
    );
    if let Some(why) = &look.fault {
        let _ = write!(html, "<p><b>The last look failed:</b> {}</p>", escape(why));
    }
    state(&mut html, known, now_ms);
    if frame.works {
        backlog(&mut html, known);
    }
    aside(&mut html, known, ask);
    let line = lay_out(look.view.blocks.values().cloned(), &ask.group, ask.window, BARS);
    if let Some(id) = ask.block {
        details(&mut html, look, id, frame);
    }
    timeline(&mut html, known, &look.view, &line, frame, ask);
    partial(&mut html, &look.view);
    html.push_str("</html>");
    html
}

fn state(html: &mut String, known: &Known, now_ms: i64) {
    let text = match &known.state {
        State::Starting => "Starting.".to_owned(),
        State::Standby { holder } => {
            format!("Standing by: another compactor works on this bucket, {}.", escape(holder))
        }
        State::Working => "Working.".to_owned(),
        #[cfg(feature = "store")]
        State::Serving => "Serving.".to_owned(),
        State::Waiting { until_ms } => format!("Waiting for the next round at {}.", time(*until_ms)),
        State::Stopping => "Stopping.".to_owned(),
    };
    let _ = write!(html, "<p id=\"state\">{text}");
    if let Some(at) = known.last_round_ms {
        let _ = write!(html, " The last round ended at {}.", time(at));
    }
    html.push_str("</p>");
    if let Some((since, why)) = &known.away {
        let long = now_ms.saturating_sub(*since) / 60_000;
        let (since, why) = (time(*since), escape(why));
        let _ = write!(
            html,
            "<p id=\"away\"><b>The store does not answer since {since} ({long} minutes):</b> {why}</p>"
        );
    }
    for work in known.running.values() {
        let (what, group, done) = (escape(&work.what), escape(&work.group), work.percent());
        let _ = write!(
            html,
            "<p class=\"running\"><progress max=\"100\" value=\"{done:.0}\"></progress> {done:.0} % of {}, since {}: {what} <code>{group}</code></p>",
            bytes(work.bytes),
            time(work.since_ms)
        );
    }
}

fn backlog(html: &mut String, known: &Known) {
    html.push_str("<h2>To do</h2><table id=\"backlog\"><tr><th>stage<th>jobs<th>blocks<th>bytes</tr>");
    for stage in &known.backlog {
        let (jobs, blocks) = (stage.jobs, stage.blocks);
        let _ = write!(html, "<tr><td>{}<td>{jobs}<td>{blocks}<td>{}</tr>", stage.stage, bytes(stage.bytes));
    }
    html.push_str("</table>");
}

fn aside(html: &mut String, known: &Known, ask: &Ask) {
    if known.set_aside.is_empty() {
        return;
    }
    let _ = write!(
        html,
        "<h2>Set aside</h2><table id=\"aside\"><tr><th>block<th>reason<th>since<th>again<th>why</tr>"
    );
    for (id, aside) in &known.set_aside {
        let again = aside.again_ms.map_or_else(|| "when its marks are removed".to_owned(), time);
        let _ = write!(
            html,
            "<tr><td><a href=\"{}\"><code>{id}</code></a><td>{}<td>{}<td>{again}<td>{}</tr>",
            address(ask, ask.window, Some(*id)),
            escape(&aside.reason),
            time(aside.since_ms),
            escape(&aside.why)
        );
    }
    html.push_str("</table>");
}

fn timeline(html: &mut String, known: &Known, view: &View, line: &Timeline, frame: &Frame, ask: &Ask) {
    html.push_str("<h2>Blocks by time</h2>");
    controls(html, line, ask);
    if line.shown < line.found {
        let _ = write!(
            html,
            "<p><b>{} of {} blocks are shown</b>, the newest; choose a group or a shorter time to see others.</p>",
            line.shown, line.found
        );
    }
    for Group { labels, lanes } in &line.groups {
        let title = frame.label.as_ref().and_then(|label| {
            let meta = &lanes.first()?.bars.first()?.meta;
            meta.thanos.as_ref()?.labels.get(label)
        });
        let title = title.map(|title| format!("{} ", escape(title))).unwrap_or_default();
        let _ = write!(html, "<h3>{title}<code>{}</code></h3><div class=\"axis\">", escape(labels));
        for tick in ticks(line.window) {
            let _ =
                write!(html, "<span style=\"left:{:.2}%\">{}</span>", share(tick, line.window), short(tick));
        }
        html.push_str("</div>");
        for lane in lanes {
            let height = lane.rows as f64 * 1.2;
            let _ = write!(
                html,
                "<div class=\"lane\" style=\"height:{height:.1}rem\"><b>{}</b>",
                resolution(lane.resolution)
            );
            for bar in &lane.bars {
                draw(html, known, view, bar, ask);
            }
            html.push_str("</div>");
        }
    }
    html.push_str(
        "<p>The number in a block is its compaction level. Struck through: marked for deletion. Violet frame: not to be compacted. \
         Dotted frame: not to be downsampled. Red: set aside.</p>",
    );
}

/// Links that move and zoom the window, and a form for the group.
fn controls(html: &mut String, line: &Timeline, ask: &Ask) {
    const DAY: i64 = 86_400_000;
    let TimeRange { min, max } = line.window;
    let long = max.saturating_sub(min).max(60_000);
    let to = |from: i64, to: i64| address(ask, Some(TimeRange::new(from, to)), None);
    html.push_str("<p class=\"zoom\">");
    let _ = write!(html, "<a href=\"{}\">everything</a>", address(ask, None, None));
    for (days, name) in [(2, "2 days"), (14, "14 days"), (90, "90 days")] {
        let _ = write!(html, "<a href=\"{}\">last {name}</a>", to(max.saturating_sub(days * DAY), max));
    }
    let (quarter, half) = (long / 4, long / 2);
    let places = [
        ("earlier", min.saturating_sub(half), max.saturating_sub(half)),
        ("later", min.saturating_add(half), max.saturating_add(half)),
        ("closer", min.saturating_add(quarter), max.saturating_sub(quarter)),
        ("wider", min.saturating_sub(half), max.saturating_add(half)),
    ];
    for (name, from, until) in places {
        let _ = write!(html, "<a href=\"{}\">{name}</a>", to(from, until));
    }
    let path = if ask.loaded { "loaded" } else { "global" };
    let group = escape(&ask.group);
    let _ = write!(
        html,
        "</p><form action=\"{path}\"><input name=\"group\" size=\"40\" placeholder=\"labels contain\" value=\"{group}\">"
    );
    if let Some(window) = ask.window {
        let _ = write!(
            html,
            "<input type=\"hidden\" name=\"min\" value=\"{}\"><input type=\"hidden\" name=\"max\" value=\"{}\">",
            window.min, window.max
        );
    }
    let _ = write!(html, "<button>show</button> {} to {}</form>", time(min), time(max));
}

fn draw(html: &mut String, known: &Known, view: &View, bar: &Bar, ask: &Ask) {
    let meta = &bar.meta;
    let id = meta.id;
    let mut class = format!("l{}", meta.compaction.level.clamp(1, 5));
    let mut marks = String::new();
    for (kind, letter, name) in MARKS {
        if view.mark(id, kind).is_some() {
            let _ = write!(class, " {letter}");
            let _ = write!(marks, "\n{name}");
        }
    }
    if let Some(aside) = known.set_aside.get(&id) {
        class.push_str(" x");
        let _ = write!(marks, "\nset aside: {}", aside.why);
    }
    if ask.block == Some(id) {
        class.push_str(" chosen");
    }
    let title = format!(
        "{id}\n{} to {}\n{} series, {} samples, {}\nlevel {}, {} sources{marks}",
        time(meta.min_time),
        time(meta.max_time),
        meta.stats.num_series,
        meta.stats.num_samples,
        bytes(size_of(meta)),
        meta.compaction.level,
        meta.compaction.sources.len()
    );
    let _ = write!(
        html,
        "<a class=\"{class}\" href=\"{}\" style=\"left:{:.3}%;width:{:.3}%;top:{:.1}rem\" title=\"{}\">{}</a>",
        address(ask, ask.window, Some(id)),
        bar.left,
        bar.width,
        bar.row as f64 * 1.2,
        escape(&title),
        meta.compaction.level
    );
}

const MARKS: [(MarkKind, char, &str); 3] = [
    (MarkKind::Deletion, 'd', "marked for deletion"),
    (MarkKind::NoCompact, 'c', "not to be compacted"),
    (MarkKind::NoDownsample, 's', "not to be downsampled"),
];

/// What the API calls the marks, and what the form does.
const ACTIONS: [(MarkKind, &str, &str); 3] = [
    (MarkKind::Deletion, "DELETION", "delete"),
    (MarkKind::NoCompact, "NO_COMPACTION", "do not compact"),
    (MarkKind::NoDownsample, "NO_DOWNSAMPLING", "do not downsample"),
];

/// One block: what it is, its marks, its meta, and how to mark it.
fn details(html: &mut String, look: &Look, id: BlockId, frame: &Frame) {
    let _ = write!(html, "<h2 id=\"block\">Block <code>{id}</code></h2>");
    let Some(meta) = look.view.blocks.get(&id) else {
        html.push_str("<p>It is not in this view.</p>");
        return;
    };
    let _ = write!(
        html,
        "<table><tr><th>labels<td><code>{}</code></tr><tr><th>resolution<td>{}</tr><tr><th>time<td>{} to {}</tr>\
         <tr><th>holds<td>{} series, {} samples, {} chunks, {}</tr>",
        escape(&labels_of(meta)),
        resolution(resolution_of(meta)),
        time(meta.min_time),
        time(meta.max_time),
        meta.stats.num_series,
        meta.stats.num_samples,
        meta.stats.num_chunks,
        bytes(size_of(meta))
    );
    let mut undo = String::new();
    for ((kind, _, name), (_, action, text)) in MARKS.into_iter().zip(ACTIONS) {
        if let Some(mark) = look.view.mark(id, kind) {
            let _ = write!(undo, "<option value=\"UNDO_{action}\">take off: {text}</option>");
            let _ = write!(html, "<tr><th>{name}<td>{}</tr>", escape(&mark_text(mark)));
        }
    }
    html.push_str("</table>");
    if frame.admin {
        let choice = |(_, action, text)| format!("<option value=\"{action}\">{text}</option>");
        let choices: String = ACTIONS.into_iter().rev().map(choice).collect();
        let _ = write!(
            html,
            "<form method=\"post\" action=\"api/v1/blocks/mark\"><input type=\"hidden\" name=\"id\" value=\"{id}\">\
             <select name=\"action\">{choices}{undo}</select> \
             <input name=\"detail\" size=\"40\" placeholder=\"why\"> <button>mark</button></form>"
        );
    }
    let _ = write!(html, "<pre>{}</pre>", escape(&String::from_utf8_lossy(&meta.to_bytes())));
}

fn mark_text(mark: &Marker) -> String {
    let reason = mark.reason.as_ref().map(|reason| format!("{}, ", reason.as_str())).unwrap_or_default();
    let details = if mark.details.is_empty() { "" } else { ": " };
    format!("{reason}{}{details}{}", time(mark.time.saturating_mul(1000)), mark.details)
}

fn partial(html: &mut String, view: &View) {
    if view.partial.is_empty() && view.bad_marks.is_empty() {
        return;
    }
    html.push_str("<h2>Half blocks and broken marks</h2><ul>");
    for (id, partial) in &view.partial {
        let why = match partial {
            Partial::NoMeta { .. } => "no meta.json".to_owned(),
            Partial::BadMeta { why, .. } => escape(why),
        };
        let _ = write!(
            html,
            "<li><code>{id}</code>: {why}, untouched since {}</li>",
            time(partial.touched_ms(*id))
        );
    }
    for (object, why) in &view.bad_marks {
        let _ = write!(html, "<li><code>{}</code>: {}</li>", escape(object), escape(why));
    }
    html.push_str("</ul>");
}

/// A link to this page with another window or block; ready for an attribute.
fn address(ask: &Ask, window: Option<TimeRange>, block: Option<BlockId>) -> String {
    let mut link = format!("{}?", if ask.loaded { "loaded" } else { "global" });
    if let Some(window) = window {
        let _ = write!(link, "min={}&amp;max={}&amp;", window.min, window.max);
    }
    if !ask.group.is_empty() {
        let _ = write!(link, "group={}&amp;", percent(&ask.group));
    }
    if let Some(id) = block {
        let _ = write!(link, "block={id}#block");
    }
    link
}

/// The text as part of a query.
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Bytes of the files of a block, as far as its meta says.
pub(crate) fn size_of(meta: &BlockMeta) -> u64 {
    let files = meta.thanos.iter().flat_map(|thanos| &thanos.files);
    files.map(|file| file.size_bytes).fold(0, u64::saturating_add)
}

fn resolution(ms: i64) -> String {
    match ms {
        0 => "raw".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms => format!("{ms}ms"),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (count as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && size < 100.0);
    format!("{size:.digits$} {}", UNITS[unit])
}

/// A time as people read it, in UTC.
fn time(ms: i64) -> String {
    format_time(ms, "%Y-%m-%d %H:%M:%SZ")
}

fn short(ms: i64) -> String {
    format_time(ms, if ms.rem_euclid(86_400_000) == 0 { "%Y-%m-%d" } else { "%m-%d %H:%M" })
}

fn format_time(ms: i64, how: &str) -> String {
    let date = chrono::DateTime::<chrono::Utc>::from_timestamp_millis(ms);
    date.map_or_else(|| format!("{ms} ms"), |date| date.format(how).to_string())
}

#[cfg(test)]
mod tests;
