//! The suite over the adapters of this repository, and over each pair of them.
#![allow(clippy::unwrap_used)]

use netchan_smol::Smol;
use netchan_std::Std;
use netchan_tokio::Tokio;

netchan_suite::scenarios! {
    tokio_to_tokio: Tokio => Tokio,
    tokio_to_smol: Tokio => Smol,
    tokio_to_std: Tokio => Std,
    smol_to_tokio: Smol => Tokio,
    smol_to_smol: Smol => Smol,
    smol_to_std: Smol => Std,
    std_to_tokio: Std => Tokio,
    std_to_smol: Std => Smol,
    std_to_std: Std => Std,
}
