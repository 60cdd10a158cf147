//! What a scenario does with the handles of any runtime: everything blocks here.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use netchan_node::handles::{Adapter, Brings, Connects};
use netchan_node::words::{
    Error, Event, LogInfo, NewRecord, Note, Offset, PartitionedSender, PatternReceiver, Position, Producer,
    Received, ReceivedValue, Record, Start, Typed, TypedPatternReceiver, Value,
};

/// What a runtime gives in place of a `T`.
pub type Given<R, T> = <R as Adapter>::Given<T>;

/// A runtime under test: how its program waits, and what its streams are.
///
/// Each function is the method of that name of the handle that programs hold, and waits for what it gives.
pub trait Runtime:
    Adapter<Sender: Clone + Send + Sync, Receiver: Send> + Brings<Self::Brought> + Connects<Self::Attempt>
{
    /// A byte stream that a program brings.
    type Brought: Send + 'static;
    /// What a program's closure gives that makes streams.
    type Attempt: 'static;
    /// What became of a record.
    type Sent: Send;

    /// Waits, in a program of this runtime.
    fn wait<T: Send + 'static>(given: impl FnOnce() -> Given<Self, T>) -> T;

    /// How many tasks of nodes have not ended in this process, if it can say; where each has a thread, so many threads.
    fn tasks() -> Option<usize> {
        None
    }

    /// A stream of this machine, as a program of this runtime has it.
    fn brought(stream: UnixStream) -> Self::Brought;

    /// What a program's closure gives that makes this stream.
    fn attempt(stream: UnixStream) -> Self::Attempt;

    /// A listener as a program of this runtime has it.
    fn listener(listener: TcpListener) -> Self::Listener;

    /// See the sender.
    fn send(sender: &Self::Sender, record: NewRecord) -> Result<Self::Sent, Error>;
    /// See the sender.
    fn try_send(sender: &Self::Sender, record: NewRecord) -> Result<Self::Sent, Error>;
    /// [`PartitionedSender::send`](netchan_node::PartitionedSender).
    fn send_keyed(sender: &PartitionedSender<Self>, record: NewRecord) -> Result<Self::Sent, Error>;
    /// [`PartitionedSender::flush`](netchan_node::PartitionedSender).
    fn flush_all(sender: &PartitionedSender<Self>) -> Result<(), Error>;
    /// [`PartitionedSender::seal`](netchan_node::PartitionedSender).
    fn seal_all(sender: &PartitionedSender<Self>) -> Result<Vec<Offset>, Error>;
    /// See the sender.
    fn flush(sender: &Self::Sender) -> Result<(), Error>;
    /// See the sender.
    fn seal(sender: &Self::Sender) -> Result<Offset, Error>;
    /// See the sender.
    fn close(sender: &Self::Sender) -> Result<(), Error>;
    /// See the sender.
    fn info(sender: &Self::Sender) -> Result<LogInfo, Error>;
    /// See the sender.
    fn producer(sender: &Self::Sender) -> Result<Producer, Error>;
    /// See the sender.
    fn note(sender: &Self::Sender, next_sequence: u64, note: Note) -> Result<(), Error>;
    /// See the sender.
    fn sender_event(sender: &Self::Sender) -> Option<Event>;
    /// See the sender.
    fn receivers(sender: &Self::Sender) -> Result<usize, Error>;
    /// See the sender.
    fn wait_until_ready(sender: &Self::Sender, receivers: usize) -> Result<(), Error>;
    /// See the sender.
    fn done(sender: &Self::Sender) -> Result<usize, Error>;
    /// See the sender.
    fn send_to(sender: &Self::Sender, receivers: usize, record: NewRecord) -> Result<Self::Sent, Error>;
    /// See the sender.
    fn send_batch(sender: &Self::Sender, records: Vec<NewRecord>) -> Result<Option<Self::Sent>, Error>;
    /// See what became of a record.
    fn written(sent: &Self::Sent) -> Result<(), Error>;
    /// See what became of a record.
    fn durable(sent: &Self::Sent) -> Result<(), Error>;
    /// See what became of a record.
    fn offset(sent: &Self::Sent) -> Option<Offset>;
    /// See the sender of values.
    fn send_value<T: 'static>(sender: &Typed<Self::Sender, T>, value: &T) -> Result<Self::Sent, Error>;
    /// See the receiver of values.
    fn recv_value<T: 'static>(receiver: &mut Typed<Self::Receiver, T>) -> Result<Option<Value<T>>, Error>;
    /// See the receiver.
    fn recv(receiver: &mut Self::Receiver) -> Result<Option<Record>, Error>;
    /// See the receiver.
    fn recv_batch(receiver: &mut Self::Receiver, most: usize) -> Result<Vec<Record>, Error>;
    /// Gives up after this time: then nothing, and nothing is lost.
    fn recv_for(receiver: &mut Self::Receiver, time: Duration) -> Option<Result<Option<Record>, Error>>;
    /// See the receiver.
    fn next_event(receiver: &mut Self::Receiver) -> Option<Event>;
    /// See the receiver.
    fn position(receiver: &Self::Receiver) -> Option<Position>;
    /// See the receiver of many channels.
    fn recv_of(receiver: &mut PatternReceiver<Self>) -> Result<Option<Received>, Error>;
    /// See the receiver of the values of many channels.
    fn value_of<T: 'static>(
        receiver: &mut TypedPatternReceiver<Self, T>,
    ) -> Result<Option<ReceivedValue<T>>, Error>;
    /// See the receiver of many channels.
    fn event_of(receiver: &mut PatternReceiver<Self>) -> Option<Event>;
    /// See the receiver.
    fn commit(receiver: &mut Self::Receiver, position: Position) -> Result<(), Error>;
    /// See the receiver.
    fn seek(receiver: &mut Self::Receiver, start: Start);
}

/// What the methods of handles that are awaited have in common, for [`Runtime`]: `$wait` blocks on a future.
#[macro_export]
macro_rules! awaited {
    ($wait:path) => {
        type Sent = netchan_node::Sent;

        fn wait<T: Send + 'static>(given: impl FnOnce() -> $crate::Given<Self, T>) -> T {
            $wait(async move { given().await })
        }

        fn send(sender: &Self::Sender, record: NewRecord) -> Result<Self::Sent, Error> {
            $wait(sender.send(record))
        }

        fn try_send(sender: &Self::Sender, record: NewRecord) -> Result<Self::Sent, Error> {
            sender.try_send(record)
        }

        fn send_keyed(sender: &PartitionedSender<Self>, record: NewRecord) -> Result<Self::Sent, Error> {
            $wait(sender.send(record))
        }

        fn flush_all(sender: &PartitionedSender<Self>) -> Result<(), Error> {
            $wait(sender.flush())
        }

        fn seal_all(sender: &PartitionedSender<Self>) -> Result<Vec<Offset>, Error> {
            $wait(sender.seal())
        }

        fn flush(sender: &Self::Sender) -> Result<(), Error> {
            $wait(sender.flush())
        }

        fn seal(sender: &Self::Sender) -> Result<Offset, Error> {
            $wait(sender.seal())
        }

        fn close(sender: &Self::Sender) -> Result<(), Error> {
            $wait(sender.close())
        }

        fn info(sender: &Self::Sender) -> Result<LogInfo, Error> {
            $wait(sender.info())
        }

        fn producer(sender: &Self::Sender) -> Result<Producer, Error> {
            $wait(sender.producer())
        }

        fn note(sender: &Self::Sender, next_sequence: u64, note: Note) -> Result<(), Error> {
            $wait(sender.note(next_sequence, note))
        }

        fn sender_event(sender: &Self::Sender) -> Option<Event> {
            $wait(sender.next_event())
        }

        fn receivers(sender: &Self::Sender) -> Result<usize, Error> {
            sender.receivers()
        }

        fn wait_until_ready(sender: &Self::Sender, receivers: usize) -> Result<(), Error> {
            $wait(sender.wait_until_ready(receivers))
        }

        fn done(sender: &Self::Sender) -> Result<usize, Error> {
            $wait(sender.done())
        }

        fn send_to(sender: &Self::Sender, receivers: usize, record: NewRecord) -> Result<Self::Sent, Error> {
            $wait(sender.send_to(receivers, record))
        }

        fn send_batch(sender: &Self::Sender, records: Vec<NewRecord>) -> Result<Option<Self::Sent>, Error> {
            $wait(sender.send_batch(records))
        }

        fn written(sent: &Self::Sent) -> Result<(), Error> {
            $wait(sent.written())
        }

        fn durable(sent: &Self::Sent) -> Result<(), Error> {
            $wait(sent.durable())
        }

        fn offset(sent: &Self::Sent) -> Option<Offset> {
            sent.offset()
        }

        fn send_value<T: 'static>(sender: &Typed<Self::Sender, T>, value: &T) -> Result<Self::Sent, Error> {
            $wait(sender.send(value))
        }

        fn recv_value<T: 'static>(
            receiver: &mut Typed<Self::Receiver, T>,
        ) -> Result<Option<Value<T>>, Error> {
            $wait(receiver.recv())
        }

        fn recv(receiver: &mut Self::Receiver) -> Result<Option<Record>, Error> {
            $wait(receiver.recv())
        }

        fn recv_batch(receiver: &mut Self::Receiver, most: usize) -> Result<Vec<Record>, Error> {
            $wait(receiver.recv_batch(most))
        }

        fn next_event(receiver: &mut Self::Receiver) -> Option<Event> {
            $wait(receiver.next_event())
        }

        fn position(receiver: &Self::Receiver) -> Option<Position> {
            receiver.position()
        }

        fn commit(receiver: &mut Self::Receiver, position: Position) -> Result<(), Error> {
            $wait(receiver.commit(position))
        }

        fn recv_of(receiver: &mut PatternReceiver<Self>) -> Result<Option<Received>, Error> {
            $wait(receiver.recv())
        }

        fn value_of<T: 'static>(
            receiver: &mut TypedPatternReceiver<Self, T>,
        ) -> Result<Option<ReceivedValue<T>>, Error> {
            $wait(receiver.recv())
        }

        fn event_of(receiver: &mut PatternReceiver<Self>) -> Option<Event> {
            $wait(receiver.next_event())
        }

        fn seek(receiver: &mut Self::Receiver, start: Start) {
            receiver.seek(start);
        }
    };
}
