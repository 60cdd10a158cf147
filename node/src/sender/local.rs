//! Sending into a log of this node where that takes more than an append: as a producer, and what blocks.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::thread;

use netchan_proto::batch::{Batch, BatchBuilder, Stamp};
use netchan_proto::wire::Note;
use netchan_proto::{Epoch, Offset, ProducerId, RecordRef, Timestamp};
use netchan_store::{AppendError, Log, Store};

use super::Sent;
use crate::error::{Error, ErrorKind};
use crate::publisher::Producer;
use crate::reply::Reply;
use crate::wake::lock;

/// A producer whose channel is this node's: it numbers its records, and the log knows which it has.
#[derive(Debug)]
pub(super) struct LocalProducer {
    store: Store,
    log: Log,
    id: ProducerId,
    next: Mutex<u64>,
}

impl LocalProducer {
    pub(super) fn new(store: Store, log: Log, id: ProducerId) -> LocalProducer {
        let next = Mutex::new(log.next_sequence(id));
        LocalProducer { store, log, id, next }
    }

    fn append(&self, record: &RecordRef<'_>) -> Result<Sent, AppendError> {
        record.check()?;
        let mut next = lock(&self.next);
        let mut builder = BatchBuilder::reusing(Vec::new(), Offset(*next), None);
        builder.push(Timestamp(0), record);
        let stamp =
            Stamp { seed: &self.id.0, epoch: Epoch(0), durable_offset: Offset::ZERO, previous_crc: 0 };
        let batch = Batch::verify(builder.finish(stamp).1, &self.id.0)
            .map_err(|_| AppendError::NotPublishable { why: "it was not built as a batch" })?;
        let appended = self.log.append_batch(self.id, &batch)?;
        *next += 1;
        Ok(Sent::repeated(self.log.clone(), appended.first_offset, appended.end))
    }

    /// Where the note stands, as [`crate::serve`] keeps the notes of publishers too.
    fn note_key(&self) -> Vec<u8> {
        [&b"note/"[..], &self.log.id().0, &self.id.0].concat()
    }

    pub(super) fn producer(&self) -> Result<Producer, Error> {
        let note = match self.store.state().get(&self.note_key()) {
            Some(kept) => Note::new(kept.slice(kept.len().min(8)..)),
            None => Ok(Note::default()),
        };
        let note =
            note.map_err(|error| Error::new(ErrorKind::Damaged, error.to_string()).about(self.log.name()))?;
        Ok(Producer { id: self.id, next_sequence: *lock(&self.next), note })
    }

    pub(super) async fn note(self: &Arc<Self>, next_sequence: u64, note: Note) -> Result<(), Error> {
        let next = *lock(&self.next);
        if next != next_sequence {
            let text = format!("a note for sequence {next_sequence}, but the next one is {next}");
            return Err(Error::new(ErrorKind::Config, text).about(self.log.name()));
        }
        let own = Arc::clone(self);
        let value = [&next_sequence.to_le_bytes()[..], note.bytes()].concat();
        blocking("netchan-note", move || Ok(own.store.state().put(&own.note_key(), &value)?)).await
    }
}

/// Queues a record, as a producer's if there is one.
#[inline]
pub(super) fn append(
    log: &Log,
    producer: Option<&LocalProducer>,
    record: &RecordRef<'_>,
) -> Result<Sent, AppendError> {
    match producer {
        None => Ok(Sent::local(log.clone(), log.append(record)?)),
        Some(producer) => producer.append(record),
    }
}

/// Seals a log of this node.
pub(super) async fn seal(log: &Log) -> Result<Offset, Error> {
    let log = log.clone();
    blocking("netchan-seal", move || Ok(log.seal()?)).await
}

/// Runs `work`, which blocks on the disk and is rare, on a thread of its own.
async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let reply = Arc::new(Reply::default());
    let given = Arc::clone(&reply);
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || given.give(work()))
        .map_err(|error| Error::new(ErrorKind::Io, format!("no thread could be started: {error}")))?;
    poll_fn(move |cx| reply.poll(cx.waker())).await
}
