//! A schedule of several channels and one receiver of them all.

use std::collections::BTreeMap;

use netchan_node::words::{Durability, Event, Start};
use netchan_suite::payload;

use crate::cut::{Cut, When};
use crate::play::Scene;
use crate::runtimes::Awaited;

/// One of them: of each channel, also of those made meanwhile, all is received, once and in order.
pub(crate) async fn gather<A: Awaited>(scene: &Scene<'_, A>, seed: u64) {
    let (pair, counts) = (&scene.pair, scene.counts);
    let mut dice = fastrand::Rng::with_seed(seed);
    let pattern = format!("many-{seed}/*");
    let mut receiver = loop {
        let builder = match dice.bool() {
            true => pair.here.receiver_of(&pattern),
            false => pair.there.receiver_of(pair.target(&pattern)),
        };
        let opening = builder.from(Start::Earliest).window(64 << 10).open();
        let when = When::patient(&mut dice);
        if let Some(opened) = counts.cut("PatternBuilder::open", when, A::future(opening)).await.ready() {
            break opened.unwrap();
        }
    };
    let (mut sent, mut received, mut joined) = (BTreeMap::new(), BTreeMap::<String, u64>::new(), 0);
    let mut count = 0;
    for _ in 0..dice.u64(5..60) {
        let name = format!("many-{seed}/{}", dice.u8(..6));
        let log = pair.here.sender(&name).durability(Durability::Os);
        let log = A::future(log.open()).await.unwrap();
        let of = sent.entry(name).or_insert(0u64);
        for _ in 0..dice.u64(1..10) {
            log.send(payload(*of)).await.unwrap();
            *of += 1;
            count += 1;
        }
        for _ in 0..dice.u8(..8) {
            let is_there = received.values().sum::<u64>() < count;
            let when = if is_there { When::patient(&mut dice) } else { When::impatient(&mut dice) };
            if dice.u8(..4) == 0 {
                let when = When::impatient(&mut dice);
                let event = counts.cut("PatternReceiver::next_event", when, receiver.next_event()).await;
                joined += usize::from(matches!(event, Cut::Ready(Some(Event::Joined { .. }))));
                continue;
            }
            if let Cut::Ready(got) = counts.cut("PatternReceiver::recv", when, receiver.recv()).await {
                take(&mut received, got.unwrap().unwrap());
            }
        }
    }
    while received.values().sum::<u64>() < count {
        take(&mut received, receiver.recv().await.unwrap().unwrap());
    }
    assert_eq!(received, sent);
    while joined < sent.len() {
        joined += usize::from(matches!(receiver.next_event().await.unwrap(), Event::Joined { .. }));
    }
}

fn take(received: &mut BTreeMap<String, u64>, got: netchan_node::words::Received) {
    let of = received.entry(got.channel.to_string()).or_default();
    assert_eq!(got.record.offset.0, *of, "{}", got.channel);
    assert!(got.record.payload == payload(*of));
    *of += 1;
}
