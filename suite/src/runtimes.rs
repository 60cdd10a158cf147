//! The runtimes of this repository.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use netchan_node::words::{
    Error, ErrorKind, Event, LogInfo, NewRecord, Note, Offset, PartitionedSender, PatternReceiver, Position,
    Producer, Received, ReceivedValue, Record, Start, Typed, TypedPatternReceiver, Value,
};
use netchan_smol::Smol;
use netchan_std::Std;
use netchan_tokio::Tokio;

use crate::runtime::{Given, Runtime};

mod of_tokio {
    use std::sync::LazyLock;
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};

    /// One for all tests of a process. Threads that have nothing to do soon end, so that those can be counted which are left.
    pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).thread_keep_alive(Duration::from_millis(100)).enable_all().build().unwrap()
    });

    pub(super) fn wait<F: Future>(future: F) -> F::Output {
        RUNTIME.block_on(future)
    }
}

impl Runtime for Tokio {
    type Brought = tokio::net::UnixStream;
    type Attempt = std::future::Ready<io::Result<tokio::net::UnixStream>>;

    crate::awaited!(of_tokio::wait);

    fn tasks() -> Option<usize> {
        Some(of_tokio::RUNTIME.metrics().num_alive_tasks())
    }

    fn brought(stream: UnixStream) -> Self::Brought {
        stream.set_nonblocking(true).unwrap();
        let _inside = of_tokio::RUNTIME.enter();
        tokio::net::UnixStream::from_std(stream).unwrap()
    }

    fn attempt(stream: UnixStream) -> Self::Attempt {
        std::future::ready(Ok(Self::brought(stream)))
    }

    fn listener(listener: TcpListener) -> tokio::net::TcpListener {
        listener.set_nonblocking(true).unwrap();
        let _inside = of_tokio::RUNTIME.enter();
        tokio::net::TcpListener::from_std(listener).unwrap()
    }

    fn recv_for(receiver: &mut Self::Receiver, time: Duration) -> Option<Result<Option<Record>, Error>> {
        of_tokio::wait(async { tokio::time::timeout(time, receiver.recv()).await.ok() })
    }
}

impl Runtime for Smol {
    type Brought = smol::net::unix::UnixStream;
    type Attempt = std::future::Ready<io::Result<smol::net::unix::UnixStream>>;

    crate::awaited!(smol::block_on);

    fn brought(stream: UnixStream) -> Self::Brought {
        stream.try_into().unwrap()
    }

    fn attempt(stream: UnixStream) -> Self::Attempt {
        std::future::ready(Ok(Self::brought(stream)))
    }

    fn listener(listener: TcpListener) -> smol::net::TcpListener {
        listener.try_into().unwrap()
    }

    fn recv_for(receiver: &mut Self::Receiver, time: Duration) -> Option<Result<Option<Record>, Error>> {
        let late = async {
            smol::Timer::after(time).await;
            None
        };
        smol::block_on(smol::future::or(async { Some(receiver.recv().await) }, late))
    }
}

/// Ends what it writes when it is dropped, as a pipe to a child does.
#[derive(Debug)]
pub struct WritingHalf(UnixStream);

impl Write for WritingHalf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for WritingHalf {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

impl Runtime for Std {
    type Brought = (UnixStream, WritingHalf);
    type Attempt = io::Result<UnixStream>;
    type Sent = netchan_std::Sent;

    fn tasks() -> Option<usize> {
        let threads = std::fs::read_dir("/proc/self/task").ok()?;
        let names =
            threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        Some(names.filter(|name| name == "netchan\n").count())
    }

    fn wait<T: Send + 'static>(given: impl FnOnce() -> Given<Self, T>) -> T {
        given()
    }

    fn brought(stream: UnixStream) -> Self::Brought {
        (stream.try_clone().unwrap(), WritingHalf(stream))
    }

    fn attempt(stream: UnixStream) -> Self::Attempt {
        Ok(stream)
    }

    fn listener(listener: TcpListener) -> TcpListener {
        listener
    }

    fn send(sender: &Self::Sender, record: NewRecord) -> Result<Self::Sent, Error> {
        sender.send(record)
    }

    fn try_send(sender: &Self::Sender, record: NewRecord) -> Result<Self::Sent, Error> {
        sender.try_send(record)
    }

    fn send_keyed(sender: &PartitionedSender<Self>, record: NewRecord) -> Result<Self::Sent, Error> {
        sender.send(record)
    }

    fn flush_all(sender: &PartitionedSender<Self>) -> Result<(), Error> {
        sender.flush()
    }

    fn seal_all(sender: &PartitionedSender<Self>) -> Result<Vec<Offset>, Error> {
        sender.seal()
    }

    fn flush(sender: &Self::Sender) -> Result<(), Error> {
        sender.flush()
    }

    fn seal(sender: &Self::Sender) -> Result<Offset, Error> {
        sender.seal()
    }

    fn close(sender: &Self::Sender) -> Result<(), Error> {
        sender.close()
    }

    fn info(sender: &Self::Sender) -> Result<LogInfo, Error> {
        sender.info()
    }

    fn producer(sender: &Self::Sender) -> Result<Producer, Error> {
        sender.producer()
    }

    fn note(sender: &Self::Sender, next_sequence: u64, note: Note) -> Result<(), Error> {
        sender.note(next_sequence, note)
    }

    fn sender_event(sender: &Self::Sender) -> Option<Event> {
        sender.next_event()
    }

    fn receivers(sender: &Self::Sender) -> Result<usize, Error> {
        sender.receivers()
    }

    fn wait_until_ready(sender: &Self::Sender, receivers: usize) -> Result<(), Error> {
        sender.wait_until_ready(receivers)
    }

    fn done(sender: &Self::Sender) -> Result<usize, Error> {
        sender.done()
    }

    fn send_to(sender: &Self::Sender, receivers: usize, record: NewRecord) -> Result<Self::Sent, Error> {
        sender.send_to(receivers, record)
    }

    fn send_batch(sender: &Self::Sender, records: Vec<NewRecord>) -> Result<Option<Self::Sent>, Error> {
        sender.send_batch(records)
    }

    fn written(sent: &Self::Sent) -> Result<(), Error> {
        sent.written()
    }

    fn durable(sent: &Self::Sent) -> Result<(), Error> {
        sent.durable()
    }

    fn offset(sent: &Self::Sent) -> Option<Offset> {
        sent.offset()
    }

    fn send_value<T: 'static>(sender: &Typed<Self::Sender, T>, value: &T) -> Result<Self::Sent, Error> {
        sender.send(value)
    }

    fn recv_value<T: 'static>(receiver: &mut Typed<Self::Receiver, T>) -> Result<Option<Value<T>>, Error> {
        receiver.recv()
    }

    fn recv(receiver: &mut Self::Receiver) -> Result<Option<Record>, Error> {
        receiver.recv()
    }

    fn recv_for(receiver: &mut Self::Receiver, time: Duration) -> Option<Result<Option<Record>, Error>> {
        match receiver.recv_timeout(time) {
            Err(error) if error.kind() == ErrorKind::TimedOut => None,
            received => Some(received),
        }
    }

    fn recv_batch(receiver: &mut Self::Receiver, most: usize) -> Result<Vec<Record>, Error> {
        receiver.recv_batch(most)
    }

    fn next_event(receiver: &mut Self::Receiver) -> Option<Event> {
        receiver.next_event()
    }

    fn position(receiver: &Self::Receiver) -> Option<Position> {
        receiver.position()
    }

    fn commit(receiver: &mut Self::Receiver, position: Position) -> Result<(), Error> {
        receiver.commit(position)
    }

    fn recv_of(receiver: &mut PatternReceiver<Self>) -> Result<Option<Received>, Error> {
        receiver.recv()
    }

    fn value_of<T: 'static>(
        receiver: &mut TypedPatternReceiver<Self, T>,
    ) -> Result<Option<ReceivedValue<T>>, Error> {
        receiver.recv()
    }

    fn event_of(receiver: &mut PatternReceiver<Self>) -> Option<Event> {
        receiver.next_event()
    }

    fn seek(receiver: &mut Self::Receiver, start: Start) {
        receiver.seek(start);
    }
}
