//! What there is to see, once: as text for people and scripts, or as JSON.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netchan::{Counter, ReaderKind, Timestamp};
use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

use super::look::{Failed, Looker};
use super::model::{Channel, Lag, Model, NodeRow, PeerRow};
use super::text;
use crate::amounts::bytes;
use crate::args;
use crate::exit::Exit;
use crate::when;

pub(crate) async fn run(args: &args::Top) -> Result<Exit> {
    let looker = Looker::new(args).await?;
    let mut model = Model::new(looker.place().to_owned(), args.interval);
    // a rate is the difference of two looks
    for look in 0..2 {
        if look > 0 {
            tokio::time::sleep(model.interval).await;
        }
        let looked: Result<_, Failed> = looker.look(args.interval).await;
        model.saw(&looked.map_err(|failed| failed.error)?);
    }
    let node = model.node.as_ref().context("the node said nothing")?;
    let text = if args.json { format!("{}\n", as_json(&model, node)) } else { as_text(&model, node) };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => bail!("stdout: {error}"),
        _ => Ok(Exit::Done),
    }
}

/// Rows side by side, as wide as their widest; the first `texts` columns at the left, numbers at the right.
fn aligned(rows: &[Vec<String>], texts: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> =
            cells.map(|(at, (cell, &width))| text::pad(cell, width, at >= texts)).collect();
        out += cells.join("  ").trim_end();
        out.push('\n');
    }
    out
}

fn as_text(model: &Model, node: &NodeRow) -> String {
    let status = &node.status;
    let up = text::span(nanos(status.uptime()));
    let count = |counter| node.count(counter).unwrap_or(0);
    let rate = |counter| node.rate(counter).unwrap_or(0.0);
    let syncs = node.syncs().0.sync_quantile(0.99);
    let mut out = format!(
        "{}  node {}  {}  up {up}\n",
        text::shown(&model.place),
        status.node,
        text::shown(&status.version)
    );
    out += &format!(
        "in {} rec/s {}/s  out {} rec/s {}/s  syncs {}/s p99 {}\n",
        text::short(rate(Counter::RECORDS_APPENDED)),
        bytes(rate(Counter::BYTES_APPENDED) as u64),
        text::short(rate(Counter::RECORDS_DELIVERED)),
        bytes(rate(Counter::BYTES_DELIVERED) as u64),
        text::short(rate(Counter::SYNCS)),
        syncs.map_or("-".into(), |time| text::moment(nanos(time))),
    );
    out += &format!(
        "connections {}  readers {}  publishers {}  disk {} free of {}, {} in {} channels\n",
        count(Counter::CONNECTIONS_OPEN),
        count(Counter::READERS),
        count(Counter::PUBLISHERS),
        bytes(count(Counter::VOLUME_FREE)),
        bytes(count(Counter::VOLUME_TOTAL)),
        bytes(count(Counter::BYTES_ON_DISK)),
        model.channel_count(),
    );
    let (channels, peers) = (model.shown_channels(), model.shown_peers());
    if !channels.is_empty() {
        let head = [
            "CHANNEL", "REC/S", "BYTES/S", "NEXT", "RECORDS", "SIZE", "UNSYNCED", "READERS", "LAG", "BEHIND",
            "STATE",
        ];
        let rows = std::iter::once(head.map(str::to_owned).to_vec())
            .chain(channels.iter().map(|row| channel_text(row)));
        out += &format!("\n{}", aligned(&rows.collect::<Vec<_>>(), 1));
    }
    if !peers.is_empty() {
        let head = ["CHANNEL", "DOES", "FROM", "AT", "LAG", "BEHIND", "REC/S", "BYTES/S", "BYTES", "SINCE"];
        let now = status.now;
        let rows = std::iter::once(head.map(str::to_owned).to_vec())
            .chain(peers.iter().map(|row| peer_text(row, now)));
        out += &format!("\n{}", aligned(&rows.collect::<Vec<_>>(), 3));
    }
    out
}

fn lag_text(lag: Option<Lag>) -> (String, String) {
    let none = || "-".to_owned();
    let records = lag.map_or_else(none, |lag| lag.records.to_string());
    (records, lag.and_then(|lag| lag.nanos).map_or_else(none, text::span))
}

fn channel_text(row: &Channel) -> Vec<String> {
    let (records, time) = lag_text(row.lag);
    vec![
        row.name.clone(),
        text::short(row.records.unwrap_or(0.0)),
        bytes(row.bytes.unwrap_or(0.0) as u64),
        row.info.next.to_string(),
        row.held().to_string(),
        bytes(row.info.bytes),
        row.unsynced().to_string(),
        row.readers.to_string(),
        records,
        time,
        if row.info.sealed { "sealed" } else { "open" }.to_owned(),
    ]
}

fn peer_text(row: &PeerRow, now: Timestamp) -> Vec<String> {
    let (records, time) = lag_text(row.lag);
    vec![
        row.channel.clone(),
        does(row.peer.kind).to_owned(),
        row.address.clone(),
        row.peer.offset.map_or("-".into(), |at| at.to_string()),
        records,
        time,
        text::short(row.records.unwrap_or(0.0)),
        bytes(row.bytes.unwrap_or(0.0) as u64),
        bytes(row.peer.bytes),
        text::span(nanos(now.since(row.peer.since))),
    ]
}

fn does(kind: ReaderKind) -> &'static str {
    match kind {
        ReaderKind::Reads => "reads",
        ReaderKind::Publishes => "publishes",
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: Option<u64>) -> Option<f64> {
    nanos.map(|nanos| nanos as f64 / 1e9)
}

fn as_json(model: &Model, node: &NodeRow) -> Value {
    let status = &node.status;
    let mut counters = Map::new();
    for (counter, value) in status.counters.iter() {
        counters.insert(counter.name().to_owned(), value.into());
    }
    let mut rates = Map::new();
    for (counter, _) in status.counters.iter() {
        if let Some(rate) = node.rate(counter) {
            rates.insert(counter.name().to_owned(), rate.into());
        }
    }
    let channel = |row: &&Channel| {
        let info = &row.info;
        json!({
            "name": info.name.as_str(),
            "log": info.id.to_string(),
            "epoch": info.epoch.0,
            "durability": info.durability.to_string(),
            "sealed": info.sealed,
            "first": info.first.0,
            "next": info.next.0,
            "durable": info.durable.0,
            "bytes": info.bytes,
            "segments": info.segments,
            "records_per_second": row.records,
            "bytes_per_second": row.bytes,
            "readers": row.readers,
            "publishers": row.publishers,
            "lag": row.lag.map(|lag| lag.records),
            "lag_seconds": seconds(row.lag.and_then(|lag| lag.nanos)),
            "quiet_seconds": seconds(row.quiet),
        })
    };
    let peer = |row: &&PeerRow| {
        json!({
            "id": row.peer.id,
            "channel": row.peer.channel.as_str(),
            "does": does(row.peer.kind),
            "from": row.peer.peer,
            "node": row.peer.node.to_string(),
            "since": when::rfc3339(row.peer.since),
            "offset": row.peer.offset.map(|at| at.0),
            "lag": row.lag.map(|lag| lag.records),
            "lag_seconds": seconds(row.lag.and_then(|lag| lag.nanos)),
            "lag_bytes": row.peer.behind,
            "credit": row.peer.credit,
            "records": row.peer.records,
            "bytes": row.peer.bytes,
            "records_per_second": row.records,
            "bytes_per_second": row.bytes,
        })
    };
    json!({
        "node": status.node.to_string(),
        "version": status.version,
        "started": when::rfc3339(status.started),
        "now": when::rfc3339(status.now),
        "counters": counters,
        "per_second": rates,
        "channels": model.shown_channels().iter().map(channel).collect::<Vec<_>>(),
        "peers": model.shown_peers().iter().map(peer).collect::<Vec<_>>(),
    })
}
