//! What the admin API understands: paths, methods, and the action of each.
//!
//! One table, which the document is held against.

use http::Method;

use super::orders::Order;
use super::shown::Shown;

/// What to do about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Alive,
    Ready,
    Metrics,
    Document,
    Show(Shown),
    Order(Order),
}

/// Every method and path.
const ROUTES: [(&str, &str, Action); 22] = [
    ("GET", "/healthz", Action::Alive),
    ("GET", "/readyz", Action::Ready),
    ("GET", "/metrics", Action::Metrics),
    ("GET", "/v1/openapi.json", Action::Document),
    ("GET", "/v1/state", Action::Show(Shown::State)),
    ("GET", "/v1/classes", Action::Show(Shown::Classes)),
    ("GET", "/v1/breakers", Action::Show(Shown::Breakers)),
    ("PUT", "/v1/breakers", Action::Order(Order::SetBreaker)),
    ("GET", "/v1/generations", Action::Show(Shown::Generations)),
    ("POST", "/v1/reload", Action::Order(Order::Reload)),
    ("POST", "/v1/rollback", Action::Order(Order::RollBack)),
    ("GET", "/v1/canary", Action::Show(Shown::Canary)),
    ("POST", "/v1/canary/promote", Action::Order(Order::PromoteCanary)),
    ("POST", "/v1/canary/abort", Action::Order(Order::AbortCanary)),
    ("GET", "/v1/mode", Action::Show(Shown::Mode)),
    ("PUT", "/v1/mode", Action::Order(Order::SetMode)),
    ("GET", "/v1/drain", Action::Show(Shown::Drain)),
    ("PUT", "/v1/drain", Action::Order(Order::SetDrain)),
    ("GET", "/v1/refusals", Action::Show(Shown::Refusals)),
    ("POST", "/v1/explain", Action::Order(Order::Explain)),
    ("GET", "/v1/log", Action::Show(Shown::Log)),
    ("PUT", "/v1/log", Action::Order(Order::SetLog)),
];

/// What the table has for a request.
pub(super) enum Found {
    Action(Action),
    /// The path is there, with this other method.
    OtherMethod(&'static str),
    Nothing,
}

pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut of_path = ROUTES.iter().filter(|(_, known, _)| *known == path).peekable();
    let Some((other, _, _)) = of_path.peek().copied() else { return Found::Nothing };
    match of_path.find(|(known, _, _)| method == *known) {
        Some((_, _, action)) => Found::Action(*action),
        None => Found::OtherMethod(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_tells_of_every_route_and_of_no_other() {
        let document: serde_json::Value = serde_json::from_str(super::super::OPENAPI).unwrap();
        let mut documented = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            documented
                .extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path)));
        }
        for (method, path) in &documented {
            let found = ROUTES.iter().any(|(known, at, _)| known == method && at == path);
            assert!(found, "{method} {path} is documented, but not there");
        }
        for (method, path, _) in ROUTES {
            let found = documented.iter().any(|(known, at)| known == method && *at == path);
            assert!(found, "{method} {path} is not documented");
        }
    }

    #[test]
    fn a_path_with_another_method_is_told_apart_from_no_path() {
        assert!(matches!(find(&Method::POST, "/v1/reload"), Found::Action(_)));
        assert!(matches!(find(&Method::GET, "/v1/reload"), Found::OtherMethod("POST")));
        assert!(matches!(find(&Method::GET, "/v1/reload/"), Found::Nothing));
    }
}
