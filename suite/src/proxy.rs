//! A network that cuts connections, at places that depend on a seed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::pair::Dice;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes on to `to`; cuts each connection after `within` bytes at most in one direction, wherever that is.
    pub(crate) fn start(to: SocketAddr, within: u64, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        // Ends with the process of the test.
        thread::spawn(move || {
            let mut dice = Dice(seed);
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let left = dice.below(within);
                    thread::spawn(move || carry(from, to, left));
                }
            }
        });
        Proxy { address, connections }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The first direction that ends takes the other with it.
fn carry(mut from: TcpStream, mut to: TcpStream, mut left: u64) {
    let mut buffer = [0; 16 << 10];
    while left > 0 {
        let most = buffer.len().min(left as usize);
        match from.read(&mut buffer[..most]) {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).is_ok() => left -= count as u64,
            _ => break,
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
