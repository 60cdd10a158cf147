//! What one sees of the demo: bars and colours on a terminal, plain lines in a pipe.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::proof::{Compared, Proof};
use crate::amounts::bytes;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// The screen.
pub(super) struct Stage {
    began: Instant,
    progress: Option<MultiProgress>,
}

impl Stage {
    pub(super) fn new() -> Stage {
        // the bars go to stderr, the story to stdout: bars only where both are the person's screen
        let alive = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Stage { began: Instant::now(), progress: alive.then(MultiProgress::new) }
    }

    fn line(&self, text: &str) {
        match &self.progress {
            Some(progress) => progress.suspend(|| anstream::println!("{text}")),
            None => anstream::println!("{text}"),
        }
    }

    pub(super) fn title(&self, name: &str, what: &str) {
        self.line(&format!("{BOLD}{name}{PLAIN}: {what}"));
    }

    pub(super) fn done(&self, what: &str) {
        self.line(&format!("{DIM}{}{PLAIN} {what}", self.time()));
    }

    pub(super) fn happens(&self, what: &str) {
        self.line(&format!("{DIM}{}{PLAIN} {CYAN}{what}{PLAIN}", self.time()));
    }

    pub(super) fn kills(&self, what: &str, percent: u64) {
        self.line(&format!(
            "{DIM}{}{PLAIN} {RED}{what}{PLAIN} at {percent} %, and started again",
            self.time()
        ));
    }

    fn time(&self) -> String {
        format!("{:5.1} s", self.began.elapsed().as_secs_f64())
    }

    /// Bars for both receivers.
    pub(super) fn bars(&self, total: u64) -> Bars {
        let style =
            ProgressStyle::with_template("{prefix:16} {bar:40.cyan/dim} {percent:>3} %  {decimal_bytes}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━━─");
        let bar = |name: &'static str| match &self.progress {
            Some(progress) => {
                progress.add(ProgressBar::new(total).with_style(style.clone()).with_prefix(name))
            }
            None => ProgressBar::hidden(),
        };
        Bars { first: bar("first receiver"), second: bar("second receiver") }
    }

    /// The last screen.
    pub(super) fn verdict(&self, proof: &Proof, kills: u32, took: Duration) {
        self.line("");
        self.line(&format!("{BOLD}{:24} {:>9} {:>12}  SHA-256{PLAIN}", "", "lines", "bytes"));
        for (at, Compared { what, expected, found, wrong_at }) in proof.all.iter().enumerate() {
            let row = |name: &str, sum: &super::proof::Sum| {
                format!("{name:24} {:>9} {:>12}  {}", grouped(sum.lines), grouped(sum.bytes), sum.sha256)
            };
            match at {
                0 => self.line(&row("went in: the file", expected)),
                2 => self.line(&row("  of it, since then", expected)),
                _ => {}
            }
            let (colour, mark) = if wrong_at.is_none() { (GREEN, "") } else { (RED, " WRONG") };
            self.line(&format!("{colour}{}{PLAIN}{mark}", row(what, found)));
            if let Some(line) = wrong_at {
                self.line(&format!("{RED}  the first line that is not as sent: {}{PLAIN}", grouped(*line)));
            }
        }
        let seconds = took.as_secs_f64();
        let (lines, size) = proof.all.first().map_or((0, 0), |all| (all.expected.lines, all.expected.bytes));
        self.line(&format!(
            "\n{kills} kills in {seconds:.1} s, {} lines/s and {}/s through them all (sent slowly on purpose)",
            grouped((lines as f64 / seconds) as u64),
            bytes((size as f64 / seconds) as u64),
        ));
        self.line(&match proof.holds() {
            true => format!("{BOLD}{GREEN}Nothing lost, nothing doubled, nothing out of order.{PLAIN}"),
            false => format!("{BOLD}{RED}Something was lost, doubled or out of order: this is a bug.{PLAIN}"),
        });
    }
}

/// How far the receivers are.
pub(super) struct Bars {
    first: ProgressBar,
    second: ProgressBar,
}

impl Bars {
    /// The second receiver starts, and `total` bytes are to come for it.
    pub(super) fn second_starts(&mut self, total: u64) {
        self.second.set_length(total);
    }

    pub(super) fn look(&mut self, first: u64, second: u64) {
        self.first.set_position(first);
        self.second.set_position(second);
    }

    pub(super) fn end(self) {
        self.first.finish_and_clear();
        self.second.finish_and_clear();
    }
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
