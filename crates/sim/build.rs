//! Says what a simulated build needs, before the compiler says that a method is missing.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // tokio wakes those who wait for one `watch` value in a random order. Only an unstable setting of its
    // runtime takes the seed of that: without it a seed would not give the same run twice.
    let (simulated, seeded) = (env::var("CARGO_CFG_SIMULATED"), env::var("CARGO_CFG_TOKIO_UNSTABLE"));
    if simulated.is_ok() && seeded.is_err() {
        println!("cargo::error=a simulation needs RUSTFLAGS=\"--cfg simulated --cfg tokio_unstable\"");
    }
}
