//! A proxy that is a bad network: it cuts, stalls and dribbles, at places that depend on a seed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the network does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weather {
    /// Each connection is cut after so many bytes at most, wherever that is.
    Cuts { within: u64 },
    /// As `Cuts`, but one direction ends properly and the other goes on.
    HalfCloses { within: u64 },
    /// A few bytes at a time, now and then with a pause.
    Dribbles,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes on to `to`.
    pub(crate) async fn start(to: SocketAddr, weather: Weather, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            let mut dice = Dice(seed);
            loop {
                let (near, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let Ok(far) = TcpStream::connect(to).await else { continue };
                tokio::spawn(carry(near, far, weather, Dice(dice.next())));
            }
        });
        Proxy { address, connections }
    }
}

async fn carry(near: TcpStream, far: TcpStream, weather: Weather, mut dice: Dice) {
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let (mut there, mut back) = (Dice(dice.next()), Dice(dice.next()));
    match weather {
        Weather::Cuts { within } => {
            // The first direction that is cut takes the other with it.
            tokio::select! {
                () = pipe(near_in, far_out, there.below(within), weather, there) => {}
                () = pipe(far_in, near_out, back.below(within), weather, back) => {}
            }
        }
        Weather::HalfCloses { within } => {
            let limits = if dice.next().is_multiple_of(2) {
                (there.below(2000), u64::MAX)
            } else {
                (u64::MAX, back.below(within))
            };
            tokio::join!(
                pipe(near_in, far_out, limits.0, weather, there),
                pipe(far_in, near_out, limits.1, weather, back)
            );
        }
        Weather::Dribbles => {
            tokio::join!(
                pipe(near_in, far_out, u64::MAX, weather, there),
                pipe(far_in, near_out, u64::MAX, weather, back)
            );
        }
    }
}

async fn pipe(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut left: u64,
    weather: Weather,
    mut dice: Dice,
) {
    let mut buffer = [0; 16 << 10];
    while left > 0 {
        let most = match weather {
            Weather::Dribbles => 1 + dice.below(300) as usize,
            _ => buffer.len().min(left as usize),
        };
        match from.read(&mut buffer[..most]).await {
            Ok(count) if count > 0 => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
                left -= count as u64;
            }
            _ => break,
        }
        if matches!(weather, Weather::Dribbles) && dice.below(200) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let _ = to.shutdown().await;
}

/// splitmix64.
#[derive(Clone, Copy)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
