//! The same line again and again: at most so many a minute, and then how many more there were.
//!
//! Knows no clock and no stream: it is told the time, and says what is to be told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Lines of one kind that are told in a [`WINDOW`]; the rest are counted.
pub(crate) const LINES: u32 = 10;
/// How long they are counted before it is said how many more there were.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Characters of a line that are told with the count of those like it.
const LAST: usize = 200;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be told.
    Tell,
    /// It is counted only. The first one that is says when its count is to be told, if nothing was held back before.
    Hold {
        /// When [`Repeats::due`] is to be asked, unless somebody was told so already.
        due: Option<Instant>,
    },
}

/// Lines of one kind that were held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// How many.
    pub(crate) count: u64,
    /// The last of them, perhaps not all of it.
    pub(crate) last: String,
}

#[derive(Debug)]
struct Kind {
    since: Instant,
    told: u32,
    held: u64,
    last: String,
}

/// What was said lately, by kind. Kinds are places in the program, so their number has a limit of its own.
#[derive(Debug)]
pub(crate) struct Repeats {
    kinds: BTreeMap<&'static str, Kind>,
}

impl Repeats {
    /// Nothing was said yet.
    pub(crate) const fn new() -> Repeats {
        Repeats { kinds: BTreeMap::new() }
    }

    /// Whether a line of this kind is to be told now. Ask [`due`](Self::due) before: what was held back until now is
    /// older.
    pub(crate) fn ask(&mut self, kind: &'static str, line: &str, now: Instant) -> Verdict {
        let fresh = || Kind { since: now, told: 0, held: 0, last: String::new() };
        let kind = self.kinds.entry(kind).or_insert_with(fresh);
        if now.saturating_duration_since(kind.since) >= WINDOW && kind.held == 0 {
            *kind = fresh();
        }
        if kind.told < LINES {
            kind.told += 1;
            return Verdict::Tell;
        }
        kind.held += 1;
        kind.last.clear();
        kind.last.extend(line.chars().take(LAST));
        Verdict::Hold { due: (kind.held == 1).then(|| kind.since + WINDOW) }
    }

    /// What was held back in windows that are over.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Held> {
        self.take(|kind| now.saturating_duration_since(kind.since) >= WINDOW)
    }

    /// All that was held back: nothing more will come.
    pub(crate) fn all(&mut self) -> Vec<Held> {
        self.take(|_| true)
    }

    fn take(&mut self, is_due: impl Fn(&Kind) -> bool) -> Vec<Held> {
        let mut held = Vec::new();
        // A kind whose window is over is forgotten: its next line begins another.
        self.kinds.retain(|_, kind| {
            let is_due = is_due(kind);
            if is_due && kind.held > 0 {
                held.push(Held { count: kind.held, last: std::mem::take(&mut kind.last) });
            }
            !is_due
        });
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(repeats: &mut Repeats, kind: &'static str, now: Instant) -> bool {
        repeats.ask(kind, "the line", now) == Verdict::Tell
    }

    #[test]
    fn so_many_lines_of_a_kind_are_told_in_a_minute_and_the_others_counted() {
        let (mut repeats, now) = (Repeats::new(), Instant::now());
        let told = (0..1244).filter(|_| tell(&mut repeats, "storm", now)).count();
        assert_eq!(told, 10);
        assert!(tell(&mut repeats, "other", now), "kinds do not disturb each other");
        assert!(repeats.due(now + Duration::from_secs(59)).is_empty());
        let held = repeats.due(now + WINDOW);
        assert_eq!(held, [Held { count: 1234, last: "the line".into() }]);
        assert!(repeats.due(now + WINDOW).is_empty(), "a count is told once");
        assert!(tell(&mut repeats, "storm", now + WINDOW), "another minute, another ten");
    }

    #[test]
    fn a_storm_without_end_is_ten_lines_and_a_count_each_minute() {
        let (mut repeats, begin) = (Repeats::new(), Instant::now());
        let (mut told, mut counts) = (0, Vec::new());
        for tenth in 0..6000 {
            let now = begin + Duration::from_millis(tenth * 100);
            counts.extend(repeats.due(now).into_iter().map(|held| held.count));
            told += u64::from(tell(&mut repeats, "storm", now));
        }
        counts.extend(repeats.all().into_iter().map(|held| held.count));
        assert_eq!((told, &counts[..]), (100, &[590; 10][..]));
    }

    #[test]
    fn lines_that_are_rare_are_all_told() {
        let (mut repeats, begin) = (Repeats::new(), Instant::now());
        for minute in 0..100 {
            assert!(tell(&mut repeats, "rare", begin + WINDOW * minute));
        }
        assert!(repeats.all().is_empty());
    }

    #[test]
    fn the_first_line_held_back_says_when_its_count_is_due() {
        let (mut repeats, now) = (Repeats::new(), Instant::now());
        let dues: Vec<_> = (0..13)
            .filter_map(|_| match repeats.ask("storm", "x", now) {
                Verdict::Hold { due } => Some(due),
                Verdict::Tell => None,
            })
            .collect();
        assert_eq!(dues, [Some(now + WINDOW), None, None]);
    }

    #[test]
    fn what_is_kept_of_a_line_has_a_limit() {
        let (mut repeats, now) = (Repeats::new(), Instant::now());
        for _ in 0..11 {
            repeats.ask("long", &"ü".repeat(1_000_000), now);
        }
        assert_eq!(repeats.all()[0].last.chars().count(), LAST);
    }
}
