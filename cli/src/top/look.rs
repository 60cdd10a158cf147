//! Looking at a node over the network: three questions at once, and an answer within a time.

use std::time::{Duration, Instant};

use anyhow::Result;
use netchan::{Error, ErrorKind, Node};
use tokio::time::timeout;

use super::sample::Sample;
use crate::args;

/// The shortest time within which an answer must come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who looks.
pub(crate) struct Looker {
    node: Node,
    place: String,
    /// Where the channels of this machine are.
    dir: String,
    /// The place without what names of channels begin with.
    of_node: String,
    prefix: String,
    began: Instant,
}

/// Why a look failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Looking again would not help.
    pub(crate) is_final: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        let is_final = matches!(
            error.kind(),
            ErrorKind::Auth | ErrorKind::Denied | ErrorKind::Version | ErrorKind::Config | ErrorKind::Target
        );
        Failed { error, is_final }
    }
}

impl Looker {
    /// Somebody who can look at the place, and has not yet.
    pub(crate) async fn new(args: &args::Top) -> Result<Looker> {
        let (of_node, prefix) = match args.place.split_once('/') {
            Some((address, prefix)) if address.contains(':') => (address, prefix),
            None if args.place.contains(':') => (args.place.as_str(), ""),
            _ => ("", args.place.as_str()),
        };
        let (builder, place, dir) = if of_node.is_empty() {
            let dir = args.home.data_dir()?;
            let place = if prefix.is_empty() { dir.clone() } else { dir.join(prefix) };
            // to look is not to take the place of who does the work
            let builder = args.home.here(true)?.guest(true);
            (builder, place.display().to_string(), dir.display().to_string())
        } else {
            (args.home.away()?, args.place.clone(), String::new())
        };
        let (node, began) = (builder.start().await?, Instant::now());
        Ok(Looker { node, place, dir, of_node: of_node.to_owned(), prefix: prefix.to_owned(), began })
    }

    /// What is looked at, for people.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// A clock that never goes back.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Looks once.
    pub(crate) async fn look(&self, interval: Duration) -> Result<Sample, Failed> {
        let patience = PATIENCE.max(interval * 2);
        let channels = if self.of_node.is_empty() {
            self.prefix.clone()
        } else {
            format!("{}/{}", self.of_node, self.prefix)
        };
        let asked = async {
            tokio::try_join!(
                self.node.status(&self.of_node),
                self.node.channels(&channels),
                self.node.readers(&self.of_node)
            )
        };
        let late = |_| Error::new(ErrorKind::Busy, format!("{}: no answer within {patience:?}", self.place));
        let answers = timeout(patience, asked).await.map_err(late)?;
        let (node, channels, mut readers) = answers.map_err(|error| self.explained(error))?;
        readers.readers.retain(|reader| reader.channel.as_str().starts_with(&self.prefix));
        Ok(Sample { taken: self.now(), node, channels, peers: readers.readers })
    }

    /// On this machine it is no network's fault if nobody is there.
    fn explained(&self, error: Error) -> Error {
        if !self.of_node.is_empty() || error.kind() != ErrorKind::Unreachable {
            return error;
        }
        let what = format!("no node runs in {}: `netchan serve` or `netchan send` start one", self.dir);
        Error::new(ErrorKind::Unreachable, what)
    }
}
