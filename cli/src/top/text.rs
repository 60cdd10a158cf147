//! Numbers, times and names as a screen shows them: short, with units, and never wider than they look.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const NANOS: u64 = 1_000_000_000;

/// Three digits and a suffix: `7`, `0.25`, `999`, `1.24k`, `12.4M`. At most five characters below 10^15.
pub(crate) fn short(number: f64) -> String {
    if !number.is_finite() || number < 0.005 {
        return "0".into();
    }
    let mut suffixes = ["", "k", "M", "G", "T", "P"].into_iter();
    let (mut number, mut suffix) = (number, suffixes.next().unwrap_or_default());
    // 999.5 would be shown as 1000
    while number >= 999.5
        && let Some(next) = suffixes.next()
    {
        (number, suffix) = (number / 1000.0, next);
    }
    let digits = match number {
        // a whole small number is a count
        n if suffix.is_empty() && (n - n.round()).abs() < 0.005 => 0,
        n if n < 9.995 => 2,
        n if n < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$}{suffix}")
}

/// The number with all its digits where they fit, else [`short`].
pub(crate) fn count(number: u64, width: usize) -> String {
    let exact = number.to_string();
    if exact.len() <= width { exact } else { short(number as f64) }
}

/// A length of time, in at most seven characters below 10,000 days: `0 s`, `230 ms`, `3.2 s`, `4m 10s`, `3h 12m`, `4d 3h`.
pub(crate) fn span(nanos: u64) -> String {
    let seconds = nanos / NANOS;
    match seconds {
        0 if nanos < 500_000 => "0 s".into(),
        0 => format!("{} ms", (nanos + 500_000) / 1_000_000),
        1..10 => format!("{:.1} s", (nanos / 100_000_000) as f64 / 10.0),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A short time, as syncs take it: `64 us`, `1.02 ms`, `33 ms`, `1.05 s`.
pub(crate) fn moment(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{} us", nanos / 1000),
        1_000_000..10_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        10_000_000..NANOS => format!("{} ms", nanos / 1_000_000),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

/// The text as it can be shown: what moves the cursor, hides, turns the direction of writing, or changes the width of
/// its neighbours is escaped, so that every character has its own width and means what it looks like.
pub(crate) fn shown(text: &str) -> String {
    let escape = |refused: &dyn Fn(char) -> bool| {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if refused(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
        }
        out
    };
    let out = escape(&is_treacherous);
    let alone: usize = out.chars().map(|c| c.width().unwrap_or(0)).sum();
    if alone == out.width() { out } else { escape(&|c| !c.is_ascii() || c.is_ascii_control()) }
}

/// Whether a character does not stand for itself alone.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{115f}' | '\u{1160}'
            | '\u{3164}' | '\u{ffa0}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// The beginning of the text that fits `width` columns, for prose.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let wide = c.width().unwrap_or(0);
        let fits = wide <= left;
        left = if fits { left - wide } else { 0 };
        fits
    };
    let mut out: String = text.chars().take_while(fits).collect();
    out.extend((width > 0).then_some('…'));
    out
}

/// The text in at most `width` columns; where it is longer, its middle gives way, for names differ at both ends.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    if width == 0 {
        return String::new();
    }
    let room = width - 1;
    let (head, tail) = (room - room / 2, room / 2);
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut left = room;
        let fits = |c: &char| {
            let wide = c.width().unwrap_or(0);
            let fits = wide <= left;
            left = left.saturating_sub(wide);
            fits
        };
        chars.take_while(fits).collect::<String>()
    };
    let head = take(&mut text.chars(), head);
    let tail: String = take(&mut text.chars().rev(), tail).chars().rev().collect();
    format!("{head}…{tail}")
}

/// `text` in exactly `width` columns, at the left or the right of them.
pub(crate) fn pad(text: &str, width: usize, right: bool) -> String {
    let text = fit(text, width);
    let space = " ".repeat(width.saturating_sub(text.width()));
    if right { space + &text } else { text + &space }
}

/// Bars of eighths, the newest at the right, as high as their share of the highest; nothing where nothing is known.
pub(crate) fn trend(values: impl DoubleEndedIterator<Item = Option<f64>>, width: usize) -> String {
    let mut last: Vec<Option<f64>> = values.rev().take(width).collect();
    last.reverse();
    let top = last.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: Option<f64>| match value {
        None => ' ',
        Some(value) if top <= 0.0 || value <= 0.0 => '▁',
        // what is there is seen: at least the second step
        Some(value) => {
            ['▂', '▃', '▄', '▅', '▆', '▇', '█'][((value / top * 7.0).ceil() as usize).clamp(1, 7) - 1]
        }
    };
    let bars: String = last.into_iter().map(bar).collect();
    pad(&bars, width, true)
}

/// A share of a whole as a bar of `width` columns.
pub(crate) fn gauge(part: f64, width: usize) -> String {
    let eighths = (part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let (full, rest) = (eighths / 8, eighths % 8);
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][rest];
    let bar = format!("{}{part}", "█".repeat(full));
    let missing = width.saturating_sub(full + usize::from(rest > 0));
    bar + &"░".repeat(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_suffix() {
        for (number, text) in [
            (0.0, "0"),
            (0.001, "0"),
            (0.25, "0.25"),
            (7.0, "7"),
            (9.996, "10"),
            (42.42, "42.4"),
            (999.0, "999"),
            (999.6, "1.00k"),
            (12_400.0, "12.4k"),
            (1e6, "1.00M"),
            (123_456_789.0, "123M"),
            (2.5e15, "2.50P"),
            (f64::NAN, "0"),
            (-3.0, "0"),
        ] {
            assert_eq!(short(number), text, "{number}");
        }
        for power in 0..15 {
            for digit in [1.0, 1.5, 9.99, 9.995, 9.9949] {
                let text = short(digit * 10f64.powi(power));
                assert!(text.len() <= 5, "{text}");
            }
        }
        assert_eq!(count(12_345_678, 8), "12345678");
        assert_eq!(count(123_456_789, 8), "123M");
    }

    #[test]
    fn times_have_units_and_fit_seven_columns() {
        for (nanos, text) in [
            (0, "0 s"),
            (400_000, "0 s"),
            (230_000_000, "230 ms"),
            (3_290_000_000, "3.2 s"),
            (59 * NANOS, "59 s"),
            (250 * NANOS, "4m 10s"),
            (11_520 * NANOS, "3h 12m"),
            (356_400 * NANOS, "4d 3h"),
        ] {
            assert_eq!(span(nanos), text);
        }
        for seconds in [59, 60, 3599, 86_399, 86_400, 863_999, 8_640_000] {
            let text = span(seconds * NANOS + NANOS - 1);
            assert!(text.len() <= 7, "{text}");
        }
        for (nanos, text) in
            [(64_000, "64 us"), (1_024_000, "1.0 ms"), (32_768_000, "32 ms"), (1_048_576_000, "1.0 s")]
        {
            assert_eq!(moment(nanos), text);
        }
    }

    #[test]
    fn names_show_what_hides_in_them() {
        assert_eq!(shown("orders/eu-2026_ü"), "orders/eu-2026_ü");
        assert_eq!(shown("注文"), "注文");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(shown("a\x1b[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(shown("e\u{301}"), "e\u{301}", "an accent of its own is a part of writing");
        for joined in ["👩\u{200d}🚀", "❤\u{fe0f}", "🇩🇪", "👍🏽", "\u{feff}x"] {
            let shown = shown(joined);
            assert!(shown.contains("\\u{"), "{shown}");
            assert_eq!(shown.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>(), shown.width());
        }
    }

    #[test]
    fn what_is_too_long_gives_way_in_the_middle() {
        assert_eq!(fit("orders", 6), "orders");
        assert_eq!(fit("orders/eu/cpu", 9), "orde…/cpu");
        assert_eq!(fit("注文注文注文", 6), "注…文");
        for width in 0..20 {
            for text in ["orders/eu/2026/11/21", "注文注文注文注文注文注文", "a注b文c注d文e注f文"]
            {
                assert!(fit(text, width).width() <= width, "{text} {width}");
                assert_eq!(pad(text, width, true).width(), width, "{text} {width}");
                assert_eq!(pad(text, width, false).width(), width, "{text} {width}");
            }
        }
    }

    #[test]
    fn bars_are_as_high_as_their_share() {
        let values = [None, Some(0.0), Some(0.1), Some(35.0), Some(70.0)];
        assert_eq!(trend(values.into_iter(), 6), "  ▁▂▅█");
        assert_eq!(trend(values.into_iter(), 2), "▅█");
        assert_eq!(trend([Some(0.0); 3].into_iter(), 3), "▁▁▁");
        assert_eq!(trend(std::iter::empty(), 2), "  ");
        assert_eq!(gauge(0.5, 4), "██░░");
        assert_eq!(gauge(2.0, 4), "████");
        assert_eq!(gauge(0.0, 4), "░░░░");
        for part in 0..100 {
            assert_eq!(gauge(f64::from(part) / 100.0, 10).width(), 10);
        }
    }
}
