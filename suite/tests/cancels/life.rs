//! A schedule of a node: it starts, is used, and shuts down.

use std::time::Duration;

use netchan_node::Handle;
use netchan_node::words::{ErrorKind, Left, NewRecord, Offset, Start};
use netchan_suite::payload;
use tempfile::tempdir;

use crate::cut::When;
use crate::play::Scene;
use crate::runtimes::Awaited;

const LONG: Duration = Duration::from_secs(60);

/// What was sent is kept and delivered, however often starting and shutting down were dropped on the way.
pub(crate) async fn live<A: Awaited>(scene: &Scene<'_, A>, seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let (counts, dir) = (scene.counts, tempdir().unwrap());
    let name = format!("life-{seed}");
    let node = loop {
        let starting = Handle::<A>::builder().data_dir(dir.path()).listen("127.0.0.1:0").start();
        match counts.cut("NodeBuilder::start", When::patient(&mut dice), A::future(starting)).await.ready() {
            Some(Ok(node)) => break node,
            // One that was dropped may be on its way out still.
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                std::thread::sleep(Duration::from_millis(1));
            }
            None => {}
        }
    };
    let (here, there) = (node.sender("kept"), node.sender(scene.pair.target(&name)));
    let (here, there) = (A::future(here.open()).await.unwrap(), A::future(there.open()).await.unwrap());
    let count = dice.u64(1..50);
    for number in 0..count {
        here.send(NewRecord::new(payload(number))).await.unwrap();
        there.send(NewRecord::new(payload(number))).await.unwrap();
    }
    let mut left = None;
    for _ in 0..dice.u8(..4) {
        let shutting =
            counts.cut("Handle::shutdown", When::patient(&mut dice), A::future(node.shutdown(LONG)));
        let shut = shutting.await;
        if shut.has_begun() {
            let late = A::future(node.sender("late").open()).await.map(drop);
            assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
            let late = there.send(NewRecord::new("late")).await.map(drop);
            assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
        }
        left = left.or(shut.ready());
    }
    // It waits for what those that were dropped would have waited for.
    let again = A::future(node.shutdown(LONG)).await.unwrap();
    assert_eq!(left.unwrap_or(Ok(again)).unwrap(), Left::default());
    assert_eq!(A::future(scene.pair.here.info(&name)).await.unwrap().next, Offset(count));
    A::future(scene.pair.here.delete(&name)).await.unwrap();
    drop((node, here, there));

    let node = A::future(Handle::<A>::builder().data_dir(dir.path()).start()).await.unwrap();
    let reading = node.receiver("kept").from(Start::Earliest).follow(false);
    let mut receiver = A::future(reading.open()).await.unwrap();
    for number in 0..count {
        let record = receiver.recv().await.unwrap().unwrap();
        assert!(record.offset == Offset(number) && record.payload == payload(number));
    }
    assert!(receiver.recv().await.unwrap().is_none());
}
