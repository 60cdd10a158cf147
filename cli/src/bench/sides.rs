//! The two sides of a stream, who sends and who receives, on each runtime: written once, for the handles' words are the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netchan::{Durability, ErrorKind, RecordRef, Start};

use super::clock::{self, Pacer};
use super::delays::{Delays, Stamps};
use super::figures::Done;
use super::terms::{Far, LOOK_AT_CLOCK, Load, Meter, Place, Sending, announce, ready, word};

/// How long peers may take to let go when a node ends.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

pub(super) fn durability(word: &str) -> Result<Durability> {
    Ok(match word {
        "sync" => Durability::Sync,
        "interval" => Durability::Interval,
        "os" => Durability::Os,
        _ => bail!("{word} is no durability"),
    })
}

/// Records, with keys in turn.
pub(super) struct Records {
    payload: Vec<u8>,
    keys: Vec<Vec<u8>>,
    next: usize,
}

impl Records {
    pub(super) fn new(sending: &Sending) -> Records {
        let keys = (0..sending.keys).map(|key| format!("key-{key:06}").into_bytes()).collect();
        Records { payload: vec![b'x'; sending.size], keys, next: 0 }
    }

    pub(super) fn next(&mut self) -> RecordRef<'_> {
        let payload = &self.payload;
        if self.keys.is_empty() {
            return RecordRef { payload, ..RecordRef::default() };
        }
        let key = &self.keys[self.next];
        self.next = (self.next + 1) % self.keys.len();
        RecordRef { payload, key: Some(key), ..RecordRef::default() }
    }

    pub(super) fn stamped(&mut self, stamps: Stamps) -> RecordRef<'_> {
        stamps.write(&mut self.payload);
        self.next()
    }
}

/// When records came, to all receivers together.
pub(super) struct Span {
    first: AtomicU64,
    last: AtomicU64,
}

impl Span {
    pub(super) fn new() -> Span {
        Span { first: AtomicU64::new(u64::MAX), last: AtomicU64::new(0) }
    }

    /// The figures of who received so many in it.
    pub(super) fn figures(&self, meter: &Meter, (count, gaps): (u64, u64)) -> super::figures::Figures {
        let took = self.last.load(Ordering::Relaxed).saturating_sub(self.first.load(Ordering::Relaxed));
        let figures = meter.figures().with("records", count as f64).with("gaps", gaps as f64);
        figures.with("records_per_s", clock::rate(count, took))
    }
}

macro_rules! sides {
    ($room:ident, [$($words:tt)*], [$($async:tt)*], [$($await:tt)*]) => {
        pub(super) mod $room {
            use super::*;
            use $($words)*::{Node, Receiver};

            /// A node that calls `far`.
            pub(in crate::bench) $($async)* fn caller(far: &Far) -> Result<Node> {
                let builder = match &far.token {
                    Some(token) => Node::builder().token(token),
                    None => Node::builder(),
                };
                Ok(builder.start()$($await)*?)
            }

            /// A node, and how channels at `place` are named from it.
            pub(in crate::bench) $($async)* fn node_for(place: &Place) -> Result<(Node, String)> {
                match place {
                    Place::Own(dir) => {
                        let node = Node::builder().data_dir(dir).listen("127.0.0.1:0").start()$($await)*?;
                        Ok((node, String::new()))
                    }
                    Place::At(far) => Ok((caller(far)$($await)*?, far.target(""))),
                }
            }

            pub(in crate::bench) fn address(node: &Node, place: &Place) -> Result<String> {
                match place {
                    Place::Own(_) => Ok(node.local_addr().context("the node does not listen")?.to_string()),
                    Place::At(far) => Ok(far.addr.clone()),
                }
            }

            /// Sends until the load is done.
            pub(in crate::bench) $($async)* fn send(
                place: Place,
                sending: Sending,
                load: Load,
                seal: bool,
            ) -> Result<Done> {
                let (node, prefix) = node_for(&place)$($await)*?;
                let name = format!("{prefix}{}", sending.channel);
                let log = node.sender(name).durability(durability(&sending.durability)?).open()$($await)*?;
                log.info()$($await)*?; // a channel elsewhere is there when this is answered
                ready(&address(&node, &place)?)?;
                let mut records = Records::new(&sending);
                let meter = Meter::start();
                let begin = clock::now();
                let end = begin + clock::from_seconds(load.seconds);
                let mut count = 0u64;
                match load.per_second {
                    Some(per_second) => {
                        for (due, sent) in Pacer::new(per_second, load.seconds) {
                            log.send(records.stamped(Stamps { due, sent }))$($await)*?;
                            count += 1;
                        }
                    }
                    None => {
                        while !count.is_multiple_of(LOOK_AT_CLOCK) || clock::now() < end {
                            log.send(records.next())$($await)*?;
                            count += 1;
                        }
                    }
                }
                log.flush()$($await)*?;
                let took = clock::now() - begin;
                let figures = meter.figures().with("records", count as f64);
                let mut figures = figures.with("records_per_s", clock::rate(count, took));
                if seal {
                    log.seal()$($await)*?;
                }
                announce("sent")?;
                word();
                figures.absorb("", &meter.figures());
                node.shutdown(FAREWELL)$($await)*?;
                Ok(Done { figures, ..Done::default() })
            }

            /// Receives a channel to its end.
            pub(in crate::bench) $($async)* fn receive(
                far: Far,
                channel: String,
                filter: Option<String>,
                paced: bool,
                skip: u64,
            ) -> Result<Done> {
                let node = caller(&far)$($await)*?;
                let mut receiver = node.receiver(far.target(&channel)).from(Start::Earliest);
                if let Some(filter) = filter {
                    receiver = receiver.filter(&filter);
                }
                let mut receiver = receiver.open()$($await)*?;
                announce("")?;
                let (meter, span, mut delays) = (Meter::start(), Span::new(), Delays::new(skip)?);
                let taken = take_all(&mut receiver, &span, paced.then_some(&mut delays))$($await)*?;
                let mut done = if paced { delays.done() } else { Done::default() };
                done.figures.absorb("", &span.figures(&meter, taken));
                Ok(done)
            }

            /// Receives to the end; says how many records came, and how often some were gone.
            pub(in crate::bench) $($async)* fn take_all(
                receiver: &mut Receiver,
                span: &Span,
                mut delays: Option<&mut Delays>,
            ) -> Result<(u64, u64)> {
                let (mut count, mut gaps) = (0u64, 0u64);
                loop {
                    match receiver.recv()$($await)* {
                        Ok(Some(record)) => {
                            if count == 0 {
                                span.first.fetch_min(clock::now(), Ordering::Relaxed);
                            }
                            count += 1;
                            if let Some(delays) = &mut delays {
                                delays.note(&record.payload);
                            }
                            std::hint::black_box(&record.payload);
                        }
                        Ok(None) => break,
                        Err(error) if matches!(error.kind(), ErrorKind::Gap { .. }) => gaps += 1,
                        Err(error) => return Err(error.into()),
                    }
                }
                span.last.fetch_max(clock::now(), Ordering::Relaxed);
                Ok((count, gaps))
            }
        }
    };
}

sides!(on_tokio, [netchan], [async], [.await]);
sides!(on_smol, [netchan::smol], [async], [.await]);
sides!(on_std, [netchan::std], [], []);
