//! Opening a channel to send into: this node's log, or a publisher with a task that drives it.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use netchan_node::{Error, Machine, PublisherCore, PublisherOptions, Sender, Target};
use netchan_proto::{Durability, ProducerId};
use netchan_store::{LogOptions, Retention};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::hub::{Hub, blocking};
use crate::line::{Line, Way, through};

/// How to send into a channel. Made by [`Node::sender`](crate::Node::sender).
///
/// Durability, interval, retention and segment size count if the channel is made by this; one that exists keeps its own.
/// Of a channel that another node makes only the durability can be asked for.
#[must_use = "nothing happens before open()"]
pub struct SenderBuilder {
    hub: Arc<Hub>,
    target: Result<Target, Error>,
    way: Option<Way>,
    options: LogOptions,
    durability: Option<Durability>,
    producer: Option<ProducerId>,
    create: bool,
}

impl SenderBuilder {
    pub(crate) fn new(hub: Arc<Hub>, target: &str) -> SenderBuilder {
        SenderBuilder {
            target: Target::parse(target),
            options: hub.settings.node.created,
            hub,
            way: None,
            durability: None,
            producer: None,
            create: true,
        }
    }

    /// When the channel acknowledges: [`Durability::Sync`] unless the node was told otherwise.
    pub fn durability(self, durability: Durability) -> SenderBuilder {
        SenderBuilder { durability: Some(durability), ..self }
    }

    /// In [`Durability::Interval`]: how long records may wait for their sync.
    pub fn interval(mut self, interval: Duration) -> SenderBuilder {
        self.options.interval = interval;
        self
    }

    /// What may be trimmed. Nothing by default.
    pub fn retention(mut self, retention: Retention) -> SenderBuilder {
        self.options.retention = retention;
        self
    }

    /// The size at which a segment file is closed.
    pub fn segment_bytes(mut self, bytes: u64) -> SenderBuilder {
        self.options.segment_bytes = bytes;
        self
    }

    /// Sends as this producer, whose records count once over all its runs. One sender at a time.
    pub fn producer(self, producer: ProducerId) -> SenderBuilder {
        SenderBuilder { producer: Some(producer), ..self }
    }

    /// Whether a channel that does not exist is made (the default).
    pub fn create(self, create: bool) -> SenderBuilder {
        SenderBuilder { create, ..self }
    }

    /// Sends over streams that `connect` makes, a new one whenever the last was lost.
    pub fn connect_with<C, F, S>(self, connect: C) -> SenderBuilder
    where
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        SenderBuilder { way: Some(through(connect)), ..self }
    }

    /// Opens the channel. One of another node is opened on the way: what is sent waits for it, up to 8 MiB.
    ///
    /// # Errors
    /// [`ErrorKind::Target`](crate::ErrorKind::Target) if the target is none,
    /// [`ErrorKind::NoChannel`](crate::ErrorKind::NoChannel) if it is not to be made, and what the disk says. What another
    /// node has to say against it, sending tells.
    ///
    /// # Cancel safety
    /// Cancel safe, but that the channel may have been made.
    pub async fn open(mut self) -> Result<Sender, Error> {
        let target = self.target?;
        self.options.durability = self.durability.unwrap_or(self.options.durability);
        if self.way.is_none() && target.remote.is_none() && self.hub.holds().await? {
            let (node, options) = (self.hub.node(), self.options);
            return blocking(move || {
                let log = match self.create {
                    true => node.open_log(&target.name, &options)?,
                    false => node.existing_log(&target.name)?,
                };
                Ok(match (self.producer, node.store()) {
                    (Some(producer), Some(store)) => Sender::local_producer(store.clone(), log, producer),
                    _ => Sender::local(log),
                })
            })
            .await?;
        }
        let node = self.hub.node();
        let producer = self.producer.unwrap_or_else(|| ProducerId(node.nonce()));
        let (core, publisher) = PublisherCore::new(PublisherOptions {
            create: self.create,
            durability: self.durability,
            resume: self.producer.is_some(),
            node: node.id(),
            token: node.token().cloned(),
            seed: node.seed(),
            ..PublisherOptions::new(target.name, producer)
        });
        let way = self.way.unwrap_or_else(|| self.hub.way(target.remote));
        let mut line = Line::new(core, Arc::clone(&self.hub), way);
        self.hub.spawn(poll_fn(move |cx| line.poll_until(cx, |core| core.is_over().then_some(()))));
        Ok(Sender::remote(publisher))
    }
}
