//! A strict reader of the text format of OpenMetrics 1.0, and of the little HTTP that brings it.

#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::shell::PATIENCE;

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) code: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A connection that waits, but not for ever.
pub(crate) fn call(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends these bytes, and reads the answer to its end.
pub(crate) fn ask(address: &str, request: &[u8]) -> Response {
    let mut stream = call(address);
    stream.write_all(request).unwrap();
    answer(stream)
}

/// The answer that comes, to its end.
pub(crate) fn answer(mut stream: TcpStream) -> Response {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap();
    let code = status.strip_prefix("HTTP/1.1 ").or_else(|| status.strip_prefix("HTTP/1.0 "));
    let code = code.unwrap_or_else(|| panic!("no HTTP: {status:?}"));
    let code = code.split(' ').next().unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    if let Some(length) = headers.get("content-length") {
        assert_eq!(length.parse::<usize>().unwrap(), body.len(), "content-length");
    }
    Response { code, headers, body: body.to_owned() }
}

/// The metrics there.
pub(crate) fn scrape(address: &str) -> Metrics {
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept: application/openmetrics-text\r\n\r\n");
    let response = ask(address, request.as_bytes());
    assert_eq!(response.code, 200, "{}", response.body);
    let kind = &response.headers["content-type"];
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Metrics::parse(&response.body)
}

type Labels = BTreeMap<String, String>;

/// A page, understood.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) families: BTreeMap<String, Family>,
    samples: BTreeMap<(String, Labels), f64>,
}

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) help: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) unit: Option<String>,
}

impl Metrics {
    /// Reads a page, and panics where it is not as the standard wants it.
    pub(crate) fn parse(page: &str) -> Metrics {
        let body = page.strip_suffix("# EOF\n").expect("the page ends in # EOF and a line break");
        assert!(!body.contains('\r'), "no carriage returns");
        let mut metrics = Metrics::default();
        let mut current = String::new();
        let mut has_samples = BTreeSet::new();
        for line in body.split_terminator('\n') {
            assert!(!line.is_empty() && line.trim() == line, "an empty or padded line: {line:?}");
            if let Some(metadata) = line.strip_prefix("# ") {
                let mut words = metadata.splitn(3, ' ');
                let (what, name, text) = (words.next().unwrap(), words.next().unwrap(), words.next());
                let text = text.unwrap_or_else(|| panic!("nothing said: {line:?}"));
                name_is_well(name);
                if name != current {
                    assert!(!metrics.families.contains_key(name), "{name} is in two places");
                    current = name.to_owned();
                }
                assert!(!has_samples.contains(name), "what is said of {name} comes before its samples");
                let family = metrics.families.entry(name.to_owned()).or_default();
                let place = match what {
                    "HELP" => &mut family.help,
                    "TYPE" => &mut family.kind,
                    "UNIT" => &mut family.unit,
                    _ => panic!("neither HELP, TYPE nor UNIT: {line:?}"),
                };
                assert!(place.replace(text.to_owned()).is_none(), "said twice: {line:?}");
                continue;
            }
            let (name, labels, value) = sample(line);
            let family = &metrics.families[&current];
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{name} amid {current}"));
            let kind = family.kind.as_deref().unwrap_or_else(|| panic!("{current} has no TYPE"));
            let suffixes: &[&str] = match kind {
                "gauge" => &[""],
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                "info" => &["_info"],
                _ => panic!("{current} is a {kind}"),
            };
            assert!(suffixes.contains(&suffix), "{name} of a {kind}");
            assert!(kind != "counter" || value >= 0.0, "{line}");
            assert!(kind != "info" || value == 1.0, "{line}");
            has_samples.insert(current.clone());
            let again = metrics.samples.insert((name, labels), value);
            assert!(again.is_none(), "told twice: {line}");
        }
        metrics.check();
        metrics
    }

    fn check(&self) {
        for (name, family) in &self.families {
            assert!(family.help.as_deref().is_some_and(|help| help.len() > 10), "{name} has no help");
            if let Some(unit) = &family.unit {
                assert!(name.ends_with(&format!("_{unit}")), "{name} has the unit {unit}");
            }
            if family.kind.as_deref() == Some("histogram") {
                self.check_histogram(name);
            }
        }
    }

    fn check_histogram(&self, name: &str) {
        let mut buckets: Vec<(f64, f64)> = self
            .samples
            .iter()
            .filter(|((sample, _), _)| *sample == format!("{name}_bucket"))
            .map(|((_, labels), count)| match &labels["le"][..] {
                "+Inf" => (f64::INFINITY, *count),
                bound => (bound.parse().unwrap(), *count),
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{name}: buckets are not cumulative: {buckets:?}");
        let last = buckets.last().unwrap();
        assert!(last.0.is_infinite() && Some(last.1) == self.get(&format!("{name}_count")), "{name}");
    }

    /// The sample without labels.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.samples.get(&(name.to_owned(), Labels::new())).copied()
    }

    /// The sample with this label.
    pub(crate) fn of(&self, name: &str, label: (&str, &str)) -> Option<f64> {
        let labels = Labels::from([(label.0.to_owned(), label.1.to_owned())]);
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// Samples whose value only grows.
    pub(crate) fn growing(&self) -> impl Iterator<Item = (&(String, Labels), f64)> {
        let grows =
            |name: &str| ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
        self.samples.iter().filter(move |((name, _), _)| grows(name)).map(|(key, value)| (key, *value))
    }

    /// The labels of the sample of this name, if there is one.
    pub(crate) fn labels(&self, name: &str) -> Option<&Labels> {
        self.samples.keys().find(|(sample, _)| sample == name).map(|(_, labels)| labels)
    }
}

fn name_is_well(name: &str) {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|char| char.is_ascii_alphabetic() || char == '_');
    assert!(first && chars.all(|char| char.is_ascii_alphanumeric() || char == '_'), "a bad name: {name:?}");
}

/// `name{label="value",..} number`, and nothing else.
fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line:?}"));
    let (name, mut rest) = line.split_at(end);
    name_is_well(name);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line:?}"));
            name_is_well(label);
            let (value, after) = quoted(value);
            assert!(labels.insert(label.to_owned(), value).is_none(), "a label twice: {line:?}");
            match after.split_at_checked(1) {
                Some((",", after)) => rest = after,
                Some(("}", after)) => {
                    rest = after;
                    break;
                }
                _ => panic!("no end of labels: {line:?}"),
            }
        }
    }
    let number = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no number: {line:?}"));
    let number: f64 = number.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
    assert!(!number.is_nan(), "{line}");
    (name.to_owned(), labels, number)
}

/// What stands before the closing quote, without its escapes, and what stands after.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('"' | '\\'))) => escaped,
                other => panic!("a bad escape {other:?}: {text:?}"),
            }),
            char => value.push(char),
        }
    }
    panic!("no closing quote: {text:?}");
}
