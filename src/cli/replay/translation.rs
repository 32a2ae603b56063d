//! Which class a request of a journal has under another policy.
//!
//! A journal has no paths, so no request can be judged anew. It has the route that took each, and the policy of
//! then: where the other policy has a route that demands the same, that one's class holds; elsewhere the
//! class of the same name does. What could not be told is counted.
//!
//! A new route above an old one is not noticed, nor how far a route lets the model move what it takes: what the model
//! or a session's stage had moved keeps its class by its name. `plimsoll policy diff` on an access log is for that.

use std::cell::Cell;
use std::collections::BTreeMap;

use plimsoll_core::policy::ClassId;

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
}

/// What became of the classes of one generation.
struct EraClasses {
    /// By class: that of the same name.
    namesakes: Vec<Option<ClassId>>,
    /// By route: its class then, and that of the route that demands the same.
    routes: Vec<(ClassId, Option<ClassId>)>,
    fallback: Option<ClassId>,
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
        }
    }

    /// The class that a request has.
    pub(super) fn class_of(&self, asked: &Asked) -> ClassId {
        let was = asked.arrival.class;
        let era = &self.eras[asked.era];
        // A canary that the journal does not tell of has classes of the same names, and no routes.
        let judge = asked.judged.canary.map_or(Some(era), |number| self.canaries.get(&number));
        let route = judge.zip(asked.judged.route).and_then(|(era, place)| era.routes.get(place as usize));
        if let Some((then, now)) = route {
            match now {
                // A session's stage that lifted it then would lift it still.
                Some(now) if *then == was => return *now,
                Some(_) => {}
                None => self.without_route.set(self.without_route.get() + 1),
            }
        }
        let is_fallback = judge.is_some_and(|era| era.fallback == Some(was));
        if asked.judged.class_by == BY_FALLBACK && route.is_none() && is_fallback {
            return self.to.model.fallback;
        }
        era.namesakes.get(was.index()).copied().flatten().unwrap_or_else(|| {
            self.without_class.set(self.without_class.get() + 1);
            self.to.model.fallback
        })
    }
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
            fallback: then.map(|then| then.model.fallback),
        }
    }
}

fn routes(then: &CompiledPolicy, to: &CompiledPolicy) -> Vec<(ClassId, Option<ClassId>)> {
    let routes = then.routes.routes().iter();
    let route = routes.map(|route| {
        let mut others = to.routes.routes().iter();
        let same = others.find(|other| other.conditions.demands_the_same_as(&route.conditions));
        (route.class, same.map(|same| same.class))
    });
    route.collect()
}
