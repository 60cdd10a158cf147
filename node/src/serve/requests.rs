//! Questions about channels that are answered once: STAT, LIST, SEAL, DELETE.

use netchan_proto::ChannelName;
use netchan_proto::conn::Connection;
use netchan_proto::limits::MAX_LIST;
use netchan_proto::wire::{Done, List, ListReply, StreamId};

use super::Shared;
use super::desk::Answer;
use super::refusal::refuse;

pub(super) fn stat(shared: &mut Shared, stream: StreamId, name: ChannelName) {
    let node = shared.node.clone();
    shared.desk.ask(stream, move || Answer::Stat(node.info(&name).map_err(refuse)));
}

pub(super) fn list(shared: &mut Shared, stream: StreamId, list: List) {
    let node = shared.node.clone();
    shared.desk.ask(stream, move || {
        let logs = node.list(list.after.as_ref(), &list.prefix, MAX_LIST + 1);
        Answer::List(logs.map_err(refuse).map(|mut logs| {
            let more = logs.len() > MAX_LIST;
            logs.truncate(MAX_LIST);
            ListReply { more, logs }
        }))
    });
}

pub(super) fn seal(shared: &mut Shared, stream: StreamId, name: ChannelName) {
    let node = shared.node.clone();
    shared.desk.ask(stream, move || {
        let sealed = node.seal(&name).map_err(refuse);
        Answer::Done(sealed.map(|end| Done { final_offset: Some(end) }))
    });
}

pub(super) fn delete(shared: &mut Shared, stream: StreamId, name: ChannelName) {
    let node = shared.node.clone();
    shared.desk.ask(stream, move || {
        Answer::Done(node.delete(&name).map_err(refuse).map(|()| Done { final_offset: None }))
    });
}

/// Sends the answer; one that is for a stream that is gone goes nowhere.
pub(super) fn answer(connection: &mut Connection, stream: StreamId, answer: Answer) {
    match answer {
        Answer::Stat(Ok(info)) => connection.stat_reply(stream, &info),
        Answer::List(Ok(reply)) => connection.list_reply(stream, &reply),
        Answer::Done(Ok(done)) => connection.done(stream, &done),
        Answer::Stat(Err(error)) | Answer::List(Err(error)) | Answer::Done(Err(error)) => {
            connection.stream_error(stream, error);
        }
        Answer::Found(_) | Answer::Run { .. } | Answer::Accepted(_) | Answer::Noted(_) | Answer::NotDone => {}
    }
}
