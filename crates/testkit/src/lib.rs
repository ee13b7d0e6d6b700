//! Contract suites, fakes, real servers and a TCP fault proxy for the tests of every crate.
