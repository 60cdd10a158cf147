//! Questions about channels that are answered once: STAT, LIST, SEAL, DELETE, STATUS, READERS.

use netchan_proto::ChannelName;
use netchan_proto::limits::MAX_LIST;
use netchan_proto::wire::{Done, List, ListReply, Readers, StreamId};

use super::Shared;
use super::answer::Answer;
use super::refusal::refuse;
use crate::node::Node;

fn begin(shared: &Shared) -> Node {
    shared.counted.requests.add(1);
    shared.node.clone()
}

pub(super) fn stat(shared: &mut Shared, stream: StreamId, name: ChannelName) {
    let node = begin(shared);
    shared.desk.ask(stream, move || Answer::Stat(node.info(&name).map_err(refuse)));
}

pub(super) fn list(shared: &mut Shared, stream: StreamId, list: List) {
    let node = begin(shared);
    shared.desk.ask(stream, move || {
        let logs = node.list(list.after.as_ref(), &list.prefix.into(), MAX_LIST + 1);
        Answer::List(logs.map_err(refuse).map(|mut logs| {
            let more = logs.len() > MAX_LIST;
            logs.truncate(MAX_LIST);
            ListReply { more, logs }
        }))
    });
}

pub(super) fn seal(shared: &mut Shared, stream: StreamId, name: ChannelName) {
    let node = begin(shared);
    shared.desk.ask(stream, move || {
        let sealed = node.seal(&name).map_err(refuse);
        Answer::Done(sealed.map(|end| Done { final_offset: Some(end) }))
    });
}

pub(super) fn delete(shared: &mut Shared, stream: StreamId, name: ChannelName) {
    let node = begin(shared);
    shared.desk.ask(stream, move || {
        Answer::Done(node.delete(&name).map_err(refuse).map(|()| Done { final_offset: None }))
    });
}

pub(super) fn status(shared: &mut Shared, stream: StreamId) {
    let node = begin(shared);
    shared.desk.ask(stream, move || Answer::Status(Box::new(node.status())));
}

pub(super) fn readers(shared: &mut Shared, stream: StreamId, readers: Readers) {
    let node = begin(shared);
    shared.desk.ask(stream, move || Answer::Readers(node.readers(&readers)));
}

/// Sends the answer; one that is for a stream that is gone goes nowhere.
pub(super) fn answer(shared: &mut Shared, stream: StreamId, answer: Answer) {
    let connection = &mut shared.connection;
    match answer {
        Answer::Stat(Ok(info)) => connection.stat_reply(stream, &info),
        Answer::List(Ok(reply)) => connection.list_reply(stream, &reply),
        Answer::Done(Ok(done)) => connection.done(stream, &done),
        Answer::Readers(reply) => connection.readers_reply(stream, &reply),
        Answer::Status(status) => connection.status_reply(stream, &status),
        Answer::Cursor(Ok(info)) => connection.cursor_reply(stream, &info),
        Answer::Cursors(Ok(reply)) => connection.cursors_reply(stream, &reply),
        Answer::Description(Ok(description)) => connection.description(stream, &description),
        Answer::Stat(Err(error))
        | Answer::List(Err(error))
        | Answer::Done(Err(error))
        | Answer::Cursor(Err(error))
        | Answer::Cursors(Err(error))
        | Answer::Description(Err(error)) => {
            shared.refuse(stream, error);
        }
        Answer::Found(_) | Answer::Run { .. } | Answer::Accepted(_) | Answer::Noted(_) | Answer::NotDone => {}
    }
}
