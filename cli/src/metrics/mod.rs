//! `--metrics ADDR`: what this process counts, for Prometheus and whatever reads its text.
//!
//! | room | holds |
//! |---|---|
//! | `server` | the HTTP door and its limits |
//! | `page` | making the page, by one at a time, and not more often than is fair |
//! | `text`, `process` | the page: what the node tells; what the operating system says of the process |
//! | `gauge` | a number of it |

mod gauge;
mod page;
mod process;
mod server;
mod text;

use netchan::Node;
use tokio::task::JoinHandle;

use self::page::Page;
use self::server::Door;
use self::text::Told;
use crate::args::Listen;
use crate::status::Status;

/// Metrics that are told while it lives.
#[derive(Debug)]
pub(crate) struct Metrics(JoinHandle<()>);

/// The place for metrics, taken before a node is there to be measured.
#[derive(Debug)]
pub(crate) struct Place(Option<Door>);

impl Place {
    /// Takes the address, if one was asked for.
    ///
    /// # Errors
    /// It may not be used, or is in use.
    pub(crate) async fn take(listen: &Listen) -> anyhow::Result<Place> {
        Ok(Place(match &listen.metrics {
            Some(address) => Some(Door::open(address, listen.insecure).await?),
            None => None,
        }))
    }

    /// Tells the metrics of `node` from now on.
    pub(crate) fn tell(self, node: &Node, status: Status) -> Option<Metrics> {
        let door = self.0?;
        status.warn(format_args!("metrics are at http://{}/metrics", door.address()));
        let node = node.clone();
        let page = Page::new(move || {
            let node = node.clone();
            async move {
                match Told::ask(&node).await {
                    Ok(told) => told.text().map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            }
        });
        Some(Metrics(tokio::spawn(door.serve(page))))
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.0.abort();
    }
}
