//! The one table of routes and what protects them. The check of every request, the OpenAPI document, docs/http.md and the
//! test of every route with every role read it. A route that is missing here is refused to every client while credentials
//! are required, and a test names it.

use super::Role;

/// What a request to a route must present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// A credential with this role; none for a probe.
    Role(Role),
    /// The secret or the signature of the hook, which the route itself checks: other systems cannot send a token.
    HookSecret,
}

/// One method of one path, and its protection. `HEAD` has that of `GET`.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) protection: Protection,
}

const fn get(path: &'static str, role: Role) -> Route {
    Route { method: "GET", path, protection: Protection::Role(role) }
}

const fn post(path: &'static str, role: Role) -> Route {
    Route { method: "POST", path, protection: Protection::Role(role) }
}

const fn hook(path: &'static str) -> Route {
    Route { method: "POST", path, protection: Protection::HookSecret }
}

/// Every method of every path.
pub(crate) const ROUTES: &[Route] = &[
    get("/livez", Role::Probe),
    get("/readyz", Role::Probe),
    get("/leader", Role::Probe),
    get("/", Role::Read),
    get("/events", Role::Read),
    get("/page/{name}", Role::Read),
    get("/status", Role::Read),
    get("/history", Role::Read),
    get("/metrics", Role::Read),
    get("/coordinator/metrics", Role::Read),
    get("/runbooks", Role::Read),
    get("/runbooks/style.css", Role::Read),
    get("/runbooks/{name}", Role::Read),
    get("/openapi.json", Role::Read),
    get("/hooks", Role::Read),
    hook("/hooks/{name}"),
    hook("/hooks/{name}/{secret}"),
    get("/signals", Role::Read),
    post("/signals", Role::Submit),
    get("/signals/claim", Role::Read),
    post("/signals/claim", Role::Work),
    get("/signals/{id}", Role::Read),
    post("/signals/{id}/result", Role::Work),
    get("/signals/pause", Role::Read),
    post("/signals/pause", Role::Operate),
    get("/signals/resume", Role::Read),
    post("/signals/resume", Role::Operate),
    post("/signals/{id}/acknowledge", Role::Operate),
    post("/signals/{id}/resolve", Role::Resolve),
    post("/leadership/step-down", Role::Operate),
    post("/recovery/check", Role::Operate),
    post("/recovery/acknowledge", Role::Operate),
];

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// What protects its route.
    Route(Protection),
    /// Any credential: no route answers the request, and the answer says only that.
    Any,
    /// There is no such route in the table although one answers the path: no role suffices.
    Unlisted,
}

/// What a request needs. `path` is the path of the route that answers it; `None` if no route does.
pub(crate) fn need(method: &str, path: Option<&str>) -> Need {
    let Some(path) = path else { return Need::Any };
    let method = if method == "HEAD" { "GET" } else { method };
    let mut of_path = ROUTES.iter().filter(|route| route.path == path).peekable();
    if of_path.peek().is_none() {
        return Need::Unlisted;
    }
    // Another method of a known path is answered with 405.
    of_path.find(|route| route.method == method).map_or(Need::Any, |route| Need::Route(route.protection))
}

/// The protection of a method of a path.
pub(crate) fn protection_of(method: &str, path: &str) -> Option<Protection> {
    ROUTES.iter().find(|route| route.method == method && route.path == path).map(|route| route.protection)
}

/// Whether a `POST` that is no submission matches the path, so that it is no submission with a wrong path.
pub(crate) fn takes_another_post(path: &str) -> bool {
    let submits = Protection::Role(Role::Submit);
    ROUTES
        .iter()
        .any(|route| route.method == "POST" && route.protection != submits && matches(route.path, path))
}

/// Whether a path is of that form: a part in braces stands for any part.
fn matches(form: &str, path: &str) -> bool {
    let (mut form, mut path) = (form.split('/'), path.split('/'));
    loop {
        match (form.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given || part.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_needs_the_role_of_its_route() {
        let role = |role| Need::Route(Protection::Role(role));
        assert_eq!(need("GET", Some("/livez")), role(Role::Probe));
        assert_eq!(need("HEAD", Some("/signals")), role(Role::Read));
        assert_eq!(need("POST", Some("/signals")), role(Role::Submit));
        assert_eq!(need("POST", Some("/hooks/{name}")), Need::Route(Protection::HookSecret));
        assert_eq!(need("DELETE", Some("/signals")), Need::Any, "405");
        assert_eq!(need("GET", None), Need::Any, "404");
        assert_eq!(need("GET", Some("/forgotten")), Need::Unlisted);
    }

    #[test]
    fn a_post_of_another_role_is_no_submission_with_a_wrong_path() {
        assert!(takes_another_post("/signals/claim") && takes_another_post("/signals/x/result"));
        for path in
            ["/signals", "/signal", "/signals/", "/signals/x", "/signals//result", "/signals/a/b/result"]
        {
            assert!(!takes_another_post(path), "{path}");
        }
    }
}
