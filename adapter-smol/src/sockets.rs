//! Sockets: called, listened on, and set up; and byte streams of any kind.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use netchan_node::Remote;
use netchan_node::handles::{Entered, Gulp, KEEPALIVE};
use netchan_node::place::SocketPath;
use netchan_proto::conn::Outbound;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::unix::{UnixListener, UnixStream};
use smol::net::{TcpListener, TcpStream};
use socket2::{SockRef, TcpKeepalive};

/// Pieces that are written at a time.
const PIECES: usize = 64;

/// A byte stream of any kind: whatever reads and writes is one.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}

/// A byte stream, and how much it is asked for.
pub struct Stream {
    bytes: Box<dyn ByteStream>,
    gulp: Gulp,
}

impl Stream {
    pub(crate) fn new(bytes: impl ByteStream) -> Stream {
        Stream { bytes: Box::new(bytes), gulp: Gulp::default() }
    }

    pub(crate) fn poll_read(&mut self, into: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Stream { bytes, gulp } = self;
        gulp.poll_read(into, |buffer| Pin::new(bytes).poll_read(cx, buffer))
    }

    pub(crate) fn poll_write(
        &mut self,
        from: &mut Outbound,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = from.chunks_vectored(&mut pieces);
        let count = ready!(Pin::new(&mut self.bytes).poll_write_vectored(cx, &pieces[..count]))?;
        from.advance(count);
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_close(cx)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("gulp", &self.gulp).finish_non_exhaustive()
    }
}

/// Where others come in.
#[derive(Debug)]
pub enum Door {
    /// From the network.
    Tcp(TcpListener),
    /// From this machine.
    Socket(UnixListener),
}

impl Door {
    /// The next one who comes in.
    pub(crate) async fn accept(&self) -> io::Result<Entered<Stream>> {
        match self {
            Door::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Entered { stream: Stream::new(tuned(stream)), address: Some(address) })
            }
            Door::Socket(listener) => {
                Ok(Entered { stream: Stream::new(listener.accept().await?.0), address: None })
            }
        }
    }
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Door {
        Door::Tcp(listener)
    }
}

/// Sends at once what is written, and notices a dead peer.
fn tuned<S: AsFd>(stream: S) -> S {
    let socket = SockRef::from(&stream);
    // A stream that refuses works all the same, only less well.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    stream
}

/// Calls a node.
pub(crate) async fn call(remote: Remote) -> io::Result<Stream> {
    Ok(Stream::new(tuned(TcpStream::connect((&*remote.host, remote.port)).await?)))
}

/// Calls the program that holds a data directory.
pub(crate) async fn call_socket(path: PathBuf) -> io::Result<Stream> {
    let way = SocketPath::new(&path)?;
    Ok(Stream::new(UnixStream::connect(way.path()).await?))
}
