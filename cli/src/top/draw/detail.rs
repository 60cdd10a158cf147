//! One channel: what there is to say of it, how it went, and who reads it.

use netchan::{LogInfo, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Sparkline, Widget};
use unicode_width::UnicodeWidthStr;

use super::theme::Theme;
use super::{behind, bytes, peers};
use crate::amounts::counted;
use crate::top::model::{Channel, History, List, Model, PeerColumn};
use crate::top::text;

/// How wide the facts are beside charts, and a fact in a column of them.
const FACTS: u16 = 58;
const FACT: u16 = 38;

/// Draws one channel. With a list, its readers can be walked through.
pub(super) fn draw(
    model: &Model,
    channel: &Channel,
    list: Option<&mut List<PeerColumn>>,
    buf: &mut Buffer,
    area: Rect,
    theme: Theme,
) {
    if area.is_empty() {
        return;
    }
    let (line, mut rest) = (Rect { height: 1, ..area }, area);
    title(channel, buf, line, theme);
    (rest.y, rest.height) = (rest.y + 1, rest.height - 1);
    let facts = facts(channel, theme);
    let is_wide = rest.width >= 2 * FACTS;
    let columns = if is_wide { 1 } else { (rest.width / FACT).max(1) };
    let taken = (facts.len() as u16).div_ceil(columns).min(rest.height);
    let facts_area = Rect { width: if is_wide { FACTS } else { rest.width }, height: taken, ..rest };
    for (at, (name, value, style)) in facts.iter().enumerate() {
        let (column, y) = (at as u16 / taken.max(1), at as u16 % taken.max(1));
        if taken == 0 || column >= columns {
            break;
        }
        let width = facts_area.width / columns;
        let (x, y) = (facts_area.x + column * width, facts_area.y + y);
        let (end, _) = buf.set_stringn(x, y, format!(" {name:<9}"), width.into(), theme.dim());
        let left = usize::from((x + width).saturating_sub(end + 1));
        buf.set_stringn(end, y, text::fit(value, left), left, *style);
    }
    // wide: charts beside the facts; else below them, side by side
    let charts = if is_wide {
        Rect { x: rest.x + FACTS, width: rest.width - FACTS, height: taken, ..rest }
    } else {
        let left = rest.height - taken;
        let height = if left >= 16 { 6 } else { 4 }.min(left);
        Rect { y: rest.y + taken, height, ..rest }
    };
    let (width, gap) = ((charts.width / 2).saturating_sub(1), 2);
    let halves = [
        Rect { width, ..charts },
        Rect { x: charts.x + width + gap, width: charts.width.saturating_sub(width + gap), ..charts },
    ];
    chart(model, "records/s", &channel.records_before, text::short, (buf, halves[0]), theme.inward(), theme);
    let per_second = |rate: f64| bytes(rate as u64);
    chart(model, "bytes/s", &channel.bytes_before, per_second, (buf, halves[1]), theme.outward(), theme);
    let below = charts.bottom().max(facts_area.bottom());
    let table = Rect { y: below, height: area.bottom().saturating_sub(below), ..area };
    if table.height < 2 {
        return;
    }
    let of_it = model.peers_of(channel.info.name.as_str());
    let rows = if list.is_some() { model.shown_peers() } else { of_it };
    if rows.is_empty() {
        let text = " nobody reads it or publishes into it over a connection";
        buf.set_stringn(table.x, table.y + 1, text, table.width.into(), theme.dim());
        return;
    }
    peers::table(model, &rows, list, true, (buf, table), theme);
}

fn title(channel: &Channel, buf: &mut Buffer, line: Rect, theme: Theme) {
    let width = usize::from(line.width);
    let name = text::fit(&channel.name, width.saturating_sub(8));
    let rule = "─".repeat(width.saturating_sub(name.width() + 5));
    let (x, _) = buf.set_stringn(line.x, line.y, "── ", width, theme.dim());
    let (x, _) =
        buf.set_stringn(x, line.y, &name, usize::from(line.right().saturating_sub(x)), theme.strong());
    let left = usize::from(line.right().saturating_sub(x));
    buf.set_stringn(x, line.y, format!(" {rule}"), left, theme.dim());
}

fn facts(channel: &Channel, theme: Theme) -> Vec<(&'static str, String, Style)> {
    let LogInfo { first, next, durable, durability, sealed, .. } = &channel.info;
    let state = if *sealed { "sealed: complete" } else { "open" };
    let safe = match channel.unsynced() {
        0 => "all of them".to_owned(),
        unsynced => format!("to {durable}, {unsynced} not yet"),
    };
    let size = channel.info.bytes;
    let mean =
        size.checked_div(channel.held()).map_or("-".to_owned(), |mean| format!("{} on average", bytes(mean)));
    let last = match channel.quiet {
        Some(quiet) => format!("{} ago, {}", text::span(quiet), short_clock(channel.info.last_time, quiet)),
        None => "none".to_owned(),
    };
    let (lag, lag_style) = match channel.lag {
        Some(lag) if lag.records == 0 => ("none: all are at the end".to_owned(), theme.inward()),
        Some(lag) => {
            let (time, style) = behind(Some(lag), theme);
            (format!("{}, {time}", counted(lag.records, "record")), style)
        }
        None => ("no readers".to_owned(), theme.dim()),
    };
    let (readers, publishers) = (channel.readers as u64, channel.publishers as u64);
    let peers = format!("{}, {}", counted(readers, "reader"), counted(publishers, "publisher"));
    let plain = theme.plain();
    vec![
        ("state", format!("{state}, epoch {}", channel.info.epoch.0), plain),
        ("offsets", format!("{first} to {next}"), plain),
        ("records", channel.held().to_string(), plain),
        ("durable", format!("{safe} ({durability})"), plain),
        ("size", format!("{} in {}", bytes(size), counted(channel.info.segments, "segment")), plain),
        ("a record", mean, plain),
        ("lag", lag, lag_style),
        ("peers", peers, plain),
        ("first", clock(channel.info.first_time), plain),
        ("last", last, plain),
        ("made", clock(channel.info.created), plain),
        ("log", channel.info.id.to_string(), theme.dim()),
    ]
}

/// Day and time, in UTC, to the second.
fn clock(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(at) if time != Timestamp::MIN => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        _ => "-".into(),
    }
}

/// The time of day of today's and yesterday's times, else the day.
fn short_clock(time: Timestamp, ago: u64) -> String {
    let clock = clock(time);
    let (day, time) = clock.split_once(' ').unwrap_or((&clock, ""));
    if ago < 24 * 3600 * 1_000_000_000 { time.to_owned() } else { day.to_owned() }
}

/// Bars over time with what they mean, the newest at the right.
fn chart(
    model: &Model,
    what: &str,
    history: &History,
    show: impl Fn(f64) -> String,
    (buf, area): (&mut Buffer, Rect),
    style: Style,
    theme: Theme,
) {
    if area.height < 2 || area.width == 0 {
        return;
    }
    let looks = usize::from(area.width);
    let (top, mean) = (history.top(looks), history.mean(looks));
    let known = history.values().count().min(looks);
    let over = text::span((model.interval * known as u32).as_nanos() as u64);
    let mut label = format!("{what}, top {}", show(top));
    for more in [format!(", mean {}", show(mean)), format!(", in {over}")] {
        if label.width() + more.width() <= looks {
            label += &more;
        }
    }
    buf.set_stringn(area.x, area.y, label, looks, theme.dim());
    // whole numbers are drawn: a thousandth is seen
    let mut bars: Vec<Option<u64>> =
        history.values().rev().take(looks).map(|rate| rate.map(|rate| (rate * 1000.0) as u64)).collect();
    bars.resize(looks, None);
    bars.reverse();
    let bars_area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    Sparkline::default().data(bars).style(style).absent_value_symbol(" ").render(bars_area, buf);
}
