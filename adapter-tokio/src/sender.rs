//! Opening a channel to send into: this node's log, or a publisher with a task that drives it.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use netchan_node::{Error, Job, Machine, PublisherCore, PublisherOptions, Sender, Target};
use netchan_proto::{Durability, ProducerId};
use netchan_store::{LogOptions, Retention};

use crate::hub::{Hub, blocking};
use crate::line::{Line, Way, through};
use crate::pump::ByteStream;

/// How to send into a channel. Made by [`Node::sender`](crate::Node::sender).
///
/// Durability, interval, retention and segment size count if the channel is made by this; one that exists keeps its own.
/// Of a channel that another node makes only the durability can be asked for.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use netchan_tokio::{Durability, NewRecord, Node, Offset};
///
/// let node = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").start().await?;
/// let address = node.local_addr().ok_or("not listening")?;
///
/// // As any other node would:
/// let elsewhere = Node::builder().start().await?;
/// let prices = elsewhere.sender(format!("{address}/prices")).durability(Durability::Os).open().await?;
/// let sent = prices.send(NewRecord::new("3.20").key("coffee")).await?;
/// sent.written().await?;
/// assert_eq!(sent.offset(), Some(Offset(0)));
/// # Ok(()) }
/// ```
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
    pub fn connect_with<S: ByteStream, F>(self, connect: impl FnMut() -> F + Send + 'static) -> SenderBuilder
    where
        F: Future<Output = io::Result<S>> + Send + 'static,
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
        let Target { remote, name } = self.target?;
        self.options.durability = self.durability.unwrap_or(self.options.durability);
        if self.way.is_none() && remote.is_none() && self.hub.holds().await? {
            let (node, name, options) = (self.hub.node(), name.clone(), self.options);
            let log = blocking(move || match self.create {
                true => node.open_log(&name, &options),
                false => node.existing_log(&name),
            });
            let log = log.await??;
            // A producer's records are counted by who serves them, so that they count once wherever it sends from.
            if self.producer.is_none() {
                let runtime = tokio::runtime::Handle::current();
                let elsewhere = move |job: Job| drop(runtime.spawn_blocking(move || job.run()));
                return Ok(Sender::local(log).running_jobs_on(Arc::new(elsewhere)));
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
        let (core, publisher) = PublisherCore::new(&node, options);
        let mut line = Line::new(core, Arc::clone(&self.hub), way);
        let mut stop = Some(Box::pin(self.hub.stopped()));
        self.hub.spawn(poll_fn(move |cx| {
            if stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
                line.machine.begin_close();
                stop = None;
            }
            line.poll_until(cx, |core| core.is_over().then_some(()))
        }));
        Ok(Sender::remote(publisher))
    }
}
