//! The layers: every arrow points at `domain`, adapters never know each other or the driver, only what people and
//! outside tools read knows `monitoring`, and only the facade opens stores, in one folder. Judged on what cargo says the
//! manifests mean.

use crate::report::{Findings, listed};
use crate::workspace::Workspace;
use cargo_metadata::{DependencyKind, MetadataCommand};

/// What the domain may use: macros, error messages, exact decimals and SHA-256, all but the first without std.
const DOMAIN_MAY_USE: [&str; 4] = ["async-trait", "thiserror", "rust_decimal", "sha2"];
/// What the suites and fakes may use. A server's client is not among it: the simulation and the tests of the driver
/// build this crate, and should build in seconds.
const CONTRACT_MAY_USE: [&str; 4] = ["async-trait", "libtest-mimic", "rust_decimal", "tokio"];
/// A macro runs in the compiler: its features say nothing about std in the domain.
const MACROS_ONLY: &str = "async-trait";

/// The paths of adapters that compete for a port. The other adapters are faces of the program.
const STORES: [&str; 3] = ["adapter_redis::", "adapter_postgres::", "adapter_sqlite::"];
/// The sources that use stores.
const FACADE_AND_APP: [&str; 2] = ["crates/app/src/", "crates/leader-coordinator/src/"];
/// The only place that names their adapters.
const OPENS_STORES: &str = "crates/leader-coordinator/src/stores/";

/// A crate of the workspace.
struct Crate {
    name: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    kind: Kind,
    owner: Owner,
    with_std: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Part of what ships (a build script counts: it decides what is compiled).
    Shipped,
    Tests,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Ours,
    Others,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Domain,
    /// What outside tools read, rendered from the domain.
    Monitoring,
    Driver,
    /// An adapter of a port.
    Store,
    /// An adapter that shows the program: pages and telemetry.
    Face,
    /// Suites, fakes and invariants.
    Contract,
    /// Servers for tests.
    Testkit,
    /// The one crate that a service depends on.
    Facade,
    App,
    Proof,
    Commands,
}

impl Layer {
    fn of(name: &str) -> Option<Self> {
        match name {
            "domain" => Some(Self::Domain),
            "monitoring" => Some(Self::Monitoring),
            "coordinator" => Some(Self::Driver),
            "adapter-http" | "adapter-otel" => Some(Self::Face),
            "contract" => Some(Self::Contract),
            "testkit" => Some(Self::Testkit),
            "leader-coordinator" => Some(Self::Facade),
            "app" => Some(Self::App),
            "model" | "sim" => Some(Self::Proof),
            "xtask" => Some(Self::Commands),
            _ if name.starts_with("adapter-") => Some(Self::Store),
            _ => None,
        }
    }

    /// Whether what ships of a crate of this layer may know a crate of layer `other`.
    fn may_ship_with(self, other: Self) -> bool {
        match self {
            Self::Domain | Self::Commands => false,
            Self::Monitoring | Self::Driver | Self::Store | Self::Contract => other == Self::Domain,
            Self::Face => matches!(other, Self::Domain | Self::Monitoring),
            Self::Testkit => matches!(other, Self::Domain | Self::Contract),
            Self::Facade => matches!(other, Self::Domain | Self::Driver | Self::Store | Self::Face),
            Self::App => matches!(other, Self::Domain | Self::Driver | Self::Face | Self::Facade),
            Self::Proof => matches!(other, Self::Domain | Self::Driver | Self::Contract),
        }
    }

    /// Whether tests of a crate of this layer may know a crate of layer `other`.
    fn may_test_with(self, other: Self) -> bool {
        match self {
            Self::Commands => false,
            Self::Domain | Self::Driver | Self::Store | Self::Contract | Self::Testkit | Self::Proof => {
                other != Self::Monitoring
            }
            Self::Monitoring | Self::Face | Self::Facade | Self::App => true,
        }
    }

    /// The sentence that a wrong arrow breaks.
    fn rule(self) -> &'static str {
        match self {
            Self::Domain => "the domain knows no other crate of ours",
            Self::Monitoring => "monitoring renders the domain and knows nothing else",
            Self::Driver => "the driver knows the domain only, never an adapter: what it needs is a port",
            Self::Store => {
                "a store knows the domain only: not the driver, not another adapter, not monitoring"
            }
            Self::Face => {
                "pages and telemetry know the domain and monitoring: not the driver, not another adapter"
            }
            Self::Contract => "suites and fakes know the domain only: what needs a server is in testkit",
            Self::Testkit => "the testkit knows the domain and the suites",
            Self::Facade => {
                "the facade composes the domain, the driver and adapters; contract and testkit are for tests"
            }
            Self::App => {
                "the app knows the facade, which opens the stores, the driver, and the pages and telemetry"
            }
            Self::Proof => {
                "the model and the simulation prove the domain and the driver, with fakes: no store and no server that exists"
            }
            Self::Commands => "xtask builds before everything else and knows none of ours",
        }
    }
}

/// The layers of this checkout.
pub fn check(workspace: &Workspace) -> Findings {
    let crates = load(workspace).map_err(|problem| vec![problem])?;
    let mut found = problems(&crates);
    found.extend(stores_named_elsewhere(workspace).map_err(|problem| vec![problem])?);
    listed(found, format!("{} crates", crates.len()))
}

fn load(workspace: &Workspace) -> Result<Vec<Crate>, String> {
    let metadata = MetadataCommand::new()
        .current_dir(workspace.root())
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(metadata
        .packages
        .into_iter()
        .map(|package| Crate {
            name: package.name.to_string(),
            dependencies: package.dependencies.into_iter().map(dependency).collect(),
        })
        .collect())
}

fn dependency(declared: cargo_metadata::Dependency) -> Dependency {
    Dependency {
        kind: if declared.kind == DependencyKind::Development { Kind::Tests } else { Kind::Shipped },
        owner: if declared.path.is_some() { Owner::Ours } else { Owner::Others },
        with_std: declared.uses_default_features || declared.features.iter().any(|feature| feature == "std"),
        name: declared.name,
    }
}

/// One sentence per arrow that points the wrong way.
fn problems(crates: &[Crate]) -> Vec<String> {
    let mut problems = Vec::new();
    for Crate { name, dependencies } in crates {
        let Some(layer) = Layer::of(name) else {
            problems.push(format!("{name} has no layer: say in xtask/src/arrows.rs what it may know"));
            continue;
        };
        for dependency in dependencies {
            if let Some(reason) = wrong(layer, dependency) {
                problems.push(format!("{name} -> {}: {reason}", dependency.name));
            }
        }
    }
    problems
}

fn wrong(layer: Layer, dependency: &Dependency) -> Option<&'static str> {
    match (dependency.owner, dependency.kind) {
        (Owner::Ours, Kind::Shipped) => {
            let other = Layer::of(&dependency.name)?;
            (!layer.may_ship_with(other)).then(|| layer.rule())
        }
        (Owner::Ours, Kind::Tests) => {
            let other = Layer::of(&dependency.name)?;
            (!layer.may_test_with(other)).then(|| layer.rule())
        }
        (Owner::Others, Kind::Shipped) if layer == Layer::Domain => wrong_in_domain(dependency),
        (Owner::Others, Kind::Shipped) if layer == Layer::Contract => {
            (!CONTRACT_MAY_USE.contains(&dependency.name.as_str())).then(|| layer.rule())
        }
        (Owner::Others, Kind::Shipped | Kind::Tests) => None,
    }
}

fn wrong_in_domain(dependency: &Dependency) -> Option<&'static str> {
    if !DOMAIN_MAY_USE.contains(&dependency.name.as_str()) {
        return Some(
            "the domain depends on async-trait, thiserror, rust_decimal and sha2 only: no IO, no clock",
        );
    }
    (dependency.with_std && dependency.name != MACROS_ONLY)
        .then_some("the domain is no_std: default-features = false and no feature `std`")
}

/// What ships of the app and of the facade names the adapter of a store in one folder only, so that a store is exchanged
/// in one place.
fn stores_named_elsewhere(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for file in workspace.files(&["rs"])? {
        if FACADE_AND_APP.iter().any(|source| file.path.starts_with(source))
            && !file.path.starts_with(OPENS_STORES)
        {
            let named = file.text.lines().zip(1..).filter(|(line, _)| names_a_store(line));
            problems.extend(named.map(|(_, number)| {
                format!("{}:{number}: only {OPENS_STORES} names the adapter of a store", file.path)
            }));
        }
    }
    Ok(problems)
}

/// The code of the line; prose may speak of adapters.
fn names_a_store(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    STORES.iter().any(|store| code.contains(store))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(name: &str) -> Dependency {
        Dependency { name: name.to_owned(), kind: Kind::Shipped, owner: Owner::Ours, with_std: true }
    }

    fn others(name: &str) -> Dependency {
        Dependency { name: name.to_owned(), kind: Kind::Shipped, owner: Owner::Others, with_std: false }
    }

    fn for_tests(dependency: Dependency) -> Dependency {
        Dependency { kind: Kind::Tests, ..dependency }
    }

    fn of(name: &str, dependencies: Vec<Dependency>) -> Crate {
        Crate { name: name.to_owned(), dependencies }
    }

    #[test]
    fn the_intended_graph_is_accepted() {
        let graph = [
            of("domain", vec![others("async-trait"), others("thiserror"), for_tests(ours("contract"))]),
            of("coordinator", vec![ours("domain"), others("tokio"), for_tests(ours("adapter-sqlite"))]),
            of("adapter-redis", vec![ours("domain"), others("fred"), for_tests(ours("testkit"))]),
            of("monitoring", vec![ours("domain"), for_tests(others("serde_json"))]),
            of("adapter-http", vec![ours("domain"), ours("monitoring"), others("axum")]),
            of("contract", vec![ours("domain"), others("tokio")]),
            of("testkit", vec![ours("contract"), others("sqlx")]),
            of("sim", vec![ours("coordinator"), ours("contract"), others("tokio")]),
            of("leader-coordinator", vec![ours("domain"), ours("coordinator"), ours("adapter-redis")]),
            of("app", vec![ours("domain"), ours("leader-coordinator"), for_tests(ours("adapter-redis"))]),
            of("xtask", vec![others("cargo_metadata")]),
        ];
        assert_eq!(problems(&graph), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_arrow_is_named() {
        let wrong = [
            ("domain", ours("coordinator")),
            ("domain", others("tokio")),
            ("domain", Dependency { with_std: true, ..others("rust_decimal") }),
            ("coordinator", ours("adapter-redis")),
            ("adapter-redis", ours("adapter-postgres")),
            ("adapter-redis", ours("coordinator")),
            ("adapter-redis", ours("testkit")),
            ("app", ours("testkit")),
            ("app", ours("adapter-redis")),
            ("leader-coordinator", ours("monitoring")),
            ("leader-coordinator", ours("contract")),
            ("adapter-redis", ours("leader-coordinator")),
            ("coordinator", ours("leader-coordinator")),
            ("contract", ours("testkit")),
            ("contract", others("sqlx")),
            ("sim", ours("testkit")),
            ("testkit", ours("app")),
            ("domain", for_tests(ours("monitoring"))),
            ("monitoring", ours("coordinator")),
            ("adapter-redis", ours("monitoring")),
            ("adapter-postgres", for_tests(ours("monitoring"))),
            ("adapter-http", ours("adapter-otel")),
            ("coordinator", ours("monitoring")),
            ("model", ours("monitoring")),
            ("sim", ours("monitoring")),
            ("sim", for_tests(ours("monitoring"))),
            ("testkit", ours("monitoring")),
            ("xtask", ours("domain")),
            ("xtask", for_tests(ours("testkit"))),
        ];
        for (name, dependency) in wrong {
            let arrow = format!("{name} -> {}: ", dependency.name);
            let found = problems(&[of(name, vec![dependency])]);
            assert_eq!(found.len(), 1, "{arrow}{found:?}");
            assert!(found[0].starts_with(&arrow), "{found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_layer_is_refused() {
        assert_eq!(problems(&[of("helpers", vec![])]).len(), 1);
    }

    #[test]
    fn prose_may_name_a_store() {
        assert!(names_a_store("use adapter_redis::LeaderStore;"));
        assert!(!names_a_store("// adapter_redis::LeaderStore does this"));
        assert!(!names_a_store("use adapter_http::serve;"));
    }

    /// The rules see the real manifests: a slip in reading the metadata would make them pass by seeing nothing.
    #[test]
    fn the_real_graph_is_read() {
        let workspace = Workspace::find().expect("tests run under cargo");
        let crates = load(&workspace).expect("the manifests are valid");
        let app = crates.iter().find(|found| found.name == "app").expect("the app is a member");
        let named = |name: &str| app.dependencies.iter().find(|dependency| dependency.name == name);
        let domain = named("domain").expect("the app knows the domain");
        assert!(domain.owner == Owner::Ours && domain.kind == Kind::Shipped);
        assert!(named("testkit").is_none_or(|testkit| testkit.kind == Kind::Tests));
        assert_eq!(problems(&crates), Vec::<String>::new());
    }
}
