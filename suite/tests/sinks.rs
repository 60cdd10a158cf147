//! Senders as sinks, with the runtimes that are awaited.
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;
use std::pin::Pin;

use futures_sink::Sink;
use netchan_node::Sender;
use netchan_node::handles::Adapter;
use netchan_node::words::{Error, ErrorKind, NewRecord, StoreOptions};
use netchan_node::{Handle, handles::Receiver};
use netchan_smol::Smol;
use netchan_suite::{Pair, Runtime, payload};
use netchan_tokio::Tokio;

/// What the crate `futures` calls `SinkExt::feed`.
async fn feed<T>(sink: &mut (impl Sink<T, Error = Error> + Unpin), item: T) -> Result<(), Error> {
    poll_fn(|cx| Pin::new(&mut *sink).poll_ready(cx)).await?;
    Pin::new(sink).start_send(item)
}

async fn flush<T>(sink: &mut (impl Sink<T, Error = Error> + Unpin)) -> Result<(), Error> {
    poll_fn(|cx| Pin::new(&mut *sink).poll_flush(cx)).await
}

async fn close<T>(sink: &mut (impl Sink<T, Error = Error> + Unpin)) -> Result<(), Error> {
    poll_fn(|cx| Pin::new(&mut *sink).poll_close(cx)).await
}

fn run<A>()
where
    A: Blocking + Adapter<Sender = Sender, Receiver = Receiver<A>>,
{
    let dir = tempfile::tempdir().unwrap();
    // So little that senders wait for the disk.
    let store = StoreOptions { max_queued: 64 << 10, ..StoreOptions::default() };
    let here = Handle::<A>::builder().data_dir(dir.path()).listen("127.0.0.1:0").store(store);
    let here = A::wait(|| here.start()).unwrap();
    let there = A::wait(|| Handle::<A>::builder().start()).unwrap();
    let address = here.local_addr().unwrap();
    let pair = Pair::<A, A> { here, there, address, dir };
    for (name, is_remote) in [("here", false), ("there", true)] {
        let mut receiver = pair.receiver(name);
        let sender = match is_remote {
            true => A::wait(|| pair.there.sender(pair.target(name)).open()).unwrap(),
            false => pair.sender(name),
        };
        let others = sender.clone();
        A::block(async move {
            let mut sink = sender.into_sink::<Vec<u8>>();
            for number in 0..2000 {
                feed(&mut sink, payload(number)).await.unwrap();
            }
            flush(&mut sink).await.unwrap();
            assert!(sink.sender().info().await.unwrap().durable.0 >= 2000);
            feed(&mut sink, b"the last".to_vec()).await.unwrap();
            close(&mut sink).await.unwrap();
            // The channel is not sealed, and not closed to others.
            let mut sink = others.clone().into_sink();
            feed(&mut sink, NewRecord::new("another").key("k")).await.unwrap();
            flush(&mut sink).await.unwrap();
            // One that waits is not sent by who only drops the sink.
            feed(&mut sink, NewRecord::new("not this")).await.unwrap();
            drop(sink);
            others.seal().await.unwrap();
            // What refuses a record is told for it, and the sink goes on.
            let mut sink = others.into_sink();
            for _ in 0..2 {
                feed(&mut sink, NewRecord::new("too late")).await.unwrap();
                assert_eq!(flush(&mut sink).await.unwrap_err().kind(), ErrorKind::Sealed);
            }
            for number in 0..2000 {
                assert!(receiver.recv().await.unwrap().unwrap().payload == payload(number));
            }
            assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "the last");
            assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "another");
            assert!(receiver.recv().await.unwrap().is_none());
        });
    }
    let values = A::wait(|| pair.here.sender("values").typed::<(u64, String)>().open()).unwrap();
    let receiver = pair.there.receiver(pair.target("values")).from(netchan_node::words::Start::Earliest);
    let mut receiver = A::wait(|| receiver.typed::<(u64, String)>().open()).unwrap();
    A::block(async move {
        let mut sink = values.into_sink();
        for number in 0..100 {
            feed(&mut sink, (number, number.to_string())).await.unwrap();
        }
        close(&mut sink).await.unwrap();
        let mut next = 0;
        while next < 100 {
            for value in receiver.recv_batch(30).await.unwrap() {
                assert_eq!(value.unwrap().value, (next, next.to_string()));
                next += 1;
            }
        }
    });
}

/// How a program of this runtime waits for a future of its own.
trait Blocking: Runtime {
    fn block<F: Future<Output = ()> + Send + 'static>(future: F);
}

impl Blocking for Tokio {
    fn block<F: Future<Output = ()> + Send + 'static>(future: F) {
        Tokio::wait(|| Box::pin(future));
    }
}

impl Blocking for Smol {
    fn block<F: Future<Output = ()> + Send + 'static>(future: F) {
        smol::block_on(future);
    }
}

#[test]
fn a_sender_of_tokio_is_a_sink() {
    run::<Tokio>();
}

#[test]
fn a_sender_of_smol_is_a_sink() {
    run::<Smol>();
}
