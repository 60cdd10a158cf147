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
    let (name, target) = (format!("values-{seed}/all"), pair.target(&format!("values-{seed}/all")));
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
    // Of a batch that was dropped the first may have been sent.
    let (mut sent, mut begun, mut received) = (Vec::new(), Vec::<Vec<u64>>::new(), Vec::new());
    for number in 0..dice.u64(5..60) {
        let value = (number, vec![7; dice.usize(..8 << 10)]);
        let when = When::patient(&mut dice);
        if dice.u8(..8) == 0 {
            let batch: Vec<Weighty> =
                (0..5).map(|n| (number * 10 + n, vec![7; dice.usize(..8 << 10)])).collect();
            let numbers = batch.iter().map(|(number, _)| *number);
            match counts.cut("Typed::send_batch", when, sender.send_batch(&batch)).await {
                Cut::Ready(done) => {
                    done.unwrap().unwrap();
                    sent.extend(numbers);
                }
                Cut::Dropped { .. } => begun.push(numbers.collect()),
            }
            continue;
        }
        let value = (number * 10, value.1);
        if dice.u8(..8) == 0 {
            // The receiver tells nothing unless it is asked for more, and another node does not know who receives.
            let when = When::impatient(&mut dice);
            match counts.cut("Typed::send_to", when, sender.send_to(1, &value)).await {
                Cut::Ready(Err(error)) => assert!(!is_local && error.kind() == ErrorKind::Config, "{error}"),
                Cut::Ready(Ok(_)) => sent.push(number * 10),
                Cut::Dropped { .. } => begun.push(vec![number * 10]),
            }
            continue;
        }
        let done = match dice.bool() {
            true => counts.cut("Typed::send", when, sender.send(&value)).await,
            false => {
                let with = NewRecord::new("").key("key");
                counts.cut("Typed::send_with", when, sender.send_with(&value, with)).await
            }
        };
        if let Cut::Ready(done) = done {
            done.unwrap();
            sent.push(number * 10);
        }
        let when =
            if received.len() < sent.len() { When::patient(&mut dice) } else { When::impatient(&mut dice) };
        if dice.u8(..4) == 0 {
            let most = dice.usize(..20);
            if let Cut::Ready(values) = counts.cut("Typed::recv_batch", when, receiver.recv_batch(most)).await
            {
                received.extend(values.unwrap().into_iter().map(|value| value.unwrap().value.0));
            }
        } else if let Cut::Ready(value) = counts.cut("Typed::recv", when, receiver.recv()).await {
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
    let mut of_many = loop {
        let pattern = pair.target(&format!("values-{seed}/*"));
        let builder = pair.there.receiver_of(pattern).from(Start::Earliest).follow(false);
        let when = When::patient(&mut dice);
        let opening = A::future(builder.typed::<Weighty>().open());
        if let Some(opened) = counts.cut("TypedBuilder::open", when, opening).await.ready() {
            break opened.unwrap();
        }
    };
    let mut again = Vec::new();
    loop {
        let when = When::patient(&mut dice);
        match counts.cut("TypedPatternReceiver::recv", when, of_many.recv()).await {
            Cut::Ready(Ok(Some(value))) => again.push(value.value.0),
            Cut::Ready(Ok(None)) => break,
            Cut::Ready(Err(error)) => assert!(matches!(error.kind(), ErrorKind::Gap { .. }), "{error}"),
            Cut::Dropped { .. } => {}
        }
    }
    assert_eq!(again, received, "one of many channels gives the same");
    for batch in begun {
        let count = received.iter().filter(|number| batch.contains(number)).count();
        let at = received.iter().position(|number| *number == batch[0]).unwrap_or(0);
        assert_eq!(received.drain(at..at + count).collect::<Vec<_>>(), batch[..count]);
    }
    assert_eq!(received, sent);
}
