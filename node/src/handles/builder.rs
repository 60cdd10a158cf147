//! What a node is told before it starts.

use std::marker::PhantomData;
use std::path::PathBuf;

use netchan_proto::limits::MAX_TOKENS;
use netchan_proto::{Permissions, Token};
use netchan_store::{LogOptions, StoreOptions};

use crate::error::{Error, ErrorKind};
use crate::handles::hub::Settings;
use crate::handles::{Adapter, Handle, Hub};

/// What a node is told before it starts. Made by [`Handle::builder`].
#[derive(Debug)]
#[must_use = "nothing happens before start()"]
pub struct NodeBuilder<A> {
    settings: Settings,
    token: Option<Result<Token, Error>>,
    grants: Vec<Result<(Token, Permissions), Error>>,
    adapter: PhantomData<fn() -> A>,
}

impl<A> Default for NodeBuilder<A> {
    fn default() -> NodeBuilder<A> {
        NodeBuilder { settings: Settings::default(), token: None, grants: Vec::new(), adapter: PhantomData }
    }
}

impl<A: Adapter> NodeBuilder<A> {
    /// Keeps channels in this directory, which is made if it is missing. A node without one only receives from other
    /// nodes and publishes to them.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> NodeBuilder<A> {
        self.settings.data_dir = Some(dir.into());
        self
    }

    /// Whether to work through the program that holds the data directory, if there is one, and to take the directory over
    /// when that one goes away. Otherwise, by default, [`start`](Self::start) fails while somebody holds it.
    pub fn shared(mut self, shared: bool) -> NodeBuilder<A> {
        self.settings.shared = shared;
        self
    }

    /// Whether to leave the data directory to others: this node works through whoever holds it, and never holds it itself,
    /// not even while nobody does (nor does it listen, then). For those who look, and must not be in the way of those who work.
    pub fn guest(mut self, guest: bool) -> NodeBuilder<A> {
        self.settings.guest = guest;
        self
    }

    /// Listens on this `HOST:PORT` for others to read and publish, while it holds the data directory. Beyond loopback
    /// this needs a [`token`](Self::token), or [`insecure`](Self::insecure).
    pub fn listen(mut self, address: impl Into<String>) -> NodeBuilder<A> {
        (self.settings.listen, self.settings.must_listen) = (Some(address.into()), true);
        self
    }

    /// As [`listen`](Self::listen), but goes on without if the address is in use;
    /// [`local_addr`](Handle::local_addr) is `None` then.
    pub fn listen_if_free(mut self, address: impl Into<String>) -> NodeBuilder<A> {
        (self.settings.listen, self.settings.must_listen) = (Some(address.into()), false);
        self
    }

    /// The secret that both sides of a connection must hold, 1 to 1024 bytes: asked of who calls, shown to who asks. It
    /// never goes over the wire.
    pub fn token(mut self, token: impl AsRef<[u8]>) -> NodeBuilder<A> {
        self.token =
            Some(Token::new(token).map_err(|error| Error::new(ErrorKind::Config, error.to_string())));
        self
    }

    /// One more secret that a peer may hold, and what it may do then; who holds the [`token`](Self::token) may do everything, and so
    /// may this user's programs on this machine. What a peer may not do is refused with
    /// [`ErrorKind::Permission`]. At most 15 of them beside the token, all different.
    ///
    /// ```
    /// # fn f<A: netchan_node::Adapter>() {
    /// use netchan_proto::Permissions;
    ///
    /// let builder = netchan_node::NodeBuilder::<A>::default()
    ///     .token("a secret of who runs it")
    ///     .grant("a secret of who reads", Permissions::READ.and(Permissions::CURSORS));
    /// # }
    /// ```
    pub fn grant(mut self, token: impl AsRef<[u8]>, may: Permissions) -> NodeBuilder<A> {
        let token = Token::new(token).map_err(|error| Error::new(ErrorKind::Config, error.to_string()));
        self.grants.push(token.map(|token| (token, may)));
        self
    }

    /// Listens without a token wherever it is told to: everybody who can reach it may read, publish and delete.
    pub fn insecure(mut self, insecure: bool) -> NodeBuilder<A> {
        self.settings.insecure = insecure;
        self
    }

    /// How the store in the data directory works: threads, limits.
    pub fn store(mut self, options: StoreOptions) -> NodeBuilder<A> {
        self.settings.store = options;
        self
    }

    /// How channels are kept that others make by publishing to them.
    pub fn created(mut self, options: LogOptions) -> NodeBuilder<A> {
        self.settings.node.created = options;
        self
    }

    /// Opens the data directory and the sockets.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if another program holds the data directory, [`ErrorKind::Config`] if listening as asked
    /// would let everybody in, and what disk and network say.
    ///
    /// # Cancel safety
    /// Cancel safe: what was opened is closed again.
    pub fn start(self) -> A::Given<Result<Handle<A>, Error>> {
        A::give(async move {
            let mut settings = self.settings;
            settings.node.token = self.token.transpose()?;
            let grants = self.grants.into_iter().collect::<Result<Vec<_>, _>>()?;
            check_tokens(settings.node.token.iter().chain(grants.iter().map(|(token, _)| token)))?;
            settings.node.grants = grants.into();
            Ok(Handle(Hub::start(settings).await?))
        })
    }
}

/// There are as few tokens as may be, and no two are the same: one of them would say nothing.
fn check_tokens<'a>(tokens: impl Iterator<Item = &'a Token> + Clone) -> Result<(), Error> {
    let (count, wrong) = (tokens.clone().count(), |what: String| Err(Error::new(ErrorKind::Config, what)));
    if count > MAX_TOKENS {
        return wrong(format!("a node has at most {MAX_TOKENS} tokens, not {count}"));
    }
    let doubled =
        tokens.clone().enumerate().any(|(at, token)| tokens.clone().skip(at + 1).any(|other| token == other));
    if doubled { wrong("two of the tokens are the same: each has its own rights".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // NC-ADM-034
    #[test]
    fn tokens_are_few_and_all_different() {
        let tokens: Vec<Token> = (0..=MAX_TOKENS).map(|n| Token::new(n.to_string()).unwrap()).collect();
        assert!(check_tokens(tokens[1..].iter()).is_ok());
        assert_eq!(check_tokens(tokens.iter()).unwrap_err().kind(), ErrorKind::Config);
        let twice = [&tokens[0], &tokens[1], &tokens[0]];
        assert_eq!(check_tokens(twice.into_iter()).unwrap_err().kind(), ErrorKind::Config);
    }
}
