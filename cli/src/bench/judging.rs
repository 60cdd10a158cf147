//! Judging JSON log lines by a filter, beside reading each of them whole with `serde_json`: one thread, no network.

use std::hint::black_box;

use anyhow::{Result, bail};
use netchan::Filter;
use netchan_proto::filter::View;
use serde_json::Value;

use super::clock;
use super::figures::{Done, Figures};

/// Different lines that are judged in turn.
const LINES: u64 = 4096;

/// How fast either way is, over about so long each.
pub(super) fn lines(seconds: f64) -> Result<Done> {
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let filter = Filter::parse("json.level == 'error'")?;
    let judged = |line: &String| {
        let view = View { payload: line.as_bytes(), ..View::default() };
        filter.matches(black_box(&view)).unwrap_or(false)
    };
    let read = |line: &String| {
        let value: Result<Value, _> = serde_json::from_slice(black_box(line.as_bytes()));
        value.is_ok_and(|value| value["level"] == "error")
    };
    let errors = lines.iter().filter(|line| judged(line)).count();
    if errors == 0 || lines.iter().any(|line| judged(line) != read(line)) {
        bail!("the filter and serde_json do not agree: this is a bug");
    }
    // By turns, so that what the machine does meanwhile hits both alike.
    let (mut rounds, mut took) = (0, [0; 2]);
    let end = clock::now() + clock::from_seconds(2.0 * seconds);
    while rounds == 0 || clock::now() < end {
        took[0] += round(&lines, judged);
        took[1] += round(&lines, read);
        rounds += 1;
    }
    let bytes: usize = lines.iter().map(String::len).sum();
    let rate = |took: u64| clock::rate(rounds * LINES, took);
    let figures = Figures::default()
        .with("judged_per_s", rate(took[0]))
        .with("parsed_per_s", rate(took[1]))
        .with("line_bytes", bytes as f64 / LINES as f64)
        .with("of_parsing", took[1] as f64 / took[0].max(1) as f64);
    Ok(Done { figures, ..Done::default() })
}

fn round(lines: &[String], judge: impl Fn(&String) -> bool) -> u64 {
    let begin = clock::now();
    black_box(lines.iter().filter(|line| judge(line)).count());
    clock::now() - begin
}

/// A line as loggers of four kinds write it: the level stands second, first, in the middle, or last.
fn line(number: u64) -> String {
    let mix = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    let level = ["info", "info", "debug", "warn", "info", "error", "info", "debug"][(mix % 8) as usize];
    let (user, millis, request) = (mix % 9973, mix % 1999, mix % 0xffff_ffff);
    let time = format!(
        "2026-03-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        1 + mix % 28,
        mix % 24,
        mix % 60,
        mix % 59,
        mix % 999_983
    );
    let path = ["/api/v1/orders", "/api/v1/users/me", "/healthz", "/static/app.js"][(mix % 4) as usize];
    match mix / 7 % 4 {
        0 => format!(
            r#"{{"timestamp":"{time}","level":"{level}","fields":{{"message":"request done","path":"{path}","status":{},"took_ms":{millis}}},"target":"shop::http","span":{{"user":{user}}}}}"#,
            200 + mix % 5 * 100
        ),
        1 => format!(
            r#"{{"level":"{level}","ts":{}.{:06},"caller":"http/server.go:{}","msg":"handled \"{path}\" for user {user}","request":"{request:08x}","duration":{millis}e-3,"bytes":{}}}"#,
            1_772_000_000 + mix % 1_000_000,
            mix % 999_983,
            mix % 400,
            mix % 65_536
        ),
        2 => format!(
            r#"{{"host":"web-{}","labels":["blue","eu-west",null],"latency":{millis},"level":"{level}","message":"GET {path} by {user}: cache\tmiss","pid":{},"time":"{time}","trace":"{request:016x}"}}"#,
            mix % 40,
            1000 + mix % 30_000
        ),
        _ => format!(
            r#"{{"asctime": "{time}", "name": "shop.orders", "lineno": {}, "user": {{"id": {user}, "roles": ["buyer"]}}, "message": "order \u2116 {request} of {user} was taken", "levelname": "x", "level": "{level}"}}"#,
            mix % 900
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_of_about_two_hundred_bytes_each() {
        let lines: Vec<String> = (0..LINES).map(line).collect();
        for line in &lines {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
            assert!((100..300).contains(&line.len()), "{line}");
        }
        let bytes: usize = lines.iter().map(String::len).sum();
        assert!((180..220).contains(&(bytes / lines.len())), "{}", bytes / lines.len());
        assert!(super::lines(0.01).unwrap().figures.get("of_parsing").is_some());
    }
}
