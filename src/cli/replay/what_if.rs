//! `plimsoll replay JOURNAL --policy NEW`: what would have become of the requests of a journal under another policy.
//!
//! The requests are asked three times: as the journal has it, again under the policies of then, and under the
//! new one. The second tells how much of a difference is the method's (`journal/rerun.rs` says what it assumes):
//! compare the third with the second.
//!
//! What a journal cannot tell, for it has no paths, is said and named: where the new policy leaves something
//! else to the model, and which of its routes are new.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use plimsoll_core::policy::{ClassId, Mode};
use serde_json::{Value, json};

use super::replay;
use super::translation::Translation;
use crate::journal::files::Flow;
use crate::journal::recollection::{Asked, Fate, Recollection};
use crate::journal::rerun::{Under, rerun};
use crate::policy::check;
use crate::policy::compiled::CompiledPolicy;

/// As the journal has it, again under the policies of then, under the new one.
const SIDES: [&str; 3] = ["then", "again", "new"];
/// New routes that are named in a text: who writes more of them at once knows which.
const NEW_ROUTES_NAMED: usize = 10;

/// Tells it.
pub(super) fn run(journal: &Path, policy: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let new = check(policy).with_context(|| format!("{} cannot be applied", policy.display()))?;
    let mut pools: BTreeMap<String, Recollection> = BTreeMap::new();
    let replayed = replay(journal, |pool, entry, replay| {
        if !pools.contains_key(pool) {
            pools.insert(pool.to_owned(), Recollection::default());
        }
        if let Some(recollection) = pools.get_mut(pool) {
            recollection.take(entry, replay);
        }
        Flow::More
    })?;
    let mut differences = replayed.pools.iter().filter_map(|(pool, one)| Some((pool, one.difference()?)));
    if let Some((pool, difference)) = differences.next() {
        bail!("{pool}: this binary does not decide as the journal has it: {}", difference.message);
    }
    let answers: Vec<Answer> = pools.iter().map(|(pool, past)| Answer::of(pool, past, &new)).collect();
    if as_json {
        let pools: Vec<Value> = answers.iter().map(Answer::report).collect();
        println!("{:#}", json!({ "pools": pools, "skipped": replayed.skipped_names() }));
    } else {
        answers.iter().for_each(|answer| print!("{}", answer.text(&new)));
        print!("{}", replayed.skipped_text());
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of some requests.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    requests: u64,
    shed: u64,
    /// The value of all, and of those that were served.
    value: f64,
    kept: f64,
}

impl Sum {
    fn add(&mut self, asked: &Asked, fate: Fate) {
        let value = f64::from(asked.arrival.value.get());
        self.requests += 1;
        self.value += value;
        match fate {
            Fate::Served => self.kept += value,
            Fate::Shed => self.shed += 1,
            Fate::Left | Fate::Open => {}
        }
    }

    fn shed_share(&self) -> f64 {
        self.shed as f64 / self.requests.max(1) as f64
    }

    fn value_kept(&self) -> f64 {
        if self.value > 0.0 { self.kept / self.value } else { 1.0 }
    }
}

struct Answer<'p> {
    pool: &'p str,
    all: [Sum; 3],
    classes: BTreeMap<String, [Sum; 3]>,
    /// Served under the policies of then, and not under the new one; and the other way round.
    lost: u64,
    won: u64,
    without_route: u64,
    without_class: u64,
    /// What leaves something else to the model, and so may have another class, and how many requests came by it.
    moved: Vec<(&'p str, u64)>,
    unrouted_moved: u64,
    new_routes: Vec<&'p str>,
}

impl<'p> Answer<'p> {
    fn of(pool: &'p str, past: &Recollection, new: &'p CompiledPolicy) -> Answer<'p> {
        let mut answer = Answer {
            pool,
            all: Default::default(),
            classes: BTreeMap::new(),
            lost: 0,
            won: 0,
            without_route: 0,
            without_class: 0,
            moved: Vec::new(),
            unrouted_moved: 0,
            new_routes: Vec::new(),
        };
        let translation = Translation::new(past, new);
        // The question is what it would do; what a class observes by itself it would observe then, too.
        let enforced = Arc::new(new.core.in_mode(Mode::Enforce));
        for stretch in &past.stretches {
            let classes: Vec<ClassId> =
                stretch.asked.iter().map(|asked| translation.class_of(asked)).collect();
            let again = rerun(past, stretch, &Under::Then);
            let other = rerun(past, stretch, &Under::Another(&enforced, &classes));
            for (place, asked) in stretch.asked.iter().enumerate() {
                let class = new.core.class(classes[place]).name.as_str();
                answer.add(asked, (past.class_name(asked), class), [asked.fate, again[place], other[place]]);
            }
        }
        answer.without_route = translation.without_route.get();
        answer.without_class = translation.without_class.get();
        answer.moved = translation.moved();
        answer.unrouted_moved = translation.unrouted_moved.get();
        answer.new_routes = translation.new_routes();
        answer
    }

    fn add(&mut self, asked: &Asked, (was, is): (&str, &str), fates: [Fate; 3]) {
        for (side, (name, fate)) in [was, was, is].into_iter().zip(fates).enumerate() {
            self.all[side].add(asked, fate);
            if !self.classes.contains_key(name) {
                self.classes.insert(name.to_owned(), Default::default());
            }
            if let Some(sums) = self.classes.get_mut(name) {
                sums[side].add(asked, fate);
            }
        }
        let is_served = fates.map(|fate| fate == Fate::Served);
        self.lost += u64::from(is_served[1] && !is_served[2]);
        self.won += u64::from(!is_served[1] && is_served[2]);
    }

    fn report(&self) -> Value {
        let sums = |sums: &[Sum; 3]| -> serde_json::Map<String, Value> {
            let one = |sum: &Sum| json!({ "requests": sum.requests, "shed": sum.shed, "value_kept": sum.value_kept() });
            SIDES.iter().zip(sums).map(|(side, sum)| ((*side).to_owned(), one(sum))).collect()
        };
        let classes = self.classes.iter().map(|(name, of)| (name.clone(), Value::Object(sums(of))));
        let moved = |(route, requests): &(&str, u64)| json!({ "route": route, "requests": requests });
        json!({
            "pool": self.pool,
            "all": sums(&self.all),
            "classes": classes.collect::<serde_json::Map<_, _>>(),
            "served_no_more": self.lost,
            "served_now": self.won,
            "without_route": self.without_route,
            "without_class": self.without_class,
            "untold": {
                "routes": self.moved.iter().map(moved).collect::<Vec<_>>(),
                "unrouted": self.unrouted_moved,
                "new_routes": self.new_routes,
            },
        })
    }

    fn text(&self, new: &CompiledPolicy) -> String {
        let mut text = self.table(new);
        text.push_str(&format!(
            "  {} that were served would not be, {} that were not would be\n",
            self.lost, self.won
        ));
        for (count, what) in [
            (
                self.without_route,
                "came by a route that the new policy lacks: they keep their class by its name",
            ),
            (self.without_class, "are of a class that the new policy lacks: they fall to its fallback class"),
        ] {
            if count > 0 {
                text.push_str(&format!("  {count} {what}\n"));
            }
        }
        text.push_str(&self.untold());
        text
    }

    /// What was shed of each class, and the value kept, from all sides.
    fn table(&self, new: &CompiledPolicy) -> String {
        let mut text = format!("{}: {} requests\n", self.pool, self.all[0].requests);
        text.push_str(&row("class", &SIDES.map(|side| format!("shed {side}")), "requests then", "new"));
        let rank = |name: &str| new.core.class_named(name).map_or(usize::MAX, ClassId::index);
        let mut classes: Vec<_> = self.classes.iter().collect();
        classes.sort_by_key(|(name, _)| rank(name));
        for (name, sums) in classes {
            let shed = sums.each_ref().map(|sum| match sum.requests {
                0 => "-".to_owned(),
                _ => percent(sum.shed_share()),
            });
            text.push_str(&row(name, &shed, &sums[0].requests.to_string(), &sums[2].requests.to_string()));
        }
        let kept = self.all.each_ref().map(|sum| percent(sum.value_kept()));
        text.push_str(&row("value kept", &kept, "", ""));
        text
    }

    /// What is not in the answer, for a journal has no paths.
    fn untold(&self) -> String {
        let by_route = self.moved.iter().map(|(route, count)| (*count, format!("by {route}")));
        let unrouted = (self.unrouted_moved > 0).then(|| (self.unrouted_moved, "by no route".to_owned()));
        let by_model = by_route.chain(unrouted).map(|(count, came)| {
            format!("  {count} came {came}, where the new policy leaves something else to the model\n")
        });
        let named = self.new_routes.iter().take(NEW_ROUTES_NAMED).copied().collect::<Vec<_>>().join(", ");
        let new_routes = (!self.new_routes.is_empty()).then(|| {
            let count = self.new_routes.len();
            let rest = if count > NEW_ROUTES_NAMED { ", ..." } else { "" };
            format!("  {count} routes are new: {named}{rest}\n")
        });
        let untold: String = by_model.chain(new_routes).collect();
        if untold.is_empty() {
            return untold;
        }
        format!(
            "not told, for a journal has no paths (`plimsoll policy diff` on an access log tells it); what the model said \
             then stands:\n{untold}"
        )
    }
}

fn row(name: &str, sides: &[String; 3], was: &str, is: &str) -> String {
    let [then, again, new] = sides;
    format!("  {name:<16}{then:>11}{again:>12}{new:>10}{was:>16}{is:>10}\n")
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}
