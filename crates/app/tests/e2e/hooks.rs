//! Tests of hooks on real processes: the body of each preset becomes a signal, the alerts of a window are one signal on
//! whatever instance they arrive, and the commands show what happened without a secret.

use crate::TTL;
use crate::command::coordinator;
use crate::group::Group;
use crate::servers::Servers;
use crate::terminal::has_documented_fields;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use testkit::http::{self, Response};

const SECRET: &str = "canary-0123456789";

/// A configuration file with a hook of each preset.
fn configured(directory: &Path) -> String {
    let secret = directory.join("secret");
    fs::write(&secret, format!("{SECRET}\n")).expect("written");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("our own");
    let secret = secret.to_str().expect("text");
    let file = format!(
        "[hooks.strategy]\npreset = \"tradingview-strategy\"\nsecret_file = {secret:?}\n\
         [hooks.indicator]\npreset = \"tradingview-indicator\"\nsecret_in = \"field\"\nsecret_file = {secret:?}\n\
         [hooks.pm]\npreset = \"portfolio-manager\"\nsecret_file = {secret:?}\nconstants.desk = \"a\"\n\
         [hooks.text]\npreset = \"text\"\nsecret_env = \"TEXT_SECRET\"\n"
    );
    let path = directory.join("coordinator.toml");
    fs::write(&path, file).expect("written");
    path.to_str().expect("text").to_owned()
}

/// A pair of instances with these hooks; `a` leads.
fn start(group: &mut Group, config: &str) {
    group.set("TEXT_SECRET", SECRET);
    for name in ["a", "b"] {
        let launch = group.launch(name).argument("--config").argument(config);
        group.start_as(name, &launch);
    }
    group.wait_ready("a");
    group.wait_ready("b");
}

fn post(address: &str, path: &str, body: &str) -> Response {
    http::request(address, "POST", path, &[("Content-Type", "text/plain; charset=utf-8")], body)
        .expect("it listens")
}

/// `seconds` after `now`, as the predecessor's chart writes it: Indian time without an offset.
fn indian(now: Timestamp, seconds: i64) -> String {
    let at = Timestamp::from_second(now.as_second() + seconds).expect("a time");
    let zone = TimeZone::get("Asia/Kolkata").expect("the zones are in the binary");
    zone.to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

fn manager(kind: &str, position: &str, timestamp: &str) -> String {
    json!({ "type": kind, "instrument": "BANK_NIFTY", "position": position, "price": 50000.5, "timestamp": timestamp })
        .to_string()
}

fn on_both(test: fn(Group, &str)) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = configured(directory.path());
    test(Group::embedded(TTL), &config);
    let servers = Servers::start();
    test(servers.group(TTL), &config);
}

/// The stored signal, by another instance than the one that accepted it.
fn stored(group: &mut Group, answer: &Response) -> Value {
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    group.json("b", &format!("/signals/{id}"))
}

fn about(signal: &Value) -> [&str; 3] {
    ["instrument", "signal_type", "position"].map(|field| signal[field].as_str().expect("text"))
}

#[test]
fn the_body_of_every_preset_becomes_a_signal() {
    on_both(|mut group, config| {
        start(&mut group, config);
        let address = group.process("a").address();
        let now = Timestamp::now();
        let (path, utc) = (|hook: &str| format!("/hooks/{hook}/{SECRET}"), now.to_string());
        let strategy = json!({ "ticker": "NIFTY1!", "action": "buy", "order_id": "Long", "price": 24310.5, "time": utc });
        let indicator =
            json!({ "secret": SECRET, "ticker": "NIFTY", "interval": "15", "signal": "SELL", "time": utc });
        let offset = format!("{}+05:30", indian(now, 0));
        for (path, body, expected, payload) in [
            (path("strategy"), strategy.to_string(), ["NIFTY1!", "buy", "Long"], json!({ "price": 24310.5 })),
            (
                "/hooks/indicator".to_owned(),
                indicator.to_string(),
                ["NIFTY", "SELL", "NIFTY:15"],
                json!({ "interval": "15" }),
            ),
            (
                path("pm"),
                manager("BASE_ENTRY", "Long_1", &indian(now, 0)),
                ["BANK_NIFTY", "BASE_ENTRY", "Long_1"],
                json!({ "desk": "a", "price": 50000.5 }),
            ),
            (
                path("pm"),
                manager("PYRAMID", "Long_2", &offset),
                ["BANK_NIFTY", "PYRAMID", "Long_2"],
                json!({ "desk": "a", "price": 50000.5 }),
            ),
            (
                path("pm"),
                manager("EXIT", "ALL", &utc),
                ["BANK_NIFTY", "EXIT", "ALL"],
                json!({ "desk": "a", "price": 50000.5 }),
            ),
            (
                path("text"),
                "BUY NIFTY @ 24310".to_owned(),
                ["NIFTY", "BUY", "NIFTY"],
                json!({ "price": "24310" }),
            ),
        ] {
            let answer = post(&address, &path, &body);
            assert_eq!(
                (answer.status, answer.json()["verdict"].clone()),
                (201, json!("accepted")),
                "{answer:?}"
            );
            let signal = stored(&mut group, &answer);
            assert_eq!((about(&signal), &signal["payload"]), (expected, &payload));
            assert!(
                signal["audit"][0]["who"].as_str().is_some_and(|who| who.starts_with("hook ")),
                "{signal}"
            );
            let again = post(&address, &path, &body);
            assert_eq!((again.status, &again.json()["id"]), (200, &answer.json()["id"]), "{again:?}");
        }
        group.finish();
    });
}

#[test]
fn the_alerts_of_a_window_are_one_signal_on_whatever_instance_they_arrive() {
    on_both(|mut group, config| {
        start(&mut group, config);
        let addresses = ["a", "b"].map(|name| group.process(name).address());
        let now = Timestamp::now();
        let answers: Vec<Response> = std::thread::scope(|scope| {
            let post_one = |n: i64| {
                let address = &addresses[usize::from(n % 2 == 1)];
                let body = manager("EXIT", "Long_1", &indian(now, n));
                scope.spawn(move || post(address, &format!("/hooks/pm/{SECRET}"), &body))
            };
            let posts: Vec<_> = (0..8).map(post_one).collect();
            posts.into_iter().map(|one| one.join().expect("it is answered")).collect()
        });
        let verdict =
            |wanted: &str| answers.iter().filter(|answer| answer.json()["verdict"] == wanted).count();
        assert_eq!((verdict("accepted"), verdict("folded")), (1, 7), "{answers:?}");
        let signal = stored(&mut group, &answers[0]);
        assert!(answers.iter().all(|answer| answer.json()["id"] == signal["id"]), "{answers:?}");
        let lines = signal["audit"].as_array().expect("a list");
        let folded: Vec<&Value> = lines.iter().filter(|line| line["what"] == "folded").collect();
        assert_eq!(folded.len(), 7, "{signal}");
        assert!(
            folded
                .iter()
                .all(|line| line["who"] == "hook pm" && line["note"].to_string().contains("50000.5"))
        );
        group.finish();
    });
}

#[test]
fn the_commands_show_what_a_hook_reads_and_what_arrived_without_a_secret() {
    on_both(|mut group, config| {
        start(&mut group, config);
        let address = group.process("b").address();
        let path = format!("/hooks/pm/{SECRET}");
        let body = manager("EXIT", "ALL", &indian(Timestamp::now(), 0));
        assert_eq!(post(&address, &path, &body).status, 201);
        let refused = post(&address, &path, &body.replace("BANK_NIFTY", "{{ticker}}"));
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(post(&address, "/hooks/pm/canary-9876543210", &body).status, 403);
        assert_eq!(post(&address, &format!("{path}/canary"), &body).status, 404);
        let metrics = group.process("b").get("/metrics").expect("it listens").body;
        for (reason, count) in [("invalid", 1), ("forbidden", 1)] {
            let line = format!("coordinator_signals_refused_total{{reason=\"{reason}\"}} {count}");
            assert!(metrics.contains(&line), "no {line}");
        }

        let tail = group.carry_out(&["hooks", "tail", "--config", config]);
        for part in
            ["accepted", "the placeholder {{ticker}} was not filled", "the secret in the path is wrong"]
        {
            assert!(tail.stdout.contains(part), "no {part:?} in {tail:?}");
        }
        let tailed = group.carry_out(&["hooks", "tail", "--json", "--limit", "1", "--config", config]);
        has_documented_fields(&tailed, "hooks tail", 0, |json| json);
        let json = tailed.json();
        assert_eq!((&json["status"], &json["instance"]), (&json!(403), &json!("b")));

        let checked = group.carry_out(&["config", "check", "--config", config]);
        assert!(checked.stdout.contains("POST /hooks/pm/SECRET"), "{checked:?}");
        let test = |hook: &str, body: &str| {
            let call = coordinator(&["hooks", "test", hook, "--config", config]);
            call.environment("TEXT_SECRET", SECRET).input(body).run()
        };
        let would = test("pm", &body);
        assert_eq!(would.code, Some(0), "{would:?}");
        for part in ["signal_type  EXIT", "{type}", "It would be stored as", "at most 60 s"] {
            assert!(would.stdout.contains(part), "no {part:?} in {would:?}");
        }
        let call = coordinator(&["hooks", "test", "pm", "--json", "--config", config]);
        let would_json = call.environment("TEXT_SECRET", SECRET).input(&body).run();
        has_documented_fields(&would_json, "hooks test", 0, |json| json);
        let would_not = test("pm", r#"{"type":"EXIT","price":"{{close}}"}"#);
        assert_eq!((would_not.code, would_not.stderr.as_str()), (Some(1), ""), "{would_not:?}");
        for part in ["It would be refused", "instrument: the body has no", "{{close}} was not filled"] {
            assert!(would_not.stdout.contains(part), "no {part:?} in {would_not:?}");
        }
        test("nothing", "").refused(&["the hooks are indicator, pm, strategy, text"]);

        let logs = ["a", "b"].map(|name| group.process(name).log());
        assert!(logs[1].contains("refused a submission: hook pm: instrument"), "{}", logs[1]);
        for text in logs.iter().chain([&tail.stdout, &checked.stdout, &would.stdout, &would_not.stdout]) {
            assert!(!text.contains("canary"), "{text}");
        }
        group.process("a").kill();
        let tail = group.carry_out(&["hooks", "tail", "--config", config]);
        assert!(
            tail.stdout.contains("accepted") && tail.stderr.contains("the requests to a are missing"),
            "{tail:?}"
        );
        group.finish();
    });
}

/// The blocks of a language in docs/hooks.md.
fn blocks(language: &str) -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hooks.md");
    let text = fs::read_to_string(guide).expect("the guide");
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

#[test]
fn the_guide_can_be_followed() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["tv.secret", "desk.secret"] {
        let path = directory.path().join(name);
        fs::write(&path, format!("{SECRET}\n")).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own");
    }
    let [first, sources, desk] = <[String; 3]>::try_from(blocks("toml")).expect("three blocks");
    // The guide runs in the directory of the files.
    let file = format!("{first}{sources}{desk}").replace(".secret\"", "");
    let file = ["tv", "desk"].iter().fold(file, |file, name| {
        let path = directory.path().join(format!("{name}.secret"));
        file.replace(&format!("secret_file = \"{name}"), &format!("secret_file = \"{}\"", path.display()))
    });
    let config = directory.path().join("coordinator.toml");
    fs::write(&config, file).expect("written");
    let config = config.to_str().expect("text");
    let now = Timestamp::now().to_string();
    let filled = |message: &str| {
        let values = [
            ("ticker", "NIFTY"),
            ("strategy.order.action", "buy"),
            ("strategy.order.id", "Long"),
            ("strategy.order.contracts", "75"),
            ("strategy.order.price", "24310.55"),
            ("interval", "15"),
            ("close", "24310"),
            ("timenow", now.as_str()),
        ];
        let put =
            |text: String, (name, value): &(&str, &str)| text.replace(&format!("{{{{{name}}}}}"), value);
        values.iter().fold(message.to_owned(), put)
    };
    let message = blocks("json").remove(0);
    let said = coordinator(&["hooks", "test", "tv", "--config", config]).input(&filled(&message)).run();
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in [
        "instrument   NIFTY ",
        "signal_type  buy",
        "position     Long",
        r#"{"contracts":"75","price":"24310.55"}"#,
    ] {
        assert!(said.stdout.contains(part), "no {part:?} in {said:?}");
    }
    let unfilled = coordinator(&["hooks", "test", "tv", "--config", config]).input(&message).run();
    assert!(
        unfilled.code == Some(1) && unfilled.stdout.contains("{{ticker}} was not filled"),
        "{unfilled:?}"
    );

    let indicator = blocks("text").into_iter().find(|block| block.starts_with('{')).expect("a message");
    let other = directory.path().join("indicator.toml");
    fs::write(&other, "[hooks.i]\npreset = \"tradingview-indicator\"\nsecret_env = \"SECRET\"\n")
        .expect("written");
    let call = coordinator(&["hooks", "test", "i", "--config", other.to_str().expect("text")]);
    let said = call.environment("SECRET", SECRET).input(&filled(&indicator)).run();
    assert!(said.code == Some(0) && said.stdout.contains("NIFTY:15"), "{said:?}");
}
