//! Which class a request of a journal has under another policy.
//!
//! A journal has no paths, so no request can be judged anew. It has the route that took each, and the policy of
//! then: where the other policy has a route that demands the same, that one's class holds; elsewhere the
//! class of the same name does. What could not be told is counted and named: requests that came by a route, or by none,
//! of which the other policy leaves something else to the model, and routes that no policy of then had.
//!
//! What the model or a session's stage had moved keeps its class by its name, and routes in another order are not
//! noticed. `plimsoll policy diff` on an access log is for all of that.

use std::cell::Cell;
use std::collections::BTreeMap;

use plimsoll_core::policy::ClassId;

use crate::classify::leeway::Leeway;
use crate::classify::routes::Route;
use crate::generation::ClassBy;
use crate::journal::recollection::{Asked, Era, Recollection};
use crate::policy::compile::compile;
use crate::policy::compiled::CompiledPolicy;
use crate::yaml::source::Source;

/// A journal's codes of who decided a class, besides its route.
const BY_FALLBACK: u8 = ClassBy::Fallback as u8;

/// From the classes of a journal's generations to those of another policy.
pub(super) struct Translation<'p> {
    to: &'p CompiledPolicy,
    eras: Vec<EraClasses>,
    canaries: BTreeMap<u64, EraClasses>,
    /// Requests whose route the other policy does not have.
    pub(super) without_route: Cell<u64>,
    /// Requests whose class it does not have: they fall to its fallback.
    pub(super) without_class: Cell<u64>,
    /// Requests that no route took, of which it leaves something else to the model.
    pub(super) unrouted_moved: Cell<u64>,
    /// By its routes: requests that came by one that demands the same, and left something else to the model.
    moved: Vec<Cell<u64>>,
}

/// What became of the classes of one generation.
struct EraClasses {
    /// By class: that of the same name.
    namesakes: Vec<Option<ClassId>>,
    routes: Vec<Counterpart>,
    /// Whether the other policy leaves something else to the model of what no route takes.
    moves_unrouted: bool,
    fallback: Option<ClassId>,
}

/// What became of a route of then.
struct Counterpart {
    /// Its class then.
    class: ClassId,
    /// The place of the route that demands the same.
    place: Option<usize>,
    /// Whether that one leaves something else to the model.
    moves: bool,
}

impl<'p> Translation<'p> {
    pub(super) fn new(past: &Recollection, to: &'p CompiledPolicy) -> Translation<'p> {
        let eras = past.eras.iter().map(|era| EraClasses::of(era, to)).collect();
        let canaries = past.canaries.iter().map(|(number, era)| (*number, EraClasses::of(era, to)));
        Translation {
            to,
            eras,
            canaries: canaries.collect(),
            without_route: Cell::new(0),
            without_class: Cell::new(0),
            unrouted_moved: Cell::new(0),
            moved: vec![Cell::new(0); to.routes.routes().len()],
        }
    }

    /// Where its routes stand that leave something else to the model than they did, with the requests that came
    /// by them.
    pub(super) fn moved(&self) -> Vec<(&'p str, u64)> {
        let counted = self.to.routes.routes().iter().zip(&self.moved);
        let counted = counted.map(|(route, count)| (&*route.defined_at, count.get()));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// Where its routes stand that no policy of then had; none where one of those cannot be read any more.
    pub(super) fn new_routes(&self) -> Vec<&'p str> {
        let all = || self.eras.iter().chain(self.canaries.values());
        if !all().all(|era| era.fallback.is_some()) {
            return Vec::new();
        }
        let is_old = |place: usize| all().any(|era| era.routes.iter().any(|one| one.place == Some(place)));
        let routes = self.to.routes.routes().iter().enumerate().filter(|(place, _)| !is_old(*place));
        routes.map(|(_, route)| &*route.defined_at).collect()
    }

    /// The class that a request has.
    pub(super) fn class_of(&self, asked: &Asked) -> ClassId {
        let was = asked.arrival.class;
        let era = &self.eras[asked.era];
        // A canary that the journal does not tell of has classes of the same names, and no routes.
        let judge = asked.grounds.canary.map_or(Some(era), |number| self.canaries.get(&number));
        let route = judge.zip(asked.grounds.route).and_then(|(era, place)| era.routes.get(place as usize));
        self.note_moved(asked, judge, route);
        match route {
            // A session's stage that lifted it then would lift it still.
            Some(Counterpart { class, place: Some(place), .. }) if *class == was => {
                return self.to.routes.routes()[*place].class;
            }
            Some(Counterpart { place: None, .. }) => count(&self.without_route),
            _ => {}
        }
        let is_fallback = judge.is_some_and(|era| era.fallback == Some(was));
        if asked.grounds.class_by == BY_FALLBACK && route.is_none() && is_fallback {
            return self.to.model.fallback;
        }
        era.namesakes.get(was.index()).copied().flatten().unwrap_or_else(|| {
            count(&self.without_class);
            self.to.model.fallback
        })
    }
}

impl Translation<'_> {
    /// Counts a request whose class hangs on what the other policy would have let the model do with it.
    fn note_moved(&self, asked: &Asked, judge: Option<&EraClasses>, route: Option<&Counterpart>) {
        let moves_unrouted = || judge.is_some_and(|era| era.moves_unrouted);
        match route {
            Some(Counterpart { place: Some(place), moves: true, .. }) => count(&self.moved[*place]),
            None if asked.grounds.route.is_none() && moves_unrouted() => count(&self.unrouted_moved),
            _ => {}
        }
    }
}

fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl EraClasses {
    fn of(era: &Era, to: &CompiledPolicy) -> EraClasses {
        let then = serde_json::from_str::<Source>(&era.stamp.text).ok();
        // A policy that another version of this program does not understand any more has no routes to compare.
        let then = then.and_then(|source| compile(&source).ok());
        let namesakes = era.policy.classes().iter().map(|class| to.core.class_named(&class.name));
        EraClasses {
            namesakes: namesakes.collect(),
            routes: then.as_ref().map(|then| routes(then, to)).unwrap_or_default(),
            moves_unrouted: then.as_ref().is_some_and(|then| moves(then, unrouted(then), to, unrouted(to))),
            fallback: then.map(|then| then.model.fallback),
        }
    }
}

fn routes(then: &CompiledPolicy, to: &CompiledPolicy) -> Vec<Counterpart> {
    let others = to.routes.routes();
    let counterpart = |route: &Route| {
        let place = others.iter().position(|other| other.conditions.demands_the_same_as(&route.conditions));
        let moves = place.is_some_and(|place| moves(then, route.leeway, to, others[place].leeway));
        Counterpart { class: route.class, place, moves }
    };
    then.routes.routes().iter().map(counterpart).collect()
}

/// What a policy leaves to the model of what no route takes.
fn unrouted(policy: &CompiledPolicy) -> Option<Leeway> {
    policy.model.decides_unrouted.then_some(policy.model.leeway)
}

/// Whether the second policy leaves something else to the model, or leaves it to another one.
fn moves(then: &CompiledPolicy, was: Option<Leeway>, to: &CompiledPolicy, is: Option<Leeway>) -> bool {
    let asks_another = (was.is_some() || is.is_some()) && then.model.bundle != to.model.bundle;
    bounds(then, was) != bounds(to, is) || asks_another
}

/// The classes of a leeway by their names, for two policies have ids of their own.
fn bounds(policy: &CompiledPolicy, leeway: Option<Leeway>) -> Option<(&str, &str, f32)> {
    let name = |class: ClassId| policy.core.class(class).name.as_str();
    leeway.map(|leeway| (name(leeway.best), name(leeway.worst), leeway.confidence_min))
}

#[cfg(test)]
mod tests {
    use plimsoll_core::controller::Arrival;
    use plimsoll_core::decision::RequestId;
    use plimsoll_core::standing::{Tenure, Value};
    use plimsoll_core::time::Time;

    use super::*;
    use crate::journal::entry::{Grounds, Stamp};
    use crate::journal::recollection::Fate;

    const CLASSES: &str = "version: 1\nclasses: { checkout: {}, cart: {}, browse: {} }\n";

    fn policy(rest: &str) -> (Source, CompiledPolicy) {
        let source = Source::of("policy.yaml", &format!("{CLASSES}{rest}"));
        let policy = compile(&source).unwrap_or_else(|errors| panic!("{errors}"));
        (source, policy)
    }

    /// A journal that was written under one policy.
    fn past(rest: &str) -> Recollection {
        let (source, policy) = policy(rest);
        let text = serde_json::to_string(&source).unwrap();
        let stamp = Stamp { generation: 1, text, ..Stamp::default() };
        let mut past = Recollection::default();
        past.eras.push(Era { stamp, policy: policy.core });
        past
    }

    /// A request of this class, by the route of that place.
    fn asked(class: usize, route: Option<u32>) -> Asked {
        let arrival = Arrival {
            request: RequestId { slot: 0, epoch: 0 },
            class: ClassId::new(class).unwrap(),
            value: Value::new(0.5),
            tenure: Tenure::Fresh,
            usage_penalty: 0,
            lot: 0,
            is_idempotent: true,
            deadline: Time::NEVER,
        };
        let grounds = Grounds { route, ..Grounds::default() };
        Asked { arrival, grounds, era: 0, fate: Fate::Served, service: None, left_after: None }
    }

    const ROUTES: &str = "routes:
  - { path: /cart, class: cart }
  - { path: /look, class: browse, model: { best_class: cart } }
";

    #[test]
    fn routes_that_leave_something_else_to_the_model_are_named() {
        let past = past(ROUTES);
        let told = |rest: &str| {
            let (_, new) = policy(rest);
            let translation = Translation::new(&past, &new);
            for route in [Some(0), Some(0), Some(1), None] {
                translation.class_of(&asked(1, route));
            }
            let moved = translation.moved().into_iter().map(|(route, count)| (route.to_owned(), count));
            (moved.collect::<Vec<_>>(), translation.unrouted_moved.get())
        };
        assert_eq!(told(ROUTES), (Vec::new(), 0));
        let of = |line: u64, count: u64| (format!("policy.yaml:{line}"), count);
        let by_model = ROUTES.replace("/cart, class: cart }", "/cart, class: cart, model: on }");
        assert_eq!(told(&by_model), (vec![of(4, 2)], 0));
        let other_bound = ROUTES.replace("best_class: cart }", "best_class: checkout }");
        assert_eq!(told(&other_bound), (vec![of(5, 1)], 0));
        let surer = ROUTES.replace("best_class: cart }", "best_class: cart, min_confidence: 0.5 }");
        assert_eq!(told(&surer), (vec![of(5, 1)], 0));
        // What holds of all of them, and of those that no route took.
        assert_eq!(told(&format!("{ROUTES}model: {{ may_decide: [] }}")), (vec![of(5, 1)], 1));
        assert_eq!(told(&format!("{ROUTES}model: {{ min_confidence: 0.3 }}")), (vec![of(5, 1)], 1));
        assert_eq!(told(&format!("{ROUTES}model: {{ bundle: other }}")), (vec![of(5, 1)], 1));
    }

    #[test]
    fn routes_that_no_policy_of_then_had_are_named() {
        let past = past(ROUTES);
        let (_, new) = policy(&format!("{ROUTES}  - {{ path: /new, class: cart }}\n"));
        assert_eq!(Translation::new(&past, &new).new_routes(), ["policy.yaml:6"]);
        let (_, same) = policy(ROUTES);
        assert_eq!(Translation::new(&past, &same).new_routes(), Vec::<&str>::new());
    }
}
