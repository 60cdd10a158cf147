//! Who reads and who publishes: a table of them.

use netchan::ReaderKind;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::table::{Head, Table};
use super::theme::Theme;
use super::{behind, bytes, middle, rate};
use crate::top::model::{Column, List, Model, PeerColumn, PeerRow};
use crate::top::text;

fn head(column: PeerColumn, rows: &[&PeerRow]) -> Head {
    let longest = |text: fn(&PeerRow) -> &str, least, most| {
        rows.iter().map(|row| text(row).width()).max().unwrap_or(0).clamp(least, most)
    };
    match column {
        PeerColumn::Channel => {
            let longest = longest(|row| &row.channel, 12, 50);
            Head::text("CHANNEL", longest.min(20), longest, 0)
        }
        PeerColumn::Does => Head::text("DOES", 9, 9, 6),
        PeerColumn::Address => {
            let longest = longest(|row| &row.address, 13, 47);
            Head::text("FROM", longest.min(21), longest, 1)
        }
        PeerColumn::Node => Head::text("NODE", 8, 8, 9),
        PeerColumn::Position => Head { most: 14, ..Head::number("AT", 8, 4) },
        PeerColumn::Lag => Head::number("LAG", 6, 2),
        PeerColumn::Behind => Head::number("BEHIND", 7, 2),
        PeerColumn::Records => Head::number("REC/S", 6, 3),
        PeerColumn::Bytes => Head::number("BYTES/S", 8, 5),
        PeerColumn::Moved => Head::number("BYTES", 8, 8),
        PeerColumn::Credit => Head::number("CREDIT", 8, 10),
        PeerColumn::Since => Head::number("SINCE", 7, 7),
    }
}

fn cell(
    row: &PeerRow,
    column: PeerColumn,
    width: usize,
    since: Option<u64>,
    theme: Theme,
) -> (String, Style) {
    let none = || "-".to_owned();
    match column {
        PeerColumn::Channel => (row.channel.clone(), theme.strong()),
        PeerColumn::Does if row.peer.kind == ReaderKind::Reads => ("reads".into(), theme.outward()),
        PeerColumn::Does => ("publishes".into(), theme.inward()),
        PeerColumn::Address => (row.address.clone(), theme.plain()),
        PeerColumn::Node => (super::short_id(row.peer.node), theme.dim()),
        PeerColumn::Position => {
            (row.peer.offset.map_or_else(none, |at| text::count(at.0, width)), theme.plain())
        }
        PeerColumn::Lag => {
            let lag = row.lag.map_or_else(none, |lag| text::count(lag.records, width));
            (lag, behind(row.lag, theme).1)
        }
        PeerColumn::Behind => behind(row.lag, theme),
        PeerColumn::Records => rate(row.records, text::short, theme),
        PeerColumn::Bytes => rate(row.bytes, |rate| bytes(rate as u64), theme),
        PeerColumn::Moved => (bytes(row.peer.bytes), theme.plain()),
        PeerColumn::Credit => (bytes(row.peer.credit), theme.plain()),
        PeerColumn::Since => (since.map_or_else(none, text::span), theme.plain()),
    }
}

/// The table of `rows`, those from `top` on; without the channel's name if it is that of one channel.
pub(super) fn table(
    model: &Model,
    rows: &[&PeerRow],
    list: Option<&mut List<PeerColumn>>,
    is_of_one: bool,
    (buf, area): (&mut Buffer, Rect),
    theme: Theme,
) {
    let columns: Vec<PeerColumn> = PeerColumn::ALL
        .iter()
        .copied()
        .filter(|&column| !is_of_one || column != PeerColumn::Channel)
        .collect();
    let mut heads: Vec<Head> = columns.iter().map(|&column| head(column, rows)).collect();
    heads.push(Head { most: 60, ..Head::number("TREND", 8, 11) });
    let page = usize::from(area.height.saturating_sub(1));
    let mut shown =
        Table { heads: &heads, sorted: None, rows: 0..rows.len().min(page), selected: None, theme };
    if let Some(list) = list {
        let top = list.scroll(rows, page);
        let sorted = columns.iter().position(|&column| column == list.sort);
        shown.sorted = sorted.map(|at| (at, list.is_descending()));
        shown.rows = top..rows.len().min(top + page);
        shown.selected = list.selected(rows);
    }
    let now = model.node.as_ref().map(|node| node.status.now);
    shown.draw(buf, area, |row, at, width| {
        let Some(row) = rows.get(row) else { return (String::new(), theme.plain()) };
        let since = now.and_then(|now| u64::try_from(now.0.saturating_sub(row.peer.since.0)).ok());
        match columns.get(at) {
            Some(&column) => cell(row, column, width, since, theme),
            None => {
                let style = if row.peer.kind == ReaderKind::Reads { theme.outward() } else { theme.inward() };
                (text::trend(row.bytes_before.values(), width), style)
            }
        }
    });
}

pub(super) fn draw(model: &mut Model, buf: &mut Buffer, area: Rect, theme: Theme) {
    let mut list = model.peer_list.clone();
    let rows = model.shown_peers();
    if rows.is_empty() {
        let texts = match (model.peer_count(), model.filter.as_str()) {
            (0, _) => ["nobody reads or publishes".to_owned(), "netchan recv and send do".to_owned()],
            (_, filter) => [
                format!("nobody has {filter:?} in channel, address or node"),
                "Esc shows all again".to_owned(),
            ],
        };
        middle(buf, area, &texts, theme);
        return;
    }
    table(model, &rows, Some(&mut list), false, (buf, area), theme);
    model.peer_list = list;
}
