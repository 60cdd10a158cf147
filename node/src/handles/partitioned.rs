//! Sending into a channel with partitions: a sender for each, and the choice among them by the key.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use netchan_proto::{AsRecord, ChannelName, Offset, Partitions};

use crate::error::{Error, ErrorKind};
use crate::handles::blocking::{self, Blocks};
use crate::handles::{Adapter, SenderBuilder, Way};
use crate::question::{Answer, Ask};
use crate::sender::{PartitionSenders, Sender, Sent};
use crate::sync::Mutex;
use crate::target::Target;
use crate::wake::lock;

/// How to send into a channel with partitions. Made by [`SenderBuilder::partitions`] and [`SenderBuilder::partitioned`].
#[must_use = "nothing happens before open()"]
pub struct PartitionedBuilder<A: Adapter> {
    builder: SenderBuilder<A>,
    count: Result<Option<Partitions>, Error>,
}

impl<A: Adapter> SenderBuilder<A> {
    /// To send into a channel with so many partitions, 1 to 1,024, which is made if it does not exist. What was said of how it is
    /// kept holds for each of them.
    pub fn partitions(self, count: u16) -> PartitionedBuilder<A> {
        let count = Partitions::new(count).map(Some);
        let count = count.map_err(|error| Error::new(ErrorKind::Config, error.to_string()));
        PartitionedBuilder { builder: self, count }
    }

    /// To send into a channel that has partitions already, however many they are.
    pub fn partitioned(self) -> PartitionedBuilder<A> {
        PartitionedBuilder { builder: self, count: Ok(None) }
    }
}

impl<A: Adapter> PartitionedBuilder<A> {
    /// Opens the channel: a [`Sender`] for each partition, and so, for a channel of another node, a connection for each. Those are
    /// opened on the way: what is sent waits for them.
    ///
    /// # Errors
    /// As [`SenderBuilder::open`]; [`ErrorKind::Partitioned`] if the channel has another number of partitions, and
    /// [`ErrorKind::Exists`] if it has none. Without a number: [`ErrorKind::NoChannel`] if it does not exist,
    /// [`ErrorKind::Config`] if it has no partitions, or is reached by [`connect_with`](SenderBuilder::connect_with), and what the other
    /// node says. With a number, what another node has to say against it, sending tells.
    ///
    /// # Cancel safety
    /// Cancel safe, but that the channel may have been made.
    pub fn open(self) -> A::Given<Result<PartitionedSender<A>, Error>> {
        A::give(async move {
            let PartitionedBuilder { builder, count } = self;
            let Target { remote, name } = builder.target.clone()?;
            let count = match count? {
                Some(count) => count,
                None if builder.way.is_some() => {
                    let text = "over streams of the program's own, the number of partitions has to be said";
                    return Err(Error::new(ErrorKind::Config, text).about(name));
                }
                None => match Arc::clone(&builder.hub).ask(Ask::Info(name.clone()), remote.clone()).await {
                    Err(error) => error.partitions().ok_or(error)?,
                    Ok(Answer::Info(_)) => {
                        return Err(Error::new(ErrorKind::Config, "it has no partitions").about(name));
                    }
                    Ok(other) => {
                        let text = format!("this answers another question: {other:?}");
                        return Err(Error::new(ErrorKind::Protocol, text));
                    }
                },
            };
            let first = builder.hub.node().seed();
            let mut builders = vec![builder];
            if let Some(way) = builders[0].way.take() {
                // One closure makes the streams of all.
                let shared = Arc::new(Mutex::new(way));
                builders[0].way = Some(shares::<A>(&shared));
                builders.extend(
                    (1..count.get())
                        .map(|_| builders[0].again(Some(shares::<A>(&shared))))
                        .collect::<Vec<_>>(),
                );
            } else {
                builders.extend((1..count.get()).map(|_| builders[0].again(None)).collect::<Vec<_>>());
            }
            let mut senders = Vec::with_capacity(builders.len());
            for (number, builder) in count.all().zip(builders) {
                senders.push(builder.of_partition(&name, number, count)?.opened().await?);
            }
            let first = usize::try_from(first >> 33).unwrap_or(0);
            let of = Arc::new(PartitionSenders::new(name, count, senders, first)?);
            Ok(PartitionedSender { of, handles: PhantomData })
        })
    }
}

fn shares<A: Adapter>(way: &Arc<Mutex<Way<A::Stream>>>) -> Way<A::Stream> {
    let way = Arc::clone(way);
    Box::new(move || (lock(&way))())
}

/// Sends into a channel with partitions. Cheap to clone; clones send into the same channel.
///
/// A record with a key goes to the partition that its key has for good ([`Partitions::of_key`]): records of one key stay in the order
/// in which they were sent. Records without a key go to the partitions in turn.
///
/// `S` is the sender of the adapter: it says whether calls wait or are awaited.
pub struct PartitionedSender<A: Adapter, S = <A as Adapter>::Sender> {
    of: Arc<PartitionSenders>,
    handles: PhantomData<fn() -> (A, S)>,
}

impl<A: Adapter, S> Clone for PartitionedSender<A, S> {
    fn clone(&self) -> PartitionedSender<A, S> {
        PartitionedSender { of: Arc::clone(&self.of), handles: PhantomData }
    }
}

impl<A: Adapter, S> PartitionedSender<A, S> {
    /// The channel.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        self.of.name()
    }

    /// How many partitions it has.
    #[must_use]
    pub fn count(&self) -> Partitions {
        self.of.count()
    }

    /// A sender into one of them, whatever the keys: for what concerns a single log, as its producer, its receivers and events.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no partition of this number.
    pub fn partition(&self, number: u16) -> Result<S, Error>
    where
        S: From<Sender>,
    {
        self.of.partition(number).map(|sender| sender.clone().into())
    }
}

impl<A: Adapter> PartitionedSender<A, Sender> {
    /// Sends a record into the partition of its key, or the next: as [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    /// Cancel safe: dropped before it is ready, nothing was sent.
    pub async fn send<R: AsRecord>(&self, record: R) -> Result<Sent, Error> {
        self.of.choose(&record).send(record).await
    }

    /// Sends a record if that can be done at once: as [`Sender::try_send`].
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send<R: AsRecord>(&self, record: R) -> Result<Sent, Error> {
        self.of.choose(&record).try_send(record)
    }

    /// Sends a record into this partition, whatever its key.
    ///
    /// # Errors
    /// As [`Sender::send`], and [`ErrorKind::Config`] if there is no partition of this number.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped before it is ready, nothing was sent.
    pub async fn send_to_partition<R: AsRecord>(&self, number: u16, record: R) -> Result<Sent, Error> {
        self.of.partition(number)?.send(record).await
    }

    /// Ready when everything sent so far is durable in all partitions: as [`Sender::flush`].
    ///
    /// # Errors
    /// As [`Sender::flush`], of the first partition that has one.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub async fn flush(&self) -> Result<(), Error> {
        flushed(&self.of).await
    }

    /// Seals all partitions: as [`Sender::seal`]. Gives how many records each has had.
    ///
    /// # Errors
    /// As [`Sender::seal`], of the first partition that has one: the others may be sealed or not.
    ///
    /// # Cancel safety
    /// Dropped after it was first polled, partitions may be sealed or not.
    pub async fn seal(&self) -> Result<Vec<Offset>, Error> {
        sealed(&self.of).await
    }

    /// Takes nothing any more in any partition, and is ready when everything sent is acknowledged: as [`Sender::close`].
    ///
    /// # Errors
    /// As [`Sender::close`], of the first partition that has one.
    ///
    /// # Cancel safety
    /// Dropped after it was first polled, it closes all the same.
    pub async fn close(&self) -> Result<(), Error> {
        closed(&self.of).await
    }
}

impl<A: Blocks> PartitionedSender<A, blocking::Sender<A>> {
    /// Sends a record into the partition of its key, or the next: as [`blocking::Sender::send`].
    ///
    /// # Errors
    /// As [`blocking::Sender::send`].
    pub fn send(&self, record: impl AsRecord) -> Result<blocking::Sent<A>, Error> {
        blocking::Sender::<A>::from(self.of.choose(&record).clone()).send(record)
    }

    /// Sends a record if that can be done at once: as [`blocking::Sender::try_send`].
    ///
    /// # Errors
    /// As [`blocking::Sender::try_send`].
    pub fn try_send(&self, record: impl AsRecord) -> Result<blocking::Sent<A>, Error> {
        self.of.choose(&record).try_send(record).map(blocking::Sent::from)
    }

    /// Sends a record into this partition, whatever its key.
    ///
    /// # Errors
    /// As [`blocking::Sender::send`], and [`ErrorKind::Config`] if there is no partition of this number.
    pub fn send_to_partition(&self, number: u16, record: impl AsRecord) -> Result<blocking::Sent<A>, Error> {
        self.partition(number)?.send(record)
    }

    /// Waits until everything sent so far is durable in all partitions: as [`blocking::Sender::flush`].
    ///
    /// # Errors
    /// As [`blocking::Sender::flush`], of the first partition that has one.
    pub fn flush(&self) -> Result<(), Error> {
        A::block_on(flushed(&self.of))
    }

    /// Seals all partitions: as [`blocking::Sender::seal`]. Gives how many records each has had.
    ///
    /// # Errors
    /// As [`blocking::Sender::seal`], of the first partition that has one: the others may be sealed or not.
    pub fn seal(&self) -> Result<Vec<Offset>, Error> {
        A::block_on(sealed(&self.of))
    }

    /// Takes nothing any more in any partition, and returns when everything sent is acknowledged: as [`blocking::Sender::close`].
    ///
    /// # Errors
    /// As [`blocking::Sender::close`], of the first partition that has one.
    pub fn close(&self) -> Result<(), Error> {
        A::block_on(closed(&self.of))
    }
}

async fn flushed(of: &PartitionSenders) -> Result<(), Error> {
    all(of.all().iter().map(Sender::flush)).await.map(drop)
}

async fn sealed(of: &PartitionSenders) -> Result<Vec<Offset>, Error> {
    all(of.all().iter().map(Sender::seal)).await
}

async fn closed(of: &PartitionSenders) -> Result<(), Error> {
    all(of.all().iter().map(Sender::close)).await.map(drop)
}

/// One of them.
struct One<F: Future> {
    work: Pin<Box<F>>,
    done: Option<F::Output>,
}

/// What comes of all of them, side by side; the first error, once all are done.
async fn all<F, T>(work: impl Iterator<Item = F>) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut work: Vec<One<F>> = work.map(|work| One { work: Box::pin(work), done: None }).collect();
    poll_fn(|cx| {
        let mut is_ready = true;
        for one in work.iter_mut().filter(|one| one.done.is_none()) {
            match one.work.as_mut().poll(cx) {
                Poll::Ready(result) => one.done = Some(result),
                Poll::Pending => is_ready = false,
            }
        }
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    work.into_iter().filter_map(|one| one.done).collect()
}

impl<A: Adapter, S> fmt::Debug for PartitionedSender<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionedSender")
            .field("channel", self.of.name())
            .field("partitions", &self.of.count().get())
            .finish_non_exhaustive()
    }
}

impl<A: Adapter> fmt::Debug for PartitionedBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionedBuilder").field("partitions", &self.count).finish_non_exhaustive()
    }
}
