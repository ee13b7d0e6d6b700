//! The HTTP face: health, leader, status, history, metrics.
