//! Sockets that are waited for, and streams of other kinds behind one.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::thread::Builder;

use bytes::{Buf, BytesMut};
use netchan_node::Remote;
use netchan_node::handles::{Entered, Gulp, KEEPALIVE};
use netchan_node::place::SocketPath;
use netchan_proto::conn::Outbound;
use netchan_proto::limits::HANDSHAKE_TIMEOUT;
use rustix::event::PollFlags;
use socket2::{Socket, TcpKeepalive};

use crate::wait::ready_for;

/// Pieces that are written at a time.
const PIECES: usize = 64;
/// What is carried at a time between a program's stream and its socket.
const CARRIED: usize = 64 << 10;

/// A socket that doesn't block.
#[derive(Debug)]
pub struct Stream {
    socket: Arc<Socket>,
    gulp: Gulp,
    /// The last read, or write, took all there was: the next may wait without trying.
    is_drained: bool,
    is_filled: bool,
}

impl Stream {
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> io::Result<Stream> {
        let socket = Socket::from(socket.into());
        socket.set_nonblocking(true)?;
        // A socket that refuses works all the same; those that are not of TCP do.
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        Ok(Stream { socket: Arc::new(socket), gulp: Gulp::default(), is_drained: false, is_filled: false })
    }

    /// A stream of two halves that block, each carried by a thread of its own.
    pub(crate) fn carried(
        from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
    ) -> io::Result<Stream> {
        let (near, inward) = UnixStream::pair()?;
        let outward = inward.try_clone()?;
        Builder::new().name("netchan-in".into()).spawn(move || {
            let _ = carry(from, &inward);
            inward.shutdown(Shutdown::Write)
        })?;
        Builder::new().name("netchan-out".into()).spawn(move || {
            let _ = carry(&outward, to);
            outward.shutdown(Shutdown::Read)
        })?;
        Stream::new(near)
    }

    pub(crate) fn poll_read(&mut self, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        let Stream { socket, gulp, is_drained, .. } = self;
        if std::mem::take(is_drained) {
            return ready_for(PollFlags::IN, socket.clone());
        }
        gulp.poll_read(into, |buffer| match (&**socket).read(buffer) {
            Err(error) if is_for_later(&error) => ready_for(PollFlags::IN, socket.clone()),
            read => {
                *is_drained = read.as_ref().is_ok_and(|count| (1..buffer.len()).contains(count));
                Poll::Ready(read)
            }
        })
    }

    pub(crate) fn poll_write(&mut self, from: &mut Outbound) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.is_filled) {
            return ready_for(PollFlags::OUT, self.socket.clone());
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = from.chunks_vectored(&mut pieces);
        let pieces = &pieces[..count];
        match (&*self.socket).write_vectored(pieces) {
            Err(error) if is_for_later(&error) => ready_for(PollFlags::OUT, self.socket.clone()),
            Ok(count) => {
                self.is_filled = count < pieces.iter().map(|piece| piece.len()).sum();
                from.advance(count);
                Poll::Ready(Ok(count))
            }
            failed => Poll::Ready(failed),
        }
    }

    pub(crate) fn close(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

/// Where others come in.
#[derive(Debug)]
pub struct Door(Arc<Socket>);

impl Door {
    pub(crate) fn new(listener: impl Into<OwnedFd>) -> Door {
        let socket = Socket::from(listener.into());
        let _ = socket.set_nonblocking(true); // or else who waits at it cannot be stopped, and accepts all the same
        Door(Arc::new(socket))
    }

    /// The next one who comes in.
    pub(crate) fn accept(&self) -> impl Future<Output = io::Result<Entered<Stream>>> {
        poll_fn(|_| match self.0.accept() {
            Ok((socket, address)) => Poll::Ready(
                Stream::new(socket).map(|stream| Entered { stream, address: address.as_socket() }),
            ),
            Err(error) if is_for_later(&error) => ready_for(PollFlags::IN, self.0.clone()),
            Err(error) => Poll::Ready(Err(error)),
        })
    }
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Door {
        Door::new(listener)
    }
}

/// Whether waiting helps; not long, if it was only interrupted.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Calls a node. Blocks.
pub(crate) fn call(remote: &Remote) -> io::Result<Stream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (&*remote.host, remote.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT) {
            Ok(stream) => return Stream::new(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Calls the program that holds a data directory. Blocks.
pub(crate) fn call_socket(path: &Path) -> io::Result<Stream> {
    let way = SocketPath::new(path)?;
    Stream::new(UnixStream::connect(way.path())?)
}

/// Carries bytes until either side ends. Nothing waits in between for more to come.
fn carry(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; CARRIED];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).and_then(|()| to.flush())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
