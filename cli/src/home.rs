//! Nodes as the command line wants them: which directory, which token, which doors.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use etcetera::BaseStrategy;
use netchan::{Node, NodeBuilder, Target};

use crate::args::{DEFAULT_LISTEN, Grant, Home, Listen};

impl Home {
    /// The directory with this machine's channels.
    pub(crate) fn data_dir(&self) -> Result<PathBuf> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        let platform = etcetera::choose_base_strategy().context("no home directory: say --data-dir")?;
        Ok(platform.data_dir().join("netchan"))
    }

    fn token(&self) -> Result<Option<Vec<u8>>> {
        let Some(path) = &self.token_file else {
            return Ok(self.token.as_ref().map(|token| token.clone().into_bytes()));
        };
        read_token(path).map(Some)
    }

    /// A node for channels of this machine, alone in its directory or beside another.
    pub(crate) fn here(&self, shared: bool) -> Result<NodeBuilder> {
        raise_descriptors();
        let builder = Node::builder().data_dir(self.data_dir()?).shared(shared);
        Ok(match self.token()? {
            Some(token) => builder.token(token),
            None => builder,
        })
    }

    /// A node for channels elsewhere.
    pub(crate) fn away(&self) -> Result<NodeBuilder> {
        Ok(match self.token()? {
            Some(token) => Node::builder().token(token),
            None => Node::builder(),
        })
    }

    /// A node from which `target` can be reached.
    pub(crate) async fn reach(&self, target: &Target) -> Result<Node> {
        let builder = if target.remote.is_some() { self.away()? } else { self.here(true)? };
        Ok(builder.start().await?)
    }
}

/// The token in a file.
fn read_token(path: &Path) -> Result<Vec<u8>> {
    let what = || format!("the token file {} cannot be read", path.display());
    let mut token = std::fs::read(path).with_context(what)?;
    while token.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        token.pop();
    }
    if token.is_empty() {
        bail!("the token file {} is empty", path.display());
    }
    Ok(token)
}

/// Lets this process, and those that it starts, have as many descriptors as they may: each connection takes one, and each
/// channel that is written or read.
pub(crate) fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused, there are fewer; the store closes files of idle logs then.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// A node that speaks over a command's pipes only: no token, for who could start the command is trusted.
pub(crate) async fn via() -> Result<Node> {
    Ok(Node::builder().start().await?)
}

/// Starts a node of this machine that listens, as `listen` says.
///
/// # Errors
/// [`netchan::Error`] of the start. Only an address that was asked for must be free.
pub(crate) async fn start(home: &Home, listen: &Listen, shared: bool) -> Result<Node> {
    start_with(home, listen, shared, &[]).await
}

/// As [`start`], with further tokens.
pub(crate) async fn start_with(home: &Home, listen: &Listen, shared: bool, grants: &[Grant]) -> Result<Node> {
    let mut builder = home.here(shared)?.insecure(listen.insecure);
    for grant in grants {
        // What stands there may be a token by mistake: it is not told.
        let what = || {
            format!(
                "the file of --grant {}=FILE cannot be read: FILE names a file that holds the token",
                grant.may
            )
        };
        let token = read_token(&grant.file).map_err(|error| anyhow!("{}: {}", what(), error.root_cause()))?;
        builder = builder.grant(token, grant.may);
    }
    let builder = match listen.listen.as_deref() {
        Some("none") => builder,
        Some(address) => builder.listen(address),
        None => builder.listen_if_free(DEFAULT_LISTEN),
    };
    Ok(builder.start().await?)
}
