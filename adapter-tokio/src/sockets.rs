//! Sockets: called, listened on, and set up.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use netchan_node::config::may_listen;
use netchan_node::place::fits_a_socket;
use netchan_node::{Error, ErrorKind, Remote};
use netchan_proto::limits::HANDSHAKE_TIMEOUT;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use crate::pump::ByteStream;

/// Silence after which the operating system asks whether the peer's machine is there at all.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Where others come in. `true`: they have proved who they are by coming in here.
pub(crate) enum Door {
    Tcp(TcpListener),
    #[cfg(unix)]
    Socket(UnixListener),
}

impl Door {
    /// The next one who comes in, and whether the way proves who it is.
    pub(crate) async fn accept(&self) -> io::Result<(Box<dyn ByteStream>, bool)> {
        match self {
            Door::Tcp(listener) => Ok((Box::new(tuned(listener.accept().await?.0)), false)),
            #[cfg(unix)]
            Door::Socket(listener) => Ok((Box::new(listener.accept().await?.0), true)),
        }
    }
}

/// Sends at once what is written, and notices a dead peer.
pub(crate) fn tuned(stream: TcpStream) -> TcpStream {
    let socket = SockRef::from(&stream);
    // A stream that refuses works all the same, only less well.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    stream
}

/// Calls a node.
pub(crate) async fn call(remote: &Remote) -> io::Result<TcpStream> {
    in_time(async { Ok(tuned(TcpStream::connect((&*remote.host, remote.port)).await?)) }).await
}

/// Calls the program that holds a data directory.
#[cfg(unix)]
pub(crate) async fn call_socket(path: &Path) -> io::Result<UnixStream> {
    let way = SocketPath::new(path)?;
    in_time(UnixStream::connect(&way.path)).await
}

async fn in_time<T>(call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Listens on `HOST:PORT`, if it may.
pub(crate) async fn listen(address: &str, has_token: bool, insecure: bool) -> Result<TcpListener, Error> {
    let refuse = |error| Error::new(ErrorKind::Unreachable, format!("cannot listen on {address}: {error}"));
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await.map_err(refuse)?.collect();
    addresses.iter().try_for_each(|&address| may_listen(address, has_token, insecure))?;
    TcpListener::bind(&*addresses).await.map_err(refuse)
}

/// Listens on the socket of a data directory whose lock is held: only the same user comes in here. The socket of an
/// earlier holder is replaced.
#[cfg(unix)]
pub(crate) fn listen_socket(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // Nobody finds it by its name before only its owner may enter.
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(SocketPath::new(&new)?.path)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

/// A socket's path in a form that is short enough for the system, good while this lives.
#[cfg(unix)]
struct SocketPath {
    path: std::path::PathBuf,
    _dir: Option<std::fs::File>,
}

#[cfg(unix)]
impl SocketPath {
    fn new(path: &Path) -> io::Result<SocketPath> {
        use std::os::fd::AsRawFd;
        if fits_a_socket(path) {
            return Ok(SocketPath { path: path.to_owned(), _dir: None });
        }
        let (Some(dir), Some(name), true) = (path.parent(), path.file_name(), cfg!(target_os = "linux"))
        else {
            let what =
                format!("the path {} is too long for a socket: use a shorter data directory", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        };
        let dir = std::fs::File::open(dir)?;
        let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
        Ok(SocketPath { path, _dir: Some(dir) })
    }
}
