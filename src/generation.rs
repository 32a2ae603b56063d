//! One generation: a policy and a model that were applied together, and what they make of a request.
//!
//! A request takes the generation in force when it arrives and is judged under
//! it to the end; a reload swaps the whole. A route that pins a class is never
//! overruled; the model decides what no route takes, and moves what a route leaves
//! it leeway with, if the policy lets it; without a usable model the policy's class
//! and static value stand.
//!
//! It admits nobody and remembers nobody: sessions and seats outlive it.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::policy::{ClassId, Mode};
use plimsoll_core::time::Time;
use prometheus_client::metrics::histogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::classify::features::{LocalTime, RequestFeatures, SESSION_LEN, write_session};
use crate::classify::head::Head;
use crate::classify::leeway::Leeway;
use crate::classify::preflight::method_meant;
use crate::classify::routes::Route;
use crate::classify::session::SessionView;
use crate::clock::Clock;
use crate::model::{Guess, ModelClass, Scorer, Status};
pub use crate::policy::cases::ClassBy;
use crate::policy::compiled::CompiledPolicy;

/// What a request is.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'g> {
    /// Its class, lifted by its session's stage where the policy says so.
    pub class: ClassId,
    /// Its class before that.
    pub own_class: ClassId,
    /// Who decided it.
    pub class_by: ClassBy,
    /// The route that took it.
    pub route: Option<&'g Route>,
    /// What the model made of it, if it was asked.
    pub guess: Option<Guess>,
}

/// What a generation is made of: generations of equal contents judge alike.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Contents {
    /// The digest of the policy.
    pub policy: String,
    /// The seal of the bundle, if there is a model.
    pub bundle: Option<String>,
    /// Whether the operator said to observe or to enforce, whatever the policy says.
    pub observes: Option<bool>,
}

/// A policy and a model, applied together. Clones share both.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Counts up from 1 with each that is applied.
    pub number: u64,
    /// The policy.
    pub policy: Arc<CompiledPolicy>,
    /// The model, if it could be loaded.
    pub model: Option<Arc<Scorer>>,
    /// What the operator said of the policy's mode.
    observes: Option<bool>,
    class_of: [Option<ClassId>; ModelClass::ALL.len()],
    model_time: Option<Histogram>,
}

impl Generation {
    /// A generation of `policy` and `model`.
    pub fn new(number: u64, policy: CompiledPolicy, model: Option<Scorer>) -> Generation {
        let class_of = ModelClass::ALL.map(|class| policy.core.class_named(class.name()));
        let (policy, model) = (Arc::new(policy), model.map(Arc::new));
        Generation { number, policy, model, observes: None, class_of, model_time: None }
    }

    /// The same policy and model under another number.
    pub fn numbered(self, number: u64) -> Generation {
        Generation { number, ..self }
    }

    /// The same, but observing or enforcing, whatever the policy says.
    pub fn in_mode(self, mode: Mode) -> Generation {
        let mut policy = CompiledPolicy::clone(&self.policy);
        policy.core = Arc::new(policy.core.in_mode(mode));
        policy.base = Arc::new(policy.base.in_mode(mode));
        Generation { policy: Arc::new(policy), observes: Some(mode == Mode::Observe), ..self }
    }

    /// The same in the mode that the operator gave `other`, if the two are made of the same files: what was said
    /// by hand holds until the files say something else.
    pub fn keeping_mode_of(self, other: &Contents) -> Generation {
        let own = self.contents();
        match other.observes {
            Some(observes) if (&own.policy, &own.bundle) == (&other.policy, &other.bundle) => {
                self.in_mode(if observes { Mode::Observe } else { Mode::Enforce })
            }
            _ => self,
        }
    }

    /// The same as its schedules have it at this time, since 1970 in UTC.
    pub fn at(self, wall: Duration) -> Generation {
        let scheduled = self.policy.scheduled_at(wall);
        if scheduled == self.policy.scheduled {
            return self;
        }
        let mut policy = CompiledPolicy::clone(&self.policy);
        policy.scheduled = scheduled;
        let by_schedule = policy.schedule().map(|schedule| match self.observes {
            Some(_) => Arc::new(schedule.core.in_mode(policy.base.mode())),
            None => schedule.core.clone(),
        });
        policy.core = by_schedule.unwrap_or_else(|| policy.base.clone());
        Generation { policy: Arc::new(policy), ..self }
    }

    /// The same, deciding under the very core policy of another one, which is equal to its own.
    pub fn sharing_core_with(self, other: &Generation) -> Generation {
        let mut policy = CompiledPolicy::clone(&self.policy);
        policy.core = other.policy.core.clone();
        policy.scheduled = other.policy.scheduled;
        Generation { policy: Arc::new(policy), ..self }
    }

    /// What it is made of.
    pub fn contents(&self) -> Contents {
        Contents {
            policy: self.policy.digest.clone(),
            bundle: self.model.as_ref().map(|model| model.seal().to_owned()),
            observes: self.observes,
        }
    }

    /// The same, which observes the seconds of each inference in `model_time`.
    pub fn timed_by(self, model_time: Histogram) -> Generation {
        Generation { model_time: Some(model_time), ..self }
    }

    /// Whether there is a model and it still answers.
    pub fn is_model_usable(&self) -> bool {
        self.usable_model().is_some()
    }

    /// What `head` is, given its path's key, its GraphQL operation and its session, or how far that has come.
    pub fn judge(
        &self,
        head: &Head<'_>,
        key: &str,
        operation: Option<&str>,
        session: impl Into<SessionView>,
        clock: &Clock,
    ) -> Judgement<'_> {
        let session = session.into();
        let route = self.policy.routes.find_at(head, key, operation, session);
        let stated = match route {
            Some(route) => (route.class, ClassBy::Route),
            None => (self.policy.model.fallback, ClassBy::Fallback),
        };
        let leeway = self.leeway(route);
        let guess = leeway.and_then(|_| self.guess(head, key, operation, clock));
        let moved = leeway.zip(guess).and_then(|(leeway, guess)| self.moved(leeway, guess));
        let (own_class, class_by) = moved.map_or(stated, |class| (class, ClassBy::Model));
        let class = self.policy.carried(own_class, session.stage);
        Judgement { class, own_class, class_by, route, guess }
    }

    /// How far the model may move what `route`, or no route, takes; `None` if it has no say.
    pub fn leeway(&self, route: Option<&Route>) -> Option<Leeway> {
        let rules = &self.policy.model;
        match route {
            Some(route) => route.leeway,
            None => rules.decides_unrouted.then_some(rules.leeway),
        }
    }

    /// The class that the model gives, if it is sure of one that the policy has.
    fn moved(&self, leeway: Leeway, guess: Guess) -> Option<ClassId> {
        let class = self.class_of[guess.class as usize]?;
        (guess.confidence >= leeway.confidence_min).then(|| leeway.bound(class))
    }

    fn guess(&self, head: &Head<'_>, key: &str, operation: Option<&str>, clock: &Clock) -> Option<Guess> {
        let model = self.usable_model()?;
        let features = features_of(head, key, operation);
        model.watch(&features);
        model.recall(&features).or_else(|| {
            let started = clock.now();
            let guess = model.class(&features);
            self.observe(model, started, clock);
            guess
        })
    }

    /// What a request of `class` is worth: by the value head, else by its class.
    pub fn value(&self, class: ClassId, session: &SessionView, time: LocalTime, clock: &Clock) -> f32 {
        let by_model = self.usable_model().and_then(|model| {
            let mut features = [0.0; SESSION_LEN];
            write_session(session, time, &mut features);
            let started = clock.now();
            let value = model.value(&features);
            self.observe(model, started, clock);
            value
        });
        by_model.unwrap_or(self.policy.settings(class).value)
    }

    /// The model, unless it was given up: it is not asked, and what it does not do takes no time.
    fn usable_model(&self) -> Option<&Scorer> {
        self.model.as_deref().filter(|model| model.status() == Status::Ready)
    }

    fn observe(&self, model: &Scorer, started: Time, clock: &Clock) {
        let elapsed = clock.now().since(started);
        if let Some(model_time) = &self.model_time {
            model_time.observe(elapsed.as_secs_f64());
        }
        if model.observe(elapsed, self.policy.model.time_budget) {
            log::error!(
                "the model is given up: too many inferences in a row took over {:?} (the last {elapsed:?}); \
                 the policy's classes stand until the next reload",
                self.policy.model.time_budget,
            );
        }
    }
}

/// What a model sees of a request: of a preflight, of the one that it announces.
pub fn features_of(head: &Head<'_>, key: &str, operation: Option<&str>) -> RequestFeatures {
    let method = method_meant(head);
    RequestFeatures::of(&head.with_method(&method), key, operation)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::ACCESS_CONTROL_REQUEST_METHOD;

    use super::*;
    use crate::classify::session::Stage;
    use crate::policy::storefront;

    #[test]
    fn the_model_takes_a_preflight_for_the_request_that_it_announces() {
        let generation = Generation::new(1, storefront(), Some(Scorer::embedded().unwrap()));
        let clock = Clock::start();
        let judged = |method: &str, announced: &str| {
            let request = Request::builder().method(method).uri("/foo/add");
            let request = request.header(ACCESS_CONTROL_REQUEST_METHOD, announced).body(()).unwrap();
            let head = Head::of_request(&request);
            let judgement = generation.judge(&head, "/foo/add", None, Stage::Arrived, &clock);
            let class = generation.policy.core.class(judgement.class).name.clone();
            (class, judgement.guess.unwrap().confidence)
        };
        let post = judged("POST", "POST");
        assert_eq!(post.0, "cart");
        assert_eq!(judged("OPTIONS", "POST"), post);
        assert_eq!(judged("OPTIONS", "GET"), judged("GET", "GET"));
    }
}
