//! A schedule of a channel with partitions and one sender into all of them.

use netchan_node::handles::PartitionedSender;
use netchan_node::words::{Durability, NewRecord, Offset, Start};
use netchan_suite::payload;

use crate::cut::When;
use crate::play::Scene;
use crate::runtimes::Awaited;

/// One of them: what was sent stands in the partition of its key, or the one that was named, once and in order.
pub(crate) async fn split<A: Awaited>(scene: &Scene<'_, A>, seed: u64) {
    let (pair, counts) = (&scene.pair, scene.counts);
    let dice = &mut fastrand::Rng::with_seed(seed);
    let (name, partitions) = (format!("parts-{seed}"), dice.u16(1..5));
    let sender: PartitionedSender<A> = loop {
        let builder = match dice.bool() {
            true => pair.here.sender(&name),
            false => pair.there.sender(pair.target(&name)),
        };
        let opening = builder.durability(Durability::Os).partitions(partitions).open();
        let when = When::patient(dice);
        if let Some(opened) = counts.cut("PartitionedBuilder::open", when, A::future(opening)).await.ready() {
            break opened.unwrap();
        }
    };
    let mut sent = vec![Vec::new(); usize::from(partitions)];
    let heavy = if dice.u8(..4) == 0 { 20_000 } else { 10 };
    for number in 0..dice.u64(5..150) {
        let key = format!("{}", dice.u8(..7));
        let record = NewRecord::new([payload(number), vec![0; heavy]].concat()).key(key.clone());
        let when = When::patient(dice);
        let (partition, done) = if dice.u8(..3) == 0 {
            let partition = dice.u16(..partitions);
            let sending = sender.send_to_partition(partition, record);
            (partition, counts.cut("PartitionedSender::send_to_partition", when, sending).await)
        } else {
            let partition = sender.count().of_key(key.as_bytes());
            (partition, counts.cut("PartitionedSender::send", when, sender.send(record)).await)
        };
        if let Some(done) = done.ready() {
            done.unwrap();
            sent[usize::from(partition)].push(number);
        }
        if dice.u8(..10) == 0 {
            let flushed = counts.cut("PartitionedSender::flush", When::patient(dice), sender.flush()).await;
            flushed.ready().unwrap_or(Ok(())).unwrap();
        }
    }
    let ends: Vec<_> = sent.iter().map(|sent| Offset(sent.len() as u64)).collect();
    let when = When::patient(dice);
    let mut is_sealed = false;
    if dice.bool() {
        let sealed = counts.cut("PartitionedSender::seal", when, sender.seal()).await.ready();
        is_sealed = sealed.is_some();
        assert_eq!(sealed.map_or(ends.clone(), Result::unwrap), ends);
    } else {
        let closed = counts.cut("PartitionedSender::close", when, sender.close()).await;
        closed.ready().unwrap_or(Ok(())).unwrap();
    }
    for (number, sent) in (0u16..).zip(sent) {
        let partition = format!("{name}@{number}");
        let mut receiver =
            A::future(pair.here.receiver(&partition).from(Start::Earliest).open()).await.unwrap();
        for number in sent {
            let record = receiver.recv().await.unwrap().expect("more was sent");
            assert!(record.payload.starts_with(&payload(number)), "{partition}: {record:?}");
        }
        let end = A::future(pair.here.seal(&partition)).await.unwrap();
        assert_eq!(end, ends[usize::from(number)], "{partition}, sealed before: {is_sealed}");
        assert!(receiver.recv().await.unwrap().is_none());
        drop(receiver);
        A::future(pair.here.delete(&partition)).await.unwrap();
    }
}
