//! The page in each state that an operator meets, as text.

mod fixture;
mod golden;
mod hostile;
