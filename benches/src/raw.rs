//! Bare framed TCP: the limit that netchan is measured by.

use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};

use hdrhistogram::Histogram;

use crate::clock;

const BUFFER: usize = 64 << 10;

/// Sends `count` records of `size` bytes as fast as they go, or at a pace with the time of sending in each.
pub(crate) fn send(addr: &str, size: usize, count: u64, per_second: Option<u64>) -> std::io::Result<()> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut out = BufWriter::with_capacity(BUFFER, stream);
    let mut payload = vec![b'x'; size];
    let len = u32::try_from(size).unwrap_or(0).to_le_bytes();
    if let Some(per_second) = per_second {
        let mut failed = None;
        clock::paced(per_second, count, |at| {
            payload[..8].copy_from_slice(&at.to_le_bytes());
            let sent = out.write_all(&len).and_then(|()| out.write_all(&payload)).and_then(|()| out.flush());
            failed = failed.take().or(sent.err());
        });
        return failed.map_or(Ok(()), Err);
    }
    for _ in 0..count {
        out.write_all(&len)?;
        out.write_all(&payload)?;
    }
    out.flush()
}

/// Receives until the end. Says the port first, then what it saw.
pub(crate) fn receive(paced: bool, skip: u64) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (stream, _) = listener.accept()?;
    let mut input = BufReader::with_capacity(BUFFER, stream);
    let mut payload = Vec::new();
    let mut delays = Delays::new(skip);
    let (mut count, mut begin) = (0u64, 0);
    let mut len = [0; 4];
    while input.read_exact(&mut len).is_ok() {
        payload.resize(usize::try_from(u32::from_le_bytes(len)).unwrap_or(0), 0);
        input.read_exact(&mut payload)?;
        if count == 0 {
            begin = clock::now();
        }
        count += 1;
        if paced {
            delays.note(&payload);
        }
        std::hint::black_box(&payload);
    }
    if paced {
        delays.print()
    } else {
        println!("{}", clock::rate(count, clock::now() - begin))
    }
    Ok(())
}

/// One-way times, from the stamp in each payload.
pub(crate) struct Delays {
    histogram: Histogram<u64>,
    skip: u64,
}

impl Delays {
    pub(crate) fn new(skip: u64) -> Delays {
        Delays {
            histogram: Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are allowed"),
            skip,
        }
    }

    pub(crate) fn note(&mut self, payload: &[u8]) {
        if self.skip > 0 {
            self.skip -= 1;
        } else if let Some(stamp) = payload.first_chunk::<8>() {
            self.histogram.saturating_record(clock::now().saturating_sub(u64::from_le_bytes(*stamp)));
        }
    }

    pub(crate) fn print(&self) {
        let at = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1000.0;
        println!("{} {} {}", at(0.5), at(0.99), at(0.999));
    }
}
