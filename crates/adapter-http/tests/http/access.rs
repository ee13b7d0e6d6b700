//! Tests of credentials: every route with every method and every role, rotation, certificates and failed attempts.

use crate::client::{Answer, get, post, request};
use crate::fake::{Fake, Server};
use adapter_http::{Access, Credential, Proof, Role, Token};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::metrics::AccessRefusal;
use serde_json::Value;
use std::sync::Arc;

/// What a route of a hook needs, in place of a role.
const HOOK: &str = "secret of a hook";

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The roles that a credential of a role has, written once more on purpose: a change of the roles must be made twice.
fn includes(role: Role) -> &'static [&'static str] {
    match role {
        Role::Probe => &["probe"],
        Role::Read => &["probe", "read"],
        Role::Submit => &["probe", "submit"],
        Role::Work => &["probe", "read", "work"],
        Role::Operate => &["probe", "read", "operate"],
        Role::Resolve => &["probe", "read", "resolve"],
    }
}

pub fn token() -> Token {
    Token::random().expect("randomness")
}

pub fn credential(name: &str, roles: &[Role], token: &Token) -> Credential {
    Credential {
        name: Credential::name(name).expect("a name"),
        roles: roles.to_vec(),
        proof: Proof::Token(token.hash()),
        expires_ms: None,
    }
}

async fn guarded(credentials: Vec<Credential>) -> (Server, Arc<Access>) {
    let access = Arc::new(Access::new(credentials));
    (Server::start(Fake { access: Some(Arc::clone(&access)), ..Fake::default() }).await, access)
}

pub fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.expose())
}

async fn with(server: &Server, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", *value)).collect();
    let request = request(method, path, &headers);
    if path != "/events" || method != "GET" {
        return server.ask(request).await;
    }
    // The stream ends with its client.
    let mut stream = server.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("sent");
    Answer::read_head(&mut stream).await
}

/// Every method of every path, with the role of those that are served, or [`HOOK`].
async fn every_route(server: &Server, reader: &Token) -> Vec<(&'static str, String, Option<String>)> {
    let document = with(server, "GET", "/openapi.json", Some(&bearer(reader))).await.json();
    let paths = document["paths"].as_object().expect("an object").clone();
    let mut routes = Vec::new();
    for (path, described) in paths {
        let concrete =
            path.replace("{id}", "s-1").replace("{name}", "no-such-name").replace("{secret}", "no-secret");
        for method in METHODS {
            let own = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
            let hook = described[&own]["x-secret"].as_str().map(|_| HOOK);
            let role = described[&own]["x-role"].as_str().or(hook).map(str::to_owned);
            routes.push((method, concrete.clone(), role));
        }
    }
    for method in METHODS {
        routes.push((method, "/nothing".to_owned(), None));
        routes.push((method, "/signals/s-1/nothing/deep".to_owned(), None));
    }
    routes
}

#[tokio::test]
async fn every_route_with_every_method_needs_exactly_its_role() {
    let tokens = Role::ALL.map(|role| (role, token()));
    let credentials = tokens.iter().map(|(role, token)| credential(role.as_str(), &[*role], token)).collect();
    let (server, _) = guarded(credentials).await;
    let reader = &tokens.iter().find(|(role, _)| *role == Role::Read).expect("a role").1;
    let routes = every_route(&server, reader).await;
    let count = routes.iter().filter(|(_, _, role)| role.is_some()).count();
    assert!(count >= 30, "{count}");
    let (mut probes, mut hooks) = (Vec::new(), Vec::new());
    for (method, path, needed) in &routes {
        let is_hook = needed.as_deref() == Some(HOOK);
        let needs_nothing = needed.as_deref() == Some("probe") || is_hook;
        if is_hook {
            hooks.push(format!("{method} {path}"));
        } else if needs_nothing {
            probes.push(format!("{method} {path}"));
        }
        let none = with(&server, method, path, None).await;
        assert_eq!(none.status == 401, !needs_nothing, "{method} {path} without a credential: {none:?}");
        if !needs_nothing {
            let challenges: Vec<&str> = none
                .headers
                .iter()
                .filter(|(name, _)| name == "www-authenticate")
                .map(|(_, value)| value.split(' ').next().expect("a scheme"))
                .collect();
            assert_eq!(challenges, ["Bearer", "Basic"], "{method} {path}");
        }
        for (role, token) in &tokens {
            let answer = with(&server, method, path, Some(&bearer(token))).await;
            let may = is_hook || needed.as_deref().is_none_or(|needed| includes(*role).contains(&needed));
            assert!(answer.status != 401 && answer.status != 429, "{method} {path} as {role}: {answer:?}");
            assert_eq!(answer.status == 403, !may, "{method} {path} as {role}: {answer:?}");
            if !may && *method != "HEAD" && path != "/events" {
                assert_eq!(
                    answer.json()["role"].as_str(),
                    needed.as_deref(),
                    "{method} {path} names the role"
                );
            }
            if needed.is_none() {
                assert!(matches!(answer.status, 404 | 405), "{method} {path} as {role}: {answer:?}");
            }
        }
    }
    let expected =
        ["/leader", "/livez", "/readyz"].map(|path| [format!("GET {path}"), format!("HEAD {path}")]);
    assert_eq!(probes, expected.concat(), "no other route is open");
    assert_eq!(hooks, ["POST /hooks/no-such-name", "POST /hooks/no-such-name/no-secret"]);
}

#[tokio::test]
async fn without_an_access_every_route_is_open_on_this_host() {
    let server = Server::start(Fake::default()).await;
    for path in ["/status", "/signals", "/"] {
        assert_eq!(server.ask(get(path)).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_new_token_works_before_the_old_one_is_removed() {
    let (old, new) = (token(), token());
    let name = "desk-a";
    let (server, access) = guarded(vec![credential(name, &[Role::Read], &old)]).await;
    let works =
        async |token: &Token| with(&server, "GET", "/status", Some(&bearer(token))).await.status == 200;
    assert!(works(&old).await && !works(&new).await);
    access.replace(vec![credential(name, &[Role::Read], &old), credential(name, &[Role::Read], &new)]);
    assert!(works(&old).await && works(&new).await, "both");
    access.replace(vec![credential(name, &[Role::Read], &new)]);
    assert!(!works(&old).await && works(&new).await);
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let (past, future) = (token(), token());
    let expires =
        |token: &Token, ms| Credential { expires_ms: Some(ms), ..credential("a", &[Role::Read], token) };
    let (server, _) = guarded(vec![expires(&past, 1), expires(&future, i64::MAX)]).await;
    let answer = with(&server, "GET", "/status", Some(&bearer(&past))).await;
    assert!(answer.problem(401)["detail"].as_str().is_some_and(|text| text.contains("a has expired")));
    assert_eq!(with(&server, "GET", "/status", Some(&bearer(&future))).await.status, 200);
}

#[tokio::test]
async fn a_browser_sends_the_token_as_the_password() {
    let token = token();
    let (server, _) = guarded(vec![credential("asha", &[Role::Read], &token)]).await;
    for user in ["", "asha", "anything"] {
        let basic = format!("Basic {}", BASE64.encode(format!("{user}:{}", token.expose())));
        assert_eq!(with(&server, "GET", "/", Some(&basic)).await.status, 200, "{user}");
    }
    let (text, encoded) = (token.expose(), BASE64.encode(token.expose()));
    for wrong in [
        text.to_owned(),
        format!("Token {text}"),
        format!("Basic {text}"),
        format!("Basic {encoded}"),
        format!("Bearer {}", text.to_uppercase()),
        format!("Bearer {text} {text}"),
    ] {
        let answer = with(&server, "GET", "/", Some(&wrong)).await;
        assert!(answer.status == 401, "{wrong}: {answer:?}");
    }
    let both = [("Authorization", bearer(&token)), ("Authorization", bearer(&token))];
    let both = both.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(server.ask(request("GET", "/", &both)).await.status, 401, "two credentials");
}

#[tokio::test]
async fn too_many_wrong_tokens_of_an_address_are_limited_and_a_valid_one_still_works() {
    let valid = token();
    let refused = Arc::default();
    let access = Arc::new(Access::new(vec![credential("desk-a", &[Role::Submit], &valid)]));
    let fake = Fake { access: Some(access), access_refused: Arc::clone(&refused), ..Fake::default() };
    let server = Server::start(fake).await;
    let guess = bearer(&token());
    for attempt in 1..=12 {
        let answer = with(&server, "GET", "/status", Some(&guess)).await;
        assert_eq!(answer.status, if attempt <= 10 { 401 } else { 429 }, "attempt {attempt}");
        let wait = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
        assert_eq!(wait.is_some_and(|wait| (1..=61).contains(&wait)), attempt > 10, "{answer:?}");
    }
    // A client behind the same address must not lose a signal.
    let body = r#"{"instrument":"NIFTY","signal_type":"EXIT","position":"1","timestamp":1764411330}"#;
    let signal = post("/signals", &[("Authorization", &bearer(&valid))], body);
    assert_eq!(server.ask(signal).await.status, 201);
    assert_eq!(with(&server, "GET", "/status", None).await.status, 401, "the first request of a browser");
    assert_eq!(with(&server, "GET", "/status", Some(&bearer(&valid))).await.status, 403);
    let refused = refused.lock().expect("no panic");
    let count = |why| refused.iter().filter(|own| **own == why).count();
    let counts = [AccessRefusal::Unknown, AccessRefusal::Missing, AccessRefusal::Role].map(count);
    assert_eq!(counts, [12, 1, 1]);
}

#[tokio::test]
async fn the_audit_names_the_credential() {
    let token = token();
    let ledger = Arc::default();
    let access = Arc::new(Access::new(vec![credential("desk-a", &[Role::Submit, Role::Work], &token)]));
    let server =
        Server::start(Fake { access: Some(access), ledger: Arc::clone(&ledger), ..Fake::default() }).await;
    let bearer = bearer(&token);
    let headers = [("Authorization", bearer.as_str())];
    let body =
        r#"{"id":"s-1","instrument":"NIFTY","signal_type":"EXIT","position":"1","timestamp":1764411330}"#;
    assert_eq!(server.ask(post("/signals", &headers, body)).await.status, 201);
    let result = post("/signals/s-1/result", &headers, r#"{"attempt":1,"outcome":"done"}"#);
    assert_eq!(server.ask(result).await.status, 200);
    let (_, by) = ledger.reports.lock().expect("no panic").pop().expect("one");
    assert_eq!(by.who, "desk-a");
    let actors = ledger.actors.lock().expect("no panic").clone();
    assert_eq!(actors.iter().map(|actor| actor.who.as_str()).collect::<Vec<_>>(), ["desk-a"]);
}

/// A document with everything that the server says about itself; no token may be in it.
#[tokio::test]
async fn no_answer_contains_a_token() {
    let (valid, wrong) = (token(), token());
    let (server, _) = guarded(vec![credential("desk-a", &[Role::Submit], &valid)]).await;
    for token in [&valid, &wrong] {
        let secret = token.expose().trim_start_matches("coordinator_");
        for (method, path, authorization) in [
            ("GET", "/status".to_owned(), bearer(token)),
            ("POST", "/signals".to_owned(), bearer(token)),
            ("GET", format!("/signals/{}", token.expose()), bearer(token)),
            ("GET", "/".to_owned(), format!("Basic {}", BASE64.encode(format!("{0}:{0}", token.expose())))),
        ] {
            let answer = with(&server, method, &path, Some(&authorization)).await;
            assert!(!format!("{answer:?}").contains(secret), "{method}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_description_names_the_scheme_and_the_role() {
    let server = Server::start(Fake::default()).await;
    let document: Value = server.ask(get("/openapi.json")).await.json();
    let submit = &document["paths"]["/signals"]["post"];
    assert_eq!(submit["x-role"], "submit");
    assert!(submit["security"].as_array().is_some_and(|all| all.len() == 3), "{submit}");
    assert_eq!(document["paths"]["/livez"]["get"]["security"], serde_json::json!([]));
    let hook = &document["paths"]["/hooks/{name}"]["post"];
    assert!(hook["x-role"].is_null() && hook["x-secret"].is_string(), "{hook}");
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

/// A service can nest the pages below a path; the roles must hold there too.
#[tokio::test]
async fn below_the_path_of_a_service_each_route_needs_its_role() {
    let (reader, submitter) = (token(), token());
    let credentials =
        vec![credential("r", &[Role::Read], &reader), credential("s", &[Role::Submit], &submitter)];
    let fake = Fake { access: Some(Arc::new(Access::new(credentials))), ..Fake::default() };
    let pages = adapter_http::router(Arc::new(fake), adapter_http::Pages::default());
    let server = Server::of(axum::Router::new().nest("/coordinator", pages)).await;
    let status = async |method, path: &str, token: Option<&Token>| {
        with(&server, method, &format!("/coordinator{path}"), token.map(bearer).as_deref()).await.status
    };
    for path in ["", "/status", "/signals", "/runbooks/style.css"] {
        assert_eq!(status("GET", path, None).await, 401, "{path}");
        assert_eq!(status("GET", path, Some(&submitter)).await, 403, "{path}");
        assert_eq!(status("GET", path, Some(&reader)).await, 200, "{path}");
    }
    assert_eq!(status("GET", "/livez", None).await, 200);
    assert_eq!(status("POST", "/signals", Some(&reader)).await, 403);
    assert_eq!(status("POST", "/signals/x/resolve", Some(&reader)).await, 403);
    assert_eq!(status("GET", "/nothing", Some(&reader)).await, 404);
}
