//! Where the channels of this machine are: in a store that this process holds, or behind the socket of who does.
//!
//! Whoever wants a channel on this machine tries to take the data directory's lock. Who gets it serves the others
//! through a socket in the directory; who does not dials that socket. If the socket is dead, its owner has just
//! gone, and one looks again. Dialling and listening are the driver's.

#[cfg(unix)]
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netchan_store::disk::RealDisk;
use netchan_store::{Store, StoreError, StoreOptions};

use crate::error::{Error, ErrorKind};

/// The socket's name within the data directory.
pub const SOCKET_NAME: &str = "socket";

/// The longest path, in bytes, that every system takes for a socket (macOS allows 103, Linux 107).
pub const MAX_SOCKET_PATH: usize = 100;

/// Where the data directory's channels are to be had.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Place {
    /// This process holds the directory, and is to listen on its [socket](socket_path).
    Own(Store),
    /// Another process holds it: dial this socket.
    Guest(PathBuf),
}

/// Takes the data directory, or finds the socket of who has it. Blocks.
///
/// # Errors
/// What opening a store can run into, but for its lock.
pub fn find(data_dir: &Path, options: StoreOptions) -> Result<Place, Error> {
    let disk = RealDisk::new(data_dir)
        .map_err(|error| Error::new(ErrorKind::Io, format!("{}: {error}", data_dir.display())))?;
    match Store::open(Arc::new(disk), options) {
        Ok(store) => Ok(Place::Own(store)),
        Err(StoreError::Locked { .. }) => {
            tracing::debug!(dir = %data_dir.display(), "another process holds the data directory: going through it");
            Ok(Place::Guest(socket_path(data_dir)))
        }
        Err(error) => Err(Error::from(error).about(data_dir.display())),
    }
}

/// The socket of a data directory.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET_NAME)
}

/// Whether `path` is short enough to bind and dial as it is.
#[must_use]
pub fn fits_a_socket(path: &Path) -> bool {
    path.as_os_str().len() <= MAX_SOCKET_PATH
}

/// Listens, by `bind`, on the socket of a data directory whose lock is held: only the same user comes in there. The
/// socket of an earlier holder is replaced. Blocks.
///
/// # Errors
/// What the operating system says.
#[cfg(unix)]
pub fn listen_at<L>(path: &Path, bind: impl FnOnce(&Path) -> io::Result<L>) -> io::Result<L> {
    use std::os::unix::fs::PermissionsExt;
    // Nobody finds it by its name before only its owner may enter.
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = bind(&SocketPath::new(&new)?.path)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

/// A socket's path in a form that is short enough for the system, good while this lives.
#[cfg(unix)]
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "a directory is held open for its name only")]
pub struct SocketPath {
    path: PathBuf,
    _dir: Option<std::fs::File>,
}

#[cfg(unix)]
impl SocketPath {
    /// Such a form of `path`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is none, and what opening its directory can run into.
    #[expect(clippy::disallowed_types, reason = "a directory is held open for its name only")]
    pub fn new(path: &Path) -> io::Result<SocketPath> {
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

    /// The path to bind or dial.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
