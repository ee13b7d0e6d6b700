//! The contract suite of [`StateStore`](domain::ports::StateStore).

mod decisions;
mod dropped;
mod forgotten;
mod hints;
mod history;
mod hostile;
mod lease;
mod members;
mod portfolio;
mod schema;

use super::{Case, StateStores};

/// Every case of the port.
pub fn suite<A: StateStores>() -> Vec<Case<A>> {
    [
        schema::cases(),
        lease::cases(),
        history::cases(),
        members::cases(),
        decisions::cases(),
        forgotten::cases(),
        portfolio::cases(),
        hostile::cases(),
        hints::cases(),
        dropped::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
