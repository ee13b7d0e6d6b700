//! docs/http.md: `cargo xtask codegen` writes it, `cargo test` compares.

#[path = "../../domain/tests/generated/mod.rs"]
mod generated;

#[test]
fn the_reference_matches_the_table() {
    generated::assert_fresh([("docs/http.md", adapter_http::http_reference())]);
}
