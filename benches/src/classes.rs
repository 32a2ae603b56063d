//! The class under which a replayed request is counted.
//!
//! A log does not say what its requests were worth. The shipped policy and model
//! do: each line gets the class that a `plimsoll` without settings of its own
//! gives it as the first request of a session, by the very code that serves. So
//! every target of a replay is counted by the same yardstick, a proxy or not.
//!
//! It knows no sessions, for a log of addresses and no cookies has none to show:
//! it lifts no class, as the proxy does for a session that is checking out.

use http::Request;
use plimsoll::classify::session::Stage;
use plimsoll::classify::{graphql, head::Head, path};
use plimsoll::clock::Clock;
use plimsoll::generation::Generation;
use plimsoll::model::{ModelError, Scorer};
use plimsoll::policy;

/// The shipped policy and model.
#[derive(Debug)]
pub(crate) struct Classifier {
    generation: Generation,
    clock: Clock,
}

impl Classifier {
    /// Compiles the shipped policy and loads the shipped model.
    pub(crate) fn shipped() -> Result<Classifier, ModelError> {
        let generation = Generation::new(1, policy::storefront(), Some(Scorer::embedded()?));
        Ok(Classifier { generation, clock: Clock::start() })
    }

    /// All classes, most important first.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.generation.policy.core.classes().iter().map(|class| class.name.as_str()).collect()
    }

    /// The place among [`names`](Self::names) of the class of `request`.
    pub(crate) fn class_of<B>(&self, request: &Request<B>) -> usize {
        let head = Head::of_request(request);
        let key = path::key(head.path());
        let operation = graphql::operation_in_query(&head);
        let judgement = self.generation.judge(&head, &key, operation.as_deref(), Stage::Arrived, &self.clock);
        judgement.class.index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn requests_have_the_class_that_the_shipped_policy_gives_them() {
        let classifier = Classifier::shipped().unwrap();
        for (method, target, class) in [
            (Method::GET, "/checkout/", "checkout"),
            (Method::POST, "/?wc-ajax=checkout", "checkout"),
            (Method::POST, "/?wc-ajax=add_to_cart", "cart"),
            (Method::GET, "/?s=lamp", "search"),
            (Method::GET, "/wp-content/a.css?ver=1", "static"),
            (Method::GET, "/product/lamp", "browse"),
        ] {
            let request = Request::builder().method(method).uri(target).body(()).unwrap();
            assert_eq!(classifier.names()[classifier.class_of(&request)], class, "{target}");
        }
    }
}
