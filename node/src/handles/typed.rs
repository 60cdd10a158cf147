//! Senders and receivers of values, for all runtimes: a handle, and what makes values of its bytes.

use std::fmt;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use netchan_proto::{ChannelName, NewRecord, Record};

use crate::error::{Error, ErrorKind};
use crate::handles::blocking::{self, Blocks};
use crate::handles::{Adapter, Receiver, ReceiverBuilder, SenderBuilder};
use crate::receiver::Wanted;
#[cfg(feature = "sink")]
use crate::sender::RecordSink;
use crate::sender::{Sender, Sent, after};
#[cfg(feature = "sink")]
use crate::typed::Coded;
#[cfg(feature = "postcard")]
use crate::typed::Postcard;
use crate::typed::{Codec, Form, Transform, Value};
#[cfg(feature = "encryption")]
use crate::typed::{Encryption, EncryptionKey, Lz4};

/// How to send values into a channel, or receive them. Made by [`SenderBuilder::typed`], [`ReceiverBuilder::typed`] and
/// [`PatternBuilder::typed`](crate::PatternBuilder::typed).
///
/// What the channel's payloads are (the codec's name and those of the [transforms](Self::transform), in order) is kept with the
/// channel: by the first who opens it to send values, while nothing was sent into it. Who opens it later for others gets
/// [`ErrorKind::Content`](crate::ErrorKind::Content).
#[must_use = "nothing happens before open()"]
pub struct TypedBuilder<B, T> {
    builder: B,
    codec: Box<dyn Codec<T>>,
    transforms: Vec<Box<dyn Transform>>,
    trust: bool,
}

impl<B, T: 'static> TypedBuilder<B, T> {
    pub(super) fn new(builder: B, codec: impl Codec<T>) -> TypedBuilder<B, T> {
        TypedBuilder { builder, codec: Box::new(codec), transforms: Vec::new(), trust: false }
    }

    /// One more step, after those there are: it goes over the bytes of each value before they are sent. Receivers name the
    /// same ones in the same order, and undo the last one first.
    pub fn transform(mut self, transform: impl Transform) -> TypedBuilder<B, T> {
        self.transforms.push(Box::new(transform));
        self
    }

    /// Encrypts each value with this key, after it was compressed: [`Lz4`](crate::typed::Lz4), then
    /// [`Encryption`](crate::typed::Encryption). Who has another key receives nothing but errors.
    #[cfg(feature = "encryption")]
    pub fn encrypt(self, key: &EncryptionKey) -> TypedBuilder<B, T> {
        self.transform(Lz4).transform(Encryption::new(key))
    }

    /// Whether a channel that has records, and of which nobody has said what they are, is taken for one of these. No by
    /// default. A sender to another node is then not held to anything.
    pub fn trust(self, trust: bool) -> TypedBuilder<B, T> {
        TypedBuilder { trust, ..self }
    }

    pub(super) fn formed(self) -> Result<(B, Form<T>, Wanted), Error> {
        let form = Form::new(self.codec, self.transforms);
        let wanted = Wanted { content: form.content()?, trust: self.trust };
        Ok((self.builder, form, wanted))
    }
}

impl<A: Adapter> SenderBuilder<A> {
    /// To send values, as [postcard](Postcard).
    #[cfg(feature = "postcard")]
    pub fn typed<T>(self) -> TypedBuilder<SenderBuilder<A>, T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + 'static,
    {
        self.typed_as(Postcard)
    }

    /// To send values, as `codec` makes bytes of them.
    pub fn typed_as<T: 'static>(self, codec: impl Codec<T>) -> TypedBuilder<SenderBuilder<A>, T> {
        TypedBuilder::new(self, codec)
    }
}

impl<A: Adapter> ReceiverBuilder<A> {
    /// To receive values that were sent as [postcard](Postcard).
    #[cfg(feature = "postcard")]
    pub fn typed<T>(self) -> TypedBuilder<ReceiverBuilder<A>, T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + 'static,
    {
        self.typed_as(Postcard)
    }

    /// To receive values, as `codec` makes them of bytes.
    pub fn typed_as<T: 'static>(self, codec: impl Codec<T>) -> TypedBuilder<ReceiverBuilder<A>, T> {
        TypedBuilder::new(self, codec)
    }
}

impl<A: Adapter, T: 'static> TypedBuilder<SenderBuilder<A>, T> {
    /// Opens the channel, see [`SenderBuilder::open`].
    ///
    /// # Errors
    /// As [`SenderBuilder::open`]; [`ErrorKind::Content`](crate::ErrorKind::Content) if the channel's payloads are others, or it has records of which
    /// nobody has said what they are. What another node has to say against it, sending tells.
    ///
    /// # Cancel safety
    /// Cancel safe, but that the channel may have been made.
    pub fn open(self) -> A::Given<Result<Typed<A::Sender, T>, Error>> {
        A::give(async move {
            let (builder, form, wanted) = self.formed()?;
            let sender = builder.sending(wanted).opened().await?;
            Ok(Typed { name: sender.name().clone(), handle: sender.into(), form })
        })
    }
}

impl<A: Adapter, T: 'static> TypedBuilder<ReceiverBuilder<A>, T> {
    /// A receiver, see [`ReceiverBuilder::open`].
    ///
    /// # Errors
    /// As [`ReceiverBuilder::open`]; [`ErrorKind::Content`](crate::ErrorKind::Content) if the channel's payloads are others, or it has records of which
    /// nobody has said what they are. For a channel that does not exist yet, or cannot be reached, receiving tells that.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn open(self) -> A::Given<Result<Typed<A::Receiver, T>, Error>> {
        A::give(async move {
            let (builder, form, wanted) = self.formed()?;
            let receiver = builder.wanting(wanted).opened().await?;
            Ok(Typed { name: receiver.name(), handle: receiver.into(), form })
        })
    }
}

impl<B: fmt::Debug, T> fmt::Debug for TypedBuilder<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedBuilder").field("builder", &self.builder).finish_non_exhaustive()
    }
}

/// A sender or a receiver of values. What does not speak of records (flushing, sealing, positions, events) is the handle's
/// own, which this is too.
///
/// A sender is cheap to clone, as the handle is. What it gives, when, and whether that is cancel safe is as with bytes.
pub struct Typed<H, T> {
    handle: H,
    name: ChannelName,
    form: Form<T>,
}

impl<H, T: 'static> Typed<H, T> {
    /// The handle alone, for bytes as they stand in the channel.
    #[must_use]
    pub fn into_inner(self) -> H {
        self.handle
    }

    #[inline]
    fn value(&self, record: Result<Option<Record>, Error>) -> Result<Option<Value<T>>, Error> {
        let Some(record) = record? else { return Ok(None) };
        Ok(Some(Value { value: self.form.decode(&record, &self.name)?, record }))
    }
}

impl<H, T: 'static> Typed<H, T> {
    fn values(&self, records: Vec<Record>) -> Vec<Result<Value<T>, Error>> {
        let value = |record| Ok(Value { value: self.form.decode(&record, &self.name)?, record });
        records.into_iter().map(value).collect()
    }
}

impl<H, T: 'static> Deref for Typed<H, T> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.handle
    }
}

impl<H, T: 'static> DerefMut for Typed<H, T> {
    fn deref_mut(&mut self) -> &mut H {
        &mut self.handle
    }
}

impl<H: Clone, T> Clone for Typed<H, T> {
    fn clone(&self) -> Typed<H, T> {
        Typed { handle: self.handle.clone(), name: self.name.clone(), form: self.form.clone() }
    }
}

impl<H: fmt::Debug, T: 'static> fmt::Debug for Typed<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").field("handle", &self.handle).field("form", &self.form).finish()
    }
}

impl<T: 'static> Typed<Sender, T> {
    /// Sends a value: it has its place in order when this is ready.
    ///
    /// # Errors
    /// [`ErrorKind::Encode`](crate::ErrorKind::Encode); why the channel takes no record. Nothing was sent then.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped before it is ready, nothing was sent.
    pub async fn send(&self, value: &T) -> Result<Sent, Error> {
        match self.try_send(value) {
            Err(error) if error.kind() == ErrorKind::Full => {
                self.handle.send(self.form.encode(value, None, &self.name)?).await
            }
            done => done,
        }
    }

    /// As [`send`](Self::send), with the key and the headers of `with`, whose payload is empty.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_with(&self, value: &T, with: NewRecord) -> Result<Sent, Error> {
        self.handle.send(self.form.encode(value, Some(with), &self.name)?).await
    }

    /// Sends a value, and is ready when at least `receivers` of the channel have it, see [`Sender::send_to`].
    ///
    /// # Errors
    /// As [`Sender::send_to`], and [`ErrorKind::Encode`](crate::ErrorKind::Encode): nothing was sent then.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped after it was first polled, the value may have been sent. It is sent at most once; only the
    /// waiting ends.
    pub async fn send_to(&self, receivers: usize, value: &T) -> Result<Sent, Error> {
        self.handle.send_to(receivers, self.form.encode(value, None, &self.name)?).await
    }

    /// Sends values, one after the other, see [`Sender::send_batch`].
    ///
    /// # Errors
    /// As [`send`](Self::send), for the first value that was not sent: all before it were, and it says how many.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped before it is ready, the first of them are sent, and the others are not.
    pub async fn send_batch<'a>(
        &self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Option<Sent>, Error> {
        let mut last = None;
        for (index, value) in values.into_iter().enumerate() {
            last = Some(self.send(value).await.map_err(|error| after(index, error))?);
        }
        Ok(last)
    }

    /// A [`Sink`](futures_sink::Sink) of values, which sends them into this channel.
    #[cfg(feature = "sink")]
    #[must_use]
    pub fn into_sink(self) -> ValueSink<T> {
        let Typed { handle, name, form } = self;
        ValueSink { sink: handle.into_sink(), name, form }
    }

    /// Sends a value if that can be done at once.
    ///
    /// # Errors
    /// [`ErrorKind::Full`](crate::ErrorKind::Full) if it cannot; else as [`send`](Self::send). Nothing was sent then.
    pub fn try_send(&self, value: &T) -> Result<Sent, Error> {
        self.form.encoded(value, None, &self.name, |record| self.handle.try_send(record))
    }
}

/// A sender of values as a [`Sink`](futures_sink::Sink), as [`RecordSink`] is one of records. Made by
/// [`Typed::into_sink`].
#[cfg(feature = "sink")]
pub struct ValueSink<T> {
    sink: RecordSink<Coded>,
    name: ChannelName,
    form: Form<T>,
}

#[cfg(feature = "sink")]
impl<T> Unpin for ValueSink<T> {}

#[cfg(feature = "sink")]
impl<T: 'static> futures_sink::Sink<T> for ValueSink<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.sink).poll_ready(cx)
    }

    /// # Errors
    /// [`ErrorKind::Encode`](crate::ErrorKind::Encode): nothing was sent then.
    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Error> {
        let record = self.form.encode(&value, None, &self.name)?;
        Pin::new(&mut self.sink).start_send(record)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.sink).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.sink).poll_close(cx)
    }
}

#[cfg(feature = "sink")]
impl<T> fmt::Debug for ValueSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueSink").field("sink", &self.sink).finish_non_exhaustive()
    }
}

impl<A: Blocks, T: 'static> Typed<blocking::Sender<A>, T> {
    /// Sends a value, and returns when at least `receivers` of the channel have it, see [`blocking::Sender::send_to`].
    ///
    /// # Errors
    /// As [`blocking::Sender::send_to`], and [`ErrorKind::Encode`](crate::ErrorKind::Encode): nothing was sent then.
    pub fn send_to(&self, receivers: usize, value: &T) -> Result<blocking::Sent<A>, Error> {
        self.handle.send_to(receivers, self.form.encode(value, None, &self.name)?)
    }

    /// Sends values, one after the other, see [`blocking::Sender::send_batch`].
    ///
    /// # Errors
    /// As [`send`](Self::send), for the first value that was not sent: all before it were, and it says how many.
    pub fn send_batch<'a>(
        &self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Option<blocking::Sent<A>>, Error> {
        let mut last = None;
        for (index, value) in values.into_iter().enumerate() {
            last = Some(self.send(value).map_err(|error| after(index, error))?);
        }
        Ok(last)
    }

    /// Sends a value: it has its place in order when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Encode`](crate::ErrorKind::Encode); why the channel takes no record. Nothing was sent then.
    pub fn send(&self, value: &T) -> Result<blocking::Sent<A>, Error> {
        self.form.encoded(value, None, &self.name, |record| self.handle.send(record))
    }

    /// As [`send`](Self::send), with the key and the headers of `with`, whose payload is empty.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(&self, value: &T, with: NewRecord) -> Result<blocking::Sent<A>, Error> {
        self.handle.send(self.form.encode(value, Some(with), &self.name)?)
    }

    /// Sends a value if that can be done at once.
    ///
    /// # Errors
    /// [`ErrorKind::Full`](crate::ErrorKind::Full) if it cannot; else as [`send`](Self::send). Nothing was sent then.
    pub fn try_send(&self, value: &T) -> Result<blocking::Sent<A>, Error> {
        self.form.encoded(value, None, &self.name, |record| self.handle.try_send(record))
    }
}

impl<A: Adapter, T: 'static> Typed<Receiver<A>, T> {
    /// The next value. `None`: the channel is sealed and all of it was received (or the end that was asked for is reached).
    ///
    /// # Errors
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) for a record that does not give a value, once, and it goes on with the next; else as
    /// [`Receiver::recv`].
    ///
    /// # Cancel safety
    /// Cancel safe: no value is lost if it is dropped before it is ready.
    #[inline]
    pub async fn recv(&mut self) -> Result<Option<Value<T>>, Error> {
        // The value is made last, and where it is to be: a value that is moved at once costs as much as decoding it.
        let record = poll_fn(|cx| self.handle.poll_recv(cx)).await;
        self.value(record)
    }

    /// As [`recv`](Self::recv), to be polled.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Value<T>>, Error>> {
        let record = ready!(self.handle.poll_recv(cx));
        Poll::Ready(self.value(record))
    }

    /// The next values, see [`Receiver::recv_batch`]; each with why its record gives none, if it doesn't
    /// ([`ErrorKind::Decode`](crate::ErrorKind::Decode)).
    ///
    /// # Errors
    /// As [`Receiver::recv_batch`].
    ///
    /// # Cancel safety
    /// Cancel safe: no value is lost if it is dropped before it is ready.
    pub async fn recv_batch(&mut self, most: usize) -> Result<Vec<Result<Value<T>, Error>>, Error> {
        let records = self.handle.recv_batch(most).await?;
        Ok(self.values(records))
    }
}

impl<A: Adapter, T: 'static> Stream for Typed<Receiver<A>, T> {
    type Item = Result<Value<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(Result::transpose)
    }
}

impl<A: Blocks, T: 'static> Typed<blocking::Receiver<A>, T> {
    /// Waits for the next value. `None`: the channel is sealed and all of it was received (or the end that was asked for is
    /// reached).
    ///
    /// # Errors
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) for a record that does not give a value, once, and it goes on with the next; else as
    /// [`blocking::Receiver::recv`].
    pub fn recv(&mut self) -> Result<Option<Value<T>>, Error> {
        let record = self.handle.recv();
        self.value(record)
    }

    /// Waits for the next values, see [`blocking::Receiver::recv_batch`]; each with why its record gives none, if it doesn't
    /// ([`ErrorKind::Decode`](crate::ErrorKind::Decode)).
    ///
    /// # Errors
    /// As [`blocking::Receiver::recv_batch`].
    pub fn recv_batch(&mut self, most: usize) -> Result<Vec<Result<Value<T>, Error>>, Error> {
        let records = self.handle.recv_batch(most)?;
        Ok(self.values(records))
    }

    /// As [`recv`](Self::recv), for at most `time`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut): nothing is lost by that.
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Option<Value<T>>, Error> {
        let record = self.handle.recv_timeout(time);
        self.value(record)
    }

    /// As [`recv`](Self::recv), if there is a value already; else it only does what can be done at once to get one.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) if there is none yet.
    pub fn try_recv(&mut self) -> Result<Option<Value<T>>, Error> {
        let record = self.handle.try_recv();
        self.value(record)
    }
}

impl<A: Blocks, T: 'static> Iterator for Typed<blocking::Receiver<A>, T> {
    type Item = Result<Value<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.recv().transpose()
    }
}
