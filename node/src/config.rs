//! What a node is told, and the rules that settings have to keep.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use netchan_proto::{Permissions, Token};
use netchan_store::{Clock, LogOptions, Store, SystemClock};

pub use crate::budget::Limits;
use crate::error::{Error, ErrorKind};

/// What a node is told when it is made. All of it has a default.
#[derive(Clone)]
pub struct NodeConfig {
    /// The store with this node's channels. `None`: it has none, and only receives and publishes elsewhere.
    pub store: Option<Store>,
    /// The token that peers must hold, and that this node shows when asked. `None`: peers need none.
    pub token: Option<Token>,
    /// More tokens that peers may hold, and what they may do then; who holds `token` may do everything. Default: none.
    pub grants: Arc<[(Token, Permissions)]>,
    /// How channels are kept that a publisher makes without saying it. Default: [`LogOptions::default`].
    pub created: LogOptions,
    /// What peers may make it hold and do, all together.
    pub limits: Limits,
    /// The clock that receivers are told. Default: the machine's; give it the store's.
    pub clock: Arc<dyn Clock>,
    /// Where nonces and the like come from. `None`, the default, is the operating system's randomness; a seed
    /// makes them the same in every run. For simulation only.
    pub seed: Option<u64>,
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            store: None,
            token: None,
            grants: Arc::default(),
            created: LogOptions::default(),
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            seed: None,
        }
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig")
            .field("store", &self.store)
            .field("token", &self.token)
            .field("created", &self.created)
            .field("limits", &self.limits)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Whether a node may listen on `address`: beyond loopback it needs a token, or `insecure` to say that everybody
/// who can reach it may read, publish and delete.
///
/// # Errors
/// [`ErrorKind::Config`].
pub fn may_listen(address: SocketAddr, has_token: bool, insecure: bool) -> Result<(), Error> {
    if address.ip().to_canonical().is_loopback() || has_token || insecure {
        return Ok(());
    }
    let what = format!(
        "{address} can be reached from other machines: give a token, or allow it explicitly as insecure, or listen \
         on a loopback address"
    );
    Err(Error::new(ErrorKind::Config, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_beyond_loopback_needs_a_token_or_an_explicit_word() {
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(may_listen(address.parse().unwrap(), false, false).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1", "[::ffff:10.0.0.1]:1", "8.8.8.8:1"] {
            let address = address.parse().unwrap();
            assert_eq!(may_listen(address, false, false).unwrap_err().kind(), ErrorKind::Config);
            assert!(may_listen(address, true, false).is_ok());
            assert!(may_listen(address, false, true).is_ok());
        }
    }
}
