//! Tests of the check of a hook's settings: every fault is reported, and no combination of settings loses or repeats alerts.

use super::{Hook, HookSettings, PRESETS};
use domain::ledger::HookName;
use std::collections::BTreeMap;

fn keys(settings: HookSettings) -> Vec<String> {
    let hook = Hook::new(HookName::parse("tv").expect("a name"), settings);
    hook.err().unwrap_or_default().into_iter().map(|fault| fault.key).collect()
}

fn sound() -> HookSettings {
    HookSettings {
        preset: Some("tradingview-strategy".to_owned()),
        secrets: vec!["0123456789abcdef".to_owned()],
        ..HookSettings::default()
    }
}

#[test]
fn every_preset_needs_only_a_secret() {
    for preset in PRESETS {
        let faults = keys(HookSettings { preset: Some(preset.to_owned()), ..sound() });
        assert!(faults.is_empty(), "{preset}: {faults:?}");
        let faults = keys(HookSettings { preset: Some(preset.to_owned()), ..HookSettings::default() });
        assert_eq!(faults, ["secret_file"], "{preset}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let text = |text: &str| Some(text.to_owned());
    let table = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let faults = keys(HookSettings {
        preset: None,
        secrets: vec!["short".to_owned()],
        secret_in: text("field"),
        secret_field: text("/a"),
        secret_header: text("X"),
        sources: vec!["here".to_owned()],
        trusted_proxies: vec!["there".to_owned()],
        instrument: text("{{ticker}}"),
        timestamp: text("received"),
        id: text("{"),
        expires_at: text("{x}"),
        expires_after_s: Some(1),
        defaults: table("price", "1"),
        constants: table("a", "no JSON"),
        payload: text("some"),
        time_zone: text("Mars/Olympus"),
        pattern: text("("),
        ..HookSettings::default()
    });
    assert_eq!(
        faults,
        [
            "secret_field",
            "secret_header",
            "secret_file",
            "sources",
            "trusted_proxies",
            "instrument",
            "signal_type",
            "position",
            "id",
            "expires_after",
            "constants.a",
            "defaults.price",
            "payload",
            "time_zone",
            "pattern",
            "duplicate_window"
        ]
    );
}

#[test]
fn a_hook_without_a_secret_needs_sources() {
    let open = HookSettings { secrets: Vec::new(), secret_in: Some("none".to_owned()), ..sound() };
    assert_eq!(keys(open.clone()), ["sources"]);
    let here = || vec!["tradingview".to_owned()];
    assert!(keys(HookSettings { sources: here(), ..open.clone() }).is_empty());
    for all in ["0.0.0.0/0", "::/0"] {
        let all = || vec![all.to_owned()];
        assert_eq!(keys(HookSettings { sources: all(), ..open.clone() }), ["sources"]);
        let by_proxy = HookSettings { sources: here(), trusted_proxies: all(), ..open.clone() };
        assert_eq!(keys(by_proxy), ["trusted_proxies"]);
        assert!(keys(HookSettings { sources: all(), ..sound() }).is_empty(), "the secret protects it");
    }
}

#[test]
fn a_signed_alert_must_have_its_own_time() {
    let signed = |preset: &str| HookSettings {
        preset: Some(preset.to_owned()),
        secret_in: Some("hmac".to_owned()),
        ..sound()
    };
    assert_eq!(keys(signed("text")), ["timestamp"]);
    assert!(keys(signed("portfolio-manager")).is_empty());
}

#[test]
fn an_alert_must_not_expire_at_its_own_time() {
    let expiring = |after_s| keys(HookSettings { expires_after_s: Some(after_s), ..sound() });
    assert_eq!((expiring(0), expiring(1)), (vec!["expires_after".to_owned()], Vec::new()));
}

#[test]
fn alerts_without_a_time_need_a_window_that_covers_repetitions_and_clocks() {
    let received = |window_s| HookSettings {
        timestamp: Some("received".to_owned()),
        duplicate_window_s: Some(window_s),
        ..sound()
    };
    assert_eq!(keys(received(59)), ["duplicate_window"]);
    assert!(keys(received(60)).is_empty());
}

#[test]
fn the_written_form_has_no_secret() {
    let hook = Hook::new(HookName::parse("tv").expect("a name"), sound()).expect("sound");
    assert!(hook.written().contains("{ticker}") && !hook.written().contains("0123456789abcdef"));
    assert!(!format!("{hook:?}").contains("0123456789abcdef"));
    assert_eq!(hook.path(), "/hooks/tv/SECRET");
}
