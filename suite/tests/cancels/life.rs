//! A schedule of a node: it starts, is used, and shuts down.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use netchan_node::Handle;
use netchan_node::words::{ErrorKind, Left, NewRecord, Offset, Side, Start};
use netchan_suite::payload;
use tempfile::tempdir;

use crate::cut::{Counts, When};
use crate::play::Scene;
use crate::runtimes::Awaited;

const LONG: Duration = Duration::from_secs(60);

/// What was sent is kept and delivered, however often starting and shutting down were dropped on the way.
pub(crate) async fn live<A: Awaited>(scene: &Scene<'_, A>, seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let (counts, dir) = (scene.counts, tempdir().unwrap());
    let name = format!("life-{seed}");
    let mut has_dropped = false;
    let node = loop {
        let starting = Handle::<A>::builder().data_dir(dir.path()).listen("127.0.0.1:0").start();
        match counts.cut("NodeBuilder::start", When::patient(&mut dice), A::future(starting)).await.ready() {
            Some(Ok(node)) => break node,
            // One that was dropped may be on its way out still.
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                thread::sleep(Duration::from_millis(1));
            }
            None => has_dropped = true,
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

    let node = loop {
        match A::future(Handle::<A>::builder().data_dir(dir.path()).start()).await {
            // By a start that was dropped before it came to its turn.
            Err(error) if has_dropped && error.kind() == ErrorKind::Locked => {
                thread::sleep(Duration::from_millis(1));
            }
            node => break node.unwrap(),
        }
    };
    let reading = node.receiver("kept").from(Start::Earliest).follow(false);
    let mut receiver = A::future(reading.open()).await.unwrap();
    for number in 0..count {
        let record = receiver.recv().await.unwrap().unwrap();
        assert!(record.offset == Offset(number) && record.payload == payload(number));
    }
    assert!(receiver.recv().await.unwrap().is_none());
}

/// Futures that wait, with all that they hold, and then the handles: where no runtime is, nothing panics or hangs.
pub(crate) fn dropped_elsewhere<A: Awaited>() {
    let (counts, dir) = (Counts::default(), tempdir().unwrap());
    let scene = Scene::<A>::new(&counts);
    let mut begun: Vec<Box<dyn Any + Send>> = Vec::new();
    A::block_on(async {
        let (here, there, address) = (&scene.pair.here, &scene.pair.there, scene.pair.address);
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let publisher = A::future(there.sender(format!("{nobody}/never")).open()).await.unwrap();
        let sent = publisher.send(NewRecord::new("undelivered")).await.unwrap();
        let never = there.receiver(format!("{address}/never")).open();
        let mut receiver = A::future(never).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        begun.push(once(A::future(Handle::<A>::builder().data_dir(dir.path()).start())).await);
        begun.push(once(A::future(there.receiver(format!("{address}/other")).open())).await);
        begun.push(once(A::future(here.receiver("at-home").open())).await);
        begun.push(once(A::future(there.receiver("x").accept_on(A::listener(listener)).open())).await);
        begun.push(once(A::future(here.serve_stream(A::brought(far), Side::Listener))).await);
        begun.push(once(A::future(here.dial(address.to_string()))).await);
        begun.push(once(A::future(here.sender("new").open())).await);
        begun.push(once(A::future(there.info(format!("{address}/never")))).await);
        begun.push(once(A::future(here.own_status())).await);
        begun.push(once(sent.durable()).await);
        begun.push(once(A::future(there.shutdown(LONG))).await);
        assert!(receiver_waits::<A>(&mut receiver).await);
        begun.push(Box::new((near, receiver, publisher, sent)));
    });
    let Scene { pair, .. } = scene;
    thread::spawn(move || {
        drop(begun);
        drop((pair.there, pair.here));
    })
    .join()
    .unwrap();
}

/// Polls it once, and gives it back.
async fn once<F: Future<Output: Send> + Unpin + Send + 'static>(mut future: F) -> Box<dyn Any + Send> {
    poll_fn(|cx| {
        let _ = std::pin::Pin::new(&mut future).poll(cx);
        Poll::Ready(())
    })
    .await;
    Box::new(future)
}

async fn receiver_waits<A: Awaited>(receiver: &mut A::Receiver) -> bool {
    poll_fn(|cx| Poll::Ready(receiver.poll_recv(cx).is_pending())).await
}
