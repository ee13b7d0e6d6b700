//! Tests of the description of the API against the routes: each method of each path.

use crate::client::{get, request};
use crate::fake::{Fake, Server};

#[tokio::test]
async fn every_described_method_is_served_and_no_other() {
    let server = Server::start(Fake::default()).await;
    let document = server.ask(&get("/openapi.json")).await;
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("an object");
    assert!(paths.len() >= 15, "{}", paths.len());
    for (path, described) in paths {
        let concrete =
            path.replace("{id}", "s-1").replace("{name}", "no-such-name").replace("{secret}", "no-secret");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let is_described = described.get(method.to_ascii_lowercase()).is_some();
            if is_described && path == "/events" {
                // It ends with the client.
                continue;
            }
            let answer = server.ask(&request(method, &concrete, &[])).await;
            assert_eq!(answer.status != 405, is_described, "{method} {path}: {answer:?}");
            assert!(
                !answer.body.contains(&format!("there is no {concrete}")) || !is_described,
                "{method} {path}"
            );
        }
    }
}
