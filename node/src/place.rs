//! Where the channels of this machine are: in a store that this process holds, or behind the socket of who does.
//!
//! Whoever wants a channel on this machine tries to take the data directory's lock. Who gets it serves the others
//! through a socket in the directory; who does not dials that socket. If the socket is dead, its owner has just
//! gone, and one looks again. Dialling and listening are the driver's.

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
        Err(StoreError::Locked { .. }) => Ok(Place::Guest(socket_path(data_dir))),
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
