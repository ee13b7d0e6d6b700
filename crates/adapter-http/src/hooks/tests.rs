//! Tests of the way from a body to a signal, with the bodies of each preset. The bodies are made up.

use super::*;
use domain::ledger::{Dated, NewSignal, SignalId};
use std::collections::BTreeMap;

/// 2025-11-29T10:15:31Z, a second after the timestamps below.
const NOW_MS: i64 = 1_764_411_331_000;
const SECRET: &str = "0123456789abcdef";

fn settings(preset: &str) -> HookSettings {
    HookSettings {
        preset: Some(preset.to_owned()),
        secrets: vec![SECRET.to_owned()],
        ..HookSettings::default()
    }
}

fn hook(settings: HookSettings) -> Hook {
    Hook::new(HookName::parse("tv").expect("a name"), settings).expect("sound settings")
}

fn read(hook: &Hook, body: &str) -> Result<NewSignal, Vec<String>> {
    hook.read(body.as_bytes(), NOW_MS, 1_700_000_000..=1_764_497_731).signal().cloned()
}

/// Instrument, type, position, timestamp and payload.
fn parts(signal: &NewSignal) -> (&str, &str, &str, i64, &str) {
    let of = &signal.instruction;
    (
        of.instrument.as_str(),
        of.signal_type.as_str(),
        of.position.as_str(),
        of.timestamp_s,
        of.payload.as_str(),
    )
}

#[test]
fn a_strategy_of_tradingview_becomes_a_signal() {
    let body = r#"{"ticker": "NIFTY1!", "exchange": "NSE", "interval": "15", "action": "buy", "order_id": "Long",
        "contracts": 75, "price": 24310.55, "market_position": "long", "time": "2025-11-29T10:15:30Z"}"#;
    let signal = read(&hook(settings("tradingview-strategy")), body).expect("it is read");
    let payload =
        r#"{"contracts":75,"exchange":"NSE","interval":"15","market_position":"long","price":24310.55}"#;
    assert_eq!(parts(&signal), ("NIFTY1!", "buy", "Long", 1_764_411_330, payload));
    let from = signal.hook.expect("it came through a hook");
    assert_eq!(from.dated, Dated::BySender);
    assert_eq!((from.name.as_str(), from.window_s, signal.id), ("tv", 0, None));
}

#[test]
fn an_indicator_of_tradingview_becomes_a_signal() {
    let body = r#"{"ticker":"BANKNIFTY","interval":"5","signal":"SELL","price":"51020.10","time":"2025-11-29T10:15:30Z"}"#;
    let signal = read(&hook(settings("tradingview-indicator")), body).expect("it is read");
    let payload = r#"{"interval":"5","price":"51020.10"}"#;
    assert_eq!(parts(&signal), ("BANKNIFTY", "SELL", "BANKNIFTY:5", 1_764_411_330, payload));
}

#[test]
fn the_alerts_of_the_portfolio_manager_become_signals() {
    let hook = hook(settings("portfolio-manager"));
    let entry = |kind: &str, position: &str, timestamp: &str| {
        format!(
            r#"{{"type": "{kind}", "instrument": "BANK_NIFTY", "position": "{position}", "price": 50000.50,
                "stop": 49500, "suggested_lots": 5, "atr": 350.25, "er": 0.85, "supertrend": 49500,
                "timestamp": "{timestamp}"}}"#
        )
    };
    let payload =
        r#"{"atr":350.25,"er":0.85,"price":50000.50,"stop":49500,"suggested_lots":5,"supertrend":49500}"#;
    for (kind, position) in [("BASE_ENTRY", "Long_1"), ("PYRAMID", "Long_2")] {
        for timestamp in ["2025-11-29T10:15:30Z", "2025-11-29T15:45:30+05:30", "2025-11-29T15:45:30"] {
            let signal = read(&hook, &entry(kind, position, timestamp)).expect("it is read");
            assert_eq!(parts(&signal), ("BANK_NIFTY", kind, position, 1_764_411_330, payload), "{timestamp}");
        }
    }
    let exit = r#"{"type":"EXIT","instrument":"BANK_NIFTY","position":"ALL","price":50500,"reason":"TRAILING_STOP",
        "timestamp":"2025-11-29 15:45:30"}"#;
    let signal = read(&hook, exit).expect("it is read");
    let payload = r#"{"price":50500,"reason":"TRAILING_STOP"}"#;
    assert_eq!(parts(&signal), ("BANK_NIFTY", "EXIT", "ALL", 1_764_411_330, payload));
}

#[test]
fn a_plain_text_becomes_a_signal_of_the_moment_of_its_arrival() {
    let signal = read(&hook(settings("text")), "BUY NIFTY @ 24310").expect("it is read");
    assert_eq!(parts(&signal), ("NIFTY", "BUY", "NIFTY", 1_764_411_331, r#"{"price":"24310"}"#));
    assert_eq!(signal.hook.as_ref().map(|hook| hook.dated), Some(Dated::ByArrival));
    assert_eq!(signal.window_s(), 60, "a repetition has another moment, and must not be another signal");
}

#[test]
fn unfilled_placeholders_are_named() {
    let strategy = hook(settings("tradingview-strategy"));
    let body = |ticker: &str, price: &str| {
        format!(
            r#"{{"ticker":"{ticker}","action":"buy","order_id":"Long","price":{price},"time":"2025-11-29T10:15:30Z"}}"#
        )
    };
    for (body, wanted) in [
        (body("{{ticker}}", "1"), "instrument: the placeholder {{ticker}} was not filled"),
        (body("NIFTY", r#""{{close}}""#), "payload: the placeholder {{close}} was not filled"),
        (body("NIFTY", "{{close}}"), "the placeholder {{close}} was not filled"),
    ] {
        let faults = read(&strategy, &body).expect_err("refused").join("; ");
        assert!(faults.contains(wanted), "{faults}");
    }
    let nothing = hook(HookSettings { payload: Some("none".to_owned()), ..settings("tradingview-strategy") });
    let faults = read(&nothing, &body("NIFTY", r#""{{close}}""#)).expect_err("refused");
    assert_eq!(faults, ["payload: the placeholder {{close}} was not filled"]);
}

#[test]
fn every_fault_of_a_body_is_reported() {
    let faults = read(
        &hook(settings("portfolio-manager")),
        r#"{"instrument":"a\nb","position":null,"timestamp":"soon","x":[{"y":1,"y":2}]}"#,
    )
    .expect_err("refused");
    let fields: Vec<&str> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
    assert_eq!(fields, ["instrument", "signal_type", "position", "timestamp", "payload"], "{faults:?}");
    assert!(faults[1].contains("\"type\""), "the field of the body is named: {}", faults[1]);
}

#[test]
fn an_old_or_future_timestamp_is_refused() {
    let hook = hook(settings("portfolio-manager"));
    for (timestamp, wanted) in [("2020-01-01T00:00:00Z", "too old"), ("2026-01-01T00:00:00Z", "future")] {
        let body = format!(r#"{{"type":"EXIT","instrument":"A","position":"P","timestamp":"{timestamp}"}}"#);
        assert!(read(&hook, &body).expect_err("refused")[0].contains(wanted), "{timestamp}");
    }
}

#[test]
fn the_secret_of_a_body_is_checked_and_never_stored() {
    let hook = hook(HookSettings {
        secret_in: Some("field".to_owned()),
        payload: Some("all".to_owned()),
        ..settings("portfolio-manager")
    });
    let body = |secret: &str| {
        format!(
            r#"{{{secret} "type":"EXIT","instrument":"A","position":"P","timestamp":"2025-11-29T10:15:30Z"}}"#
        )
    };
    let signal = read(&hook, &body(&format!(r#""secret":"{SECRET}","#))).expect("it is read");
    assert!(!signal.instruction.payload.contains("secret"), "{}", signal.instruction.payload);
    let twice = format!(r#""secret":"{SECRET}","secret":"another-secret-0","#);
    for (secret, wanted) in [
        ("", "missing"),
        (r#""secret":null,"#, "missing"),
        (r#""secret":"0123456789abcdeX","#, "wrong"),
        (&twice, "wrong"),
    ] {
        let reading = hook.read(body(secret).as_bytes(), NOW_MS, 0..=i64::MAX);
        let faults = reading.signal().expect_err("refused");
        assert!(faults.len() == 1 && faults[0].contains(wanted), "{secret}: {faults:?}");
        assert!(!format!("{reading:?}").contains("another-secret"), "{reading:?}");
    }
    // Also of a body that cannot be read.
    let broken = hook.read(format!("{{\"secret\": \"{SECRET}\", ").as_bytes(), NOW_MS, 0..=i64::MAX);
    assert!(!format!("{broken:?}").contains(SECRET), "{broken:?}");
}

#[test]
fn defaults_constants_ids_and_expiries_are_applied() {
    let text = |text: &str| Some(text.to_owned());
    let hook = hook(HookSettings {
        position: text("{order_id}"),
        id: text("{ticker}-{n}"),
        expires_after_s: Some(60),
        defaults: BTreeMap::from([("order_id".to_owned(), "main".to_owned())]),
        constants: BTreeMap::from([
            ("desk".to_owned(), r#""a""#.to_owned()),
            ("lots".to_owned(), "2".to_owned()),
        ]),
        ..settings("tradingview-strategy")
    });
    let body = r#"{"ticker":"NIFTY","action":"buy","n":7,"lots":1,"time":1764411330}"#;
    let signal = read(&hook, body).expect("it is read");
    assert_eq!(parts(&signal), ("NIFTY", "buy", "main", 1_764_411_330, r#"{"desk":"a","lots":2,"n":7}"#));
    assert_eq!(signal.id, SignalId::parse("NIFTY-7").ok());
    assert_eq!(signal.instruction.expires_ms, Some(1_764_411_390_000));
    let expiring = Hook::new(
        HookName::parse("tv").expect("a name"),
        HookSettings { expires_at: text("{until}"), ..settings("tradingview-strategy") },
    );
    let body =
        r#"{"ticker":"N","action":"buy","order_id":"L","time":1764411330,"until":"2025-11-29T10:20:00Z"}"#;
    let signal = read(&expiring.expect("sound"), body).expect("it is read");
    assert_eq!(signal.instruction.expires_ms, Some(1_764_411_600_000));
    assert_eq!(signal.instruction.payload, "{}", "every field is mapped");
}

#[test]
fn a_reading_explains_each_field() {
    let body = r#"{"ticker":"NIFTY","interval":"15","signal":"BUY","price":1,"time":"2025-11-29T10:15:30Z"}"#;
    let reading = hook(settings("tradingview-indicator")).read(body.as_bytes(), NOW_MS, 0..=i64::MAX);
    let fields: Vec<_> =
        reading.fields.iter().map(|read| (read.field, read.value.as_deref(), read.from.as_str())).collect();
    assert_eq!(
        fields,
        [
            ("instrument", Some("NIFTY"), "{ticker}"),
            ("signal_type", Some("BUY"), "{signal}"),
            ("position", Some("NIFTY:15"), "{ticker}:{interval}"),
            ("timestamp", Some("2025-11-29T10:15:30.000+00:00"), "{time}"),
            ("id", None, "the fingerprint"),
            ("expires_at", None, "no expiry"),
            ("payload", Some(r#"{"interval":"15","price":1}"#), "the other fields of the body"),
        ]
    );
}

/// A generator of numbers for the test below: reproducible, and no crate for one test.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }
}

/// Bodies that are cut, repeated and mixed at random, and bytes at random: no hook panics, and what it accepts is within the
/// limits of a signal.
#[test]
fn no_body_makes_a_hook_panic() {
    let seeds: [&[u8]; 6] = [
        br#"{"ticker":"NIFTY","action":"buy","order_id":"Long","interval":"15","signal":"S","time":"2025-11-29T10:15:30Z"}"#,
        br#"{"type":"EXIT","instrument":"A","position":"P","timestamp":1764411330,"deep":{"a":[1,{"b":"\ud83d\ude00"}]}}"#,
        b"BUY NIFTY @ 24310.55",
        b"{\"secret\":\"0123456789abcdef\",\"x\":{{close}},\"y\":[[[[[[",
        b"\xef\xbb\xbf{\"a\":1e999,\"b\":\"\\ud800\",\"timestamp\":\"9999-12-31T23:59:59\"}",
        b"\xff\xfe\x00{}[]\"\\:,0-+eE.@ \n\r\t",
    ];
    let hooks: Vec<Hook> = PRESETS
        .into_iter()
        .flat_map(|preset| {
            let field = HookSettings { secret_in: Some("field".to_owned()), ..settings(preset) };
            [hook(settings(preset)), hook(field)]
        })
        .collect();
    let mut numbers = Numbers(7);
    let mut accepted = 0;
    for round in 0..20_000_usize {
        let mut body = seeds[numbers.below(seeds.len())].to_vec();
        for _ in 0..numbers.below(4) {
            let other = seeds[numbers.below(seeds.len())];
            let (from, at) = (numbers.below(other.len()), numbers.below(body.len() + 1));
            let end = from + numbers.below(other.len() - from + 1);
            body.splice(at..at, other[from..end].iter().copied());
            let byte = numbers.below(body.len());
            body[byte] = u8::try_from(numbers.below(256)).expect("a byte");
            body.truncate(numbers.below(body.len() + 1).max(1));
        }
        let reading = hooks[round % hooks.len()].read(&body, NOW_MS, 0..=i64::MAX);
        if let Ok(signal) = reading.signal() {
            accepted += 1;
            assert!(
                serde_json::from_str::<serde_json::Value>(&signal.instruction.payload).is_ok(),
                "{body:?}"
            );
        }
    }
    assert!(accepted > 300, "the seeds are read: {accepted}");
}
