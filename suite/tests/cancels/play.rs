//! A schedule of one channel: what is done with its handles, and what must have come of it.

use std::future::poll_fn;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use netchan_node::handles::Receiver;
use netchan_node::reply::promise;
use netchan_node::words::{
    Durability, ErrorKind, Event, NewRecord, Note, Offset, ProducerId, Record, Side, Start, StoreOptions,
};
use netchan_node::{Handle, Sender, Sent};
use netchan_suite::{Pair, payload};
use tempfile::tempdir;

use crate::cut::{Counts, Cut, When, both};
use crate::runtimes::Awaited;

/// Two nodes that many schedules use one after the other.
pub(crate) struct Scene<'a, A: Awaited> {
    pub(crate) pair: Pair<A, A>,
    pub(crate) counts: &'a Counts,
}

impl<'a, A: Awaited> Scene<'a, A> {
    pub(crate) fn new(counts: &'a Counts) -> Scene<'a, A> {
        let dir = tempdir().unwrap();
        // So little that senders wait for the disk.
        let store = StoreOptions { max_queued: 64 << 10, ..StoreOptions::default() };
        let builder = Handle::<A>::builder().data_dir(dir.path()).listen("127.0.0.1:0").store(store);
        let here = A::block_on(A::future(builder.start())).unwrap();
        let there = A::block_on(A::future(Handle::<A>::builder().start())).unwrap();
        let address = here.local_addr().unwrap();
        Scene { pair: Pair { here, there, address, dir }, counts }
    }
}

pub(crate) struct Play<'a, A: Awaited> {
    pub(crate) scene: &'a Scene<'a, A>,
    pub(crate) dice: fastrand::Rng,
    name: String,
    /// The channel, as a node elsewhere names it.
    pub(crate) target: String,
    producer: Option<ProducerId>,
    pub(crate) sender: Sender,
    receiver: Receiver<A>,
    next: u64,
    /// What was sent: the numbers of their payloads.
    pub(crate) sent: Vec<u64>,
    kept: Vec<(u64, Sent)>,
    received: usize,
    noted: Option<Note>,
    events: Vec<&'static str>,
    sender_events: Vec<&'static str>,
}

/// One of them.
pub(crate) async fn play<A: Awaited>(scene: &Scene<'_, A>, seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let name = format!("cut-{seed}");
    let target = scene.pair.target(&name);
    let is_local = dice.bool();
    let producer = dice.bool().then(|| ProducerId(seed.to_le_bytes().repeat(2).try_into().unwrap()));
    let producer = producer.filter(|_| !is_local);
    let durability = match dice.u8(..4) {
        0 => Durability::Sync,
        1 => Durability::Interval,
        _ => Durability::Os,
    };
    let sender = loop {
        let node = if is_local { &scene.pair.here } else { &scene.pair.there };
        let builder = node.sender(if is_local { &name } else { &target }).durability(durability);
        let builder = match producer {
            Some(producer) => builder.producer(producer),
            None => builder,
        };
        let when = When::patient(&mut dice);
        let opened = scene.counts.cut("SenderBuilder::open", when, A::future(builder.open())).await;
        if let Some(opened) = opened.ready() {
            break opened.unwrap();
        }
    };
    let receiver = loop {
        let builder =
            if dice.bool() { scene.pair.here.receiver(&name) } else { scene.pair.there.receiver(&target) };
        let builder = builder.from(Start::Earliest).window(1 << dice.u32(12..20));
        let when = When::patient(&mut dice);
        let opened = scene.counts.cut("ReceiverBuilder::open", when, A::future(builder.open())).await;
        if let Some(opened) = opened.ready() {
            break opened.unwrap();
        }
    };
    let mut play = Play {
        scene,
        dice,
        name,
        target,
        producer,
        sender,
        receiver,
        next: seed << 20,
        sent: Vec::new(),
        kept: Vec::new(),
        received: 0,
        noted: None,
        events: Vec::new(),
        sender_events: Vec::new(),
    };
    if play.producer.is_some() {
        play.look().await;
    }
    let heavy = play.dice.u8(..12) == 0;
    for _ in 0..play.dice.u32(5..50) {
        play.step(heavy).await;
    }
    play.end().await;
}

impl<A: Awaited> Play<'_, A> {
    fn patient(&mut self) -> When {
        When::patient(&mut self.dice)
    }

    fn impatient(&mut self) -> When {
        When::impatient(&mut self.dice)
    }

    async fn step(&mut self, heavy: bool) {
        match self.dice.u32(..100) {
            0..40 => self.send(heavy).await,
            40..70 => self.receive().await,
            70..76 => self.wait_for_one().await,
            76..79 => self.flush().await,
            79 => self.receivers().await,
            // Both take more than one record.
            80 => self.send_some().await,
            81 => self.receive_some().await,
            82..84 => self.note().await,
            84..88 => self.look().await,
            88..92 => self.events().await,
            92..96 => self.ask_the_node().await,
            96 => self.by_cursor().await,
            97 => self.serve_stream().await,
            98 => self.promised().await,
            _ => self.dial().await,
        }
    }

    /// A record that is sent is sent once, and one that isn't, not at all.
    async fn send(&mut self, heavy: bool) {
        let number = self.next;
        self.next += 1;
        // Of some megabytes more than a few have no place.
        let record = match heavy && self.dice.bool() {
            true => NewRecord::new(large(number)),
            false => NewRecord::new(payload(number)),
        };
        let sent = if self.dice.u8(..8) == 0 {
            match self.sender.try_send(record) {
                Err(error) if error.kind() == ErrorKind::Full => return,
                sent => sent,
            }
        } else {
            let when = self.patient();
            match self.scene.counts.cut("Sender::send", when, self.sender.send(record)).await {
                Cut::Ready(sent) => sent,
                Cut::Dropped { .. } => return,
            }
        };
        self.kept.push((self.sent.len() as u64, sent.unwrap()));
        self.sent.push(number);
    }

    async fn receive(&mut self) {
        // What is sent comes. Who waits for more, waits.
        let when = match self.received < self.sent.len() {
            true => self.patient(),
            false => self.impatient(),
        };
        let received = match self.dice.u8(..4) {
            0 => {
                self.scene.counts.cut("Receiver::recv", when, poll_fn(|cx| self.receiver.poll_recv(cx))).await
            }
            _ => self.scene.counts.cut("Receiver::recv", when, self.receiver.recv()).await,
        };
        if let Some(received) = received.ready() {
            self.is_next(received.unwrap().expect("this is not the end"));
        }
    }

    #[track_caller]
    fn is_next(&mut self, record: Record) {
        is_record(&record, self.received, &self.sent);
        self.received += 1;
    }

    /// It only looks.
    async fn wait_for_one(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        let (offset, sent) = self.kept[self.dice.usize(..self.kept.len())].clone();
        let when = self.patient();
        let done = match self.dice.bool() {
            true => self.scene.counts.cut("Sent::written", when, sent.written()).await,
            false => self.scene.counts.cut("Sent::durable", when, sent.durable()).await,
        };
        if let Some(done) = done.ready() {
            done.unwrap();
            assert_eq!(sent.offset(), Some(Offset(offset)));
        }
    }

    async fn flush(&mut self) {
        let when = self.patient();
        let flushed = match self.sender.publisher() {
            Some(publisher) if self.dice.bool() => {
                self.scene.counts.cut("Publisher::flush", when, publisher.flush()).await.ready()
            }
            _ => self.scene.counts.cut("Sender::flush", when, self.sender.flush()).await.ready(),
        };
        if let Some(flushed) = flushed {
            flushed.unwrap();
            let info = self.sender.info().await.unwrap();
            assert_eq!(info.durable, Offset(self.sent.len() as u64));
        }
    }

    /// The first of a batch may have been sent when it is dropped.
    async fn send_some(&mut self) {
        let numbers = self.next..self.next + self.dice.u64(..120);
        self.next = numbers.end;
        let is_remote = self.sender.publisher().is_some();
        let when = if is_remote { When::Never } else { self.patient() };
        let records = numbers.clone().map(|number| NewRecord::new(payload(number)));
        let count =
            match self.scene.counts.cut("Sender::send_batch", when, self.sender.send_batch(records)).await {
                Cut::Ready(last) => {
                    assert_eq!(last.unwrap().is_some(), !numbers.is_empty());
                    numbers.end - numbers.start
                }
                Cut::Dropped { .. } => {
                    self.sender.flush().await.unwrap();
                    self.sender.info().await.unwrap().next.0 - self.sent.len() as u64
                }
            };
        assert!(count <= numbers.end - numbers.start);
        self.sent.extend(numbers.take(count as usize));
    }

    async fn receive_some(&mut self) {
        let when = match self.received < self.sent.len() {
            true => self.patient(),
            false => self.impatient(),
        };
        let most = self.dice.usize(..20);
        let received =
            self.scene.counts.cut("Receiver::recv_batch", when, self.receiver.recv_batch(most)).await;
        if let Some(records) = received.ready() {
            let records = records.unwrap();
            assert!((1..=most.max(1)).contains(&records.len()));
            records.into_iter().for_each(|record| self.is_next(record));
        }
    }

    /// What is waited for of receivers: looking changes nothing, and what is sent so is sent once, or not at all.
    async fn receivers(&mut self) {
        let (counts, when, other) = (self.scene.counts, self.impatient(), self.impatient());
        let refused = |error: netchan_node::Error| assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let is_remote = self.sender.publisher().is_some();
        // Two are never there.
        let wanted = 1 + self.dice.usize(..2);
        match self.dice.u8(..3) {
            0 => match counts
                .cut("Sender::wait_until_ready", when, self.sender.wait_until_ready(wanted))
                .await
                .ready()
            {
                Some(Err(error)) if is_remote => refused(error),
                Some(ready) => ready.unwrap(),
                None => {}
            },
            1 => match counts.cut("Sender::done", when, self.sender.done()).await.ready() {
                Some(Err(error)) if is_remote => refused(error),
                Some(done) => assert!(done.unwrap() <= 1),
                None => {}
            },
            _ => {
                let number = self.next;
                self.next += 1;
                let sending = self.sender.send_to(1, NewRecord::new(payload(number)));
                let (sent, received) = both(
                    counts.cut("Sender::send_to", when, sending),
                    counts.cut("Receiver::recv", other, self.receiver.recv()),
                )
                .await;
                let has_begun = sent.has_begun();
                match sent.ready() {
                    Some(Err(error)) if is_remote => refused(error),
                    Some(sent) => {
                        self.kept.push((self.sent.len() as u64, sent.unwrap()));
                        self.sent.push(number);
                    }
                    None if has_begun && !is_remote => {
                        self.sender.flush().await.unwrap();
                        if self.sender.info().await.unwrap().next.0 > self.sent.len() as u64 {
                            self.sent.push(number);
                        }
                    }
                    None => {}
                }
                if let Some(received) = received.ready() {
                    self.is_next(received.unwrap().expect("this is not the end"));
                }
            }
        }
    }

    /// It is there once this was polled, whatever comes of the future.
    async fn note(&mut self) {
        let note = Note::new(format!("note {}", self.next)).unwrap();
        let (next, when) = (self.sent.len() as u64, self.patient());
        let future = self.sender.note(next, note.clone());
        match self.scene.counts.cut("Sender::note", when, future).await {
            Cut::Ready(Ok(())) => self.noted = Some(note),
            Cut::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::Config, "{error}"),
            Cut::Dropped { polls } => assert_eq!(polls, 0),
        }
    }

    /// What changes nothing.
    async fn look(&mut self) {
        let (when, most) = (self.patient(), self.sent.len() as u64);
        let counts = self.scene.counts;
        let publisher = self.sender.publisher();
        match (self.dice.u8(..4), publisher) {
            (0, _) => {
                if let Some(info) = counts.cut("Sender::info", when, self.sender.info()).await.ready() {
                    assert!(info.unwrap().next.0 <= most);
                }
            }
            (1, Some(publisher)) => {
                if let Some(info) = counts.cut("Publisher::info", when, publisher.info()).await.ready() {
                    assert!(info.unwrap().next.0 <= most);
                }
            }
            (2, Some(publisher)) => {
                let producer = counts.cut("Publisher::producer", when, publisher.producer()).await;
                if let Some(producer) = producer.ready() {
                    assert_eq!(producer.unwrap().next_sequence, most);
                }
            }
            _ => {
                let producer = counts.cut("Sender::producer", when, self.sender.producer()).await;
                match producer.ready() {
                    Some(Ok(producer)) => assert_eq!(producer.next_sequence, most),
                    Some(Err(error)) => assert!(publisher.is_none(), "{error}"),
                    None => {}
                }
            }
        }
    }

    /// None is lost either.
    async fn events(&mut self) {
        let (when, counts) = (self.impatient(), self.scene.counts);
        if self.dice.bool() {
            let event = match self.dice.bool() {
                true => counts.cut("Receiver::next_event", when, self.receiver.next_event()).await,
                false => {
                    let event = poll_fn(|cx| self.receiver.poll_event(cx));
                    counts.cut("Receiver::next_event", when, event).await
                }
            };
            self.events.extend(event.ready().flatten().map(|event| word(&event)));
        } else {
            let event = counts.cut("Sender::next_event", when, self.sender.next_event()).await;
            self.sender_events.extend(event.ready().flatten().map(|event| word(&event)));
        }
    }

    async fn ask_the_node(&mut self) {
        let (counts, most) = (self.scene.counts, self.sent.len() as u64);
        let when = self.patient();
        let (node, target, place) = match self.dice.bool() {
            true => (&self.scene.pair.here, self.name.clone(), String::new()),
            false => (&self.scene.pair.there, self.target.clone(), self.scene.pair.address.to_string()),
        };
        match self.dice.u8(..5) {
            0 => {
                let info = counts.cut("Handle::info", when, A::future(node.info(target))).await;
                match info.ready() {
                    Some(Ok(info)) => assert!(info.next.0 <= most),
                    // A publisher may not have come that far.
                    Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::NoChannel, "{error}"),
                    None => {}
                }
            }
            1 => {
                let channels = counts.cut("Handle::channels", when, A::future(node.channels(place))).await;
                channels.ready().map(Result::unwrap);
            }
            2 => {
                let status = counts.cut("Handle::status", when, A::future(node.status(place))).await;
                status.ready().map(Result::unwrap);
            }
            3 => {
                let status = counts.cut("Handle::own_status", when, A::future(node.own_status())).await;
                status.ready().map(Result::unwrap);
            }
            _ => {
                let readers = counts.cut("Handle::readers", when, A::future(node.readers(place))).await;
                readers.ready().map(Result::unwrap);
            }
        }
    }

    async fn promised(&mut self) {
        let when = self.impatient();
        let (owed, mut promised) = promise();
        let looked = self.scene.counts.cut("promise", when, &mut promised).await;
        assert!(looked.ready().is_none());
        match self.dice.bool() {
            true => owed.give(7),
            false => drop(owed),
        }
        assert!(promised.is_given());
        drop(promised);
    }

    /// Who reads over a stream that nobody serves any more is told so, after what came.
    async fn serve_stream(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        self.sender.flush().await.unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let serving = self.scene.pair.here.serve_stream(A::brought(far), Side::Listener);
        let when = self.impatient();
        let serving = self.scene.counts.cut("Handle::serve_stream", when, A::future(serving));
        let reading = async {
            let builder = self.scene.pair.there.receiver(&self.name).from(Start::Earliest).follow(false);
            let builder = builder.over(A::brought(near), Side::Dialler);
            let mut receiver = A::future(builder.open()).await.unwrap();
            let mut count = 0;
            loop {
                match receiver.recv().await {
                    Ok(Some(record)) => is_record(&record, count, &self.sent),
                    Ok(None) => break assert_eq!(count, self.sent.len()),
                    Err(error) => break assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}"),
                }
                count += 1;
            }
        };
        let (served, ()) = both(serving, reading).await;
        // The reader may be gone with something unread.
        if let Some(Err(error)) = served.ready() {
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        }
    }

    /// Who is called again goes on where it was.
    async fn dial(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        self.sender.flush().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let is_read = AtomicBool::new(false);
        let (here, counts) = (&self.scene.pair.here, self.scene.counts);
        let (first, second) = (self.impatient(), self.impatient());
        let dialling = async {
            for when in [first, second] {
                let dialled = counts.cut("Handle::dial", when, A::future(here.dial(&address))).await;
                assert!(dialled.ready().is_none());
            }
            let mut last = A::future(here.dial(&address));
            poll_fn(|cx| match is_read.load(Ordering::Relaxed) {
                true => std::task::Poll::Ready(()),
                false => last.as_mut().poll(cx).map(|ended| panic!("{ended:?}")),
            })
            .await;
        };
        let reading = async {
            let builder = self.scene.pair.there.receiver(&self.name).from(Start::Earliest);
            let builder = builder.accept_on(A::listener(listener));
            let mut receiver = A::future(builder.open()).await.unwrap();
            for count in 0..self.sent.len() {
                is_record(&receiver.recv().await.unwrap().unwrap(), count, &self.sent);
            }
            is_read.store(true, Ordering::Relaxed);
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                std::task::Poll::Ready(())
            })
            .await;
        };
        both(dialling, reading).await;
    }

    /// Everything that was sent, and nothing else, has come when the channel is sealed; which it is, if it was asked for.
    async fn end(mut self) {
        let (counts, here) = (self.scene.counts, &self.scene.pair.here);
        let when = self.patient();
        let end = Offset(self.sent.len() as u64);
        let mut is_closed = false;
        let is_sealed = match (self.dice.u8(..4), self.sender.publisher()) {
            (0, _) => {
                let sealed = counts.cut("Sender::seal", when, self.sender.seal()).await;
                let has_begun = sealed.has_begun();
                assert_eq!(sealed.ready().map_or(end, Result::unwrap), end);
                has_begun
            }
            (1, Some(publisher)) => {
                let sealed = counts.cut("Publisher::seal", when, publisher.seal()).await;
                assert_eq!(sealed.ready().map_or(end, Result::unwrap), end);
                true
            }
            (2, _) => {
                let closed = counts.cut("Sender::close", when, self.sender.close()).await;
                is_closed = closed.has_begun() && self.sender.publisher().is_some();
                closed.ready().map(Result::unwrap);
                false
            }
            (_, Some(publisher)) => {
                let closed = counts.cut("Publisher::close", when, publisher.close()).await;
                is_closed = true;
                closed.ready().map(Result::unwrap);
                false
            }
            _ => false,
        };
        if is_closed {
            let late = self.sender.send(NewRecord::new("late")).await.map(drop);
            assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
        }
        while self.received < self.sent.len() {
            let record = self.receiver.recv().await.unwrap().expect("more was sent");
            self.is_next(record);
        }
        if !is_sealed {
            if !is_closed {
                self.sender.flush().await.unwrap();
            }
            self.is_told().await;
            if self.sent.is_empty() {
                // Who publishes from elsewhere may not have come so far as to make it.
                drop(A::future(here.sender(&self.name).open()).await.unwrap());
            }
            let sealed = loop {
                let when = self.patient();
                let sealing = A::future(here.seal(&self.name));
                if let Some(sealed) = counts.cut("Handle::seal", when, sealing).await.ready() {
                    break sealed;
                }
            };
            assert_eq!(sealed.unwrap(), end);
        }
        assert!(self.receiver.recv().await.unwrap().is_none());
        while let Some(event) = self.receiver.next_event().await {
            self.events.push(word(&event));
        }
        if !self.events.contains(&"lost") {
            self.events.retain(|event| *event != "waiting");
            assert_eq!(self.events, ["connected", "opened", "sealed"]);
        }
        self.sender_ends().await;
        drop(self.receiver);
        let when = When::patient(&mut self.dice);
        let mut is_gone = false;
        if let Some(deleted) =
            counts.cut("Handle::delete", when, A::future(here.delete(&self.name))).await.ready()
        {
            deleted.unwrap();
            is_gone = true;
        }
        match A::future(here.delete(&self.name)).await {
            Ok(()) => assert!(!is_gone),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoChannel, "{error}"),
        }
    }

    /// The sender's events are all there.
    async fn sender_ends(&mut self) {
        let Some(publisher) = self.sender.publisher().cloned() else {
            assert!(self.sender_events.is_empty() && self.sender.next_event().await.is_none());
            return;
        };
        let _ = publisher.close().await;
        while let Some(event) = self.sender.next_event().await {
            self.sender_events.push(word(&event));
        }
        if !self.sender_events.contains(&"lost") {
            let seen =
                self.sender_events.iter().filter(|word| ["connected", "opened"].contains(word)).count();
            assert_eq!(seen, 2, "{:?}", self.sender_events);
        }
    }

    /// What the producer's next run is told: the records that were sent, and the last note that was taken.
    async fn is_told(&mut self) {
        let Some(producer) = self.producer else { return };
        self.sender.close().await.unwrap();
        let builder = self.scene.pair.there.sender(&self.target).producer(producer);
        let told = A::future(builder.open()).await.unwrap().producer().await.unwrap();
        assert_eq!(told.next_sequence, self.sent.len() as u64);
        assert_eq!(told.note, self.noted.take().unwrap_or_default());
    }
}

#[track_caller]
pub(crate) fn is_record(record: &Record, offset: usize, sent: &[u64]) {
    assert!(offset < sent.len(), "this was not sent: {record:?}");
    assert_eq!(record.offset, Offset(offset as u64));
    let number = sent[offset];
    let is_it = record.payload == payload(number) || record.payload == large(number);
    assert!(is_it, "record {offset} is {:?}, not {number}", record.payload.get(..8));
}

fn large(number: u64) -> Vec<u8> {
    let mut large = number.to_le_bytes().to_vec();
    large.resize(1 << 20, 7);
    large
}

fn word(event: &Event) -> &'static str {
    match event {
        Event::Connected { .. } => "connected",
        Event::Opened { .. } => "opened",
        Event::Waiting => "waiting",
        Event::Lost { .. } => "lost",
        Event::Resumed { .. } => "resumed",
        Event::Sealed { .. } => "sealed",
        Event::Gap { .. } | Event::Truncated { .. } | Event::RolledBack { .. } => {
            panic!("nothing is lost here: {event:?}")
        }
        _ => "another",
    }
}
