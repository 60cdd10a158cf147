//! The tables of the spec are the tables of the code.

use std::time::Duration;

use netchan_proto::limits::*;
use netchan_proto::wire::{Counter, FrameType, MAX_VERSIONS, Scope};
use netchan_proto::{Durability, ErrorCode};

use crate::pages::page;

/// NC-FRM-012
#[test]
fn the_frame_table_is_the_codes() {
    let page = page("03");
    let rows: Vec<_> = page
        .rows()
        .into_iter()
        .filter(|row| row.len() == 5 && row[0].starts_with("0x"))
        .map(|row| (u8::from_str_radix(&row[0][2..], 16).unwrap(), row[1].to_owned(), row[2].to_owned()))
        .collect();
    let code: Vec<_> = FrameType::ALL
        .iter()
        .map(|kind| {
            let scope = match kind.scope() {
                Scope::Connection => "0",
                Scope::Stream => "n",
                Scope::Any => "0, n",
            };
            (kind.0, kind.to_string(), scope.to_owned())
        })
        .collect();
    assert_eq!(rows, code);
}

/// NC-ERR-009
#[test]
fn the_table_of_codes_is_the_codes() {
    let page = page("11");
    let rows: Vec<_> = page
        .rows()
        .into_iter()
        .filter(|row| row.len() == 5 && row[0].starts_with("0x"))
        .map(|row| (u16::from_str_radix(&row[0][2..], 16).unwrap(), row[1].to_owned(), row[3] == "yes"))
        .collect();
    let code: Vec<_> =
        ErrorCode::ALL.iter().map(|(code, name)| (code.0, (*name).to_owned(), code.is_retryable())).collect();
    assert_eq!(rows, code);
}

trait Number {
    fn number(self) -> String;
}

impl Number for usize {
    fn number(self) -> String {
        self.to_string()
    }
}

impl Number for u16 {
    fn number(self) -> String {
        self.to_string()
    }
}

impl Number for u64 {
    fn number(self) -> String {
        self.to_string()
    }
}

impl Number for u32 {
    fn number(self) -> String {
        format!("{self} per second")
    }
}

impl Number for Duration {
    fn number(self) -> String {
        format!("{} ms", self.as_millis())
    }
}

macro_rules! named {
    ($($name:ident)*) => { vec![$((stringify!($name), $name.number())),*] };
}

#[test]
fn the_table_of_limits_is_the_codes() {
    let page = page("12");
    let rows: Vec<_> = page
        .rows()
        .into_iter()
        .filter(|row| row.len() == 4 && row[0].chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .map(|row| (row[0], row[1].trim_end_matches(" bytes").to_owned()))
        .collect();
    let code = named![
        MAX_NAME MAX_PARTITIONS MAX_CONTENT MAX_NESTING MAX_PAYLOAD MAX_KEY MAX_HEADERS MAX_BODY MAX_BATCH BATCH_TARGET MAX_BATCH_RECORDS MAX_DATA
        MAX_FRAME MAX_HANDSHAKE_FRAME MAX_STREAMS MAX_ERROR_TEXT MAX_LIST MAX_READERS MAX_PEER_TEXT MAX_COUNTERS MAX_NOTE MAX_SEEKS MAX_NOTES MAX_AWAITS MAX_TOLD
        MAX_FILTER MAX_FILTER_NODES MAX_FILTER_DEPTH MAX_FILTER_PATH MAX_FILTER_PATTERN MAX_FILTER_STEPS FILTER_TURN FILTER_JOB MAX_PATTERN
        MAX_CURSOR_NAME MAX_CURSOR_POSITIONS MAX_CURSORS MAX_CHANNEL_CURSORS MAX_NODE_CURSORS MAX_SETTINGS MAX_TOKENS MAX_TOKEN
        MAX_OUTBOUND_BYTES MIN_READ MAX_READ MAX_CONTROL_RATE HANDSHAKE_TIMEOUT IDLE_TIME PING_INTERVAL PEER_TIMEOUT SERVED_TIMEOUT
        CREDIT_WINDOW SMALL_WINDOW PROGRESS_INTERVAL LAST_WORDS MAX_LANES MAX_MATCHES LANE_TURN LANE_TIME BACKOFF_FIRST BACKOFF_MAX MAX_VERSIONS
        MAX_CONNECTIONS MAX_UNPROVEN MAX_PER_ADDRESS MAX_TURNED_AWAY MAX_MEMORY MAX_SPARE MAX_IDLE_SPARE MAX_NODE_JOBS CONNECTION_COST
        STREAM_COST WATCH_NAMES WATCH_LOOKS HOLD_TIME HOLD_BYTES LARGE_TIME
    ];
    assert_eq!(rows, code);
    let source = include_str!("../../src/limits.rs");
    let constants = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    for constant in constants {
        assert!(rows.iter().any(|(name, _)| *name == constant), "{constant} is not in spec/12-limits.md");
    }
}

#[test]
fn the_table_of_counters_is_the_codes() {
    let page = page("13");
    let rows = page.rows().into_iter().filter(|row| row.len() == 5 && row[0].starts_with("0x"));
    let rows: Vec<[String; 5]> = rows.map(|row| std::array::from_fn(|at| row[at].to_owned())).collect();
    let code: Vec<[String; 5]> = Counter::ALL
        .iter()
        .map(|counter| {
            let meaning = counter.meaning().strip_suffix('.').expect("a sentence");
            let meaning = meaning[..1].to_lowercase() + &meaning[1..];
            let number = format!("0x{:04X}", counter.number());
            [number, counter.name().into(), counter.kind().to_string(), counter.unit().to_string(), meaning]
        })
        .collect();
    assert_eq!(rows, code);
    assert!(Counter::ALL.windows(2).all(|pair| pair[0] < pair[1]), "the table is in order");
}

/// NC-TYP-004: the numbers of durability.
#[test]
fn durabilities_have_the_numbers_of_the_spec() {
    let codes: Vec<_> =
        (0..=255).filter_map(|code| Some((code, Durability::from_code(code)?.to_string()))).collect();
    assert_eq!(codes, [(0, "sync".to_owned()), (1, "interval".to_owned()), (2, "os".to_owned())]);
    assert!(page("02").text.contains("0 sync, 1 interval, 2 os"));
}
