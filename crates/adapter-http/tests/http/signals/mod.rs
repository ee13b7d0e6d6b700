//! Tests of the paths of signals over real sockets.

mod hostile;
mod list;
mod refused;
mod submit;
mod work;

use crate::client::post;
use crate::fake::{Fake, Server};
use crate::ledger::Ledger;
use serde_json::{Value, json};
use std::sync::Arc;

/// A server with this ledger.
async fn server(ledger: Ledger) -> (Server, Arc<Ledger>) {
    let ledger = Arc::new(ledger);
    let server = Server::start(Fake { ledger: Arc::clone(&ledger), ..Fake::default() }).await;
    (server, ledger)
}

/// A submission with these fields changed; null removes a field.
fn body(changes: &Value) -> Value {
    let mut body = json!({
        "instrument": "NIFTY", "signal_type": "BASE_ENTRY", "position": "Long_1",
        "timestamp": "2025-11-29T10:15:30Z",
    });
    for (name, value) in changes.as_object().expect("an object").clone() {
        let fields = body.as_object_mut().expect("an object");
        match value {
            Value::Null => fields.remove(&name),
            value => fields.insert(name, value),
        };
    }
    body
}

fn submission(body: &Value) -> Vec<u8> {
    post("/signals", &[], body.to_string())
}
