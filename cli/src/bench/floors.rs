//! What figures must be, and whether they are.

use serde::Serialize;

use super::figures::{Subject, Table};

/// A bound of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => figure >= bound,
            Bound::AtMost(bound) => figure <= bound,
        }
    }
}

/// Whether a figure, the median over the runs, is what it must be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    #[serde(flatten)]
    subject: Subject,
    figure: &'static str,
    is: f64,
    must_be: Bound,
    pub(super) holds: bool,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, bound) = match self.must_be {
            Bound::AtLeast(bound) => (">=", bound),
            Bound::AtMost(bound) => ("<=", bound),
        };
        let word = if self.holds { "holds: " } else { "MISSED:" };
        write!(f, "{word} {}: {} is {:.3}, must be {sign} {bound}", self.subject, self.figure, self.is)
    }
}

/// With the sizes and numbers of the defaults.
fn bounds() -> Vec<(Subject, &'static str, Bound)> {
    use Bound::{AtLeast, AtMost};
    let synced = |what| Subject::of(what).durability("sync");
    let os = Subject::of("latency").durability("os").size(100);
    let of_runtimes = ["tokio", "smol", "std"].into_iter().flat_map(|runtime| {
        [100, 1024].map(|size| (synced("stream").on(runtime).size(size), "of_best_runtime", AtLeast(0.8)))
    });
    let bounds = [
        (synced("stream").size(100), "of_raw_tcp", AtLeast(0.08)),
        (synced("stream").size(1024), "of_write_sync", AtLeast(0.25)),
        (synced("publish").size(100), "of_write_sync", AtLeast(0.35)),
        (synced("publish").size(1024), "of_write_sync", AtLeast(0.6)),
        (synced("catch-up").size(100), "of_raw_tcp", AtLeast(0.16)),
        (os.clone(), "p50_of_raw_tcp", AtMost(4.0)),
        (os.clone().on("std"), "sent_p50_of_raw_tcp", AtMost(2.5)),
        (os, "sent_p50_of_raw_tcp", AtMost(4.0)),
        (synced("fan-out").count(10).size(100), "of_one_receiver", AtLeast(0.8)),
        (synced("fan-out").count(10).size(1024), "of_one_receiver", AtLeast(0.8)),
        (synced("filter that passes 1 %").size(100), "of_catch_up", AtLeast(0.5)),
        (synced("filter that passes 1 %").size(1024), "of_catch_up", AtLeast(0.5)),
        (Subject::of("filter over lines of JSON"), "of_parsing", AtLeast(3.0)),
        (synced("channels").count(1000).size(100), "p99_us", AtMost(20_000.0)),
        (Subject::of("idle node"), "memory_mib", AtMost(16.0)),
        (Subject::of("idle connection").count(2000), "kib_each", AtMost(16.0)),
        (Subject::of("idle channel").count(1000), "kib_each", AtMost(32.0)),
    ];
    bounds.into_iter().chain(of_runtimes).collect()
}

/// The verdicts on what was measured as it must be measured for them.
pub(super) fn judge(table: &Table) -> Vec<Verdict> {
    bounds()
        .into_iter()
        .filter_map(|(subject, figure, must_be)| {
            let row = table.rows.iter().find(|row| row.subject == subject)?;
            let is = row.medians.get(figure)?;
            Some(Verdict { subject, figure, is, must_be, holds: must_be.holds(is) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Done, Figures};
    use super::*;

    fn table(subject: Subject, name: &str, figures: &[f64]) -> Table {
        let mut table = Table::default();
        for &figure in figures {
            let figures = Figures::default().with(name, figure);
            table.add(subject.clone(), Done { figures, ..Done::default() });
        }
        table
    }

    #[test]
    fn a_figure_is_judged_by_its_median() {
        let stream = Subject::of("stream").durability("sync").size(100);
        for (runs, holds) in [([0.07, 0.08, 0.5], true), ([0.9, 0.07, 0.07], false)] {
            let verdicts = judge(&table(stream.clone(), "of_raw_tcp", &runs));
            assert_eq!(verdicts.iter().map(|verdict| verdict.holds).collect::<Vec<_>>(), [holds]);
        }
        let channels = Subject::of("channels").durability("sync").count(1000).size(100);
        for (runs, holds) in [([1.0, 20_000.0, 90_000.0], true), ([1.0, 20_001.0, 20_001.0], false)] {
            assert_eq!(judge(&table(channels.clone(), "p99_us", &runs))[0].holds, holds);
        }
    }

    #[test]
    fn only_what_was_measured_as_it_must_be_is_judged() {
        let few = Subject::of("channels").durability("sync").count(10).size(100);
        assert_eq!(judge(&table(few, "p99_us", &[1.0])), []);
        let weak = Subject::of("stream").durability("os").size(100);
        assert_eq!(judge(&table(weak, "of_raw_tcp", &[1.0])), []);
    }
}
