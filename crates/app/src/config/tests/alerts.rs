//! Tests of the settings of alerts.

use super::*;

#[test]
fn the_labels_and_the_runbooks_of_alerts_are_checked() {
    for base in
        ["wiki.example/runbooks", "ftp://wiki/", "https://u:canary@wiki/", "http://", "https://w/?a=canary"]
    {
        let faults = lines(from_file(&format!("[alerts]\nrunbooks = {base:?}")));
        assert!(faults[0].contains("alerts.runbooks") && !faults[0].contains(CANARY), "{faults:?}");
    }
    let faults = lines(from_file("[alerts]\njob = \"two words\""));
    assert!(faults[0].contains("alerts.job"), "{faults:?}");
}

#[test]
fn a_webhook_is_an_address_without_a_secret() {
    for url in ["ftp://hooks/x", "alertmanager:9093", "http://user:canary@h/"] {
        let faults = lines(from_file(&format!("[alerts]\nwebhook = {url:?}")));
        assert!(faults[0].contains("alerts.webhook") && !faults[0].contains(CANARY), "{faults:?}");
    }
}
