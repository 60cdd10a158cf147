//! Figures, by names that say their units; what they are figures of; medians over runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Figures by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Figures(BTreeMap<String, f64>);

impl Figures {
    pub(super) fn set(&mut self, name: &str, figure: f64) {
        self.0.insert(name.to_owned(), figure);
    }

    pub(super) fn with(mut self, name: &str, figure: f64) -> Figures {
        self.set(name, figure);
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// All of `other`, their names beginning with `prefix`.
    pub(super) fn absorb(&mut self, prefix: &str, other: &Figures) {
        for (name, figure) in &other.0 {
            self.set(&format!("{prefix}{name}"), *figure);
        }
    }

    /// Sets `name` to how much `figure` is of `whole`, if both are known.
    pub(super) fn set_ratio(&mut self, name: &str, figure: &str, whole: Option<f64>) {
        if let (Some(part), Some(whole)) = (self.get(figure), whole) {
            self.set(name, part / whole);
        }
    }
}

/// What a process tells at its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) figures: Figures,
    /// Quantiles and their delays in microseconds.
    pub(super) distribution: Vec<(f64, f64)>,
}

/// What figures are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Subject {
    pub(super) what: &'static str,
    /// Bytes of a payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) durability: Option<&'static str>,
    /// What both sides run on, where that is what is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runtime: Option<&'static str>,
    /// Of receivers, channels, connections: of what the case is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u32>,
}

impl Subject {
    pub(super) const fn of(what: &'static str) -> Subject {
        Subject { what, size: None, durability: None, runtime: None, count: None }
    }

    pub(super) const fn size(self, size: u64) -> Subject {
        Subject { size: Some(size), ..self }
    }

    pub(super) const fn durability(self, durability: &'static str) -> Subject {
        Subject { durability: Some(durability), ..self }
    }

    pub(super) const fn on(self, runtime: &'static str) -> Subject {
        Subject { runtime: Some(runtime), ..self }
    }

    pub(super) const fn count(self, count: u32) -> Subject {
        Subject { count: Some(count), ..self }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.count {
            Some(count) => write!(f, "{} ({count})", self.what)?,
            None => write!(f, "{}", self.what)?,
        }
        if let Some(runtime) = self.runtime {
            write!(f, " on {runtime}")?;
        }
        if let Some(durability) = self.durability {
            write!(f, ", {durability}")?;
        }
        match self.size {
            Some(size) if size >= 1024 && size.is_multiple_of(1024) => write!(f, ", {} KiB", size / 1024),
            Some(size) => write!(f, ", {size} B"),
            None => Ok(()),
        }
    }
}

/// One subject's figures, run by run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) subject: Subject,
    /// What [`Row::summarise`] makes of the runs.
    pub(super) medians: Figures,
    pub(super) runs: Vec<Figures>,
    /// Quantiles, and the medians over the runs of their delays in microseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) distribution: Vec<(f64, f64)>,
    #[serde(skip)]
    distributions: Vec<Vec<(f64, f64)>>,
}

impl Row {
    /// The least and the most of a figure.
    pub(super) fn span(&self, name: &str) -> Option<(f64, f64)> {
        let mut all = self.runs.iter().filter_map(|run| run.get(name));
        let first = all.next()?;
        Some(all.fold((first, first), |(least, most), value| (value.min(least), value.max(most))))
    }

    fn summarise(&mut self) {
        let names: Vec<String> = self.runs.iter().flat_map(|run| run.0.keys().cloned()).collect();
        for name in names {
            let all: Vec<f64> = self.runs.iter().filter_map(|run| run.get(&name)).collect();
            self.medians.set(&name, median(&all));
        }
        let points = self.distributions.iter().map(Vec::len).min().unwrap_or(0);
        self.distribution = (0..points)
            .map(|at| {
                let all: Vec<f64> = self.distributions.iter().map(|points| points[at].1).collect();
                (self.distributions[0][at].0, median(&all))
            })
            .collect();
    }
}

/// All figures, in the order in which their subjects were first measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// The figures of one more run.
    pub(super) fn add(&mut self, subject: Subject, done: Done) {
        let at = self.rows.iter().position(|row| row.subject == subject).unwrap_or_else(|| {
            self.rows.push(Row {
                subject,
                medians: Figures::default(),
                runs: Vec::new(),
                distribution: Vec::new(),
                distributions: Vec::new(),
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        row.runs.push(done.figures);
        if !done.distribution.is_empty() {
            row.distributions.push(done.distribution);
        }
        row.summarise();
    }

    /// The newest run's figure of a subject.
    pub(super) fn latest(&self, subject: &Subject, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.subject == *subject)?.runs.last()?.get(name)
    }
}

/// The middle value; of an even number of them the upper of the two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_run_by_run_and_its_median_over_the_runs() {
        let (raw, stream) = (Subject::of("raw"), Subject::of("stream").size(100));
        let mut table = Table::default();
        // the machine slows down to a half in one run: the ratio does not change by it
        for (limit, rate) in [(10.0, 4.0), (5.0, 2.0), (10.0, 9.0)] {
            table.add(
                raw.clone(),
                Done { figures: Figures::default().with("rate", limit), ..Done::default() },
            );
            let mut figures = Figures::default().with("rate", rate);
            figures.set_ratio("of_raw", "rate", table.latest(&raw, "rate"));
            table.add(stream.clone(), Done { figures, ..Done::default() });
        }
        assert_eq!(table.rows[1].medians.get("of_raw"), Some(0.4));
        assert_eq!(table.rows[1].span("of_raw"), Some((0.4, 0.9)));
        assert_eq!(table.rows[0].medians.get("rate"), Some(10.0));
        assert_eq!(table.rows.len(), 2);
    }

    #[test]
    fn a_distribution_is_the_median_at_each_quantile() {
        let mut table = Table::default();
        for delay in [1.0, 100.0, 3.0] {
            let done = Done { distribution: vec![(0.5, delay), (1.0, 2.0 * delay)], ..Done::default() };
            table.add(Subject::of("latency"), done);
        }
        assert_eq!(table.rows[0].distribution, [(0.5, 3.0), (1.0, 6.0)]);
    }
}
