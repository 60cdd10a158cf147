//! Receiving values from all channels whose names match a pattern, for all runtimes.

use std::fmt;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::error::Error;
use crate::handles::blocking::{self, Blocks};
use crate::handles::{Adapter, PatternBuilder, PatternReceiver, Receiver, TypedBuilder};
use crate::receiver::Received;
#[cfg(feature = "postcard")]
use crate::typed::Postcard;
use crate::typed::{Codec, Form, ReceivedValue};

impl<A: Adapter> PatternBuilder<A> {
    /// To receive values that were sent as [postcard](Postcard), the same kind in all channels.
    #[cfg(feature = "postcard")]
    pub fn typed<T>(self) -> TypedBuilder<PatternBuilder<A>, T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + 'static,
    {
        self.typed_as(Postcard)
    }

    /// To receive values, as `codec` makes them of bytes, the same kind in all channels.
    pub fn typed_as<T: 'static>(self, codec: impl Codec<T>) -> TypedBuilder<PatternBuilder<A>, T> {
        TypedBuilder::new(self, codec)
    }
}

impl<A: Adapter, T: 'static> TypedBuilder<PatternBuilder<A>, T> {
    /// A receiver, see [`PatternBuilder::open`].
    ///
    /// # Errors
    /// As [`PatternBuilder::open`]. A channel whose payloads are others, or that has records of which nobody has said what they
    /// are, is told by receiving, once ([`ErrorKind::Content`](crate::ErrorKind::Content)); the others go on.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn open(self) -> A::Given<Result<TypedPatternReceiver<A, T>, Error>> {
        A::give(async move {
            let (builder, form, wanted) = self.formed()?;
            let receiver = builder.wanting(wanted).opened().await?;
            Ok(TypedPatternReceiver { receiver, form })
        })
    }
}

/// Receives values from all channels of a node whose names match a pattern. What does not speak of records (positions, events) is
/// the [`PatternReceiver`]'s own, which this is too. Made by [`TypedBuilder::open`].
///
/// The README of the crate `netchan` has an example.
pub struct TypedPatternReceiver<A: Adapter, T, R = <A as Adapter>::Receiver> {
    receiver: PatternReceiver<A, R>,
    form: Form<T>,
}

impl<A: Adapter, T: 'static, R> TypedPatternReceiver<A, T, R> {
    /// The receiver alone, for bytes as they stand in the channels.
    #[must_use]
    pub fn into_inner(self) -> PatternReceiver<A, R> {
        self.receiver
    }

    /// The next value, to be polled: see `recv`.
    ///
    /// # Errors
    /// As `recv`.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ReceivedValue<T>>, Error>> {
        let received = ready!(self.receiver.poll_recv(cx));
        Poll::Ready(self.value(received))
    }

    #[inline]
    fn value(&self, received: Result<Option<Received>, Error>) -> Result<Option<ReceivedValue<T>>, Error> {
        let Some(Received { channel, record }) = received? else { return Ok(None) };
        let value = self.form.decode(&record, &channel)?;
        Ok(Some(ReceivedValue { channel, value, record }))
    }
}

impl<A: Adapter, T: 'static> TypedPatternReceiver<A, T, Receiver<A>> {
    /// The next value, and its channel. `None` as [`PatternReceiver::recv`].
    ///
    /// # Errors
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) for a record that does not give a value, once, and it goes on with the next;
    /// [`ErrorKind::Content`](crate::ErrorKind::Content) for a channel of others, once, and the others go on; else as
    /// [`PatternReceiver::recv`].
    ///
    /// # Cancel safety
    /// Cancel safe: no value is lost if it is dropped before it is ready.
    #[inline]
    pub async fn recv(&mut self) -> Result<Option<ReceivedValue<T>>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }
}

impl<A: Adapter, T: 'static> Stream for TypedPatternReceiver<A, T, Receiver<A>> {
    type Item = Result<ReceivedValue<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(Result::transpose)
    }
}

impl<A: Blocks, T: 'static> TypedPatternReceiver<A, T, blocking::Receiver<A>> {
    /// Waits for the next value, and gives its channel with it. `None` as [`PatternReceiver::recv`].
    ///
    /// # Errors
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) for a record that does not give a value, once, and it goes on with the next;
    /// [`ErrorKind::Content`](crate::ErrorKind::Content) for a channel of others, once, and the others go on; else as
    /// [`PatternReceiver::recv`].
    pub fn recv(&mut self) -> Result<Option<ReceivedValue<T>>, Error> {
        let received = self.receiver.recv();
        self.value(received)
    }

    /// As [`recv`](Self::recv), for at most `time`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut): nothing is lost by that.
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Option<ReceivedValue<T>>, Error> {
        let received = self.receiver.recv_timeout(time);
        self.value(received)
    }
}

impl<A: Blocks, T: 'static> Iterator for TypedPatternReceiver<A, T, blocking::Receiver<A>> {
    type Item = Result<ReceivedValue<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.recv().transpose()
    }
}

impl<A: Adapter, T: 'static, R> Deref for TypedPatternReceiver<A, T, R> {
    type Target = PatternReceiver<A, R>;

    fn deref(&self) -> &PatternReceiver<A, R> {
        &self.receiver
    }
}

impl<A: Adapter, T: 'static, R> DerefMut for TypedPatternReceiver<A, T, R> {
    fn deref_mut(&mut self) -> &mut PatternReceiver<A, R> {
        &mut self.receiver
    }
}

impl<A: Adapter, T: 'static, R> fmt::Debug for TypedPatternReceiver<A, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedPatternReceiver")
            .field("receiver", &self.receiver)
            .field("form", &self.form)
            .finish()
    }
}
