//! Tables that fit: columns go when it is narrow, and grow when it is wide.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_width::UnicodeWidthStr;

use super::theme::Theme;
use crate::top::text;

/// What a column is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) text: &'static str,
    /// Columns of the screen that it takes at least, and how many it can use.
    pub(super) least: usize,
    pub(super) most: usize,
    /// Those of the highest rank go first when it is narrow. Nothing goes of rank 0.
    pub(super) rank: u8,
    pub(super) is_left: bool,
}

impl Head {
    /// A number, at the right of its column.
    pub(super) const fn number(text: &'static str, width: usize, rank: u8) -> Head {
        Head { text, least: width, most: width, rank, is_left: false }
    }

    /// A text, at the left of its column.
    pub(super) const fn text(text: &'static str, least: usize, most: usize, rank: u8) -> Head {
        Head { text, least, most, rank, is_left: true }
    }
}

/// The heads that fit side by side, by their places, and how wide each is.
pub(super) fn fit(heads: &[Head], width: usize) -> Vec<(usize, usize)> {
    let mut by_rank: Vec<usize> = (0..heads.len()).collect();
    by_rank.sort_by_key(|&at| heads[at].rank);
    let mut left = width + 1;
    let mut widths: Vec<Option<usize>> = vec![None; heads.len()];
    for &at in &by_rank {
        let head = &heads[at];
        if head.rank == 0 || left > head.least {
            let least = head.least.min(left.saturating_sub(1));
            widths[at] = Some(least);
            left = left.saturating_sub(least + 1);
        } else {
            // what ranks lower still does not slip in
            break;
        }
    }
    for &at in &by_rank {
        if let Some(taken) = &mut widths[at] {
            let more = heads[at].most.saturating_sub(*taken).min(left);
            (*taken, left) = (*taken + more, left - more);
        }
    }
    widths.into_iter().enumerate().filter_map(|(at, width)| Some((at, width?))).collect()
}

/// A table on the screen: what it needs to know beside its cells.
pub(super) struct Table<'a> {
    pub(super) heads: &'a [Head],
    /// The column it is sorted by, and whether the largest is first.
    pub(super) sorted: Option<(usize, bool)>,
    /// The rows to show, and which of them is selected.
    pub(super) rows: std::ops::Range<usize>,
    pub(super) selected: Option<usize>,
    pub(super) theme: Theme,
}

impl Table<'_> {
    /// Draws it; `cell` gives the text of a row in a column that is so wide.
    pub(super) fn draw(
        &self,
        buf: &mut Buffer,
        area: Rect,
        cell: impl Fn(usize, usize, usize) -> (String, Style),
    ) {
        if area.is_empty() {
            return;
        }
        let width = usize::from(area.width);
        let columns = fit(self.heads, width);
        let line = |buf: &mut Buffer, y: u16, texts: &dyn Fn(usize, usize) -> (String, Style)| {
            let mut x = area.x;
            for &(at, width) in &columns {
                let (text, style) = texts(at, width);
                let text = text::pad(&text, width, !self.heads[at].is_left);
                let (end, _) = buf.set_stringn(x, y, text, width, style);
                x = end.saturating_add(1);
            }
        };
        line(buf, area.y, &|at, width| {
            let text = self.heads[at].text;
            match self.sorted {
                Some((sorted, is_descending)) if sorted == at => {
                    let mark = if is_descending { "▾" } else { "▴" };
                    let marked = format!("{text}{mark}");
                    let text = if marked.width() <= width { marked } else { text.to_owned() };
                    (text, self.theme.strong().add_modifier(Modifier::UNDERLINED))
                }
                _ => (text.to_owned(), self.theme.dim()),
            }
        });
        for (y, row) in (area.y + 1..area.bottom()).zip(self.rows.clone()) {
            line(buf, y, &|at, width| cell(row, at, width));
            if self.selected == Some(row) {
                let whole = Rect { y, height: 1, ..area };
                buf.set_style(whole, Style::reset().patch(self.theme.selected()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [Head; 4] = [
        Head::text("NAME", 8, 20, 0),
        Head::number("RATE", 6, 1),
        Head::text("TREND", 4, 10, 3),
        Head::number("SIZE", 6, 2),
    ];

    #[test]
    fn columns_go_by_rank_and_grow_by_rank() {
        assert_eq!(fit(&HEADS, 4), [(0, 4)]);
        assert_eq!(fit(&HEADS, 8), [(0, 8)]);
        assert_eq!(fit(&HEADS, 14), [(0, 14)]);
        assert_eq!(fit(&HEADS, 15), [(0, 8), (1, 6)]);
        assert_eq!(fit(&HEADS, 27), [(0, 8), (1, 6), (2, 4), (3, 6)]);
        assert_eq!(fit(&HEADS, 41), [(0, 20), (1, 6), (2, 6), (3, 6)]);
        assert_eq!(fit(&HEADS, 99), [(0, 20), (1, 6), (2, 10), (3, 6)]);
    }

    #[test]
    fn a_table_is_never_wider_than_its_place() {
        for width in 0..120 {
            let columns = fit(&HEADS, width);
            let taken: usize = columns.iter().map(|(_, width)| width + 1).sum();
            assert!(taken <= width + 1, "{columns:?} in {width}");
        }
    }
}
