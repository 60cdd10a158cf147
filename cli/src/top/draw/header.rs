//! The lines above the page (which node, how it goes, which pages there are) and the one below it (keys).

use jiff::Timestamp;
use netchan::Counter;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_width::UnicodeWidthStr;

use super::theme::Theme;
use super::{bytes, short_id};
use crate::amounts::counted;
use crate::top::model::{Model, NodeRow, Tab};
use crate::top::text;

/// The share of a volume that is free when it is worth a look, and when it is too late for one.
const LOW: f64 = 0.10;
const OUT: f64 = 0.05;

/// A part of a line; those of the highest rank go when it is narrow.
struct Part {
    text: String,
    style: Style,
    rank: u8,
}

fn part(rank: u8, style: Style, text: impl Into<String>) -> Part {
    Part { text: text.into(), style, rank }
}

/// Writes the parts that fit from `x` on, as far apart as `gap` says; gives where they end.
fn write(buf: &mut Buffer, line: Rect, parts: Vec<Part>, gap: &str) -> u16 {
    let mut parts: Vec<Part> = parts.into_iter().filter(|part| !part.text.is_empty()).collect();
    let width = |parts: &[Part]| {
        parts.iter().map(|part| part.text.width() + gap.width()).sum::<usize>().saturating_sub(gap.width())
    };
    while parts.len() > 1 && width(&parts) > usize::from(line.width) {
        let worst = parts.iter().enumerate().max_by_key(|(_, part)| part.rank).map_or(0, |(at, _)| at);
        parts.remove(worst);
    }
    let mut x = line.x;
    for (at, part) in parts.iter().enumerate() {
        let left = usize::from(line.right().saturating_sub(x));
        if at > 0 {
            (x, _) = buf.set_stringn(x, line.y, gap, left, Style::new());
        }
        let left = usize::from(line.right().saturating_sub(x));
        (x, _) = buf.set_stringn(x, line.y, text::fit(&part.text, left), left, part.style);
    }
    x
}

fn width_of(parts: &[Part], gap: usize) -> u16 {
    parts.iter().map(|part| part.text.width() + gap).sum::<usize>() as u16
}

/// Draws what is around the page, and gives the page's place.
pub(super) fn draw(model: &Model, buf: &mut Buffer, area: Rect, theme: Theme) -> Rect {
    let line = |y: u16| Rect { y: area.y + y, height: 1, ..area };
    top_bar(model, buf, line(0), theme);
    let is_tall = area.height >= 16;
    let mut y = 1;
    if let Some(node) = model.node.as_ref().filter(|_| is_tall) {
        flows(node, buf, line(1), line(2), theme);
        y = 3;
    }
    match (&model.trouble, &model.node) {
        (Some(trouble), Some(_)) => {
            let since = text::span(model.now.saturating_sub(trouble.at).as_nanos() as u64);
            let text = format!(" {}; looking again (for {since} now) ", text::shown(&trouble.what));
            let text = text::fit(&text, area.width.into());
            buf.set_stringn(area.x, area.y + y, text, area.width.into(), theme.wrong());
            y += 1;
        }
        (_, Some(node)) if is_tall => {
            counts(node, buf, Rect { x: area.x + 1, width: area.width - 1, ..line(y) }, theme);
            y += 1;
        }
        _ => {}
    }
    tabs(model, buf, line(y), theme);
    Rect { y: area.y + y + 1, height: area.height - y - 2, ..area }
}

fn top_bar(model: &Model, buf: &mut Buffer, line: Rect, theme: Theme) {
    buf.set_style(line, theme.bar());
    let bar = theme.bar();
    let mut right = Vec::new();
    let mut left = vec![
        part(0, bar.add_modifier(Modifier::BOLD), " netchan top"),
        part(1, bar, text::shown(&model.place)),
    ];
    if let Some(node) = &model.node {
        let status = &node.status;
        let up = u64::try_from(status.uptime().as_nanos()).unwrap_or(u64::MAX);
        left.push(part(3, bar, format!("node {}", short_id(status.node))));
        left.push(part(4, bar, text::shown(&status.version)));
        left.push(part(2, bar, format!("up {}", text::span(up))));
        if let Ok(now) = Timestamp::from_nanosecond(i128::from(status.now.0)) {
            right.push(part(2, bar, now.strftime("%H:%M:%S UTC").to_string()));
        }
    }
    let every = if model.is_paused {
        part(0, bar.add_modifier(Modifier::BOLD), "PAUSED ")
    } else {
        let every = model.interval.as_secs_f64();
        part(1, bar, format!("every {every} s "))
    };
    right.push(every);
    let width = width_of(&right, 2).min(line.width / 2);
    let split = line.width - width;
    write(buf, Rect { width: split.saturating_sub(1), ..line }, left, "  ");
    write(buf, Rect { x: line.x + split, width, ..line }, right, "  ");
}

/// What comes in and goes out, and the disk beside it.
fn flows(node: &NodeRow, buf: &mut Buffer, first: Rect, second: Rect, theme: Theme) {
    let left = (first.width * 11 / 20).min(90);
    let rate = |counter| node.rate(counter).unwrap_or(0.0);
    let ways = [
        (first, "in", Counter::RECORDS_APPENDED, Counter::BYTES_APPENDED, &node.records_in, theme.inward()),
        (
            second,
            "out",
            Counter::RECORDS_DELIVERED,
            Counter::BYTES_DELIVERED,
            &node.records_out,
            theme.outward(),
        ),
    ];
    for (line, name, records, data, history, style) in ways {
        let records = format!("{:>5} rec/s", text::short(rate(records)));
        let data = format!("{:>8}/s", bytes(rate(data) as u64));
        let (x, _) = buf.set_stringn(line.x, line.y, format!(" {name:<3} "), left.into(), theme.dim());
        let (x, _) = buf.set_stringn(
            x,
            line.y,
            format!("{records}  {data}  "),
            left.into(),
            style.add_modifier(Modifier::BOLD),
        );
        let width = usize::from((line.x + left).saturating_sub(x + 1));
        buf.set_stringn(x, line.y, text::trend(history.values(), width), width, style);
    }
    let right = |line: Rect| Rect { x: line.x + left + 1, width: line.width - left - 1, ..line };
    write(buf, right(first), syncs(node, theme), "  ");
    write(buf, right(second), disk(node, theme), "  ");
}

fn syncs(node: &NodeRow, theme: Theme) -> Vec<Part> {
    let plain = theme.plain();
    let (syncs, _) = node.syncs();
    let mut parts = vec![part(0, theme.dim(), "syncs")];
    if let Some(rate) = node.rate(Counter::SYNCS) {
        parts.push(part(0, plain, format!("{}/s", text::short(rate))));
    }
    for (share, name, rank) in [(0.5, "p50", 2), (0.99, "p99", 1)] {
        if let Some(time) = syncs.sync_quantile(share) {
            parts.push(part(rank, plain, format!("{name} {}", text::moment(time.as_nanos() as u64))));
        }
    }
    if let Some(failed @ 1..) = node.count(Counter::LOGS_FAILED) {
        parts.push(part(0, theme.wrong(), format!("{failed} failed")));
    }
    parts
}

fn disk(node: &NodeRow, theme: Theme) -> Vec<Part> {
    let mut parts = vec![part(0, theme.dim(), "disk ")];
    if let (Some(free), Some(total @ 1..)) =
        (node.count(Counter::VOLUME_FREE), node.count(Counter::VOLUME_TOTAL))
    {
        let share = free as f64 / total as f64;
        let style = match share {
            ..OUT => theme.wrong(),
            ..LOW => theme.warning(),
            _ => theme.plain(),
        };
        parts.push(part(2, style, text::gauge(1.0 - share, 8)));
        parts.push(part(0, style, format!("{} free", bytes(free))));
        parts.push(part(3, theme.dim(), format!("of {}", bytes(total))));
    }
    if let Some(taken) = node.count(Counter::BYTES_ON_DISK) {
        parts.push(part(4, theme.plain(), format!("{} in channels", bytes(taken))));
    }
    parts
}

fn counts(node: &NodeRow, buf: &mut Buffer, line: Rect, theme: Theme) {
    let plain = theme.plain();
    let count = |rank, counter, what: &str| {
        part(rank, plain, node.count(counter).map_or(String::new(), |count| counted(count, what)))
    };
    let mut parts = vec![
        count(0, Counter::CONNECTIONS_OPEN, "connection"),
        count(1, Counter::READERS, "reader"),
        count(1, Counter::PUBLISHERS, "publisher"),
    ];
    let memory = [Counter::MEMORY_HELD, Counter::MEMORY_TAILS, Counter::MEMORY_QUEUED];
    if memory.iter().any(|&counter| node.count(counter).is_some()) {
        let held: u64 = memory.iter().filter_map(|&counter| node.count(counter)).sum();
        parts.push(part(2, plain, format!("memory {}", bytes(held))));
    }
    let away = [Counter::TURNED_AWAY_FULL, Counter::TURNED_AWAY_UNPROVEN, Counter::TURNED_AWAY_ADDRESS];
    for (name, rank, counters) in [
        ("turned away", 3, &away[..]),
        ("denied", 3, &[Counter::HANDSHAKES_DENIED]),
        ("at fault", 5, &[Counter::PEERS_AT_FAULT]),
        ("refused", 6, &[Counter::REFUSALS]),
        ("gaps", 4, &[Counter::GAPS_TOLD]),
    ] {
        let total: u64 = counters.iter().filter_map(|&counter| node.count(counter)).sum();
        let now: f64 = counters.iter().filter_map(|&counter| node.rate(counter)).sum();
        if total > 0 {
            // of old news only the number is told
            let style = if now > 0.0 { theme.warning() } else { theme.dim() };
            parts.push(part(rank, style, format!("{total} {name}")));
        }
    }
    write(buf, line, parts, "  ");
}

fn tabs(model: &Model, buf: &mut Buffer, line: Rect, theme: Theme) {
    let mut x = line.x;
    for (at, tab) in Tab::ALL.into_iter().enumerate() {
        let text = match tab {
            Tab::Channels => format!(" {} Channels {} ", at + 1, model.channel_count()),
            Tab::Peers => format!(" {} Peers {} ", at + 1, model.peer_count()),
            Tab::Node => format!(" {} Node ", at + 1),
        };
        let style =
            if tab == model.tab { theme.strong().add_modifier(Modifier::REVERSED) } else { theme.plain() };
        let left = usize::from(line.right().saturating_sub(x));
        (x, _) = buf.set_stringn(x, line.y, text, left, style);
        x = x.saturating_add(1);
    }
    let left = usize::from(line.right().saturating_sub(x + 1));
    let (text, style) = match (model.is_filtering, model.filter.as_str(), model.news()) {
        (true, filter, _) => (format!("/{}_", text::shown(filter)), theme.warning()),
        (false, "", Some(news)) => {
            let ago = text::span(model.now.saturating_sub(news.at).as_nanos() as u64);
            (format!("{}, {ago} ago", news.what), theme.warning())
        }
        (false, "", None) => return,
        (false, filter, _) => (format!("/{}  (Esc: all)", text::shown(filter)), theme.warning()),
    };
    buf.set_stringn(x, line.y, text::pad(&text, left, true), left, style);
}

/// The line below the page: keys, and which rows of how many are on the screen.
pub(super) fn keys(model: &Model, buf: &mut Buffer, line: Rect, theme: Theme) {
    let rows = model
        .rows_shown()
        .map_or(String::new(), |(rows, of)| format!("{}-{} of {of} ", rows.start + 1, rows.end));
    let width = line.width.saturating_sub(rows.len() as u16 + 1);
    buf.set_stringn(line.x + width + 1, line.y, &rows, rows.len(), theme.dim());
    let line = Rect { width, ..line };
    let keys: &[(&str, &str, u8)] = if model.is_filtering {
        &[("Enter", "keep", 0), ("Esc", "all", 1), ("↑↓", "select", 2)]
    } else if model.is_helping {
        &[("?", "close", 0), ("q", "quit", 0)]
    } else if model.open.is_some() {
        &[
            ("q", "quit", 0),
            ("Esc", "back", 0),
            ("↑↓", "select", 5),
            ("s", "sort", 2),
            ("r", "reverse", 4),
            ("p", "pause", 3),
            ("?", "help", 0),
        ]
    } else if model.tab == Tab::Node {
        &[("q", "quit", 0), ("Tab", "page", 1), ("↑↓", "scroll", 2), ("p", "pause", 3), ("?", "help", 0)]
    } else {
        &[
            ("q", "quit", 0),
            ("Tab", "page", 3),
            ("↑↓", "select", 6),
            ("Enter", "open", 1),
            ("s", "sort", 2),
            ("r", "reverse", 5),
            ("/", "filter", 2),
            ("p", "pause", 4),
            ("?", "help", 0),
        ]
    };
    let wide = |key: &(&str, &str, u8)| key.0.width() + key.1.width() + 3;
    let mut shown: Vec<&(&str, &str, u8)> = keys.iter().collect();
    while shown.iter().map(|key| wide(key)).sum::<usize>() > usize::from(line.width) && shown.len() > 1 {
        let worst = shown.iter().enumerate().max_by_key(|(_, key)| key.2).map_or(0, |(at, _)| at);
        shown.remove(worst);
    }
    let mut x = line.x + 1;
    for (key, what, _) in shown {
        let left = |x: u16| usize::from(line.right().saturating_sub(x));
        (x, _) = buf.set_stringn(x, line.y, key, left(x), theme.strong());
        (x, _) = buf.set_stringn(x + 1, line.y, what, left(x + 1), theme.dim());
        x += 2;
    }
}
