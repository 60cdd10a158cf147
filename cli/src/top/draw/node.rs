//! The page of the node: how long syncs take, and everything it counts.

use netchan::{Counter, CounterUnit};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::table::{Head, Table};
use super::theme::Theme;
use super::{bytes, middle};
use crate::top::model::{Model, NodeRow};
use crate::top::text;

const HEADS: [Head; 4] = [
    Head { most: 22, ..Head::text("WHAT", 18, 22, 0) },
    Head { most: 14, ..Head::number("NOW", 10, 1) },
    Head { most: 12, ..Head::number("A SECOND", 10, 2) },
    Head { most: 100, ..Head::text("MEANS", 30, 100, 3) },
];

/// Lines of bars at most.
const STEPS: usize = 7;

/// Whether it is one of the steps that are drawn as bars.
fn is_step(counter: Counter) -> bool {
    Counter::sync_steps().any(|(step, _)| step == counter)
}

fn amount(number: u64, unit: CounterUnit) -> String {
    match unit {
        CounterUnit::Bytes => bytes(number),
        CounterUnit::Nanos => text::moment(number),
        _ => number.to_string(),
    }
}

pub(super) fn draw(model: &mut Model, buf: &mut Buffer, area: Rect, theme: Theme) {
    let Some(node) = model.node.as_ref() else {
        middle(buf, area, &["the node counts nothing".to_owned()], theme);
        return;
    };
    let counters: Vec<(Counter, u64)> =
        node.status.counters.iter().filter(|&(counter, _)| !is_step(counter)).collect();
    let bars = if area.height >= 20 { syncs(node, buf, area, theme) } else { 0 };
    let table_area = Rect { y: area.y + bars, height: area.height - bars, ..area };
    let page = usize::from(table_area.height.saturating_sub(1));
    let top = model.node_top.min(counters.len().saturating_sub(page));
    let table = Table {
        heads: &HEADS,
        sorted: None,
        rows: top..counters.len().min(top + page),
        selected: None,
        theme,
    };
    table.draw(buf, table_area, |row, at, width| {
        let Some(&(counter, value)) = counters.get(row) else { return (String::new(), theme.plain()) };
        match at {
            0 => (counter.name().replace('_', " "), theme.plain()),
            1 => (amount(value, counter.unit()), if value == 0 { theme.dim() } else { theme.strong() }),
            2 => match node.rate(counter) {
                Some(rate) if rate > 0.0 && counter.unit() == CounterUnit::Count => {
                    (text::short(rate), theme.inward())
                }
                Some(rate) if rate > 0.0 => (amount(rate as u64, counter.unit()), theme.inward()),
                Some(_) => ("0".into(), theme.dim()),
                None => (String::new(), theme.dim()),
            },
            _ => (text::cut(counter.meaning(), width), theme.dim()),
        }
    });
    model.node_top = top;
}

/// How many syncs took how long, as bars; gives the lines that it took.
fn syncs(node: &NodeRow, buf: &mut Buffer, area: Rect, theme: Theme) -> u16 {
    let mut steps = node.sync_steps();
    // the slow ones are those that matter: what is faster than the first line is in it
    let faster: u64 = steps.drain(..steps.len().saturating_sub(STEPS)).map(|(_, count)| count).sum();
    if let Some((_, count)) = steps.first_mut() {
        *count += faster;
    }
    let (syncs, is_recent) = node.syncs();
    let (total, most) = (syncs.get(Counter::SYNCS).unwrap_or(0), steps.iter().map(|&(_, count)| count).max());
    let Some(most) = most else { return 0 };
    let when = if is_recent { "since the look before" } else { "since the node was started" };
    let line = format!(" {total} syncs {when}, by how long they took");
    buf.set_stringn(area.x, area.y, line, area.width.into(), theme.dim());
    let mut y = area.y + 1;
    for &(nanos, count) in &steps {
        let width = usize::from(area.width).saturating_sub(24).min(60);
        let bar = text::gauge(count as f64 / most.max(1) as f64, width).replace('░', " ");
        let line = format!(" {:>9} {count:>9}  ", format!("≤ {}", text::moment(nanos)));
        let (x, _) = buf.set_stringn(area.x, y, line, area.width.into(), theme.plain());
        buf.set_stringn(x, y, bar, usize::from(area.right().saturating_sub(x)), theme.inward());
        y += 1;
    }
    y + 1 - area.y
}
