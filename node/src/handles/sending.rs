//! How to send into a channel: this node's log, or a publisher that is driven in the background.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use netchan_proto::{ChannelName, Compression, Durability, Partitions, ProducerId, Side};
use netchan_store::{LogOptions, Retention};

use crate::error::{Error, ErrorKind};
use crate::handles::{Adapter, Connects, Hub, Reached, Way};
use crate::job::Job;
use crate::node::agree;
use crate::publisher::{PublisherCore, PublisherOptions};
use crate::receiver::Wanted;
use crate::sender::Sender;
use crate::target::Target;

/// How to send into a channel. Made by [`Node::sender`](crate::Handle::sender).
///
/// Durability, interval, retention, compression and segment size count if the channel is made by this; one that exists keeps its own.
/// Of a channel that another node makes only the durability can be asked for.
#[must_use = "nothing happens before open()"]
pub struct SenderBuilder<A: Adapter> {
    pub(super) hub: Arc<Hub<A>>,
    pub(super) target: Result<Target, Error>,
    pub(super) way: Option<Way<A::Stream>>,
    options: LogOptions,
    durability: Option<Durability>,
    producer: Option<ProducerId>,
    create: bool,
    content: Option<Wanted>,
}

impl<A: Adapter> SenderBuilder<A> {
    pub(super) fn new(hub: Arc<Hub<A>>, target: &str) -> SenderBuilder<A> {
        SenderBuilder {
            target: Target::parse(target),
            options: hub.settings.node.created,
            hub,
            way: None,
            durability: None,
            producer: None,
            create: true,
            content: None,
        }
    }

    /// When the channel acknowledges: [`Durability::Sync`] unless the node was told otherwise.
    pub fn durability(self, durability: Durability) -> SenderBuilder<A> {
        SenderBuilder { durability: Some(durability), ..self }
    }

    /// In [`Durability::Interval`]: how long records may wait for their sync.
    pub fn interval(mut self, interval: Duration) -> SenderBuilder<A> {
        self.options.interval = interval;
        self
    }

    /// What may be trimmed. Nothing by default.
    pub fn retention(mut self, retention: Retention) -> SenderBuilder<A> {
        self.options.retention = retention;
        self
    }

    /// Whether the channel can never be sealed. No by default.
    pub fn unsealable(mut self, unsealable: bool) -> SenderBuilder<A> {
        self.options.unsealable = unsealable;
        self
    }

    /// How batches are compressed: once, when they are written, and decompressed by each receiver. Not at all by default.
    /// [`Compression::Zstd`] needs the feature `zstd`, on both sides.
    pub fn compression(mut self, compression: Compression) -> SenderBuilder<A> {
        self.options.compression = compression;
        self
    }

    /// The size at which a segment file is closed.
    pub fn segment_bytes(mut self, bytes: u64) -> SenderBuilder<A> {
        self.options.segment_bytes = bytes;
        self
    }

    /// Sends as this producer, whose records count once over all its runs. One sender at a time.
    pub fn producer(self, producer: ProducerId) -> SenderBuilder<A> {
        SenderBuilder { producer: Some(producer), ..self }
    }

    /// Whether a channel that does not exist is made (the default).
    pub fn create(self, create: bool) -> SenderBuilder<A> {
        SenderBuilder { create, ..self }
    }

    /// Sends over streams that `connect` makes, a new one whenever the last was lost.
    pub fn connect_with<C>(self, connect: impl FnMut() -> C + Send + 'static) -> SenderBuilder<A>
    where
        A: Connects<C>,
    {
        SenderBuilder { way: Some(through::<A, C>(connect)), ..self }
    }

    /// Opens the channel. One of another node is opened on the way: what is sent waits for it, up to 8 MiB.
    ///
    /// # Errors
    /// [`ErrorKind::Target`](crate::ErrorKind::Target) if the target is none,
    /// [`ErrorKind::NoChannel`](crate::ErrorKind::NoChannel) if it is not to be made, [`ErrorKind::Config`] for a compression that
    /// this program was made without, and what the disk says. What another
    /// node has to say against it, sending tells.
    ///
    /// # Cancel safety
    /// Cancel safe, but that the channel may have been made.
    pub fn open(self) -> A::Given<Result<A::Sender, Error>> {
        A::give(async move { self.opened().await.map(A::Sender::from) })
    }

    /// Another of the same settings, on its own way.
    pub(super) fn again(&self, way: Option<Way<A::Stream>>) -> SenderBuilder<A> {
        SenderBuilder {
            hub: Arc::clone(&self.hub),
            target: self.target.clone(),
            way,
            options: self.options,
            durability: self.durability,
            producer: self.producer,
            create: self.create,
            content: self.content.clone(),
        }
    }

    /// To send into one of so many partitions of the channel.
    pub(super) fn of_partition(
        mut self,
        name: &ChannelName,
        number: u16,
        count: Partitions,
    ) -> Result<SenderBuilder<A>, Error> {
        let name = name.with_partition(number).map_err(|error| Error::from(error).about(name))?;
        self.target = self.target.map(|target| Target { name, ..target });
        self.options.partitions = NonZeroU16::new(count.get());
        Ok(self)
    }

    pub(super) fn sending(self, content: Wanted) -> SenderBuilder<A> {
        SenderBuilder { content: Some(content), ..self }
    }

    pub(super) async fn opened(mut self) -> Result<Sender, Error> {
        let Target { remote, name } = self.target?;
        self.options.durability = self.durability.unwrap_or(self.options.durability);
        if !self.options.compression.is_known() {
            let text = format!("this program was made without the compression {}", self.options.compression);
            return Err(Error::new(ErrorKind::Config, text).about(name));
        }
        if self.way.is_none() && remote.is_none() && self.hub.holds().await? {
            let (node, name, options) = (self.hub.node(), name.clone(), self.options);
            let content = self.content.clone();
            let log = A::blocking(move || {
                let log = match self.create {
                    true => node.open_log(&name, &options),
                    false => node.existing_log(&name),
                }?;
                match content.map(|wanted| (agree(&log, &wanted.content), wanted.trust)) {
                    Some((Err(error), trust)) if !trust || log.content().is_some() => Err(error),
                    _ => Ok(log),
                }
            });
            let log = log.await.flatten()?;
            // A producer's records are counted by who serves them, so that they count once wherever it sends from.
            if self.producer.is_none() {
                let elsewhere = |job: Job| drop(A::blocking(move || job.run()));
                return Ok(Sender::local(log)
                    .running_jobs_on(Arc::new(elsewhere))
                    .served_by(&self.hub.node()));
            }
        }
        let way = match self.way {
            Some(way) => way,
            None => self.hub.way(remote)?,
        };
        let node = self.hub.node();
        let producer = self.producer.unwrap_or_else(|| ProducerId(node.nonce()));
        let mut options = PublisherOptions::new(name, producer);
        (options.create, options.durability) = (self.create, self.durability);
        options.resume = self.producer.is_some();
        options.partitions = self.options.partitions.and_then(|count| Partitions::new(count.get()).ok());
        options.content = self.content.filter(|wanted| !wanted.trust).map(|wanted| wanted.content);
        let (core, publisher) = PublisherCore::new(&node, options);
        self.hub.publish(core, way);
        Ok(Sender::remote(publisher))
    }
}

/// The way that a program's closure is.
pub(super) fn through<A: Connects<C>, C>(connect: impl FnMut() -> C + Send + 'static) -> Way<A::Stream> {
    let mut connects = A::connects(connect);
    Box::new(move || {
        let stream = connects();
        Box::pin(async move { Ok(Reached::new(stream.await?, Side::Dialler)) })
    })
}
