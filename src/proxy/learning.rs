//! What is written down for a model to learn from, where the policy asks for it.
//!
//! A share of the requests of sessions, and every order that the shop confirms. A request whose value would
//! matter may draw one instead: where a model chose whom to let in, another cannot be compared with it.

use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::context::{Context, Judged};
use crate::classify::features::RequestFeatures;
use crate::classify::glob::Segments;
use crate::classify::head::Head;
use crate::classify::path;
use crate::clock::{Clock, hour_and_weekday};
use crate::generation::features_of;
use crate::policy::compiled::CompiledPolicy;
use crate::policy::settings::LearningRules;
use crate::serving::Serving;
use crate::telemetry::samples::{Order, Sample, Seen};

/// Values of which one is drawn: more than there are steps of a standing.
const DRAWS: u64 = 1 << 16;

/// The value that a request draws, if it is one of those that do. The access log samples by the low bits.
pub(super) fn draw(rules: &LearningRules, bits: u64) -> Option<f32> {
    let draws = (bits >> 8) % 1_000_000 < u64::from(rules.drawn.millionths());
    draws.then(|| ((bits >> 40) % DRAWS) as f32 / (DRAWS - 1) as f32)
}

fn is_sampled(rules: &LearningRules, bits: u64) -> bool {
    (bits >> 16) % 1_000_000 < u64::from(rules.sampled.millionths())
}

/// What the upstream says an order is worth, if it says so.
pub(super) fn order_value(policy: &CompiledPolicy, response: &ResponseHeader) -> Option<f64> {
    let header = &policy.learning.as_ref()?.order_value;
    let value: f64 = response.headers.get(header)?.to_str().ok()?.trim().parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// Writes down a request that is over, as `decision` and `status` had it.
pub(super) fn note(
    serving: &Serving,
    session: &Session,
    judged: &Judged,
    ctx: &Context,
    status: u16,
    decision: &'static str,
) {
    let Some(samples) = &serving.samples else { return };
    let policy = &judged.running.generation.policy;
    let Some(rules) = &policy.learning else { return };
    let wall = Clock::wall();
    let hash = judged.known.hash;
    if status == rules.status.as_u16() && is_conversion(rules, session) {
        let (at, key) = (wall.as_secs_f64(), format!("{hash:016x}"));
        samples.write(Sample::Order(Order { at, key, order: ctx.order_value }));
    }
    let is_drawn = judged.worth.is_some_and(|worth| worth.is_drawn);
    if !is_drawn && !is_sampled(rules, ctx.bits) {
        return;
    }
    let name = |class| policy.core.class(class).name.as_str();
    let (features, time) = (features(session, judged), hour_and_weekday(wall));
    let seen = Seen::new(hash, name(judged.class), features, &judged.known.view, wall.as_secs_f64(), time);
    let value = judged.worth.map(|worth| worth.value);
    samples.write(Sample::Request(Box::new(Seen {
        own_class: name(judged.own_class).to_owned(),
        class_by: judged.class_by.name(),
        value,
        drawn: is_drawn,
        propensity: propensity(rules, value.is_some(), is_drawn),
        decision,
        ..seen
    })));
}

/// What the model saw of a request, or would have seen if a route had left it a say.
fn features(session: &Session, judged: &Judged) -> RequestFeatures {
    let head = Head::of(session.req_header());
    features_of(&head, &path::key(head.path()), judged.operation.as_deref())
}

/// The chance with which a request of its kind is written.
fn propensity(rules: &LearningRules, is_valued: bool, is_drawn: bool) -> f64 {
    let share = |millionths: u32| f64::from(millionths) / 1e6;
    let (sampled, drawn) = (share(rules.sampled.millionths()), share(rules.drawn.millionths()));
    match (is_valued, is_drawn) {
        (_, true) => drawn,
        (true, false) => (1.0 - drawn) * sampled,
        (false, false) => sampled,
    }
}

fn is_conversion(rules: &LearningRules, session: &Session) -> bool {
    let key = path::key(session.req_header().uri.path());
    rules.path.matches(&Segments::of(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::compile;
    use crate::yaml::source::Source;

    fn rules(learning: &str) -> LearningRules {
        let text = format!(
            "version: 1\nclasses: {{ a: {{}} }}\nlearning: {{ conversion: {{ path: /done }}, {learning} }}\n"
        );
        compile(&Source::of("policy.yaml", &text)).unwrap().learning.unwrap()
    }

    #[test]
    fn about_the_share_that_the_policy_says_draws_a_value_and_all_values_are_drawn() {
        let rules = rules("draw: 20%");
        // SplitMix64's increment: bits that spread.
        let bits = (0..100_000_u64).map(|step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let drawn: Vec<f32> = bits.filter_map(|bits| draw(&rules, bits)).collect();
        assert!((18_000..22_000).contains(&drawn.len()), "{}", drawn.len());
        let below = |limit: f32| drawn.iter().filter(|value| **value < limit).count() as f32;
        assert!((below(0.5) / drawn.len() as f32 - 0.5).abs() < 0.02);
        assert!(drawn.iter().all(|value| (0.0..=1.0).contains(value)));
    }

    #[test]
    fn nobody_draws_where_the_policy_says_so() {
        let rules = rules("draw: 0%");
        assert!((0..1_000).all(|bits| draw(&rules, bits << 8).is_none()));
    }

    #[test]
    fn the_chance_to_be_written_is_told_by_the_way_it_was() {
        let rules = rules("sample: 10%, draw: 20%");
        let told = [(true, true), (true, false), (false, false)]
            .map(|(valued, drawn)| propensity(&rules, valued, drawn));
        let expected = [0.2, 0.08, 0.1];
        assert!(told.iter().zip(expected).all(|(told, expected)| (told - expected).abs() < 1e-9), "{told:?}");
    }

    #[test]
    fn an_orders_value_is_a_number_that_is_not_negative() {
        let policy = compile(&Source::of(
            "policy.yaml",
            "version: 1\nclasses: { a: {} }\nlearning: { conversion: { path: /done } }\n",
        ))
        .unwrap();
        let told = |value: &str| {
            let mut response = ResponseHeader::build(200, None).unwrap();
            response.insert_header("X-Order-Value", value).unwrap();
            order_value(&policy, &response)
        };
        assert_eq!(told(" 149.90 "), Some(149.9));
        assert_eq!([told("-1"), told("NaN"), told("inf"), told("much")], [None; 4]);
    }
}
