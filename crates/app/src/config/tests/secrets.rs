//! Tests that the configuration never shows a secret, in errors or when it is printed.

use super::*;

#[test]
fn no_secret_appears_in_any_error() {
    let urls = [
        "canary",
        "redis://:canary@h",
        "postgres://u:canary@h/d",
        "redis://:can/canary@h",
        "redis://h/canary",
        "postgres://h/d?password=can@canary",
        "redis://:canary@h\nx",
        "postgres://u:canary@h",
    ];
    for text in urls {
        // The secret is in the place of every setting, in every source. A text that does not look like a
        // secret may be shown there.
        let sections = [Key::RedisUrl, Key::PostgresUrl];
        let keys = Key::ALL.into_iter().filter(|key| text != CANARY || sections.contains(key));
        for key in keys {
            let file = match key.section_and_name() {
                (Some(section), name) => format!("[{section}]\n{name} = {text:?}\nunknown = {text:?}"),
                (None, name) => format!("{name} = {text:?}\nunknown = {text:?}"),
            };
            let variable = key.in_environment().remove(0);
            let variables = [(variable.as_str(), text), ("COORDINATOR_PASSWORD", text)];
            let flags = Flags { redis: secret(text), postgres: secret(text), ..Flags::default() };
            let faults = with(&file, &variables, &flags).expect_err("unknown names at least");
            assert!(
                !format!("{faults:?} {flags:?} {:?}", lines(Err(faults.clone()))).contains(CANARY),
                "{faults:?}"
            );
            let unquoted = format!("{}\n{key:?} = {text}", "\n".repeat(3));
            let faults = lines(with(&unquoted, &variables, &flags));
            assert!(!format!("{faults:?}").contains(CANARY), "{faults:?}");
        }
    }
}

#[test]
fn no_secret_appears_in_the_rendering() {
    let flags = Flags {
        redis: secret("redis://:canary@localhost:6379"),
        postgres: secret("postgres://u:canary@localhost/d?password=canary&sslmode=require"),
        ..Flags::default()
    };
    let config = load(None, [], &flags).expect("sound");
    let rendered = render(&config);
    assert!(!rendered.contains(CANARY) && !format!("{config:?}").contains(CANARY), "{rendered}");
    assert!(rendered.contains("url = \"redis://:***@localhost:6379\" # --redis\n"), "{rendered}");
    let postgres = "url = \"postgres://u:***@localhost/d?password=***&sslmode=require\" # --postgres\n";
    assert!(rendered.contains(postgres), "{rendered}");
}
