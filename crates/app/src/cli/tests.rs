//! Tests of the command line.

use super::*;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Cli, Stop> {
    Cli::read(line.split(' ').map(OsString::from))
}

fn command(line: &str) -> Command {
    parse(line).expect(line).chosen()
}

/// Every command and subcommand; the program itself is first.
fn commands() -> Vec<clap::Command> {
    fn collect(command: &clap::Command, into: &mut Vec<clap::Command>) {
        into.push(command.clone());
        command.get_subcommands().for_each(|inner| collect(inner, into));
    }
    let mut all = Vec::new();
    collect(&Cli::command(), &mut all);
    all
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_of_every_command_that_does_something_has_an_example_that_parses() {
    let mut examples = 0;
    for command in commands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert!(!lines.is_empty(), "{} has no example", command.get_name());
        for line in lines {
            let line = line.replace("LEADER_TTL=5s ", "");
            // A text in quotes is one word.
            let words: Vec<&str> =
                line.split('"').enumerate().map(|(n, part)| if n % 2 == 1 { "text" } else { part }).collect();
            let line = words.concat();
            parse(&line).expect(&line);
            examples += 1;
        }
    }
    assert!(examples >= 18, "{examples}");
}

#[test]
fn the_default_command_is_run() {
    assert_eq!(command("coordinator"), Command::Run { events_json: false });
    assert_eq!(command("coordinator --listen 127.0.0.1:5001"), Command::Run { events_json: false });
    assert_eq!(command("coordinator run --events-json"), Command::Run { events_json: true });
}

#[test]
fn settings_are_accepted_before_and_after_the_command_and_not_checked() {
    for line in
        ["coordinator --group a --leader-ttl soon status", "coordinator status --group a --leader-ttl soon"]
    {
        let cli = parse(line).expect(line);
        assert_eq!((cli.flags.group.as_deref(), cli.flags.leader_ttl.as_deref()), (Some("a"), Some("soon")));
    }
}

#[test]
fn every_command_is_parsed() {
    assert_eq!(command("coordinator demo"), Command::Demo { rounds: None });
    assert_eq!(command("coordinator demo --rounds 3"), Command::Demo { rounds: Some(3) });
    assert_eq!(
        command("coordinator status --json"),
        Command::Status { json: true, watch: false, wide: false }
    );
    assert_eq!(
        command("coordinator status --watch"),
        Command::Status { json: false, watch: true, wide: false }
    );
    let words = ["./service", "--port", "1"].map(OsString::from).to_vec();
    assert_eq!(
        command("coordinator exec --once --group a -- ./service --port 1"),
        Command::Exec { once: true, command: words }
    );
    assert_eq!(command("coordinator why"), Command::Why { json: false });
    assert_eq!(command("coordinator history"), Command::History { limit: 20, json: false });
    assert_eq!(
        command("coordinator step-down --reason x"),
        Command::StepDown {
            reason: Some("x".to_owned()),
            to: None,
            force: false,
            dry_run: false,
            json: false
        }
    );
    assert_eq!(command("coordinator migrate --check"), Command::Migrate { check: true, json: false });
    assert_eq!(command("coordinator doctor --json"), Command::Doctor { json: true });
    let check = Command::Recovery { command: RecoveryCommand::Check { json: true } };
    assert_eq!(command("coordinator recovery check --json"), check);
    let pause = SignalsCommand::Pause { reason: "x".to_owned(), json: false };
    assert_eq!(command("coordinator signals pause --reason x"), Command::Signals { command: pause });
    let list = SignalsCommand::List {
        state: Some(StateName::InDoubt),
        instrument: None,
        before: Some(7),
        limit: 20,
        json: false,
    };
    let line = "coordinator signals list --state in_doubt --before 7";
    assert_eq!(command(line), Command::Signals { command: list });
    assert_eq!(
        command("coordinator config check"),
        Command::Config { command: ConfigCommand::Check { json: false } }
    );
}

#[test]
fn usage_errors_exit_2_and_help_exits_0() {
    for line in [
        "signals",
        "signals list --state doubtful",
        "signals list --limit 1001",
        "signals show a/b",
        "signals resolve s-1 --reason x",
        "signals resolve s-1 --executed",
        "signals resolve s-1 --executed --not-executed --reason x",
        "signals resolve s-1 --executed --send-again --reason x",
        "signals resolve s-1 --not-executed --send-again --reason x",
        "signals acknowledge s-1",
        "signals pause",
    ] {
        let stop = parse(&format!("coordinator {line}")).expect_err(line);
        assert_eq!(stop.exit_code, 2, "{line}: {}", stop.text);
    }
    let wrong = [
        "--nonsense",
        "lead",
        "exec",
        "exec --",
        "exec ./service",
        "demo --rounds 0",
        "demo --rounds 1001",
        "history --limit 0",
        "recovery",
    ];
    for line in
        wrong.into_iter().chain(["history --limit 1001", "step-down", "step-down --reason  ", "config"])
    {
        let stop = parse(&format!("coordinator {line}")).expect_err(line);
        assert_eq!(stop.exit_code, 2, "{line}: {}", stop.text);
    }
    for line in ["--help", "status --help", "recovery check -h", "--version"] {
        assert_eq!(parse(&format!("coordinator {line}")).expect_err(line).exit_code, 0, "{line}");
    }
    let long = format!("coordinator step-down --reason {}", "x".repeat(257));
    assert_eq!(parse(&long).expect_err("too long").exit_code, 2);
}

#[test]
fn a_mistyped_url_is_not_printed() {
    let wrong =
        ["run postgres://u:canary@h/db", "--redis=redis://:canary@h run x", "--rediss=redis://:canary@h"];
    for line in wrong {
        let stop = parse(&format!("coordinator {line}")).expect_err(line);
        assert!(!stop.text.contains("canary"), "{}", stop.text);
    }
    let cli =
        parse("coordinator --redis redis://:canary@h --postgres postgres://u:canary@h").expect("parses");
    assert!(!format!("{cli:?}").contains("canary"));
}

#[test]
fn a_signal_without_a_verdict_is_refused_with_each_verdict_and_its_meaning() {
    for line in ["coordinator signals resolve s-1 --reason x", "coordinator signals resolve s-1"] {
        let stop = parse(line).expect_err(line);
        assert_eq!(stop.exit_code, 2);
        for verdict in ["--executed  ", "--not-executed  ", "--not-executed --send-again --attempt N  "] {
            assert!(stop.text.contains(&format!("\n  {verdict}")), "{verdict}: {}", stop.text);
        }
    }
}
