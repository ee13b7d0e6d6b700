//! Calls of a handler over TLS: the right certificates work and the request identifies its sender; with any other
//! certificate nothing is sent, and the signal waits.

use crate::TTL;
use crate::group::Group;
use crate::signals::accepted;
use crate::wait::{PATIENCE, block_on, until};
use std::fs;
use std::path::Path;
use testkit::authority::Authority;
use testkit::broker::HttpBroker;
use testkit::directory::write_secret;
use testkit::front::TlsFront;
use testkit::process::Launch;

fn front(
    broker: &HttpBroker,
    certificate: &testkit::authority::Certificate,
    clients: Option<&Authority>,
) -> TlsFront {
    let url = broker.url();
    let address = url.trim_start_matches("http://").trim_end_matches("/orders").to_owned();
    block_on(TlsFront::start(certificate, clients, address))
}

/// The launch of an instance with that handler, whose certificate the authority in that file signs.
fn launch(group: &Group, url: &str, ca: &Path) -> Launch {
    group
        .launch("a")
        .environment("COORDINATOR_SIGNALS_HANDLER", url)
        .environment("COORDINATOR_SIGNALS_LOOKUP", url)
        .environment("COORDINATOR_SIGNALS_HANDLER_CA", ca.to_str().expect("text"))
}

fn audit(group: &mut Group) -> String {
    group.json("a", "/signals/s-1")["audit"].to_string()
}

#[test]
fn a_handler_with_a_client_certificate_a_token_and_a_signature_executes_signals() {
    let (authority, clients) = (Authority::new("handlers"), Authority::new("clients"));
    let broker = HttpBroker::start();
    let front = front(&broker, &authority.issue(&["localhost"]), Some(&clients));
    let url = format!("https://localhost:{}/orders", front.port());
    let (certificate, key) = clients.write("desk", &clients.issue(&["desk"]));
    let (token_file, key_file) = (certificate.with_extension("token"), certificate.with_extension("hmac"));
    write_secret(&token_file, "canary-token\n");
    write_secret(&key_file, "canary-key\n");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let mut group = Group::embedded(TTL);
    let launch = launch(&group, &url, &authority.file())
        .environment("COORDINATOR_SIGNALS_HANDLER_CERTIFICATE", &text(&certificate))
        .environment("COORDINATOR_SIGNALS_HANDLER_CERTIFICATE_KEY", &text(&key))
        .environment("COORDINATOR_SIGNALS_HANDLER_TOKEN_FILE", &text(&token_file))
        .environment("COORDINATOR_SIGNALS_HANDLER_KEY_FILE", &text(&key_file));
    group.start_as("a", &launch);
    group.wait_ready("a");
    accepted(&mut group, "a", "s-1", "NIFTY");
    until("it is executed", || audit(&mut group).contains("done").then_some(()));
    let sent = front.sent();
    assert!(sent.contains("\r\nauthorization: Bearer canary-token\r\n"), "{sent}");
    let signed = sent.split("\r\ncoordinator-signature: sha256=").nth(1).expect("a signature");
    assert!(
        signed.bytes().take(64).all(|byte| byte.is_ascii_hexdigit()) && &signed[64..66] == "\r\n",
        "{sent}"
    );

    // A new token needs no restart.
    write_secret(&token_file, "canary-second\n");
    accepted(&mut group, "a", "s-2", "NIFTY");
    broker.wait_orders(2, PATIENCE);
    assert!(front.sent().contains("\r\nauthorization: Bearer canary-second\r\n"), "{}", front.sent());

    // Without its token a request is not sent.
    fs::remove_file(&token_file).expect("it exists");
    accepted(&mut group, "a", "s-3", "NIFTY");
    until("the missing file is named", || {
        group.json("a", "/signals/s-3")["audit"].to_string().contains("cannot be read").then_some(())
    });
    assert_eq!(broker.times().len(), 2);
    write_secret(&token_file, "canary-third\n");
    broker.wait_orders(3, PATIENCE);
    for page in ["/signals", "/status", "/"] {
        let shown = group.process("a").get(page).expect("it listens").body;
        assert!(!shown.contains("canary"), "{page}: {shown}");
    }
    group.finish();
}

#[test]
fn nothing_is_sent_to_a_service_with_another_certificate() {
    let (authority, another) = (Authority::new("handlers"), Authority::new("another"));
    for (certificate, why) in [
        (another.issue(&["localhost"]), "UnknownIssuer"),
        (authority.issue(&["broker.example"]), "not valid for name"),
        (authority.issue_expired(&["localhost"]), "expired"),
    ] {
        let broker = HttpBroker::start();
        let front = front(&broker, &certificate, None);
        let url = format!("https://localhost:{}/orders", front.port());
        let mut group = Group::embedded(TTL);
        let launch = launch(&group, &url, &authority.file());
        group.start_as("a", &launch);
        group.wait_ready("a");
        accepted(&mut group, "a", "s-1", "NIFTY");
        until(&format!("{why} is reported"), || {
            let shown = audit(&mut group);
            (shown.contains("the TLS handshake failed") && shown.contains(why)).then_some(())
        });
        assert!(front.refusals() > 0);
        assert_eq!((front.sent(), broker.times().len()), (String::new(), 0), "{why}");
        group.finish();
    }
}
