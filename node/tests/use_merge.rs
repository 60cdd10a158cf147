//! Receivers by pattern that merge by time: against a sort, against channels that say nothing, and against cuts.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;
mod house;
mod there;

use std::time::Duration;

use far::{Got, Wire, node};
use house::{House, append, name};
use netchan_node::{Machine, PatternCore, PatternOptions};
use netchan_proto::inflow::Inflow;
use netchan_proto::{Offset, Pattern, Start};
use there::There;

const WINDOW: Duration = Duration::from_millis(100);
const CHANNELS: usize = 6;

fn merged(start: Start) -> PatternOptions {
    PatternOptions { start, merge: Some(WINDOW), ..PatternOptions::new(Pattern::new("m/*").unwrap()) }
}

/// One record into a channel of this number; the house's clock gives each another time.
fn send(house: &House, channel: usize, payload: usize) {
    append(&house.log(&format!("m/{channel}")), payload.to_string());
}

fn payloads(got: &[Got]) -> Vec<usize> {
    let payload = |got: &Got| match got {
        Got::Record(_, text) => text.split_once(": ").unwrap().1.parse().unwrap(),
        other => panic!("{other:?}"),
    };
    got.iter().map(payload).collect()
}

fn house() -> House {
    let house = House::new();
    for channel in 0..CHANNELS {
        house.log(&format!("m/{channel}"));
    }
    house
}

/// What the logs hold from their offsets `from` on, sorted: their times are those at which the logs took the records.
fn sorted(house: &House, from: &[Offset]) -> Vec<usize> {
    let mut all = Vec::new();
    for (channel, from) in from.iter().enumerate() {
        let log = house.log(&format!("m/{channel}"));
        let mut inflow = Inflow::new(log.id().0);
        let mut at = *from;
        while at < log.visible() {
            let run = log.read(at, 1 << 20).unwrap();
            inflow.push(run.bytes);
            at = run.next;
        }
        while let Some(batch) = inflow.next_batch().unwrap() {
            let records = batch.records().map(Result::unwrap).filter(|record| record.offset >= *from);
            all.extend(records.map(|record| {
                let payload: usize = std::str::from_utf8(&record.payload).unwrap().parse().unwrap();
                (record.timestamp, log.name().clone(), payload)
            }));
        }
    }
    all.sort();
    all.into_iter().map(|(_, _, payload)| payload).collect()
}

fn ends(house: &House) -> Vec<Offset> {
    (0..CHANNELS).map(|channel| house.log(&format!("m/{channel}")).visible()).collect()
}

/// Runs until nothing comes any more, and lets the time pass that is waited for.
fn settle(wire: &mut Wire, near: &mut PatternCore, there: &mut There) -> Vec<Got> {
    let mut got = wire.run(near, there);
    for _ in 0..3 {
        wire.now = wire.now.plus(WINDOW);
        near.handle_timeout(wire.now);
        got.extend(wire.run(near, there));
    }
    got
}

/// NC-PAT-025: what is there comes as if it were sorted, however the records lie in channels and batches and wherever the wire is
/// cut; what is sent later comes so too, as it comes within the window.
#[test]
fn records_come_as_if_they_were_sorted_by_time() {
    let rounds = std::env::var("ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    for seed in 0..rounds {
        let mut dice = fastrand::Rng::with_seed(seed);
        let house = house();
        let stored = dice.usize(..150);
        for number in 0..stored {
            send(&house, dice.usize(..CHANNELS), number);
            if dice.u8(..4) == 0 {
                house.commit();
            }
        }
        house.commit();
        let expected = sorted(&house, &[Offset(0); CHANNELS]);
        assert_eq!(expected.len(), stored);
        let mut there = There::new(house);
        let mut wire = Wire { step: 1 + dice.usize(..900), abrupt: dice.bool(), ..Wire::new() };
        if dice.bool() {
            *(if dice.bool() { &mut wire.to_near } else { &mut wire.to_far }) = 1 + dice.usize(..5000);
        }
        let mut near = PatternCore::new(&node(), merged(Start::Earliest));
        let got = settle(&mut wire, &mut near, &mut there);
        assert_eq!(payloads(&got), expected, "seed {seed}, what was there");
        let before = ends(&there.house);
        (wire.to_near, wire.to_far) = (usize::MAX, usize::MAX);
        let later = dice.usize(..40);
        for number in 0..later {
            send(&there.house, dice.usize(..CHANNELS), number);
            there.house.commit();
        }
        let got = settle(&mut wire, &mut near, &mut there);
        assert_eq!(payloads(&got), sorted(&there.house, &before), "seed {seed}, what came later");
        assert_eq!(got.len(), later);
    }
}

/// NC-PAT-025: that it comes in order is owed to no window; nobody gives a record before he knows that none comes before it.
#[test]
fn what_is_there_is_sorted_though_nobody_waits_for_time_to_pass() {
    let rounds = std::env::var("ROUNDS").map_or(100, |rounds| rounds.parse().unwrap());
    for seed in 0..rounds {
        let mut dice = fastrand::Rng::with_seed(seed);
        let house = house();
        for number in 0..dice.usize(..150) {
            send(&house, dice.usize(..CHANNELS), number);
            if dice.u8(..4) == 0 {
                house.commit();
            }
        }
        house.commit();
        let expected = sorted(&house, &[Offset(0); CHANNELS]);
        let mut there = There::new(house);
        let mut wire = Wire { step: 1 + dice.usize(..900), abrupt: dice.bool(), ..Wire::new() };
        if dice.bool() {
            *(if dice.bool() { &mut wire.to_near } else { &mut wire.to_far }) = 1 + dice.usize(..5000);
        }
        let options = PatternOptions { merge: Some(Duration::ZERO), ..merged(Start::Earliest) };
        let mut near = PatternCore::new(&node(), options);
        let got = settle(&mut wire, &mut near, &mut there);
        assert_eq!(payloads(&got), expected, "seed {seed}");
    }
}

/// NC-PAT-025: of batches larger than the credit of a channel one comes at a time, also where each waits for all others.
#[test]
fn channels_with_large_batches_are_merged_one_after_the_other() {
    const MANY: usize = 12;
    let house = House::new();
    for number in 0..MANY {
        let log = house.log(&format!("m/{number:02}"));
        append(&log, format!("{number} {}", "x".repeat(3 << 20)));
        house.commit();
    }
    let mut there = There::new(house);
    let options = PatternOptions { merge: Some(Duration::ZERO), ..merged(Start::Earliest) };
    let (mut wire, mut near) = (Wire::new(), PatternCore::new(&node(), options));
    let got = settle(&mut wire, &mut near, &mut there);
    let channel = |got: &Got| match got {
        Got::Record(_, text) => text.split(' ').nth(1).unwrap().parse::<usize>().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(got.iter().map(channel).collect::<Vec<_>>(), (0..MANY).collect::<Vec<_>>());
}

/// NC-PAT-025
#[test]
fn a_record_waits_for_silent_channels_as_long_as_the_window_and_no_longer() {
    let mut there = There::new(house());
    let (mut wire, mut near) = (Wire::new(), PatternCore::new(&node(), merged(Start::Earliest)));
    assert_eq!(wire.run(&mut near, &mut there), []);
    assert!(near.deadline().is_none_or(|at| at > wire.now.plus(WINDOW)), "nothing is held back");

    send(&there.house, 3, 7);
    assert_eq!(wire.run(&mut near, &mut there), [], "it waits");
    let due = wire.now.plus(WINDOW);
    assert_eq!(near.deadline(), Some(due));
    wire.now = netchan_proto::Instant(due.0 - 1);
    assert_eq!(wire.run(&mut near, &mut there), []);
    wire.now = due;
    near.handle_timeout(due);
    assert_eq!(payloads(&wire.run(&mut near, &mut there)), [7]);

    // Once each has something, the first waits for nobody.
    for channel in (0..CHANNELS).rev() {
        send(&there.house, channel, channel);
    }
    assert_eq!(payloads(&wire.run(&mut near, &mut there)), [5], "the others wait for channel 5");
    // What is behind it came with it, and waits no longer than that.
    for number in 10..20 {
        send(&there.house, 5, number);
    }
    assert_eq!(payloads(&wire.run(&mut near, &mut there)), [4], "and now for channel 4");
    wire.now = wire.now.plus(WINDOW);
    near.handle_timeout(wire.now);
    let rest: Vec<_> = [3, 2, 1, 0].into_iter().chain(10..20).collect();
    assert_eq!(payloads(&wire.run(&mut near, &mut there)), rest);
}

/// NC-PAT-026
#[test]
fn what_is_held_back_was_not_given_and_comes_to_who_goes_on_there() {
    let mut there = There::new(house());
    let (mut wire, mut near) = (Wire::new(), PatternCore::new(&node(), merged(Start::Earliest)));
    wire.run(&mut near, &mut there);
    send(&there.house, 2, 0);
    send(&there.house, 2, 1);
    assert_eq!(wire.run(&mut near, &mut there), []);
    assert_eq!(near.position(&name("m/2")).unwrap().offset, Offset(0));
    let kept = near.positions();
    drop(near);
    let mut near = PatternCore::new(&node(), PatternOptions { resume: Some(kept), ..merged(Start::Latest) });
    let mut wire = Wire::new();
    let got = settle(&mut wire, &mut near, &mut there);
    assert_eq!(payloads(&got), [0, 1]);
    assert_eq!(near.position(&name("m/2")).unwrap().offset, Offset(2));
}
