//! The help of every command: it shows only the settings that have an effect there, each with its default and its
//! environment variable.

use super::Cli;
use crate::command::DEMO_TTL;
use crate::config::{Key, written};
use clap::{Arg, Command, CommandFactory};

/// Settings that name the state store and the group.
const STATE_STORE: &[&str] =
    &["config", "data_dir", "postgres", "postgres_url_file", "postgres_schema", "postgres_tls", "group"];
/// The server that a command can use instead, and the token.
const REMOTE: &[&str] = &["server", "token_file"];
/// Settings that name Redis.
const LEADER_STORE: &[&str] = &["redis", "redis_url_file", "redis_tls"];

/// Whether a command can use the HTTP server of an instance.
fn can_be_remote(command: &str) -> bool {
    matches!(command, "status" | "why" | "history" | "step-down" | "recovery" | "signals")
}

/// The ids of the settings that have an effect on a command; `None`: all of them.
fn settings_of(command: &str) -> Option<Vec<&'static str>> {
    let shown: &[&[&str]] = match command {
        "demo" => &[&["config", "leader_ttl"]],
        "status" | "why" => &[STATE_STORE, LEADER_STORE],
        // It compares latencies with LEADER_TTL.
        "doctor" => &[STATE_STORE, LEADER_STORE, &["leader_ttl"]],
        "health" => &[&["config", "listen"]],
        // They read no setting.
        "runbook" | "completions" | "man" | "token" => &[],
        "history" | "step-down" | "recovery" | "signals" | "migrate" | "remove" => &[STATE_STORE],
        _ => return None,
    };
    Some(shown.concat())
}

/// The definition of the command line. Every command accepts every setting, so that one set of flags serves all
/// commands; the help leaves out the settings that have no effect.
pub fn definition() -> Command {
    let program = Cli::command().mut_args(described);
    let settings: Vec<Arg> = program.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    program.mut_args(hide_remote).mut_subcommands(|command| {
        let shown = settings_of(command.get_name());
        let remote = can_be_remote(command.get_name());
        let is_shown = |id: &str| match &shown {
            _ if REMOTE.contains(&id) => remote,
            Some(shown) => shown.contains(&id),
            None => true,
        };
        let hidden = settings.iter().filter(|arg| !is_shown(arg.get_id().as_str()));
        // An argument that a command has already is not passed on to it.
        let own = hidden.map(|arg| arg.clone().hide(true));
        let command = command.args(own);
        if command.get_name() != "demo" {
            return command;
        }
        let ttl = settings.iter().filter(|arg| arg.get_id() == "leader_ttl");
        let key = Key::LeaderTtl;
        command.args(ttl.map(|arg| arg.clone().help(help(key, &written(DEMO_TTL)))))
    })
}

/// The program itself runs an instance, which has no use for a server.
fn hide_remote(arg: Arg) -> Arg {
    let hidden = REMOTE.contains(&arg.get_id().as_str());
    if hidden { arg.hide(true) } else { arg }
}

/// A setting with its meaning, its default and its environment variables.
fn described(arg: Arg) -> Arg {
    let flag = arg.get_long().map(|name| format!("--{name}"));
    match Key::ALL.into_iter().find(|key| key.flag() == flag.as_deref() && flag.is_some()) {
        Some(key) => arg.help(help(key, &key.default_in_words())),
        None => arg,
    }
}

fn help(key: Key, default: &str) -> String {
    format!("{} [default: {default}] [env: {}]", key.meaning(), key.in_environment().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The long help of the program and of every command, by its words.
    fn helps() -> Vec<(String, Command, String)> {
        fn collect(command: &mut Command, path: &str, into: &mut Vec<(String, Command, String)>) {
            let help = command.render_long_help().to_string();
            into.push((path.to_owned(), command.clone(), help));
            for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
                let path = format!("{path} {}", inner.get_name());
                collect(inner, path.trim(), into);
            }
        }
        let mut program = definition();
        program.build();
        let mut helps = Vec::new();
        collect(&mut program, "", &mut helps);
        helps
    }

    /// The flags of the settings that the help of a command shows.
    fn shown(command: &Command) -> Vec<String> {
        let visible = command.get_arguments().filter(|arg| arg.is_global_set() && !arg.is_hide_set());
        let mut flags: Vec<String> =
            visible.filter_map(|arg| arg.get_long().map(|name| format!("--{name}"))).collect();
        flags.sort();
        flags
    }

    #[test]
    fn the_help_shows_the_settings_that_have_an_effect_with_their_variables() {
        let helps = helps();
        assert!(helps.len() > 12, "{}", helps.len());
        for (path, command, help) in &helps {
            for flag in shown(command) {
                let is_switch = Key::ALL.into_iter().any(|key| key.flag() == Some(&flag) && key.is_switch());
                let shown = if is_switch { flag.clone() } else { format!("{flag} <") };
                assert!(help.contains(&shown), "{flag} is not in the help of {path:?}: {help}");
                if let Some(key) = Key::ALL.into_iter().find(|key| key.flag() == Some(&flag)) {
                    for variable in key.in_environment() {
                        let unwrapped = help.split_whitespace().collect::<Vec<_>>().join(" ");
                        assert!(unwrapped.contains(&variable), "{variable} is not in the help of {path:?}");
                    }
                }
            }
            assert!(!help.contains("***"), "{path:?} masks its help: {help}");
        }
        let of = |path: &str| {
            let found = helps.iter().find(|(other, ..)| other == path).expect(path);
            (shown(&found.1), &found.2)
        };
        assert_eq!(of("demo").0, ["--config", "--leader-ttl"]);
        assert!(of("demo").1.contains("[default: 2s]"), "{}", of("demo").1);
        for path in ["signals list", "history", "recovery check", "step-down", "migrate"] {
            let (flags, help) = of(path);
            assert!(flags.contains(&"--postgres".to_owned()) && flags.contains(&"--data-dir".to_owned()));
            for without in ["--redis", "--handler", "--listen", "--instance-id", "--leader-ttl"] {
                assert!(!help.contains(&format!("{without} <")), "{path} has no use for {without}");
            }
        }
        assert_eq!(of("run").0.len(), 16, "an instance needs all of them");
        assert_eq!(of("config check").0, of("run").0);
    }

    #[test]
    fn the_log_level_is_documented() {
        let (_, _, help) = helps().swap_remove(0);
        assert!(help.contains("RUST_LOG=info,coordinator=debug"), "{help}");
    }
}
