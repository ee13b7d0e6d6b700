//! The HTTP face over real sockets, with a backend made of plain values.

mod fake;
mod limits;
mod routes;
