//! The page in each state that an operator meets, as text.

mod events;
mod fixture;
mod golden;
mod hostile;
