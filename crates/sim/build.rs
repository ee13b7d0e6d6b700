//! Build script: reports the flags that a simulated build needs, before the compiler reports a missing method.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // tokio wakes the tasks that wait for one `watch` value in a random order. Only an unstable setting of its
    // runtime makes the seed of that order configurable: without it a seed would not repeat a run.
    let (simulated, seeded) = (env::var("CARGO_CFG_SIMULATED"), env::var("CARGO_CFG_TOKIO_UNSTABLE"));
    if simulated.is_ok() && seeded.is_err() {
        println!("cargo::error=a simulation needs RUSTFLAGS=\"--cfg simulated --cfg tokio_unstable\"");
    }
}
