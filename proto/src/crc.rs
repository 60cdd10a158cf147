//! CRC-32C (Castagnoli), the checksum of headers and bodies.

use crc_fast::{CrcAlgorithm::Crc32Iscsi, Digest};

/// The CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    low(crc_fast::checksum(Crc32Iscsi, bytes))
}

/// The CRC-32C of `seed` and `bytes` as one run: what protects `bytes` and says whose they are.
pub fn crc32c_seeded(seed: &[u8; 16], bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(Crc32Iscsi);
    digest.update(seed);
    digest.update(bytes);
    low(digest.finalize())
}

/// The CRC-32C of bytes that come one part after the other.
#[derive(Debug)]
pub struct RunningCrc(Digest);

impl Default for RunningCrc {
    fn default() -> RunningCrc {
        RunningCrc(Digest::new(Crc32Iscsi))
    }
}

impl RunningCrc {
    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The CRC of all that came.
    #[must_use]
    pub fn finish(self) -> u32 {
        low(self.0.finalize())
    }
}

fn low(crc: u64) -> u32 {
    u32::try_from(crc).unwrap_or(u32::MAX) // a 32-bit algorithm: the upper half is zero
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283); // RFC 3720, appendix B.4's algorithm
    }

    #[test]
    fn parts_give_the_crc_of_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mut running = RunningCrc::default();
        bytes.chunks(777).for_each(|part| running.update(part));
        assert_eq!(running.finish(), crc32c(&bytes));
    }

    #[test]
    fn seeding_is_prefixing() {
        assert_eq!(crc32c_seeded(b"0123456789abcdef", b"xyz"), crc32c(b"0123456789abcdefxyz"));
    }
}
