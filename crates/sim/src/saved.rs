//! The text form of a plan: a failing seed is saved with it, and `--replay` reads it.

use crate::fault::Fault;
use crate::plan::{Caution, Cluster, Plan, Receiver, Redis, Results, Submission};
use std::fmt;
use std::str::FromStr;

const CLUSTERS: [(Cluster, &str); 2] =
    [(Cluster::Synchronous, "synchronous"), (Cluster::Asynchronous, "asynchronous")];
const REDIS: [(Redis, &str); 2] = [(Redis::Present, "present"), (Redis::Absent, "absent")];
const RECEIVERS: [(Receiver, &str); 2] = [(Receiver::Plain, "plain"), (Receiver::Fencing, "fencing")];
const RESULTS: [(Results, &str); 2] = [(Results::AtOnce, "at-once"), (Results::Later, "later")];
const CAUTIONS: [(Caution, &str); 6] = [
    (Caution::Careful, "careful"),
    (Caution::Blind, "blind"),
    (Caution::SilenceIsNo, "silence-is-no"),
    (Caution::Hasty, "hasty"),
    (Caution::LatestAttempt, "latest-attempt"),
    (Caution::NoMemory, "no-memory"),
];

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "instances {}", self.instances)?;
        writeln!(f, "ttl-ms {}", self.ttl_ms)?;
        writeln!(f, "clock-ppm {}", self.clock_ppm)?;
        writeln!(f, "flight-ms {}", self.flight_ms)?;
        writeln!(f, "cluster {}", name(&CLUSTERS, &self.cluster))?;
        writeln!(f, "redis {}", name(&REDIS, &self.redis))?;
        writeln!(f, "broker {}", name(&RECEIVERS, &self.receiver))?;
        writeln!(f, "results {}", name(&RESULTS, &self.results))?;
        writeln!(f, "caution {}", name(&CAUTIONS, &self.caution))?;
        let submission = |signal: &Submission| format!("signal {} of {}", signal.at_ms, signal.instrument);
        self.signals.iter().try_for_each(|signal| writeln!(f, "{}", submission(signal)))?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))
    }
}

impl FromStr for Caution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(&CAUTIONS, text)
    }
}

/// Lines that begin with `#` are comments. Older plans lack the settings for brokers and instruments.
impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self {
            seed: 0,
            instances: 0,
            ttl_ms: 0,
            clock_ppm: 0,
            flight_ms: 0,
            cluster: Cluster::Synchronous,
            redis: Redis::Present,
            receiver: Receiver::Plain,
            results: Results::AtOnce,
            caution: Caution::Careful,
            signals: Vec::new(),
            faults: Vec::new(),
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            plan.take_in(line)?;
        }
        if plan.instances == 0 || plan.ttl_ms == 0 || plan.flight_ms == 0 {
            return Err("a plan names its seed, instances, ttl-ms and flight-ms".to_owned());
        }
        Ok(plan)
    }
}

impl Plan {
    fn take_in(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = line.split_once(' ').ok_or_else(|| format!("{line:?} has no value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{line:?}: not a number"));
        match key {
            "seed" => self.seed = number()?,
            "instances" => self.instances = value.parse().map_err(|_| format!("{line:?}: not a number"))?,
            "ttl-ms" => self.ttl_ms = number()?,
            "clock-ppm" => self.clock_ppm = value.parse().map_err(|_| format!("{line:?}: not a number"))?,
            "flight-ms" => self.flight_ms = number()?,
            "cluster" => self.cluster = named(&CLUSTERS, value)?,
            "redis" => self.redis = named(&REDIS, value)?,
            "caution" => self.caution = named(&CAUTIONS, value)?,
            "broker" => self.receiver = named(&RECEIVERS, value)?,
            "results" => self.results = named(&RESULTS, value)?,
            "signal" => {
                self.signals.push(submission(value).ok_or_else(|| format!("{line:?}: not a number"))?);
            }
            "at" => self.faults.push(line.parse::<Fault>()?),
            other => return Err(format!("{other:?} is not a key of a plan")),
        }
        Ok(())
    }
}

/// `MS`, or `MS of INSTRUMENT`.
fn submission(text: &str) -> Option<Submission> {
    let (at, instrument) = text.split_once(" of ").unwrap_or((text, "0"));
    Some(Submission { at_ms: at.parse().ok()?, instrument: instrument.parse().ok()? })
}

fn name<T: PartialEq>(names: &[(T, &'static str)], of: &T) -> &'static str {
    names.iter().find(|(value, _)| value == of).map_or("?", |(_, name)| name)
}

fn named<T: Copy>(names: &[(T, &str)], name: &str) -> Result<T, String> {
    let found = names.iter().find(|(_, known)| *known == name);
    found.map(|(value, _)| *value).ok_or_else(|| format!("{name:?} is not known"))
}
