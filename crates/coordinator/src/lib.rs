//! The driver: runs the election core on tokio and hands leadership to a service.
