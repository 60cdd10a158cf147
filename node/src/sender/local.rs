//! Sending into a log of this node where that takes more than an append: as a producer, and what blocks.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use netchan_proto::batch::{Batch, BatchBuilder, Stamp};
use netchan_proto::wire::Note;
use netchan_proto::{Epoch, Offset, ProducerId, RecordRef, Timestamp};
use netchan_store::{AppendError, Log, Store};

use super::Sent;
use crate::error::{Error, ErrorKind};
use crate::job::Job;
use crate::node::note_key;
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

    pub(super) fn producer(&self) -> Result<Producer, Error> {
        let note = match self.store.state().get(&note_key(self.log.id(), self.id)) {
            Some(kept) => Note::new(kept.slice(kept.len().min(8)..)),
            None => Ok(Note::default()),
        };
        let note =
            note.map_err(|error| Error::new(ErrorKind::Damaged, error.to_string()).about(self.log.name()))?;
        Ok(Producer { id: self.id, next_sequence: *lock(&self.next), note })
    }

    pub(super) async fn note(
        self: &Arc<Self>,
        jobs: &Jobs,
        next_sequence: u64,
        note: Note,
    ) -> Result<(), Error> {
        let next = *lock(&self.next);
        if next != next_sequence {
            let text = format!("a note for sequence {next_sequence}, but the next one is {next}");
            return Err(Error::new(ErrorKind::Config, text).about(self.log.name()));
        }
        let own = Arc::clone(self);
        let value = [&next_sequence.to_le_bytes()[..], note.bytes()].concat();
        jobs.run(move || {
            own.log.sync()?; // what the note speaks of is safe before the note is
            Ok(own.store.state().put(&note_key(own.log.id(), own.id), &value)?)
        })
        .await
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

/// Where work that blocks on the disk is done.
#[derive(Clone, Default)]
pub(super) struct Jobs(pub(super) Option<JobRunner>);

/// Runs a job on a thread that may block.
pub type JobRunner = Arc<dyn Fn(Job) + Send + Sync>;

impl Jobs {
    /// Does `work`, and waits for what comes of it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(runner) = &self.0 else { return work() };
        let reply = Arc::new(Reply::default());
        let owed = Owed(Some(Arc::clone(&reply)));
        runner(Job::new(move || owed.give(work())));
        poll_fn(move |cx| reply.poll(cx.waker())).await
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Jobs(elsewhere)" } else { "Jobs(here)" })
    }
}

/// An answer that is given in any case: a job that is dropped says so.
struct Owed<T>(Option<Arc<Reply<Result<T, Error>>>>);

impl<T> Owed<T> {
    fn give(mut self, answer: Result<T, Error>) {
        if let Some(reply) = self.0.take() {
            reply.give(answer);
        }
    }
}

impl<T> Drop for Owed<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply.give(Err(Error::new(ErrorKind::Closed, "it was not done: the program is stopping")));
        }
    }
}
