//! A schedule of one channel of values.

use netchan_node::words::{ErrorKind, NewRecord, Start};

use crate::cut::{Cut, When};
use crate::play::Scene;
use crate::runtimes::Awaited;

/// Numbers with some weight, so that senders wait for the disk.
type Weighty = (u64, Vec<u8>);

/// One of them: what was sent by a future that became ready is received, once and in order, and nothing else.
pub(crate) async fn exchange<A: Awaited>(scene: &Scene<'_, A>, seed: u64) {
    let (pair, counts) = (&scene.pair, scene.counts);
    let mut dice = fastrand::Rng::with_seed(seed);
    let (name, target) = (format!("values-{seed}"), pair.target(&format!("values-{seed}")));
    let is_local = dice.bool();
    let sender = loop {
        let (node, to) = if is_local { (&pair.here, &name) } else { (&pair.there, &target) };
        let opening = A::future(node.sender(to).typed::<Weighty>().open());
        let when = When::patient(&mut dice);
        if let Some(opened) = counts.cut("TypedBuilder::open", when, opening).await.ready() {
            break opened.unwrap();
        }
    };
    let mut receiver = loop {
        let opening = pair.there.receiver(&target).from(Start::Earliest).typed::<Weighty>().open();
        let when = When::patient(&mut dice);
        if let Some(opened) = counts.cut("TypedBuilder::open", when, A::future(opening)).await.ready() {
            break opened.unwrap();
        }
    };
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for number in 0..dice.u64(5..60) {
        let value = (number, vec![7; dice.usize(..8 << 10)]);
        let when = When::patient(&mut dice);
        let done = match dice.bool() {
            true => counts.cut("Typed::send", when, sender.send(&value)).await,
            false => {
                let with = NewRecord::new("").key("key");
                counts.cut("Typed::send_with", when, sender.send_with(&value, with)).await
            }
        };
        if let Cut::Ready(done) = done {
            done.unwrap();
            sent.push(number);
        }
        let when =
            if received.len() < sent.len() { When::patient(&mut dice) } else { When::impatient(&mut dice) };
        if let Cut::Ready(value) = counts.cut("Typed::recv", when, receiver.recv()).await {
            received.push(value.unwrap().unwrap().value.0);
        }
    }
    sender.seal().await.unwrap();
    loop {
        match receiver.recv().await {
            Ok(Some(value)) => received.push(value.value.0),
            Ok(None) => break,
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Gap { .. }), "{error}"),
        }
    }
    assert_eq!(received, sent);
}
