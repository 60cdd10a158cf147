//! What a node is told before it starts.

use std::path::PathBuf;

use netchan_store::StoreOptions;

use crate::{Error, Node};

/// What a node is told before it starts. Made by [`Node::builder`].
#[derive(Debug, Default)]
#[must_use = "nothing happens before start()"]
pub struct NodeBuilder {
    _data_dir: Option<PathBuf>,
}

impl NodeBuilder {
    /// Keeps channels in this directory. A node without one only receives from and publishes to other nodes.
    pub fn data_dir(self, _dir: impl Into<PathBuf>) -> NodeBuilder {
        self
    }

    /// Whether to work through the node that holds the directory already, and take over when that one goes
    /// away. Otherwise (the default) [`start`](Self::start) fails while somebody else holds it.
    pub fn shared(self, _shared: bool) -> NodeBuilder {
        self
    }

    /// Listens on this `HOST:PORT` for others to read and publish. Beyond loopback this needs a
    /// [`token`](Self::token), or [`insecure`](Self::insecure).
    pub fn listen(self, _addr: impl Into<String>) -> NodeBuilder {
        self
    }

    /// The secret that both sides of a connection must hold: asked of who calls, shown to who asks.
    pub fn token(self, _token: impl AsRef<[u8]>) -> NodeBuilder {
        self
    }

    /// Listens without a token wherever it is told to.
    pub fn insecure(self, _insecure: bool) -> NodeBuilder {
        self
    }

    /// How the store in the data directory works (threads, limits).
    pub fn store(self, _options: StoreOptions) -> NodeBuilder {
        self
    }

    /// Opens the data directory and the sockets.
    ///
    /// # Errors
    /// [`Error`]: the directory is held by another node, an address cannot be listened on, or must not be
    /// without a token.
    ///
    /// # Cancel safety
    /// Cancel safe: if it is dropped before it is ready, what was opened is closed again.
    pub async fn start(self) -> Result<Node, Error> {
        unimplemented!()
    }
}
