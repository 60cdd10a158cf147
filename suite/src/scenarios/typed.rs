//! Values in place of bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use netchan_node::typed::Codec;
use netchan_node::words::{
    Beside, Cbor, CodecError, Compression, EncryptionKey, ErrorKind, Json, MessagePack, NewRecord, Offset,
    Postcard, ProducerId, Raw, Start, Transform, Typed, TypedBuilder, TypedPatternReceiver,
};
use netchan_node::{Handle, ReceiverBuilder, SenderBuilder};
use serde::{Deserialize, Serialize};

use crate::pair::{Pair, is_at_end, open, open_sender, payload, receives, send, start};
use crate::runtime::Runtime;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    number: u64,
    customer: String,
    lines: Vec<Line>,
    notes: BTreeMap<String, Option<f64>>,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    article: String,
    count: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Open,
    Paid { cents: i64 },
    Returned(String),
}

fn order(number: u64) -> Order {
    let line = |line: u64| Line { article: format!("article {line}"), count: line as u16 };
    Order {
        number,
        customer: "Ünal & Sons".repeat(number as usize % 3),
        lines: (0..number % 5).map(line).collect(),
        notes: BTreeMap::from([("weight".into(), Some(0.5 * number as f64)), ("gift".into(), None)]),
        state: match number % 3 {
            0 => State::Open,
            1 => State::Paid { cents: -(number as i64) },
            _ => State::Returned("broken".into()),
        },
    }
}

fn sender<A: Runtime, T: Send + 'static>(builder: TypedBuilder<SenderBuilder<A>, T>) -> Typed<A::Sender, T> {
    A::wait(|| builder.open()).unwrap()
}

fn receiver<A: Runtime, T: Send + 'static>(
    builder: TypedBuilder<ReceiverBuilder<A>, T>,
) -> Typed<A::Receiver, T> {
    A::wait(|| builder.open()).unwrap()
}

#[track_caller]
fn refusal<H, T>(opened: Result<Typed<H, T>, netchan_node::Error>) -> String {
    let error = opened.map(|_| ()).unwrap_err();
    assert!(error.kind() == ErrorKind::Content && !error.is_retryable(), "{error}");
    error.to_string()
}

#[track_caller]
fn orders_come<A: Runtime>(receiver: &mut Typed<A::Receiver, Order>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let received = A::recv_value(receiver).unwrap().expect("a value before the end");
        assert_eq!(received.record.offset, Offset(number));
        assert_eq!(received.value, order(number));
    }
}

/// distchan's late joiner, who decodes structs; from here and from elsewhere. NC-VAL-002
pub fn values_come_as_they_were_sent_also_to_who_comes_late<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = sender(pair.here.sender("orders").typed::<Order>());
    let reading =
        || receiver(pair.there.receiver(pair.target("orders")).from(Start::Earliest).typed::<Order>());
    let mut early = reading();
    for number in 0..50 {
        S::durable(&S::send_value(&log, &order(number)).unwrap()).unwrap();
    }
    orders_come::<R>(&mut early, 0..50);
    let publisher = sender(pair.there.sender(pair.target("orders")).typed::<Order>());
    for number in 50..60 {
        R::durable(&R::send_value(&publisher, &order(number)).unwrap()).unwrap();
    }
    S::seal(&log).unwrap();
    let mut late = reading();
    orders_come::<R>(&mut late, 0..60);
    orders_come::<R>(&mut early, 50..60);
    assert!(R::recv_value(&mut late).unwrap().is_none());
    assert!(R::recv_value(&mut early).unwrap().is_none());
}

/// distchan's fan-out.
pub fn ten_receivers_get_a_hundred_structs_each_in_any_codec<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    fan_out(&pair, "postcard", || Postcard);
    fan_out(&pair, "json", || Json);
    fan_out(&pair, "messagepack", || MessagePack);
    fan_out(&pair, "cbor", || Cbor);
}

fn fan_out<S: Runtime, R: Runtime, C: Codec<Order>>(pair: &Pair<S, R>, name: &str, codec: impl Fn() -> C) {
    let log = sender(pair.here.sender(name).typed_as(codec()));
    let receiving: Vec<_> = (0..10)
        .map(|_| {
            let builder = pair.there.receiver(pair.target(name)).from(Start::Earliest);
            let mut receiver = receiver(builder.typed_as(codec()));
            thread::spawn(move || {
                orders_come::<R>(&mut receiver, 0..100);
                assert!(R::recv_value(&mut receiver).unwrap().is_none());
            })
        })
        .collect();
    (0..100).for_each(|number| drop(S::send_value(&log, &order(number)).unwrap()));
    S::seal(&log).unwrap();
    receiving.into_iter().for_each(|receiving| receiving.join().unwrap());
}

/// The channel keeps what was said first, over restarts of who sends too. NC-VAL-001, NC-VAL-003, NC-VAL-004, NC-VAL-005, NC-VAL-006
pub fn who_means_other_values_is_told_so_at_open<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let elsewhere = pair.target("typed");
    let from_start = || pair.there.receiver(&elsewhere).from(Start::Earliest);
    let log = sender(pair.here.sender("typed").typed_as::<Order>(Json));
    S::durable(&S::send_value(&log, &order(0)).unwrap()).unwrap();

    let told = refusal(R::wait(|| from_start().typed::<Order>().open()));
    assert!(told.contains("json, not postcard"), "{told}");
    refusal(S::wait(|| pair.here.sender("typed").typed::<Order>().open()));
    // Of another node's channel it is told as soon as it answers, and nothing comes into the channel.
    let wrong = sender(pair.there.sender(&elsewhere).typed::<Order>());
    let refused = R::send_value(&wrong, &order(1)).and_then(|sent| R::durable(&sent)).unwrap_err();
    assert!(refused.kind() == ErrorKind::Content && !refused.is_retryable(), "{refused}");
    let trusting = from_start().typed::<Order>().trust(true);
    refusal(R::wait(|| trusting.open()));

    // Bytes as they are go in and out.
    let mut raw = open(from_start());
    receives::<R>(&mut raw, 0, [serde_json(&order(0))].into_iter());
    S::durable(&send::<S>(&open_sender(pair.here.sender("typed")), serde_json(&order(1)))).unwrap();
    let mut right = receiver(from_start().typed_as::<Order>(Json));
    orders_come::<R>(&mut right, 0..2);

    // What nobody spoke of.
    S::durable(&send::<S>(&pair.sender("untyped"), serde_json(&order(0)))).unwrap();
    let untyped = || pair.there.receiver(pair.target("untyped")).from(Start::Earliest);
    refusal(R::wait(|| untyped().typed_as::<Order>(Json).open()));
    refusal(S::wait(|| pair.here.sender("untyped").typed_as::<Order>(Json).open()));
    orders_come::<R>(&mut receiver(untyped().typed_as::<Order>(Json).trust(true)), 0..1);
    let trusting = sender(pair.here.sender("untyped").typed_as::<Order>(Json).trust(true));
    S::durable(&S::send_value(&trusting, &order(1)).unwrap()).unwrap();
    orders_come::<R>(&mut receiver(untyped().typed_as::<Order>(Json).trust(true)), 0..2);

    // The publisher who makes a channel says it, too.
    let maker = pair.there.sender(pair.target("made")).producer(ProducerId([3; 16]));
    let made = sender(maker.typed::<Order>());
    R::durable(&R::send_value(&made, &order(0)).unwrap()).unwrap();
    refusal(S::wait(|| pair.here.receiver("made").typed_as::<Order>(Json).open()));
    S::wait(|| pair.here.shutdown(Duration::from_secs(60))).unwrap();
    let again = start::<S>(Handle::builder().data_dir(pair.dir.path()));
    refusal(S::wait(|| again.sender("made").typed_as::<Order>(Json).open()));
    drop(sender(again.sender("made").typed::<Order>()));
}

/// Of each channel, its values in order; one of others is told once, and one that had nothing is asked when it has. NC-VAL-006, NC-VAL-007
pub fn values_of_many_channels_come_with_their_channel_and_others_are_told_once<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let logs = ["orders/eu", "orders/us"].map(|name| sender(pair.here.sender(name).typed::<Order>()));
    let put = |log: &Typed<S::Sender, Order>, number| {
        S::durable(&S::send_value(log, &order(number)).unwrap()).unwrap()
    };
    (0..20).for_each(|number| put(&logs[number as usize % 2], number));
    put(&sender(pair.here.sender("orders/json").typed_as::<Order>(Json)), 0);
    drop(open_sender(pair.here.sender("orders/late")));
    let builder = pair.there.receiver_of(pair.target("orders/*")).from(Start::Earliest).typed::<Order>();
    let mut receiver: TypedPatternReceiver<R, Order> = R::wait(|| builder.open()).unwrap();
    let (mut found, mut told) = (BTreeMap::<String, Vec<Order>>::new(), Vec::new());
    while told.is_empty() || found.values().map(Vec::len).sum::<usize>() < 20 {
        match R::value_of(&mut receiver) {
            Ok(received) => {
                let received = received.expect("it does not end");
                found.entry(received.channel.to_string()).or_default().push(received.value);
            }
            Err(error) => told.push(error),
        }
    }
    let of = |rest: u64| (0..20).filter(|number| number % 2 == rest).map(order).collect::<Vec<_>>();
    assert_eq!(found, BTreeMap::from([("orders/eu".into(), of(0)), ("orders/us".into(), of(1))]));
    assert!(told.len() == 1 && told[0].kind() == ErrorKind::Content, "{told:?}");
    assert!(told[0].to_string().contains("orders/json"), "{}", told[0]);

    put(&sender(pair.here.sender("orders/late").typed::<Order>()), 20);
    let late = R::value_of(&mut receiver).unwrap().unwrap();
    assert_eq!(
        (late.channel.as_str(), late.value, late.record.offset),
        ("orders/late", order(20), Offset(0))
    );
    S::durable(&send::<S>(&open_sender(pair.here.sender("orders/eu")), "no order")).unwrap();
    let error = R::value_of(&mut receiver).unwrap_err();
    assert!(error.kind() == ErrorKind::Decode { offset: Offset(10) }, "{error}");
    assert!(error.to_string().contains("orders/eu"), "{error}");
    put(&logs[0], 21);
    assert_eq!(R::value_of(&mut receiver).unwrap().unwrap().value, order(21), "it goes on");
    let at = receiver.position(&late.channel).unwrap();
    assert_eq!(at.offset, Offset(1), "positions are those of its receiver");
}

/// As the codec of that name writes it.
fn serde_json(order: &Order) -> Vec<u8> {
    let mut bytes = Vec::new();
    Json.encode(order, &mut bytes).unwrap();
    bytes
}

/// Before the channel is there, and while it has nothing. NC-VAL-006, NC-VAL-007
pub fn a_receiver_of_values_may_come_before_anybody_says_what_they_are<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    drop(pair.sender("empty"));
    for name in ["later", "empty"] {
        let from_start = || pair.there.receiver(pair.target(name)).from(Start::Earliest);
        let mut right = receiver(from_start().typed_as::<Order>(Json));
        let mut wrong = receiver(from_start().typed_as::<Order>(Cbor));
        let log = sender(pair.here.sender(name).typed_as::<Order>(Json));
        (0..10).for_each(|number| drop(S::send_value(&log, &order(number)).unwrap()));
        S::seal(&log).unwrap();
        orders_come::<R>(&mut right, 0..10);
        assert!(R::recv_value(&mut right).unwrap().is_none());
        let told = R::recv_value(&mut wrong).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Content, "{told}");
        assert!(R::recv_value(&mut wrong).unwrap().is_none());
    }
}

/// With its offset; keys and headers come along.
pub fn a_record_that_is_no_value_is_told_once_and_reading_goes_on<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = sender(pair.here.sender("numbers").typed::<u32>());
    S::send_value(&log, &0).unwrap();
    let raw = open_sender(pair.here.sender("numbers"));
    S::send(&raw, NewRecord::new(vec![0xff; 9]).key("broken")).unwrap(); // no number is so long
    S::send(&raw, NewRecord::new(vec![7, 7])).unwrap(); // a number, and something after it
    S::send_value(&log, &3_000_000_000).unwrap();
    S::seal(&log).unwrap();
    let builder = pair.there.receiver(pair.target("numbers")).from(Start::Earliest);
    let mut receiver = receiver(builder.typed::<u32>());
    assert_eq!(R::recv_value(&mut receiver).unwrap().unwrap().value, 0);
    for offset in [1, 2] {
        let told = R::recv_value(&mut receiver).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Decode { offset: Offset(offset) });
        assert!(told.to_string().contains(&format!("offset {offset}")), "{told}");
    }
    let last = R::recv_value(&mut receiver).unwrap().unwrap();
    assert_eq!((last.value, last.record.offset), (3_000_000_000, Offset(3)));
    assert!(R::recv_value(&mut receiver).unwrap().is_none());
}

/// distchan's invalid preamble, on the other side of it.
pub fn who_answers_without_a_preface_delivers_nothing<S: Runtime, R: Runtime>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the process of the test.
    thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let _ = match count % 2 {
                0 => stream.write_all(b"\x04word\x04word\x04word\x04word"),
                _ => stream.write_all(&[0; 1000]),
            };
        }
    });
    let pair = Pair::<S, R>::start();
    let mut receiver = open(pair.there.receiver(format!("{address}/words")).from(Start::Earliest));
    let mut seen = 0;
    while seen < 3 {
        if let Some(netchan_node::Event::Lost { .. }) = R::next_event(&mut receiver) {
            seen += 1;
        }
    }
    assert!(R::recv_for(&mut receiver, Duration::from_millis(10)).is_none());
    // Others don't notice.
    send::<S>(&pair.sender("words"), "word");
    receives::<R>(&mut pair.receiver("words"), 0, [b"word".to_vec()].into_iter());
}

/// distchan's encryption: with the right key and with a wrong one, through a node that has none. NC-VAL-012
pub fn who_has_the_key_reads_and_who_has_another_is_told_so_each_time<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let (right, wrong) = (EncryptionKey::random().unwrap(), EncryptionKey::random().unwrap());
    // The node that stores it takes no part.
    let publisher = sender(pair.there.sender(pair.target("secret")).typed::<Order>().encrypt(&right));
    (0..50).for_each(|number| drop(R::send_value(&publisher, &order(number)).unwrap()));
    R::seal(&publisher).unwrap();

    let from_start = || pair.there.receiver(pair.target("secret")).from(Start::Earliest).typed::<Order>();
    let mut friend = receiver(from_start().encrypt(&right));
    orders_come::<R>(&mut friend, 0..50);
    assert!(R::recv_value(&mut friend).unwrap().is_none());
    let mut foe = receiver(from_start().encrypt(&wrong));
    for offset in 0..50 {
        let told = R::recv_value(&mut foe).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Decode { offset: Offset(offset) });
        assert!(told.to_string().contains("another key"), "{told}");
    }
    assert!(R::recv_value(&mut foe).unwrap().is_none());

    // Who does not know of the key is told at open; and what stands there tells nothing.
    let told = refusal(R::wait(|| from_start().open()));
    assert!(told.contains("postcard+lz4+xchacha20poly1305, not postcard"), "{told}");
    let mut raw = open(pair.here.receiver("secret").from(Start::Earliest).follow(false));
    while let Some(record) = S::recv(&mut raw).unwrap() {
        assert!(!record.payload.windows(4).any(|window| window == b"Sons" || window == b"arti"));
    }
}

/// Named in the same order on both ends. NC-VAL-008
pub fn ones_own_transforms_are_undone_in_the_reverse_order<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let sending = pair.here.sender("turned").typed_as::<Vec<u8>>(Raw);
    let log = sender(sending.transform(Append("a", b'a')).transform(Append("b", b'b')));
    S::durable(&S::send_value(&log, &b"x".to_vec()).unwrap()).unwrap();
    let untransformed = open(pair.here.receiver("turned").from(Start::Earliest));
    receives::<S>(&mut { untransformed }, 0, [b"xab".to_vec()].into_iter());
    let reading =
        || pair.there.receiver(pair.target("turned")).from(Start::Earliest).typed_as::<Vec<u8>>(Raw);
    let right = reading().transform(Append("a", b'a')).transform(Append("b", b'b'));
    assert_eq!(R::recv_value(&mut receiver(right)).unwrap().unwrap().value, b"x");
    let wrong = reading().transform(Append("b", b'b')).transform(Append("a", b'a'));
    let told = refusal(R::wait(|| wrong.open()));
    assert!(told.contains("raw+a+b, not raw+b+a"), "{told}");
    let misnamed = pair.here.sender("turned").typed_as::<Vec<u8>>(Raw).transform(Append("A", b'a'));
    assert_eq!(S::wait(|| misnamed.open()).map(|_| ()).unwrap_err().kind(), ErrorKind::Config);
}

/// Appends a byte, and takes just that off again.
struct Append(&'static str, u8);

impl Transform for Append {
    fn name(&self) -> &str {
        self.0
    }

    fn apply(&self, _: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        bytes.push(self.1);
        Ok(())
    }

    fn undo(&self, _: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        if bytes.pop() == Some(self.1) { Ok(()) } else { Err(CodecError::new("it ends otherwise")) }
    }
}

/// From here and from elsewhere, with every compression that there is.
pub fn compressed_channels_are_received_as_they_were_sent<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    for compression in [Compression::Lz4, Compression::Zstd] {
        let name = compression.to_string();
        let builder = pair.here.sender(&name).compression(compression);
        if !compression.is_known() {
            let refused = S::wait(|| builder.open()).map(|_| ()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Config, "{refused}");
            continue;
        }
        let log = open_sender(builder);
        let (mut receiver, publisher) =
            (pair.receiver(&name), open_sender(pair.there.sender(pair.target(&name))));
        let text = |number: u64| format!("{number} is a number ").repeat(number as usize % 40).into_bytes();
        (0..500).for_each(|number| drop(send::<S>(&log, text(number))));
        S::flush(&log).unwrap();
        (500..1000).for_each(|number| drop(send::<R>(&publisher, text(number))));
        R::flush(&publisher).unwrap();
        // What chance would hardly make shorter.
        (1000..1010).for_each(|number| drop(send::<S>(&log, payload(number))));
        S::seal(&log).unwrap();
        receives::<R>(&mut receiver, 0, (0..1000).map(text).chain((1000..1010).map(payload)));
        is_at_end::<R>(&mut receiver);
        let info = S::info(&log).unwrap();
        let raw: usize = (0..1000).map(|number| text(number).len()).sum();
        assert!(info.bytes < raw as u64 / 2, "{} bytes for {raw}", info.bytes);
        // The log finds it again, whole.
        let mut late = open(pair.here.receiver(&name).from(Start::Offset(Offset(777))));
        receives::<S>(&mut late, 777, (777..1000).map(text));
    }
}
