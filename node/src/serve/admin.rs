//! Requests about how channels are kept: CREATE, CHANGE, TRUNCATE, DESCRIBE.

use netchan_proto::ChannelName;
use netchan_proto::wire::{Description, Keep, StreamId, Truncate};

use super::Shared;
use super::answer::Answer;
use super::refusal::refuse;
use crate::error::Error;
use crate::node::Node;

fn ask(
    shared: &mut Shared,
    stream: StreamId,
    work: impl FnOnce(&Node) -> Result<Description, Error> + Send + 'static,
) {
    shared.counted.requests.add(1);
    let node = shared.node.clone();
    shared.desk.ask(stream, move || Answer::Description(work(&node).map(Box::new).map_err(refuse)));
}

pub(super) fn create(shared: &mut Shared, stream: StreamId, keep: Keep) {
    ask(shared, stream, move |node| node.create(&keep));
}

pub(super) fn change(shared: &mut Shared, stream: StreamId, keep: Keep) {
    ask(shared, stream, move |node| node.change(&keep));
}

pub(super) fn truncate(shared: &mut Shared, stream: StreamId, truncate: Truncate) {
    ask(shared, stream, move |node| node.truncate(&truncate));
}

pub(super) fn describe(shared: &mut Shared, stream: StreamId, name: ChannelName) {
    ask(shared, stream, move |node| node.describe(&name));
}
