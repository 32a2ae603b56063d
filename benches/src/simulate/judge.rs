//! What each request of a scenario is, by the policy: the proxy's own routes and model decide.
//!
//! A scenario has few requests and many arrivals, so each is judged once for
//! every stage of a session before virtual time begins. Numbers in a path are one
//! word to the classifier, so one number stands for all. Of a session a `when` is told its stage, and the rest as it
//! usually is then: what a policy makes of 250 requests of one session is not seen here.
//!
//! The value of a request is its class's static one: the value head orders the
//! sessions of a class among themselves, and a scenario's have no history to
//! order them by.

use crate::scenario::Scenario;
use crate::scenario::template::{PathPattern, Template};
use anyhow::Context;
use http::Request;
use plimsoll::classify::session::Stage;
use plimsoll::classify::{graphql, head::Head, path};
use plimsoll::clock::Clock;
use plimsoll::generation::Generation;
use plimsoll::model::Scorer;
use plimsoll::policy::compiled::CompiledPolicy;
use plimsoll::policy::settings::BundleSource;
use plimsoll_core::policy::ClassId;
use std::sync::Arc;

/// The stages of a session, in order.
const STAGES: [Stage; 4] = [Stage::Arrived, Stage::Browsing, Stage::Cart, Stage::Checkout];

/// What one request is.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    /// By stage.
    classes: [ClassId; STAGES.len()],
    /// Before any session lifts it.
    own: ClassId,
    /// Whether the policy leaves it to the model, at any stage.
    is_left_to_model: bool,
    /// By its method.
    is_idempotent: bool,
}

/// The policy, and what the requests of one scenario are by it.
#[derive(Debug)]
pub(crate) struct Judge {
    /// The policy.
    pub(crate) policy: Arc<CompiledPolicy>,
    /// By template and pattern.
    verdicts: Vec<Vec<Verdict>>,
}

impl Judge {
    /// Judges every request of `scenario` by `policy`.
    pub(crate) fn new(policy: CompiledPolicy, scenario: &Scenario) -> anyhow::Result<Judge> {
        let mut generation = Generation::new(1, policy, None);
        let mut verdicts = verdicts(&generation, scenario);
        if verdicts.iter().flatten().any(|one| one.is_left_to_model) {
            generation.model = Some(Arc::new(model(&generation.policy)?));
            verdicts = self::verdicts(&generation, scenario);
        }
        Ok(Judge { policy: generation.policy, verdicts })
    }

    /// The class of a request, lifted by the stage of its session.
    pub(crate) fn class(&self, template: usize, pattern: usize, stage: Stage) -> ClassId {
        self.verdicts[template][pattern].classes[stage as usize]
    }

    /// Whether to ask for it twice is to ask for it once.
    pub(crate) fn is_idempotent(&self, template: usize, pattern: usize) -> bool {
        self.verdicts[template][pattern].is_idempotent
    }

    /// Its class before that.
    pub(crate) fn own_class(&self, template: usize, pattern: usize) -> ClassId {
        self.verdicts[template][pattern].own
    }
}

fn model(policy: &CompiledPolicy) -> anyhow::Result<Scorer> {
    match &policy.model.bundle {
        BundleSource::Embedded => Scorer::embedded().context("the built-in model cannot be used"),
        BundleSource::Directory(directory) => Scorer::load(directory)
            .with_context(|| format!("the model in {} cannot be used", directory.display())),
    }
}

fn verdicts(generation: &Generation, scenario: &Scenario) -> Vec<Vec<Verdict>> {
    let clock = Clock::start();
    let of_template = |template: &Template| {
        let request = |pattern: &PathPattern| {
            let request = Request::builder().method(template.method.clone()).uri(pattern.fill(1)).body(());
            let mut request = request.expect("a scenario's paths are checked when it is read");
            request.headers_mut().clone_from(&template.headers);
            verdict(generation, &request, &clock)
        };
        template.paths.iter().map(request).collect()
    };
    scenario.mix.iter().map(of_template).collect()
}

fn verdict(generation: &Generation, request: &Request<()>, clock: &Clock) -> Verdict {
    let head = Head::of_request(request);
    let key = path::key(head.path());
    let operation = graphql::operation_in_query(&head);
    let judgements = STAGES.map(|stage| generation.judge(&head, &key, operation.as_deref(), stage, clock));
    let [fresh, ..] = judgements;
    Verdict {
        classes: judgements.map(|judgement| judgement.class),
        own: fresh.own_class,
        is_left_to_model: judgements.iter().any(|judgement| generation.leeway(judgement.route).is_some()),
        is_idempotent: request.method().is_idempotent(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll::policy::compile::compile;
    use plimsoll::yaml::source::Source;
    use std::path::Path;

    const SCENARIO: &str = "\
name: adds
description: one thing is added to another
origin: { workers: 10, service: { mean: 100ms } }
slo: 1s
patience: 2s
arrivals: constant
mix:
  - { name: add, class: cart, method: POST, paths: [/foo/add], worth: 1, weight: 1 }
phases:
  - { name: calm, duration: 10s, load: 0.5x }
";

    #[test]
    fn a_request_that_its_route_leaves_to_the_model_is_the_models() {
        let scenario = Scenario::parse(Path::new("adds.yaml"), SCENARIO).unwrap();
        let class = |rules: &str| {
            let text = format!(
                "version: 1\nclasses: {{ checkout: {{}}, cart: {{}}, browse: {{}} }}\n\
                 routes: [{{ path: /**, class: browse{rules} }}]\n"
            );
            let judge = Judge::new(compile(&Source::of("policy.yaml", &text)).unwrap(), &scenario).unwrap();
            judge.policy.core.class(judge.own_class(0, 0)).name.clone()
        };
        assert_eq!(class(""), "browse");
        assert_eq!(class(", model: on"), "cart");
    }
}
