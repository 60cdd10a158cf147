#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use netchan::{Counter, Offset, ReaderKind, Timestamp};

use super::*;
use crate::top::fixture::{at, channel, look, reader};

fn model() -> Model {
    Model::new("here".into(), Duration::from_secs(1))
}

fn names(model: &Model) -> Vec<&str> {
    model.shown_channels().iter().map(|row| row.name.as_str()).collect()
}

#[test]
fn two_looks_make_rates() {
    let mut model = model();
    model.saw(&look(1, vec![channel("a", 100, 1), channel("b", 0, 1)], vec![]));
    assert_eq!(model.shown_channels()[0].records, None, "one look is none");
    model.saw(&look(3, vec![channel("a", 300, 3), channel("b", 0, 3)], vec![]));
    let rows = model.shown_channels();
    assert_eq!((rows[0].name.as_str(), rows[0].records, rows[0].bytes), ("a", Some(100.0), Some(10_000.0)));
    assert_eq!((rows[1].name.as_str(), rows[1].records), ("b", Some(0.0)));
    let node = model.node.as_ref().unwrap();
    assert_eq!(node.rate(Counter::RECORDS_APPENDED), Some(100.0));
    assert_eq!(node.rate(Counter::RECORDS_DELIVERED), Some(200.0));
    assert_eq!(node.rate(Counter::VOLUME_FREE), None, "it does not only grow");
    assert_eq!(node.sync_steps(), [(128_000, 10), (256_000, 10)]);
}

#[test]
fn trimming_is_no_negative_rate() {
    let mut model = model();
    model.saw(&look(0, vec![channel("a", 1000, 0)], vec![]));
    let mut trimmed = channel("a", 1100, 1);
    (trimmed.first, trimmed.bytes) = (Offset(600), 50_000);
    model.saw(&look(1, vec![trimmed], vec![]));
    assert_eq!(model.shown_channels()[0].bytes, Some(10_000.0));
    assert_eq!(model.shown_channels()[0].held(), 500);
}

#[test]
fn a_channel_that_was_deleted_and_made_again_begins_anew() {
    let mut model = model();
    model.saw(&look(0, vec![channel("a", 1000, 0)], vec![]));
    let mut again = channel("a", 2000, 1);
    again.id = netchan::LogId([8; 16]);
    model.saw(&look(1, vec![again], vec![]));
    assert_eq!(model.shown_channels()[0].records, None);
}

#[test]
fn the_lag_of_a_channel_is_that_of_its_slowest_reader() {
    let mut model = model();
    let a = channel("a", 100, 50);
    let mut publisher = reader(3, &a, 90, 50);
    publisher.kind = ReaderKind::Publishes;
    model.saw(&look(50, vec![a.clone()], vec![reader(1, &a, 0, 50), reader(2, &a, 7, 50), publisher]));
    let row = model.shown_channels()[0];
    assert_eq!((row.readers, row.publishers), (2, 1));
    assert_eq!(row.lag, Some(Lag { records: 7, nanos: Some(7_000_000_000) }));
    let lags: Vec<_> = model.shown_peers().iter().map(|row| row.lag.map(|lag| lag.records)).collect();
    assert_eq!(lags, [Some(7), Some(0), None], "who is furthest behind comes first");
}

#[test]
fn a_reader_whose_record_has_no_known_time_is_behind_by_records_only() {
    let mut model = model();
    let a = channel("a", 100, 50);
    let mut lost = reader(1, &a, 7, 50);
    lost.time = Timestamp::MIN;
    model.saw(&look(50, vec![a], vec![lost]));
    assert_eq!(model.shown_channels()[0].lag, Some(Lag { records: 7, nanos: None }));
}

#[test]
fn a_restart_is_told_and_what_channels_did_goes_on() {
    let mut model = model();
    let a = channel("a", 100, 1);
    model.saw(&look(1, vec![a.clone()], vec![reader(1, &a, 0, 1)]));
    model.missed("refused".into(), Duration::from_secs(2));
    model.missed("refused still".into(), Duration::from_secs(3));
    let trouble = model.trouble.as_ref().unwrap();
    assert_eq!((trouble.what.as_str(), trouble.at), ("refused still", Duration::from_secs(2)));
    let mut after = look(5, vec![channel("a", 300, 5)], vec![reader(1, &a, 0, 1)]);
    after.node.started = at(4);
    after.node.counters = [(Counter::RECORDS_APPENDED, 3)].into_iter().collect();
    model.saw(&after);
    assert!(model.trouble.is_none());
    assert_eq!(model.news().unwrap().what, "the node was restarted");
    assert_eq!(model.shown_channels()[0].records, Some(50.0), "its log goes on");
    assert_eq!(
        model.node.as_ref().unwrap().rate(Counter::RECORDS_APPENDED),
        None,
        "what it counted does not"
    );
    assert_eq!(model.shown_peers()[0].bytes, None, "reader 1 is another now");
    model.tick(Duration::from_secs(60));
    assert!(model.news().is_none(), "old news are none");
}

#[test]
fn a_way_that_broke_and_came_back_is_told() {
    let mut model = model();
    model.saw(&look(1, vec![channel("a", 100, 1)], vec![]));
    model.missed("refused".into(), Duration::from_secs(2));
    model.saw(&look(3, vec![channel("a", 100, 3)], vec![]));
    assert_eq!(model.news().unwrap().what, "connected again");
    let mut other = look(4, vec![channel("a", 900, 4)], vec![]);
    other.node.node = netchan::NodeId([1; 16]);
    model.saw(&other);
    assert_eq!(model.news().unwrap().what, "another node answers here now");
    assert_eq!(model.shown_channels()[0].records, None, "nothing is compared with another node's");
}

#[test]
fn channels_are_sorted_filtered_and_opened() {
    let mut model = model();
    let channels = |next: [u64; 3]| {
        vec![
            channel("orders/eu", next[0], 1),
            channel("orders/us", next[1], 1),
            channel("ümlaut", next[2], 1),
        ]
    };
    model.saw(&look(0, channels([0, 0, 0]), vec![]));
    model.saw(&look(1, channels([10, 30, 20]), vec![]));
    assert_eq!(names(&model), ["orders/us", "ümlaut", "orders/eu"], "by rate");
    model.act(Action::SortNext(-1));
    assert_eq!(names(&model), ["orders/eu", "orders/us", "ümlaut"], "by name");
    model.act(Action::Reverse);
    assert_eq!(names(&model), ["ümlaut", "orders/us", "orders/eu"]);
    model.act(Action::Filter);
    for c in "ORDERx".chars() {
        model.act(Action::Type(c));
    }
    assert!(names(&model).is_empty());
    model.act(Action::Erase);
    model.act(Action::Accept);
    assert_eq!((names(&model), model.is_filtering), (vec!["orders/us", "orders/eu"], false));
    model.act(Action::Go(1));
    model.act(Action::Open);
    assert_eq!(model.open_channel().unwrap().name, "orders/eu");
    model.act(Action::Back);
    assert_eq!((model.open.as_deref(), names(&model).len()), (None, 2));
    model.act(Action::Back);
    assert_eq!(names(&model).len(), 3);
}

#[test]
fn a_peer_leads_to_its_channel() {
    let mut model = model();
    let (a, b) = (channel("a", 10, 1), channel("b", 10, 1));
    model.saw(&look(1, vec![a.clone(), b.clone()], vec![reader(1, &a, 0, 1), reader(2, &b, 5, 1)]));
    model.act(Action::Show(Tab::Peers));
    model.act(Action::Open);
    assert_eq!(model.open_channel().unwrap().name, "b", "the one with the largest lag was selected");
    assert_eq!(model.shown_peers().len(), 1);
    model.act(Action::Beside(1));
    assert_eq!((model.tab, model.open.as_deref()), (Tab::Node, None));
    model.act(Action::Beside(1));
    assert_eq!(model.tab, Tab::Channels);
}

#[test]
fn looks_come_no_more_often_and_no_more_seldom_than_is_good() {
    let mut model = Model::new("here".into(), Duration::from_nanos(1));
    assert_eq!(model.interval, INTERVALS.0);
    for _ in 0..20 {
        model.act(Action::Slower);
    }
    assert_eq!(model.interval, INTERVALS.1);
    for _ in 0..20 {
        model.act(Action::Faster);
    }
    assert_eq!(model.interval, INTERVALS.0);
}
