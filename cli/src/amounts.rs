//! How many and how much, as people read it.

/// `1 line`, `2 lines`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Bytes for people: three digits and a unit.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1000 {
        return format!("{count} B");
    }
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].iter();
    let mut unit = units.next().unwrap_or(&"B");
    let mut number = count as f64;
    while number >= 1000.0
        && let Some(next) = units.next()
    {
        number /= 1024.0;
        unit = next;
    }
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        for (count, text) in
            [(0, "0 B"), (999, "999 B"), (1024, "1.00 KiB"), (15 << 20, "15.0 MiB"), (300 << 30, "300 GiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
