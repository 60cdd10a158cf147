//! What values cost beside bytes: the rate of postcard values of about 100 bytes over that of records of 100 bytes, from one node
//! to another over loopback, in turns in one run, in the durability that channels have unless they are told another (`sync`).
//! `cargo run --release --example typed_rate -- [--check] [--os]`; with `--check` it is an error if values come at less than 70 % of
//! the rate. With `--os` no disk is waited for, so that nothing but processors bounds both, and values cost the more beside bytes.

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use netchan::{Durability, Node, Start};
use serde::{Deserialize, Serialize};

/// Records a turn.
const COUNT: u64 = 200_000;
/// What else the machine does comes and goes: each turn compares what was measured one after the other.
const TURNS: usize = 25;
const LEAST: f64 = 0.70;

/// What is shown beside it: numbers and a name, which is allocated for each that is received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    sensor: u64,
    at: i64,
    place: String,
    values: [f64; 8],
    count: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Good,
    Stale,
}

fn reading(sensor: u64) -> Reading {
    Reading {
        sensor,
        at: 1_767_225_600_000_000_000,
        place: "roof, north side".into(),
        values: [0.5, -1.25, 3.75, 1e9, 7.0, 12.0, 99.9, -0.1],
        count: 1_234_567,
        state: if sensor == 0 { State::Stale } else { State::Good },
    }
}

/// What is judged: nothing of it has to be allocated where it is received, which would be the type's own cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Numbers {
    sensor: u64,
    at: i64,
    values: [f64; 10],
    count: u32,
}

fn numbers(sensor: u64) -> Numbers {
    Numbers { sensor, at: 1_767_225_600_000_000_000, values: [0.5; 10], count: 1_234_567 }
}

/// What is shown beside it: as many bytes, in four allocations for each that is received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trade {
    id: u64,
    at: i64,
    symbol: String,
    venue: String,
    price: f64,
    size: f64,
    account: [u8; 16],
    tags: Vec<u16>,
    note: String,
}

fn trade(id: u64) -> Trade {
    Trade {
        id,
        at: 1_767_225_600_000_000_000,
        symbol: "EURUSD".into(),
        venue: "Frankfurt".into(),
        price: 1.0842,
        size: 250_000.0,
        account: [7; 16],
        tags: vec![3, 14, 159],
        note: "good till cancelled, iceberg".into(),
    }
}

/// How long it takes until everything is received that is sent meanwhile.
async fn timed<R>(
    sending: impl Future<Output = Result<(), netchan::Error>> + Send + 'static,
    receiving: impl Future<Output = Result<R, netchan::Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    let sending = tokio::spawn(sending);
    receiving.await?;
    sending.await??;
    Ok(began.elapsed())
}

/// Two nodes, and a channel from one to the other, new each time.
struct Pair {
    here: Node,
    there: Node,
    address: String,
    durability: Durability,
}

impl Pair {
    async fn bytes(&self) -> Result<Duration, Box<dyn Error>> {
        let log = self.here.sender("bytes").durability(self.durability).open().await?;
        let target = format!("{}/bytes", self.address);
        let mut receiver = self.there.receiver(target).from(Start::Earliest).open().await?;
        // Of a length that no compiler knows, as bytes have that come from somewhere.
        let payload = vec![7; 100];
        let sending = async move {
            for _ in 0..COUNT {
                log.send(&payload).await?;
            }
            Ok(())
        };
        let receiving = async {
            let mut bytes = 0;
            while bytes < COUNT * 100 {
                let Some(record) = receiver.recv().await? else { break };
                bytes += record.payload.len() as u64;
            }
            assert_eq!(bytes, COUNT * 100);
            Ok(())
        };
        let time = timed(sending, receiving).await?;
        self.here.delete("bytes").await?;
        Ok(time)
    }

    async fn values<T>(&self, value: T) -> Result<Duration, Box<dyn Error>>
    where
        T: Clone + PartialEq + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        let log = self.here.sender("values").durability(self.durability).typed::<T>().open().await?;
        let target = format!("{}/values", self.address);
        let receiver = self.there.receiver(target).from(Start::Earliest).typed::<T>();
        let mut receiver = receiver.open().await?;
        let sent = value.clone();
        let sending = async move {
            for _ in 0..COUNT {
                log.send(&sent).await?;
            }
            Ok(())
        };
        let receiving = async {
            let mut right = 0;
            while right < COUNT {
                let Some(received) = receiver.recv().await? else { break };
                assert!(received.value == value);
                right += 1;
            }
            assert_eq!(right, COUNT);
            Ok(())
        };
        let time = timed(sending, receiving).await?;
        self.here.delete("values").await?;
        Ok(time)
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

async fn run(durability: Durability) -> Result<f64, Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let here = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let address = here.local_addr().ok_or("not listening")?.to_string();
    let pair = Pair { here, there: Node::builder().start().await?, address, durability };
    let mut rates = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        let times = [
            pair.bytes().await?,
            pair.values(numbers(7)).await?,
            pair.values(reading(7)).await?,
            pair.values(trade(7)).await?,
        ];
        for (rates, time) in rates.iter_mut().zip(times) {
            rates.push(COUNT as f64 / time.as_secs_f64());
        }
    }
    let [bytes, numbers, readings, trades] = rates;
    let ratio =
        |rates: &[f64]| median(rates.iter().zip(&bytes).map(|(values, bytes)| values / bytes).collect());
    let (of_numbers, of_readings, of_trades) = (ratio(&numbers), ratio(&readings), ratio(&trades));
    println!("medians of {TURNS} turns of {COUNT} records");
    println!("bytes    {:>12.0} records/s", median(bytes.clone()));
    println!("numbers  {:>12.0} records/s: {:.0} % of the rate", median(numbers), 100.0 * of_numbers);
    println!("readings {:>12.0} records/s: {:.0} % (not judged)", median(readings), 100.0 * of_readings);
    println!("trades   {:>12.0} records/s: {:.0} % (not judged)", median(trades), 100.0 * of_trades);
    Ok(of_numbers)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_asked = |flag| std::env::args().any(|arg| arg == flag);
    let ratio = run(if is_asked("--os") { Durability::Os } else { Durability::Sync }).await?;
    if is_asked("--check") && ratio < LEAST {
        return Err(format!("values come at less than {:.0} % of the rate of bytes", LEAST * 100.0).into());
    }
    Ok(())
}

#[test]
fn the_values_have_about_100_bytes() {
    use netchan::{Codec, Postcard};
    let (mut all_numbers, mut readings, mut trades) = (Vec::new(), Vec::new(), Vec::new());
    Postcard.encode(&numbers(7), &mut all_numbers).expect("it has bytes");
    Postcard.encode(&reading(7), &mut readings).expect("it has bytes");
    Postcard.encode(&trade(7), &mut trades).expect("it has bytes");
    for len in [all_numbers.len(), readings.len(), trades.len()] {
        assert!((90..=110).contains(&len), "{len} bytes");
    }
}
