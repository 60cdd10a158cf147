//! What the handles ask of smol.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant as Moment;

use bytes::BytesMut;
use netchan_node::handles::{Adapter, Alarm, Brings, Connects, Entered, FAR, Receiver, Running, Task};
use netchan_node::place::listen_at;
use netchan_node::reply::promise;
use netchan_node::{Error, Remote, Sender};
use netchan_proto::Instant;
use netchan_proto::conn::Outbound;
use smol::Timer;

use crate::sockets::{self, ByteStream, Door, Stream};

/// smol: its executor, its timers, its sockets.
#[derive(Debug)]
pub struct Smol(Moment);

impl Adapter for Smol {
    type Given<T: Send + 'static> = Pin<Box<dyn Future<Output = T> + Send>>;
    type Stream = Stream;
    type Door = Door;
    type Listener = smol::net::TcpListener;
    type Alarm = Clock;
    type Running = Spawned;
    type Sender = Sender;
    type Receiver = Receiver<Smol>;

    fn new() -> Smol {
        Smol(Moment::now())
    }

    fn give<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Self::Given<T> {
        Box::pin(work)
    }

    fn alarm(&self) -> Clock {
        Clock { began: self.0, timer: None }
    }

    fn spawn(task: Task<()>) -> Spawned {
        Spawned(smol::spawn(task))
    }

    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<Result<T, Error>> {
        let (owed, promised) = promise();
        smol::unblock(move || owed.give(work())).detach();
        Box::pin(promised)
    }

    fn call(remote: Remote) -> Task<io::Result<Stream>> {
        Box::pin(sockets::call(remote))
    }

    fn call_socket(path: &Path) -> Task<io::Result<Stream>> {
        Box::pin(sockets::call_socket(path.to_owned()))
    }

    fn pair() -> io::Result<(Stream, Stream)> {
        let (near, far) = smol::net::unix::UnixStream::pair()?;
        Ok((Stream::new(near), Stream::new(far)))
    }

    fn listen(addresses: &[SocketAddr]) -> io::Result<(Door, SocketAddr)> {
        let listener = TcpListener::bind(addresses)?;
        let address = listener.local_addr()?;
        Ok((smol::net::TcpListener::try_from(listener)?.into(), address))
    }

    fn listen_socket(path: &Path) -> io::Result<Option<Door>> {
        let listener = listen_at(path, |path| UnixListener::bind(path))?;
        Ok(Some(Door::Socket(listener.try_into()?)))
    }

    fn accept(door: &Arc<Door>) -> Task<io::Result<Entered<Stream>>> {
        let door = Arc::clone(door);
        Box::pin(async move { door.accept().await })
    }

    fn poll_read(stream: &mut Stream, into: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        stream.poll_read(into, cx)
    }

    fn poll_write(stream: &mut Stream, from: &mut Outbound, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        stream.poll_write(from, cx)
    }

    fn poll_flush(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream.poll_flush(cx)
    }

    fn poll_close(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream.poll_close(cx)
    }
}

impl<S: ByteStream> Brings<S> for Smol {
    fn bring(stream: S) -> io::Result<Stream> {
        Ok(Stream::new(stream))
    }
}

impl<S: ByteStream, F: Future<Output = io::Result<S>> + Send + 'static> Connects<F> for Smol {
    fn connects(
        mut connect: impl FnMut() -> F + Send + 'static,
    ) -> Box<dyn FnMut() -> Task<io::Result<Stream>> + Send> {
        Box::new(move || {
            let attempt = connect();
            Box::pin(async move { Ok(Stream::new(attempt.await?)) })
        })
    }
}

/// A task of smol.
#[derive(Debug)]
pub struct Spawned(smol::Task<()>);

impl Running for Spawned {
    fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    fn end(self) -> Task<()> {
        Box::pin(async move {
            let _ = self.0.cancel().await;
        })
    }
}

impl Future for Spawned {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// The time since the node was made, and a timer that is set anew only when it went off or the deadline came nearer: most
/// only move away.
#[derive(Debug)]
pub struct Clock {
    began: Moment,
    timer: Option<(Moment, Timer)>,
}

impl Alarm for Clock {
    fn now(&self) -> Instant {
        Instant::default().plus(self.began.elapsed())
    }

    fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let deadline = self.began + deadline.since(Instant::default()).min(FAR);
        loop {
            let (set, timer) = self.timer.get_or_insert_with(|| (deadline, Timer::at(deadline)));
            if deadline < *set {
                (*set, *timer) = (deadline, Timer::at(deadline));
            }
            ready!(Pin::new(timer).poll(cx));
            let went_off = *set;
            self.timer = None;
            if deadline <= went_off {
                return Poll::Ready(());
            }
        }
    }
}
