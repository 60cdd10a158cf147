//! Bare framed TCP, a u32 length and the bytes through 64 KiB buffers: the limit that channels are measured by.

use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::Result;

use super::clock::{self, Pacer};
use super::delays::{Delays, Stamps};
use super::figures::{Done, Figures};
use super::terms::{self, Load};

const BUFFER: usize = 64 << 10;

/// Sends records until the load is done.
pub(super) fn send(addr: &str, size: usize, load: Load) -> Result<Done> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut out = BufWriter::with_capacity(BUFFER, stream);
    let mut payload = vec![b'x'; size];
    let len = u32::try_from(size)?.to_le_bytes();
    terms::ready("")?;
    let meter = terms::Meter::start();
    let end = clock::now() + clock::from_seconds(load.seconds);
    let mut count = 0u64;
    match load.per_second {
        Some(per_second) => {
            for (due, sent) in Pacer::new(per_second, load.seconds) {
                Stamps { due, sent }.write(&mut payload);
                out.write_all(&len)?;
                out.write_all(&payload)?;
                out.flush()?;
                count += 1;
            }
        }
        None => {
            while !count.is_multiple_of(terms::LOOK_AT_CLOCK) || clock::now() < end {
                out.write_all(&len)?;
                out.write_all(&payload)?;
                count += 1;
            }
        }
    }
    out.flush()?;
    Ok(Done { figures: meter.figures().with("records", count as f64), ..Done::default() })
}

/// Receives until the end.
pub(super) fn receive(paced: bool, skip: u64) -> Result<Done> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    terms::announce(&listener.local_addr()?.to_string())?;
    let (stream, _) = listener.accept()?;
    let mut input = BufReader::with_capacity(BUFFER, stream);
    let mut payload = Vec::new();
    let mut delays = Delays::new(skip)?;
    let (mut count, mut begin) = (0u64, 0);
    let mut meter = terms::Meter::start();
    let mut len = [0; 4];
    while input.read_exact(&mut len).is_ok() {
        payload.resize(u32::from_le_bytes(len) as usize, 0);
        input.read_exact(&mut payload)?;
        if count == 0 {
            begin = clock::now();
            meter = terms::Meter::start();
        }
        count += 1;
        if paced {
            delays.note(&payload);
        }
        std::hint::black_box(&payload);
    }
    let figures: Figures = meter.figures().with("records", count as f64);
    let figures = figures.with("records_per_s", clock::rate(count, clock::now() - begin));
    let mut done = if paced { delays.done() } else { Done::default() };
    done.figures.absorb("", &figures);
    Ok(done)
}
