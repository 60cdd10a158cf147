//! What the handles ask of tokio.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use netchan_node::handles::{Adapter, Brings, Connects, Entered, Receiver, Running, Task};
use netchan_node::{Error, ErrorKind, Remote, Sender};
use netchan_proto::conn::Outbound;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::clock::{Clock, Sleeper};
use crate::sockets::{self, ByteStream, Door, Stream};

/// Bytes between a receiver and its node within one program.
const MEMORY_STREAM: usize = 64 << 10;

/// The tokio runtime that a node was started in.
#[derive(Debug)]
pub struct Tokio(Clock);

impl Adapter for Tokio {
    type Given<T: Send + 'static> = Pin<Box<dyn Future<Output = T> + Send>>;
    type Stream = Stream;
    type Door = Door;
    type Listener = TcpListener;
    type Alarm = Sleeper;
    type Running = Spawned;
    type Sender = Sender;
    type Receiver = Receiver<Tokio>;

    fn new() -> Tokio {
        Tokio(Clock::new())
    }

    fn give<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Self::Given<T> {
        Box::pin(work)
    }

    fn alarm(&self) -> Sleeper {
        Sleeper::new(self.0)
    }

    fn spawn(task: Task<()>) -> Spawned {
        Spawned(tokio::spawn(task))
    }

    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<Result<T, Error>> {
        let done = spawn_blocking(work);
        let failed = |error| Error::new(ErrorKind::Closed, format!("the runtime did not do it: {error}"));
        Box::pin(async move { done.await.map_err(failed) })
    }

    fn call(remote: Remote) -> Task<io::Result<Stream>> {
        Box::pin(async move { Ok(Box::new(sockets::call(&remote).await?) as Stream) })
    }

    #[cfg(unix)]
    fn call_socket(path: &Path) -> Task<io::Result<Stream>> {
        let path = path.to_owned();
        Box::pin(async move { Ok(Box::new(sockets::call_socket(&path).await?) as Stream) })
    }

    #[cfg(not(unix))]
    fn call_socket(_: &Path) -> Task<io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn pair() -> io::Result<(Stream, Stream)> {
        let (near, far) = tokio::io::duplex(MEMORY_STREAM);
        Ok((Box::new(near), Box::new(far)))
    }

    fn listen(addresses: &[SocketAddr]) -> io::Result<(Door, SocketAddr)> {
        let listener = Handle::current().block_on(TcpListener::bind(addresses))?;
        let address = listener.local_addr()?;
        Ok((Door::Tcp(listener), address))
    }

    #[cfg(unix)]
    fn listen_socket(path: &Path) -> io::Result<Option<Door>> {
        let listener = netchan_node::place::listen_at(path, |path| tokio::net::UnixListener::bind(path))?;
        Ok(Some(Door::Socket(listener)))
    }

    #[cfg(not(unix))]
    fn listen_socket(_: &Path) -> io::Result<Option<Door>> {
        Ok(None)
    }

    fn accept(door: &Arc<Door>) -> Task<io::Result<Entered<Stream>>> {
        let door = Arc::clone(door);
        Box::pin(async move { door.accept().await })
    }

    fn poll_read(stream: &mut Stream, into: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        pin!(stream.read_buf(into)).poll(cx)
    }

    fn poll_write(stream: &mut Stream, from: &mut Outbound, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        pin!(stream.write_buf(from)).poll(cx)
    }

    fn poll_flush(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_close(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(stream).poll_shutdown(cx)
    }
}

impl<S: ByteStream> Brings<S> for Tokio {
    fn bring(stream: S) -> io::Result<Stream> {
        Ok(Box::new(stream))
    }
}

impl<S: ByteStream, F: Future<Output = io::Result<S>> + Send + 'static> Connects<F> for Tokio {
    fn connects(
        mut connect: impl FnMut() -> F + Send + 'static,
    ) -> Box<dyn FnMut() -> Task<io::Result<Stream>> + Send> {
        Box::new(move || {
            let attempt = connect();
            Box::pin(async move { Ok(Box::new(attempt.await?) as Stream) })
        })
    }
}

/// A task of tokio.
#[derive(Debug)]
pub struct Spawned(JoinHandle<()>);

impl Running for Spawned {
    fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    fn end(self) -> Task<()> {
        self.0.abort();
        Box::pin(self)
    }
}

impl Future for Spawned {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.0.abort();
    }
}
