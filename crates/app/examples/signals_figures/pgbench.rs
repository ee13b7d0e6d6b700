//! The adapter's statements in `pgbench`, which only sends them.

use adapter_postgres::statements;
use domain::lease::Token;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use testkit::backend::{self, Postgres};
use uuid::Uuid;

/// Arguments of the statements, the same as the adapter's.
pub const GROUP: &str = "bench";
pub const INSTANCE: &str = "bench-1";
pub const HOST: &str = "bench";
pub const WHO: &str = "client";
pub const ORIGIN: &str = "127.0.0.1:4711";
pub const SIGNAL_TYPE: &str = "BASE_ENTRY";
pub const POSITION: &str = "Long_1";
pub const PAYLOAD: &str = r#"{"price":"24310.55","quantity":"75","strategy":"trend","stop":"24180.00"}"#;
pub const NOTE: &str = "order 4711";
pub const INSTRUMENTS: usize = 100;
pub const AROSE_S: i64 = 1_800_000_000;
/// Most signals that a claim expires, the same as the adapter's; none of these expire.
const EXPIRE_MAX: &str = "1000";
/// The same as the adapter's notification.
const HINT: &str = "signal 000000000000000000000001";

/// The program of this server's version; otherwise a sentence that says what to install.
pub async fn find(postgres: &Postgres) -> Result<PathBuf, String> {
    let query = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
    let directory = backend::text(&postgres.url(), query)
        .await
        .ok_or("the server does not report the directory of its programs")?;
    let program = PathBuf::from(directory).join("pgbench");
    if program.is_file() {
        return Ok(program);
    }
    let shown = program.display();
    Err(format!(
        "{shown} is missing, so nothing is compared with it: it is in Debian's package postgresql-contrib or postgresql"
    ))
}

/// A program for pgbench.
pub struct Script {
    text: String,
}

impl Script {
    /// Accepts, claims and records `slice` signals at a time.
    pub fn of_the_adapter(slice: usize) -> Self {
        let values = Values { slice };
        let token = ["(:group::text)", "(:tl::bigint)", "(:epoch::bigint)", "(:claim::uuid)"];
        let token = token.map(str::to_owned);
        let [who, origin, hint] = ["who", "origin", "hint"].map(variable);
        let [instance, host, expire_max] = ["instance", "host", "expire_max"].map(variable);
        let group = token[..1].to_vec();
        let submit = [group, values.submitted(), vec![who, origin, hint.clone()]].concat();
        let no_limit = || "(nullif(:no_limit::text, 'none')::bigint)".to_owned();
        let most = "(:most::bigint)".to_owned();
        let own = vec![instance, host];
        let claim_own = vec![most, no_limit(), no_limit()];
        let expire_max = vec![format!("{expire_max}::bigint")];
        let claim = [token.to_vec(), claim_own, own.clone(), expire_max].concat();
        let record = [token.to_vec(), values.recorded(), own, vec![hint]].concat();
        let filled = [
            filled(statements::SUBMIT, &submit),
            filled(statements::CLAIM, &claim),
            filled(statements::RECORD, &record),
        ];
        Self::of(&filled)
    }

    /// Only the expressions that replace the adapter's arrays; their cost is no part of the statements.
    pub fn of_the_expressions(slice: usize) -> Self {
        let values = Values { slice };
        let counted = |arrays: Vec<String>| {
            let counts: Vec<String> = arrays.iter().map(|array| format!("cardinality({array})")).collect();
            format!("SELECT {}", counts.join(" + "))
        };
        Self::of(&[counted(values.submitted()), counted(values.recorded())])
    }

    /// The same number of statements as [`Self::of_the_expressions`], without content.
    pub fn of_nothing() -> Self {
        Self::of(&["SELECT 1".to_owned(), "SELECT 1".to_owned()])
    }

    fn of(statements: &[String]) -> Self {
        Self { text: format!("\\set i :i + 1\n{};\n", statements.join(";\n")) }
    }
}

/// SQL for the arrays that the adapter binds, each made from the number of the iteration.
struct Values {
    slice: usize,
}

impl Values {
    fn submitted(&self) -> Vec<String> {
        let number = self.number();
        let fingerprint = self.array("text", &self.fingerprint());
        vec![
            fingerprint.clone(),
            self.array("boolean", "false"),
            fingerprint,
            self.array("text", &format!("'I' || {number} % {INSTRUMENTS}")),
            self.array("text", &variable("signal_type")),
            self.array("text", &variable("position")),
            self.array("bigint", &format!("{AROSE_S} + {number}")),
            self.array("text", &variable("payload")),
            self.array("bigint", "NULL::bigint"),
        ]
    }

    fn recorded(&self) -> Vec<String> {
        vec![
            self.array("text", &self.fingerprint()),
            self.array("bigint", "1::bigint"),
            self.array("text", &variable("settled")),
            self.array("text", &variable("note")),
        ]
    }

    fn number(&self) -> String {
        match self.slice {
            1 => "(:i::bigint)".to_owned(),
            slice => format!("(:i::bigint * {slice} + g)"),
        }
    }

    /// As different from its neighbours as a real one, so that it is at a distant place in the index.
    fn fingerprint(&self) -> String {
        format!("encode(sha256(convert_to({}::text, 'UTF8')), 'hex')", self.number())
    }

    fn array(&self, of: &str, value: &str) -> String {
        match self.slice {
            1 => format!("(ARRAY[{value}]::{of}[])"),
            slice => format!("((SELECT array_agg({value}) FROM generate_series(1, {slice}) AS g)::{of}[])"),
        }
    }
}

fn variable(name: &str) -> String {
    format!("(:{name}::text)")
}

/// Replaces `$1` in the statement with the first of `arguments`, and so on.
fn filled(statement: &str, arguments: &[String]) -> String {
    let numbered = arguments.iter().enumerate().rev();
    // The last first, because `$1` is the beginning of `$10`.
    numbered
        .fold(statement.to_owned(), |text, (at, argument)| text.replace(&format!("${}", at + 1), argument))
}

/// One client of a prepared database.
pub struct Client<'a> {
    pub program: &'a PathBuf,
    pub database: &'a str,
    pub token: Token,
    /// The number of the iteration before the first.
    pub after: usize,
}

impl Client<'_> {
    /// Runs a script `times` times; returns iterations a second, without the opening of the connection.
    pub fn run(&self, script: &Script, slice: usize, times: usize) -> f64 {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(script.text.as_bytes()).expect("room for a script");
        let Token { timeline, epoch, claim } = self.token;
        let mut command = Command::new(self.program);
        command.args(["--protocol=prepared", "--no-vacuum", "--client=1", "--jobs=1"]);
        // As in the adapter's sessions: otherwise pgbench's statements are planned for each call.
        command.env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan");
        command.arg(format!("--transactions={times}")).arg("--file").arg(file.path());
        let numbers = [("i", self.after), ("most", slice)].map(|(name, number)| (name, number.to_string()));
        let token = [
            ("tl", timeline.0.to_string()),
            ("epoch", epoch.0.to_string()),
            ("claim", Uuid::from_u128(claim.as_u128()).to_string()),
        ];
        let texts = [
            ("group", GROUP),
            ("instance", INSTANCE),
            ("host", HOST),
            ("who", WHO),
            ("origin", ORIGIN),
            ("signal_type", SIGNAL_TYPE),
            ("position", POSITION),
            ("payload", PAYLOAD),
            ("settled", "done"),
            ("note", NOTE),
            ("hint", HINT),
            ("no_limit", "none"),
            ("expire_max", EXPIRE_MAX),
        ];
        let texts = texts.map(|(name, text)| (name, text.to_owned()));
        for (name, value) in numbers.into_iter().chain(token).chain(texts) {
            command.arg(format!("--define={name}={value}"));
        }
        let output = command.arg(self.database).output().expect("pgbench starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        match rate {
            Some(rate) if output.status.success() => rate,
            Some(_) | None => panic!("pgbench: {said}\n{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}
