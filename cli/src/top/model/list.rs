//! A list that is sorted by a column, has one row selected, and is scrolled to show it.

use std::cmp::Ordering;
use std::fmt::Debug;

/// A column that rows can be sorted by.
pub(crate) trait Column: Copy + PartialEq + Debug + 'static {
    type Row;
    /// What stays the same of a row from look to look.
    type Key: Clone + Ord + Debug;

    const ALL: &'static [Self];

    fn key(row: &Self::Row) -> Self::Key;

    /// The smaller first.
    fn compare(self, a: &Self::Row, b: &Self::Row) -> Ordering;

    /// Whether the largest is wanted first.
    fn is_largest_first(self) -> bool;
}

/// What is to be seen of a list. The selection stays with its row, wherever that goes.
#[derive(Clone, Debug)]
pub(crate) struct List<C: Column> {
    pub(crate) sort: C,
    pub(crate) is_reversed: bool,
    /// The first row, until something else is selected.
    selected: Option<C::Key>,
    /// Where it was, for when it goes away.
    at: usize,
    /// The first row on the screen, and how many there are on it; kept by who draws.
    top: usize,
    page: usize,
}

impl<C: Column> List<C> {
    pub(crate) fn new(sort: C) -> List<C> {
        List { sort, is_reversed: false, selected: None, at: 0, top: 0, page: 1 }
    }

    /// Whether the largest comes first.
    pub(crate) fn is_descending(&self) -> bool {
        self.sort.is_largest_first() != self.is_reversed
    }

    /// The rows in their order.
    pub(crate) fn order<'a>(&self, rows: impl Iterator<Item = &'a C::Row>) -> Vec<&'a C::Row> {
        let mut rows: Vec<&C::Row> = rows.collect();
        let direct = |order: Ordering| if self.is_descending() { order.reverse() } else { order };
        rows.sort_by(|a, b| direct(self.sort.compare(a, b)).then_with(|| C::key(a).cmp(&C::key(b))));
        rows
    }

    /// Which row is selected; none in an empty list.
    pub(crate) fn selected(&self, rows: &[&C::Row]) -> Option<usize> {
        let last = rows.len().checked_sub(1)?;
        let Some(selected) = &self.selected else { return Some(0) };
        Some(rows.iter().position(|row| C::key(row) == *selected).unwrap_or(self.at.min(last)))
    }

    /// The key of the selected row.
    pub(crate) fn selected_key(&self, rows: &[&C::Row]) -> Option<C::Key> {
        self.selected(rows).and_then(|at| rows.get(at)).map(|row| C::key(row))
    }

    pub(crate) fn select(&mut self, rows: &[&C::Row], at: usize) {
        let Some(last) = rows.len().checked_sub(1) else { return };
        self.at = at.min(last);
        self.selected = rows.get(self.at).map(|row| C::key(row));
    }

    /// Selects what stands so many rows below (or above) the selected one.
    pub(crate) fn go(&mut self, rows: &[&C::Row], by: isize) {
        let Some(at) = self.selected(rows) else { return };
        self.select(rows, at.saturating_add_signed(by));
    }

    pub(crate) fn page(&self) -> isize {
        isize::try_from(self.page.max(1)).unwrap_or(1)
    }

    /// Of so many rows, those that are on the screen.
    pub(crate) fn shown(&self, rows: usize) -> std::ops::Range<usize> {
        self.top.min(rows)..(self.top + self.page).min(rows)
    }

    /// The columns from this one on, around: the next to sort by.
    pub(crate) fn sort_next(&mut self, by: isize) {
        let count = C::ALL.len() as isize;
        let at = C::ALL.iter().position(|column| *column == self.sort).unwrap_or(0) as isize;
        let next = (at + by).rem_euclid(count) as usize;
        self.sort = C::ALL.get(next).copied().unwrap_or(self.sort);
        self.is_reversed = false;
    }

    /// Scrolls no further than it takes to have the selected row among `page` rows, and no empty rows while others are
    /// hidden above; gives the first of them.
    pub(crate) fn scroll(&mut self, rows: &[&C::Row], page: usize) -> usize {
        let at = self.selected(rows).unwrap_or(0);
        self.page = page;
        self.top = self.top.min(at).max((at + 1).saturating_sub(page)).min(rows.len().saturating_sub(page));
        self.top
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum By {
        Name,
        Size,
    }

    impl Column for By {
        type Row = (&'static str, u64);
        type Key = &'static str;
        const ALL: &'static [By] = &[By::Name, By::Size];

        fn key(row: &Self::Row) -> &'static str {
            row.0
        }

        fn compare(self, a: &Self::Row, b: &Self::Row) -> Ordering {
            match self {
                By::Name => a.0.cmp(b.0),
                By::Size => a.1.cmp(&b.1),
            }
        }

        fn is_largest_first(self) -> bool {
            self == By::Size
        }
    }

    const ROWS: [(&str, u64); 4] = [("b", 2), ("a", 7), ("d", 7), ("c", 0)];

    fn names(list: &List<By>) -> String {
        list.order(ROWS.iter()).iter().map(|row| row.0).collect()
    }

    #[test]
    fn rows_are_sorted_and_equal_ones_by_name() {
        let mut list = List::new(By::Name);
        assert_eq!(names(&list), "abcd");
        list.sort_next(1);
        assert_eq!(names(&list), "adbc", "the largest first, equal ones by name");
        list.is_reversed = true;
        assert_eq!(names(&list), "cbad");
        list.sort_next(1);
        assert_eq!((list.sort, names(&list).as_str()), (By::Name, "abcd"), "around");
        list.sort_next(-1);
        assert_eq!(list.sort, By::Size);
    }

    #[test]
    fn the_selection_stays_with_its_row_and_with_its_place_when_that_goes() {
        let mut list = List::new(By::Name);
        let rows = list.order(ROWS.iter());
        assert_eq!(list.selected(&rows), Some(0));
        list.go(&rows, 2);
        assert_eq!(list.selected_key(&rows), Some("c"));
        list.sort_next(1);
        let rows = list.order(ROWS.iter());
        assert_eq!((list.selected(&rows), list.selected_key(&rows)), (Some(3), Some("c")));
        let fewer = list.order(ROWS[..2].iter());
        assert_eq!(list.selected(&fewer), Some(1), "it is gone: the last place");
        assert_eq!(list.selected(&[]), None);
        list.go(&rows, -99);
        assert_eq!(list.selected(&rows), Some(0));
        list.go(&rows, 99);
        assert_eq!(list.selected(&rows), Some(3));
    }

    #[test]
    fn the_selected_row_is_on_the_screen_and_the_screen_is_full() {
        let mut list = List::new(By::Name);
        let rows = list.order(ROWS.iter());
        assert_eq!(list.scroll(&rows, 2), 0);
        list.go(&rows, 3);
        assert_eq!(list.scroll(&rows, 2), 2);
        list.go(&rows, -1);
        assert_eq!(list.scroll(&rows, 2), 2, "no further than it must");
        list.go(&rows, -1);
        assert_eq!(list.scroll(&rows, 2), 1);
        assert_eq!(list.scroll(&rows, 9), 0, "a larger screen shows all");
        for page in 0..6 {
            for at in 0..4 {
                list.select(&rows, at);
                let top = list.scroll(&rows, page);
                assert!(page == 0 || (top..top + page).contains(&at), "{at} {page}");
            }
        }
    }
}
