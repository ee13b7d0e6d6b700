//! Prometheus text from one snapshot, through OpenTelemetry instruments.
