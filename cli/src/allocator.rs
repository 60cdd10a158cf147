//! How the system's allocator treats large blocks.
//!
//! glibc takes large blocks from the system and gives them back, until the first one is freed: from then on it keeps blocks of that
//! size for itself, for every thread anew. A node reads runs of up to 1 MiB for its peers, so the memory that such an
//! attack makes it hold would never come down. Measured with the attack of `tests/attack.rs` at full size
//! (`NETCHAN_ATTACK=full`): 70 to 91 MiB at most without this, 54 to 59 MiB with it.

/// Blocks of at least so many bytes go back to the system when they are freed. Above what a connection reads at once, which
/// comes and goes too often for that.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 384 << 10;

/// Has large blocks given back. To be called before there are threads.
pub(crate) fn gives_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "no safe call says it; what it is needed for was measured, see above")]
    // SAFETY: mallopt takes two numbers and no pointer; no other thread allocates yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
