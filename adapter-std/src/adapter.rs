//! What the handles ask of threads.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant as Moment};

use bytes::BytesMut;
use netchan_node::handles::blocking::{Blocks, Receiver, Sender};
use netchan_node::handles::{Adapter, Alarm, Brings, Connects, Entered, FAR, Task};
use netchan_node::place::listen_at;
use netchan_node::reply::promise;
use netchan_node::{Error, Remote};
use netchan_proto::Instant;
use netchan_proto::conn::Outbound;

use crate::sockets::{self, Door, Stream};
use crate::threads::{Spawned, elsewhere};
use crate::wait;

/// Plain threads: the caller's, one for each connection that is served or published over, one for each door.
#[derive(Debug)]
pub struct Std(Moment);

impl Adapter for Std {
    type Given<T: Send + 'static> = T;
    type Stream = Stream;
    type Door = Door;
    type Listener = TcpListener;
    type Alarm = Clock;
    type Running = Spawned;
    type Sender = Sender<Std>;
    type Receiver = Receiver<Std>;

    fn new() -> Std {
        Std(Moment::now())
    }

    fn give<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
        Std::block_on(work)
    }

    fn alarm(&self) -> Clock {
        Clock(self.0)
    }

    fn spawn(task: Task<()>) -> Spawned {
        Spawned::new(task)
    }

    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<Result<T, Error>> {
        let (owed, promised) = promise();
        elsewhere(move || owed.give(work()));
        Box::pin(promised)
    }

    fn call(remote: Remote) -> Task<io::Result<Stream>> {
        tried(move || sockets::call(&remote))
    }

    fn call_socket(path: &Path) -> Task<io::Result<Stream>> {
        let path = path.to_owned();
        tried(move || sockets::call_socket(&path))
    }

    fn pair() -> io::Result<(Stream, Stream)> {
        let (near, far) = UnixStream::pair()?;
        Ok((Stream::new(near)?, Stream::new(far)?))
    }

    fn listen(addresses: &[SocketAddr]) -> io::Result<(Door, SocketAddr)> {
        let listener = TcpListener::bind(addresses)?;
        let address = listener.local_addr()?;
        Ok((listener.into(), address))
    }

    fn listen_socket(path: &Path) -> io::Result<Option<Door>> {
        Ok(Some(Door::new(listen_at(path, |path| UnixListener::bind(path))?)))
    }

    fn accept(door: &Arc<Door>) -> Task<io::Result<Entered<Stream>>> {
        let door = Arc::clone(door);
        Box::pin(async move { door.accept().await })
    }

    fn poll_read(stream: &mut Stream, into: &mut BytesMut, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        stream.poll_read(into)
    }

    fn poll_write(stream: &mut Stream, from: &mut Outbound, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        stream.poll_write(from)
    }

    fn poll_close(stream: &mut Stream, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(stream.close())
    }
}

impl Blocks for Std {
    #[inline]
    fn block_for<F: Future>(time: Option<Duration>, work: F) -> Option<F::Output> {
        wait::block_until(time.map(|time| Moment::now() + time.min(FAR)), work)
    }
}

/// Does it on a thread that may wait.
fn tried<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Task<io::Result<T>> {
    let done = Std::blocking(work);
    Box::pin(async move { done.await.map_err(io::Error::other)? })
}

/// A TCP connection; it and its clones don't block any more.
impl Brings<TcpStream> for Std {
    fn bring(stream: TcpStream) -> io::Result<Stream> {
        Stream::new(stream)
    }
}

/// A connection on this machine; it and its clones don't block any more.
impl Brings<UnixStream> for Std {
    fn bring(stream: UnixStream) -> io::Result<Stream> {
        Stream::new(stream)
    }
}

/// What is read from and what is written to: a child's output and input, pipes. Two threads carry the bytes. When the connection
/// is over, the half that is written to is dropped, which must end it (no clone of a socket does); who reads ends with the peer.
impl<R: io::Read + Send + 'static, W: io::Write + Send + 'static> Brings<(R, W)> for Std {
    fn bring((from, to): (R, W)) -> io::Result<Stream> {
        Stream::carried(from, to)
    }
}

impl<S> Connects<io::Result<S>> for Std
where
    Std: Brings<S>,
{
    fn connects(
        connect: impl FnMut() -> io::Result<S> + Send + 'static,
    ) -> Box<dyn FnMut() -> Task<io::Result<Stream>> + Send> {
        let connect = Arc::new(Mutex::new(connect));
        Box::new(move || {
            let connect = Arc::clone(&connect);
            tried(move || Std::bring(connect.lock().unwrap_or_else(PoisonError::into_inner)()?))
        })
    }
}

/// The time since the node was made.
#[derive(Debug)]
pub struct Clock(Moment);

impl Alarm for Clock {
    fn now(&self) -> Instant {
        Instant::default().plus(self.0.elapsed())
    }

    fn poll(&mut self, deadline: Option<Instant>, _: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let moment = self.0 + deadline.since(Instant::default()).min(FAR);
        if Moment::now() >= moment { Poll::Ready(()) } else { wait::until(moment) }
    }
}
