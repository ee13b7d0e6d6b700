//! `coordinator hooks`: try out a hook with a body, and show the latest requests of all instances.

use super::group::on_this_host;
use super::table::{table, visible};
use super::{ask, open, print_json};
use crate::cli::{HooksCommand, Remote};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use crate::run::ledger_settings;
use adapter_http::{Hook, ReadField, Reading, Token, get};
use coordinator::{Ledger, clock};
use domain::member::MemberSeen;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Read as _;
use std::time::Duration;

/// Largest body that is read: more than an instance accepts, so that the refusal is shown.
const BODY_LEN_MAX: u64 = 128 * 1024;
/// Timeout of one instance's page.
const PAGE_TIME_MAX: Duration = Duration::from_secs(2);
/// Most characters of a reason or a body in a table.
const CELL_CHARS_MAX: usize = 100;

/// Carries out the command.
pub async fn hooks(config: &Config, command: &HooksCommand, remote: &Remote) -> Result<(), Failure> {
    match command {
        HooksCommand::Test { name, json } => test(config, name, *json),
        HooksCommand::Tail { limit, json } => tail(config, remote.token()?.as_ref(), *limit, *json).await,
    }
}

/// The result of a test as JSON.
#[derive(Serialize)]
struct TestJson<'r> {
    hook: &'r str,
    path: String,
    body: &'r str,
    fields: &'r [ReadField],
    /// The id that the signal would have; null if the body is refused.
    id: Option<String>,
    duplicate_window_s: Option<u32>,
    /// Each fault of the body.
    refused: Vec<String>,
}

fn test(config: &Config, name: &str, json: bool) -> Result<(), Failure> {
    let hook = named(config, name)?;
    let mut body = Vec::new();
    std::io::stdin()
        .take(BODY_LEN_MAX)
        .read_to_end(&mut body)
        .map_err(|error| Failure::other(format!("standard input: {error}")))?;
    let accepted = ledger_settings(config).remembers_since_s()..=Ledger::accepts_until_s();
    let reading = hook.read(&body, clock::calendar_ms(), accepted);
    if json {
        let signal = reading.signal();
        print_json(&TestJson {
            hook: hook.name().as_str(),
            path: hook.path(),
            body: &reading.body,
            fields: &reading.fields,
            id: signal.as_ref().ok().map(|signal| signal.id().to_string()),
            duplicate_window_s: signal.as_ref().ok().map(|signal| signal.window_s()),
            refused: signal.err().unwrap_or_default(),
        })?;
    } else {
        line(explained(hook, &reading))?;
    }
    // The reasons are printed already.
    reading.signal().map(drop).map_err(|_| Failure::other(""))
}

fn named<'c>(config: &'c Config, name: &str) -> Result<&'c Hook, Failure> {
    let mut all = config.hooks.iter().map(|configured| &configured.hook);
    let names: Vec<&str> = all.clone().map(|hook| hook.name().as_str()).collect();
    all.find(|hook| hook.name().as_str() == name).ok_or_else(|| {
        Failure::usage(if names.is_empty() {
            "no hook is configured: write a section [hooks.NAME] to the file, and name the file with --config"
                .to_owned()
        } else {
            format!("there is no hook {name:?}; the hooks are {}", names.join(", "))
        })
    })
}

/// The reading of a body, and the verdict, for an operator.
fn explained(hook: &Hook, reading: &Reading) -> String {
    let rows: Vec<Vec<String>> = reading
        .fields
        .iter()
        .map(|read| {
            let value = read.value.as_deref().map_or_else(|| "-".to_owned(), visible);
            vec![read.field.to_owned(), value, visible(&read.from)]
        })
        .collect();
    let mut text = format!("hook {} (POST {}): {}\n\n", hook.name(), hook.path(), reading.body);
    if !rows.is_empty() {
        text.push_str(&table(&["FIELD", "VALUE", "FROM"], &rows));
        text.push_str("\n\n");
    }
    match reading.signal() {
        Ok(signal) => {
            // A string takes everything.
            let _ = write!(text, "It would be stored as {}", signal.id());
            let _ = match signal.window_s() {
                0 => write!(text, "."),
                window_s => write!(
                    text,
                    ",\nor folded into a signal of this hook with the same instrument, type and position whose \
                     timestamp\ndiffers by at most {window_s} s."
                ),
            };
        }
        Err(faults) => {
            text.push_str("It would be refused:");
            for fault in faults {
                text.push_str("\n  ");
                text.push_str(&visible(&fault));
            }
        }
    }
    text
}

/// A request, and the instance that answered it.
struct Request {
    instance: String,
    request: Value,
}

async fn tail(config: &Config, token: Option<&Token>, limit: u32, json: bool) -> Result<(), Failure> {
    let stores = open(config)?;
    let members = ask("the state store", stores.state.members()).await;
    stores.close().await;
    let mut requests = Vec::new();
    let (mut answered, mut silent) = (0, Vec::new());
    for MemberSeen { member, .. } in members?.into_iter().filter(|seen| !seen.member.address.is_empty()) {
        match requests_of(&member.address, token).await {
            Ok(of_one) => {
                answered += 1;
                let with_instance = |request| Request { instance: member.id.to_string(), request };
                // A page lists the latest first; the sort keeps the order of one millisecond.
                requests.extend(of_one.into_iter().rev().map(with_instance));
            }
            Err(why) => silent.push(format!("the requests to {} are missing: {why}", member.id)),
        }
    }
    if answered == 0 {
        silent.insert(
            0,
            "no instance answers; the requests are only in the memory of running instances".to_owned(),
        );
        return Err(Failure::other(silent.join("\n")));
    }
    // An instance that crashed stays in the instance table for a day.
    for why in silent {
        tracing::warn!("{why}");
    }
    requests.sort_by(|a, b| text(&a.request, "at").cmp(text(&b.request, "at")));
    let first = requests.len().saturating_sub(limit as usize);
    if json {
        for Request { instance, mut request } in requests.drain(first..) {
            request["instance"] = Value::String(instance);
            line(request)?;
        }
        return Ok(());
    }
    line(if requests.is_empty() {
        "no running instance has had a request to a hook since its start".to_owned()
    } else {
        rendered(&requests[first..])
    })
}

async fn requests_of(address: &str, token: Option<&Token>) -> Result<Vec<Value>, String> {
    // The instance table is not trusted with tokens: a page on another host does not get it.
    let token = token.filter(|_| on_this_host(address));
    let (status, body) = get(address, "/hooks", token, PAGE_TIME_MAX).await?;
    if status == 401 {
        return Err(if on_this_host(address) {
            "its page needs a token with the role read: name its file with --token-file".to_owned()
        } else {
            "its page needs a token, which is not sent to another host: run the command there, with --token-file"
                .to_owned()
        });
    }
    if status != 200 {
        return Err(format!("its page answers HTTP {status}"));
    }
    let other = || "its page is of another version".to_owned();
    let mut page: Value = serde_json::from_slice(&body).map_err(|_| other())?;
    match page.get_mut("requests").map(Value::take) {
        Some(Value::Array(requests)) if requests.iter().all(Value::is_object) => Ok(requests),
        _ => Err(other()),
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn rendered(requests: &[Request]) -> String {
    let rows: Vec<Vec<String>> = requests
        .iter()
        .map(|Request { instance, request }| {
            let at = text(request, "at").get(..19).unwrap_or_default().replace('T', " ");
            let cut = |field: &str| -> String {
                visible(text(request, field)).chars().take(CELL_CHARS_MAX).collect()
            };
            let result = if request["why"].is_string() { cut("why") } else { cut("signal") };
            vec![
                at,
                visible(instance),
                cut("hook"),
                cut("from"),
                request["status"].to_string(),
                cut("verdict"),
                result,
                cut("body"),
            ]
        })
        .collect();
    table(&["AT (UTC)", "INSTANCE", "HOOK", "FROM", "STATUS", "VERDICT", "SIGNAL OR REASON", "BODY"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_one_line_whatever_its_body_is() {
        let request = json!({
            "at": "2025-11-29T10:15:30.250+00:00", "hook": "tv", "from": "52.89.214.238", "status": 422,
            "verdict": "refused", "signal": null, "why": "instrument: missing\n\u{1b}[2J", "body": "{}",
        });
        let text = rendered(&[Request { instance: "a-1".to_owned(), request }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[1].starts_with("2025-11-29 10:15:30  a-1       tv    52.89.214.238  422     refused"),
            "{text}"
        );
        assert!(lines[1].contains(r"missing\n\u{1b}[2J") && lines[1].ends_with("{}"), "{text}");
    }
}
