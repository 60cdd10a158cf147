//! What tests of senders say again and again.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use netchan_node::{Error, ErrorKind, Publisher, PublisherCore, PublisherOptions, Sender, Sent};
use netchan_proto::ProducerId;

use super::{name, node};

pub(crate) const PRODUCER: ProducerId = ProducerId([5; 16]);

pub(crate) fn options() -> PublisherOptions {
    PublisherOptions::new(name(), PRODUCER)
}

pub(crate) fn publisher(options: PublisherOptions) -> (PublisherCore, Publisher, Sender) {
    let (core, handle) = PublisherCore::new(&node(), options);
    let sender = Sender::remote(handle.clone());
    (core, handle, sender)
}

pub(crate) fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

pub(crate) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

pub(crate) fn send(sender: &Sender, range: std::ops::Range<u32>) -> Vec<Sent> {
    range.map(|number| now(sender.send(number.to_string())).unwrap().unwrap()).collect()
}

pub(crate) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(crate) fn kind(result: Option<Result<(), Error>>) -> ErrorKind {
    result.unwrap().unwrap_err().kind()
}
