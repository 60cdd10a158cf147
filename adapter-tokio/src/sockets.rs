//! Sockets: called, listened on, and set up.

use std::io;
use std::path::Path;

use netchan_node::Remote;
use netchan_node::handles::{Entered, KEEPALIVE};
#[cfg(unix)]
use netchan_node::place::SocketPath;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

/// A byte stream of any kind: whatever reads and writes is one.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}

/// One of those, whichever.
pub(crate) type Stream = Box<dyn ByteStream>;

/// Where others come in.
#[derive(Debug)]
pub enum Door {
    Tcp(TcpListener),
    #[cfg(unix)]
    Socket(UnixListener),
}

impl Door {
    /// The next one who comes in.
    pub(crate) async fn accept(&self) -> io::Result<Entered<Stream>> {
        match self {
            Door::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Entered { stream: Box::new(tuned(stream)), address: Some(address) })
            }
            #[cfg(unix)]
            Door::Socket(listener) => {
                Ok(Entered { stream: Box::new(listener.accept().await?.0), address: None })
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
fn tuned(stream: TcpStream) -> TcpStream {
    let socket = SockRef::from(&stream);
    // A stream that refuses works all the same, only less well.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    stream
}

/// Calls a node.
pub(crate) async fn call(remote: &Remote) -> io::Result<TcpStream> {
    Ok(tuned(TcpStream::connect((&*remote.host, remote.port)).await?))
}

/// Calls the program that holds a data directory.
#[cfg(unix)]
pub(crate) async fn call_socket(path: &Path) -> io::Result<UnixStream> {
    let way = SocketPath::new(path)?;
    UnixStream::connect(way.path()).await
}
