//! A bad network: it cuts and dribbles, at places that depend on a seed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

/// What the network does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weather {
    /// Each connection is cut after so many bytes at most in one direction, wherever that is.
    Cuts { within: u64 },
    /// As `Cuts`, but one direction ends properly and the other goes on.
    HalfCloses { within: u64 },
    /// A few bytes at a time, now and then with a pause.
    Dribbles,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes on to `to`.
    pub(crate) fn start(to: SocketAddr, weather: Weather, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        // Ends with the process of the test.
        thread::spawn(move || {
            let mut dice = Rng::with_seed(seed);
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                // Of two that may end, which it is is left to chance; of one, too.
                let ends_there = dice.bool();
                for (from, to, is_there) in [(&near, &far, true), (&far, &near, false)] {
                    let left = match weather {
                        Weather::Cuts { within } => dice.u64(..within),
                        Weather::HalfCloses { .. } if ends_there != is_there => u64::MAX,
                        // What a receiver says is little.
                        Weather::HalfCloses { within } => dice.u64(..if is_there { 2000 } else { within }),
                        Weather::Dribbles => u64::MAX,
                    };
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let dice = dice.fork();
                    thread::spawn(move || carry(from, to, weather, left, dice));
                }
            }
        });
        Proxy { address, connections }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Where connections are cut, the first direction that ends takes the other with it.
fn carry(mut from: TcpStream, mut to: TcpStream, weather: Weather, mut left: u64, mut dice: Rng) {
    let mut buffer = [0; 16 << 10];
    while left > 0 {
        let most = match weather {
            Weather::Dribbles => dice.usize(1..300),
            _ => buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
        };
        match from.read(&mut buffer[..most]) {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).is_ok() => left -= count as u64,
            _ => break,
        }
        if matches!(weather, Weather::Dribbles) && dice.u8(..200) == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    let _ = match weather {
        Weather::Cuts { .. } => from.shutdown(Shutdown::Both).and(to.shutdown(Shutdown::Both)),
        Weather::HalfCloses { .. } | Weather::Dribbles => to.shutdown(Shutdown::Write),
    };
}
