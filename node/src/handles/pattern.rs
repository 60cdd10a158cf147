//! Receiving from all channels whose names match a pattern.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use netchan_proto::{ChannelName, Filter, Position, Side, Start, Timestamp};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::handles::blocking::{self, Blocks};
use crate::handles::line::Line;
use crate::handles::receiving::{accepting, only};
use crate::handles::sending::through;
use crate::handles::{Adapter, Brings, Connects, Hub, Receiver, Way};
use crate::machine::Machine;
use crate::receiver::{ChannelPositions, Next, PatternCore, PatternOptions, Received, Wanted};
use crate::sync::{Mutex, MutexGuard};
use crate::target::{Remote, parse_pattern};

/// How to receive from all channels whose names match. Made by [`Node::receiver_of`](crate::Handle::receiver_of).
#[must_use = "nothing happens before open()"]
pub struct PatternBuilder<A: Adapter> {
    hub: Arc<Hub<A>>,
    what: Result<(Option<Remote>, PatternOptions), Error>,
    way: Option<Way<A::Stream>>,
}

impl<A: Adapter> PatternBuilder<A> {
    pub(super) fn new(hub: Arc<Hub<A>>, target: &str) -> PatternBuilder<A> {
        let what = parse_pattern(target).map(|(remote, pattern)| (remote, PatternOptions::new(pattern)));
        PatternBuilder { hub, what, way: None }
    }

    /// Where to begin in each channel that is there; [`Start::Latest`], the next record to come, if nothing is said. A channel
    /// that is made later is read from its first record on, but where this is a time or an offset.
    pub fn from(self, start: Start) -> PatternBuilder<A> {
        self.set(|options| options.start = start)
    }

    /// Goes on where another receiver had come to, see [`PatternReceiver::positions`], in place of [`from`](Self::from). A channel
    /// that is not among them, or was deleted and made again since, is read from its first record on.
    pub fn resume(self, positions: ChannelPositions) -> PatternBuilder<A> {
        self.set(|options| options.resume = Some(positions))
    }

    /// Bytes that may be under way of each of the first eight channels. Default 1 MiB. Of each other channel 64 KiB may be.
    pub fn window(self, bytes: u64) -> PatternBuilder<A> {
        self.set(|options| options.window = bytes)
    }

    /// Whether to go on past what is there at the first connection, and with channels that are made later (the default). If not,
    /// and no channel matches, that is [`ErrorKind::NoChannel`].
    pub fn follow(self, follow: bool) -> PatternBuilder<A> {
        self.set(|options| options.follow = follow)
    }

    /// Ends in each channel before the first record at or after this time.
    pub fn until(self, time: Timestamp) -> PatternBuilder<A> {
        self.set(|options| options.until = Some(time))
    }

    /// Receives only from partitions with these numbers: with the pattern `orders@*`, those of `orders`.
    pub fn partitions(self, numbers: impl IntoIterator<Item = u16>) -> PatternBuilder<A> {
        let numbers = numbers.into_iter().collect();
        self.set(|options| options.partitions = Some(numbers))
    }

    /// Receives of each channel only records that pass this filter, see
    /// [`ReceiverBuilder::filter`](crate::ReceiverBuilder::filter).
    pub fn filter(self, filter: impl AsRef<str>) -> PatternBuilder<A> {
        let filter = Filter::parse(filter.as_ref()).map_err(Error::from);
        let what = self.what.and_then(|(remote, options)| {
            let filter = Some(filter?);
            Ok((remote, PatternOptions { filter, ..options }))
        });
        PatternBuilder { what, ..self }
    }

    /// Gives the records of all channels in the order of the times at which the log took them ([`Record::timestamp`]), those of one time
    /// in the order of names, in place of channels taking turns. What is there when the receiver opens comes exactly so. What is sent
    /// later does as far as it arrives within `window` of what was sent after it: a record waits no longer for channels that say
    /// nothing, [`MERGE_WINDOW`](crate::MERGE_WINDOW) is a good one. Zero waits for none.
    ///
    /// It holds back one record of each channel; whatever else has come of a channel counts within its [`window`](Self::window). Of
    /// more channels than are read at once, 128, those that wait for their place are not waited for.
    ///
    /// [`Record::timestamp`]: netchan_proto::Record::timestamp
    pub fn merge_by_time(self, window: Duration) -> PatternBuilder<A> {
        self.set(|options| options.merge = Some(window))
    }

    /// As [`ReceiverBuilder::over`](crate::ReceiverBuilder::over).
    pub fn over<S>(self, stream: S, side: Side) -> PatternBuilder<A>
    where
        A: Brings<S>,
    {
        PatternBuilder { way: Some(only::<A, S>(stream, side)), ..self }
    }

    /// As [`ReceiverBuilder::connect_with`](crate::ReceiverBuilder::connect_with).
    pub fn connect_with<C>(self, connect: impl FnMut() -> C + Send + 'static) -> PatternBuilder<A>
    where
        A: Connects<C>,
    {
        PatternBuilder { way: Some(through::<A, C>(connect)), ..self }
    }

    /// As [`ReceiverBuilder::accept_on`](crate::ReceiverBuilder::accept_on).
    pub fn accept_on(self, listener: A::Listener) -> PatternBuilder<A> {
        PatternBuilder { way: Some(accepting::<A>(listener)), ..self }
    }

    /// A receiver. Waits until the other side has said which channels there are, and where reading begins in them (so that
    /// nothing sent later is missed; with more than 128 of them in the first 128), or until a first attempt to reach it failed
    /// (it is tried again by `recv`). A channel that cannot be opened now is not waited for: it is tried again, each second, which
    /// [`Event::Unavailable`] tells.
    ///
    /// # Errors
    /// [`ErrorKind::Target`] if the target is none, with the column for a pattern; [`ErrorKind::Filter`] if the filter is none.
    /// What the other side has to say against it, `recv` tells.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn open(self) -> A::Given<Result<PatternReceiver<A>, Error>> {
        A::give(self.opened())
    }

    pub(super) async fn opened(self) -> Result<PatternReceiver<A>, Error> {
        let (remote, options) = self.what?;
        let way = match self.way {
            Some(way) => way,
            None => self.hub.way(remote)?,
        };
        let core = PatternCore::new(&self.hub.node(), options);
        let line = Mutex::new(Line::new(core, self.hub, way));
        let mut receiver = PatternReceiver { line, calls: PhantomData };
        poll_fn(|cx| receiver.line().poll_until(cx, |core| core.is_settled().then_some(()))).await;
        Ok(receiver)
    }

    pub(super) fn wanting(self, wanted: Wanted) -> PatternBuilder<A> {
        self.set(|options| options.content = Some(wanted))
    }

    fn set(mut self, set: impl FnOnce(&mut PatternOptions)) -> PatternBuilder<A> {
        self.what = self.what.map(|(remote, mut options)| {
            set(&mut options);
            (remote, options)
        });
        self
    }
}

/// Receives from all channels of a node whose names match a pattern: those that are there, and those that are made while it runs.
/// Made by [`PatternBuilder::open`].
///
/// One connection carries them all. Of each channel the records come in order; between channels there is none: those that have
/// something take turns, but where [`merge_by_time`](PatternBuilder::merge_by_time) was asked for. 128 channels are read at once; where more match, those that were read longest give their place to those
/// that wait, each second. More than 4,096 are not received, which is told as [`ErrorKind::Full`], once.
///
/// It does not tell a sender what it has: [`Sender::receivers`](crate::Sender::receivers) and
/// [`wait_until_ready`](crate::Sender::wait_until_ready) count it, while it has a place for the channel, but
/// [`done`](crate::Sender::done) does not wait for it and [`send_to`](crate::Sender::send_to) does not count it, and waits for ever
/// if no other receiver comes.
///
/// It is driven by whoever asks it, as a [`Receiver`] is, and a stream (on plain threads: an iterator) of what it gives.
///
/// `R` is the receiver of the adapter: it says whether calls wait or are awaited.
pub struct PatternReceiver<A: Adapter, R = <A as Adapter>::Receiver> {
    /// Never locked but to be looked at: what drives it has it by `&mut`.
    line: Mutex<Line<PatternCore, A>>,
    calls: PhantomData<fn() -> R>,
}

impl<A: Adapter, R> PatternReceiver<A, R> {
    /// The next record, to be polled: see `recv`.
    ///
    /// # Errors
    /// As `recv`.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, Error>> {
        loop {
            if let Some(next) = self.at_hand() {
                return Poll::Ready(next);
            }
            ready!(self.line().poll_step(cx));
        }
    }

    fn at_hand(&mut self) -> Option<Result<Option<Received>, Error>> {
        let line = self.line();
        match line.machine.next(line.now) {
            Next::Record(received) => Some(Ok(Some(received))),
            Next::Error(error) => Some(Err(error)),
            Next::Over => {
                line.hang_up();
                Some(Ok(None))
            }
            Next::Idle => None,
        }
    }

    /// Where to go on later, in each channel in which reading has begun: after the last record that was given. What the receiver was
    /// itself [resumed](PatternBuilder::resume) with holds until the channels are known. Other channels are not among them, as
    /// nobody has said yet where they begin (they wait for a place among more than 128, or cannot be opened): who resumes reads
    /// them from their first record on.
    pub fn positions(&self) -> ChannelPositions {
        self.look().machine.positions()
    }

    /// Where to go on later in one channel, if it is among [`positions`](Self::positions).
    pub fn position(&self, channel: &ChannelName) -> Option<Position> {
        self.look().machine.position(channel)
    }

    /// The next thing that happened beside the records, to be polled: connected, lost, a channel joined in or left.
    /// `None` when nothing will any more. The receiver is driven meanwhile, up to its windows.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.line().poll_until(cx, |core| {
            let event = core.poll_event();
            (event.is_some() || core.is_over()).then_some(event)
        })
    }

    fn line(&mut self) -> &mut Line<PatternCore, A> {
        self.line.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> MutexGuard<'_, Line<PatternCore, A>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Adapter> PatternReceiver<A, Receiver<A>> {
    /// The next record, and its channel. `None` only where the builder was told not to [follow](PatternBuilder::follow): all that
    /// was there was given.
    ///
    /// # Errors
    /// [`ErrorKind::Gap`] and [`ErrorKind::Truncated`] are told once, then it goes on. What ends one channel is told once, with its
    /// name, and the others go on; that a channel was deleted is no error. After what ends all comes `None`. A lost connection
    /// is no error: it is made again.
    ///
    /// # Cancel safety
    /// Cancel safe: no record is lost if it is dropped before it is ready.
    #[inline]
    pub async fn recv(&mut self) -> Result<Option<Received>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next thing that happened beside the records: connected, lost, a channel joined in or left. `None` when nothing will any
    /// more. The receiver is driven meanwhile, up to its windows.
    ///
    /// # Cancel safety
    /// Cancel safe: neither an event nor a record is lost.
    pub async fn next_event(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }
}

impl<A: Adapter> Stream for PatternReceiver<A, Receiver<A>> {
    type Item = Result<Received, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(Result::transpose)
    }
}

impl<A: Blocks> PatternReceiver<A, blocking::Receiver<A>> {
    /// Waits for the next record, and gives its channel with it. `None` only where the builder was told not to
    /// [follow](PatternBuilder::follow): all that was there was given.
    ///
    /// # Errors
    /// [`ErrorKind::Gap`] and [`ErrorKind::Truncated`] are told once, then it goes on. What ends one channel is told once, with its
    /// name, and the others go on; that a channel was deleted is no error. After what ends all comes `None`. A lost connection
    /// is no error: it is made again.
    pub fn recv(&mut self) -> Result<Option<Received>, Error> {
        match self.at_hand() {
            Some(next) => next,
            None => A::block_on(poll_fn(|cx| self.poll_recv(cx))),
        }
    }

    /// As [`recv`](Self::recv), for at most `time`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`ErrorKind::TimedOut`]: nothing is lost by that.
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Option<Received>, Error> {
        A::block_for(Some(time), poll_fn(|cx| self.poll_recv(cx))).unwrap_or_else(|| {
            Err(Error::new(ErrorKind::TimedOut, "no record came in the time that was given"))
        })
    }

    /// Waits for the next thing that happens beside the records: connected, lost, a channel joined in or left. `None` when nothing
    /// will any more. The receiver is driven meanwhile, up to its windows.
    pub fn next_event(&mut self) -> Option<Event> {
        A::block_on(poll_fn(|cx| self.poll_event(cx)))
    }
}

impl<A: Blocks> Iterator for PatternReceiver<A, blocking::Receiver<A>> {
    type Item = Result<Received, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.recv().transpose()
    }
}

impl<A: Adapter, R> fmt::Debug for PatternReceiver<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.look();
        f.debug_struct("PatternReceiver").field("pattern", line.machine.pattern()).finish_non_exhaustive()
    }
}
