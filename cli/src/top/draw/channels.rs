//! The page of channels: the table, and what there is of the selected one where the screen is tall.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::table::{Head, Table};
use super::theme::Theme;
use super::{behind, bytes, detail, middle, rate};
use crate::top::model::{Channel, ChannelColumn, Column, Model};
use crate::top::text;

/// As tall as the page must be to tell about the selected channel as well.
const TALL: u16 = 28;

/// As wide as the page must be for names of more than a few letters.
const WIDE: u16 = 100;

/// The column after those one can sort by.
const TREND: usize = ChannelColumn::ALL.len();

fn head(column: ChannelColumn, name: (usize, usize)) -> Head {
    match column {
        ChannelColumn::Name => Head::text("CHANNEL", name.0, name.1, 0),
        ChannelColumn::Records => Head::number("REC/S", 6, 1),
        ChannelColumn::Bytes => Head::number("BYTES/S", 8, 4),
        ChannelColumn::Next => Head { most: 14, ..Head::number("NEXT", 8, 3) },
        ChannelColumn::Held => Head { most: 14, ..Head::number("RECORDS", 8, 12) },
        ChannelColumn::Size => Head::number("SIZE", 8, 5),
        ChannelColumn::Unsynced => Head::number("UNSYNCED", 9, 10),
        ChannelColumn::Readers => Head::number("RDRS", 5, 6),
        ChannelColumn::Publishers => Head::number("PUBS", 5, 11),
        ChannelColumn::Lag => Head::number("LAG", 6, 2),
        ChannelColumn::Behind => Head::number("BEHIND", 7, 2),
        ChannelColumn::Mode => Head::text("MODE", 8, 8, 13),
        ChannelColumn::Quiet => Head::number("LAST", 7, 9),
    }
}

fn cell(channel: &Channel, column: ChannelColumn, width: usize, theme: Theme) -> (String, Style) {
    let some = |number: u64| if number == 0 { theme.dim() } else { theme.plain() };
    match column {
        ChannelColumn::Name => (channel.name.clone(), theme.strong()),
        ChannelColumn::Records if channel.info.sealed => ("sealed".into(), theme.dim()),
        ChannelColumn::Records => rate(channel.records, text::short, theme),
        ChannelColumn::Bytes => rate(channel.bytes, |rate| bytes(rate as u64), theme),
        ChannelColumn::Next => (text::count(channel.info.next.0, width), some(channel.info.next.0)),
        ChannelColumn::Held => (text::count(channel.held(), width), some(channel.held())),
        ChannelColumn::Size => (bytes(channel.info.bytes), some(channel.info.bytes)),
        ChannelColumn::Unsynced => (text::count(channel.unsynced(), width), some(channel.unsynced())),
        ChannelColumn::Readers => (channel.readers.to_string(), some(channel.readers as u64)),
        ChannelColumn::Publishers => (channel.publishers.to_string(), some(channel.publishers as u64)),
        ChannelColumn::Lag => {
            let lag = channel.lag.map_or("-".into(), |lag| text::count(lag.records, width));
            (lag, behind(channel.lag, theme).1)
        }
        ChannelColumn::Behind => behind(channel.lag, theme),
        ChannelColumn::Mode => (channel.info.durability.to_string(), theme.dim()),
        ChannelColumn::Quiet => (channel.quiet.map_or("-".into(), text::span), theme.plain()),
    }
}

pub(super) fn draw(model: &mut Model, buf: &mut Buffer, area: Rect, theme: Theme) {
    let mut list = model.channel_list.clone();
    let rows = model.shown_channels();
    if rows.is_empty() {
        let texts = match (model.channel_count(), model.filter.as_str()) {
            (0, _) => ["no channels yet".to_owned(), "netchan send NAME makes one".to_owned()],
            (_, filter) => {
                [format!("no channel has {filter:?} in its name"), "Esc shows all again".to_owned()]
            }
        };
        middle(buf, area, &texts, theme);
        return;
    }
    let below = if area.height >= TALL { area.height * 2 / 5 } else { 0 };
    let table_area = Rect { height: area.height - below, ..area };
    let selected = list.selected(&rows);
    let page = usize::from(table_area.height.saturating_sub(1));
    let top = list.scroll(&rows, page);

    let longest = rows.iter().map(|row| row.name.width()).max().unwrap_or(0).clamp(16, 60);
    // where it is narrow, the trend is worth more than the whole of long names
    let name = (if area.width < WIDE { 16 } else { longest.min(28) }, longest);
    let mut heads: Vec<Head> = ChannelColumn::ALL.iter().map(|&column| head(column, name)).collect();
    heads.push(Head { most: 60, ..Head::number("TREND", 8, 7) });
    let sorted = ChannelColumn::ALL.iter().position(|&column| column == list.sort);
    let table = Table {
        heads: &heads,
        sorted: sorted.map(|at| (at, list.is_descending())),
        rows: top..rows.len().min(top + page),
        selected,
        theme,
    };
    table.draw(buf, table_area, |row, at, width| {
        let Some(channel) = rows.get(row) else { return (String::new(), theme.plain()) };
        match ChannelColumn::ALL.get(at) {
            Some(&column) => cell(channel, column, width, theme),
            None => {
                debug_assert_eq!(at, TREND);
                (text::trend(channel.records_before.values(), width), theme.inward())
            }
        }
    });
    if let Some(channel) = selected.filter(|_| below > 0).and_then(|at| rows.get(at)) {
        let area = Rect { y: table_area.bottom(), height: below, ..area };
        detail::draw(model, channel, None, buf, area, theme);
    }
    model.channel_list = list;
}
