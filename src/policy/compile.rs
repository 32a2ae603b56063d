//! From a policy's files to a [`CompiledPolicy`]: names resolved, classes held against each other.
//!
//! Every check that concerns more than one key is here, and reports where the
//! later of the two stands. The core checks its own bounds once more and cannot
//! object to anything that passed.

use std::sync::Arc;

use plimsoll_core::policy::{Class, ClassId, Policy, Share};

use super::cases::PolicyTest;
use super::class_file::ClassEntry;
use super::compiled::CompiledPolicy;
use super::file::{self, PolicyFile, RollbackEntry};
use super::lint::{self, RoutePlace, Whole};
use super::route_file::RouteEntry;
use super::settings::{ClassSettings, ModelRules, RollbackRules};
use super::test_file::{LoadEntry, TestEntry};
use crate::classify::routes::{Route, RouteTable};
use crate::classify::session::Stage;
use crate::yaml::diagnostic::{Diagnostics, Mistake, Mistakes};
use crate::yaml::document;
use crate::yaml::field::{Field, Named};
use crate::yaml::source::Source;

/// Compiles the files of `source`, each laid over those before it.
///
/// # Errors
/// Every mistake in them.
pub fn compile(source: &Source) -> Result<CompiledPolicy, Diagnostics> {
    let mistakes = Mistakes::new(source);
    let root = document::read(source, &mistakes);
    let compiled = root.as_ref().and_then(|root| policy(Field::root(root, &mistakes), source, &mistakes));
    let found = mistakes.into_diagnostics();
    match compiled {
        Some(policy) => Ok(CompiledPolicy { warnings: found, ..policy }),
        None => Err(found),
    }
}

/// The policy below `root`, unless a mistake is on record by the end.
fn policy(root: Field<'_>, source: &Source, mistakes: &Mistakes<'_>) -> Option<CompiledPolicy> {
    let PolicyFile {
        mode,
        sessions,
        mut classes,
        carry,
        routes,
        model,
        clients,
        rollback,
        learning,
        decision_header,
        tests,
    } = file::read(root.clone())?;
    check_classes(&classes);
    classes.sort_by_key(|entry| entry.class.rank);
    let names: Vec<&str> = classes.iter().map(|entry| entry.class.name.as_str()).collect();
    let least = ClassId::new(names.len().checked_sub(1)?)?;
    let fallback = model.fallback.as_ref().and_then(|named| class_named(named, &names));
    let model = ModelRules {
        bundle: model.bundle,
        decides_unrouted: model.decides_unrouted,
        fallback: fallback.unwrap_or(least),
        time_budget: model.time_budget,
    };
    let (routes, places): (Vec<Route>, Vec<RoutePlace<'_>>) =
        (0..).zip(routes).filter_map(|(place, entry)| route(entry, place, &names)).unzip();
    let carry = carried(&carry, &names);
    let rollback = rollback_rules(rollback, &classes, &names);
    let tests = tests.into_iter().map(|entry| test(entry, &names)).collect();
    if mistakes.has_errors() {
        return None;
    }
    lint::warn(&Whole { classes: &classes, routes: &routes, places: &places, model: &model, carry: &carry });
    let (core, classes): (Vec<Class>, Vec<ClassSettings>) =
        classes.into_iter().map(|entry| (entry.class, entry.settings)).unzip();
    let refused = |error| root.report(Mistake::new(format!("the core refuses it: {error:?}")));
    let core = Policy::new(mode, core).map_err(refused).ok()?;
    Some(CompiledPolicy {
        core: Arc::new(core),
        classes,
        routes: RouteTable::new(routes),
        sessions,
        model,
        clients,
        rollback,
        learning,
        decision_header,
        tests,
        text: Arc::new(source.clone()),
        digest: source.digest(),
        source: source.name.clone(),
        warnings: Diagnostics(Vec::new()),
        carry,
    })
}

fn rollback_rules(entry: RollbackEntry<'_>, classes: &[ClassEntry<'_>], names: &[&str]) -> RollbackRules {
    let mut protected: Vec<_> =
        entry.protected.iter().filter_map(|named| class_named(named, names)).collect();
    if protected.is_empty() {
        let has_floor = |class: &ClassId| classes[class.index()].class.floor > Share::NONE;
        protected.extend((0..names.len()).filter_map(ClassId::new).filter(has_floor));
    }
    if protected.is_empty() {
        protected.extend(ClassId::new(0));
    }
    RollbackRules { automatic: entry.automatic, window: entry.window, protected }
}

fn check_classes(classes: &[ClassEntry<'_>]) {
    for (index, entry) in classes.iter().enumerate() {
        check_rank(entry, &classes[..index], classes);
        check_share(entry);
    }
    check_floors(classes);
}

fn check_rank(entry: &ClassEntry<'_>, earlier: &[ClassEntry<'_>], all: &[ClassEntry<'_>]) {
    let rank = entry.class.rank;
    let Some(owner) = earlier.iter().find(|other| other.class.rank == rank) else { return };
    let mistake = Mistake::new(format!("rank {rank} belongs to `{}`", owner.class.name));
    let taken = |free: &u8| all.iter().any(|other| other.class.rank == *free);
    let mistake = match (0..=u8::MAX).find(|free| !taken(free)) {
        Some(free) => mistake.hint(format!("rank {free} is free")),
        None => mistake,
    };
    entry.rank.as_ref().unwrap_or(&entry.field).report(mistake);
}

fn check_share(entry: &ClassEntry<'_>) {
    let Class { floor, ceiling, .. } = entry.class;
    if ceiling == Share::NONE {
        let mistake = Mistake::new("a ceiling of 0% refuses the class altogether");
        entry.field.report(mistake.hint("leave `ceiling` out, or write at least 1%"));
    } else if ceiling < floor {
        let mistake = Mistake::new("the ceiling is below the floor");
        entry.field.report(mistake.hint("raise `ceiling` or lower `floor`"));
    }
}

fn check_floors(classes: &[ClassEntry<'_>]) {
    let mut sum = 0;
    for entry in classes {
        sum += entry.class.floor.millionths();
        if sum > Share::ALL.millionths() {
            let percent = sum.div_ceil(10_000);
            let mistake = Mistake::new(format!("with this floor they add up to {percent}%"));
            return entry.field.report(mistake.hint("floors add up to 100% at most"));
        }
    }
}

fn class_named(Named { field, name }: &Named<'_>, names: &[&str]) -> Option<ClassId> {
    let index = names.iter().position(|known| known == name);
    if index.is_none() {
        field.report(Mistake::unknown("class", name, names.iter().copied()));
    }
    ClassId::new(index?)
}

fn route<'n>(entry: RouteEntry<'n>, place: u32, names: &[&str]) -> Option<(Route, RoutePlace<'n>)> {
    let class = class_named(entry.class.as_ref()?, names)?;
    let RouteEntry { field, conditions, path_fields, pool, .. } = entry;
    let route = Route { conditions, class, pool, defined_at: field.place().into(), place };
    Some((route, RoutePlace { field, paths: path_fields }))
}

fn test(entry: TestEntry<'_>, names: &[&str]) -> PolicyTest {
    let class_of = |named: &Named<'_>| class_named(named, names);
    let load = match &entry.load {
        None => Vec::new(),
        Some(LoadEntry::Even(load)) => {
            let share = load / names.len() as f64;
            (0..names.len()).filter_map(ClassId::new).map(|class| (class, share)).collect()
        }
        Some(LoadEntry::Of(loads)) => {
            loads.iter().filter_map(|(named, load)| Some((class_of(named)?, *load))).collect()
        }
    };
    PolicyTest {
        defined_at: entry.field.place().into(),
        request: entry.request,
        operation: entry.operation,
        stage: entry.stage,
        load,
        class: entry.expect.class.as_ref().and_then(class_of),
        class_by: entry.expect.class_by,
        value: entry.expect.value,
        pool: entry.expect.pool,
        decision: entry.expect.decision,
    }
}

fn carried(carry: &[(Stage, Named<'_>)], names: &[&str]) -> [Option<ClassId>; 4] {
    let mut lifts = [None; 4];
    for (stage, named) in carry {
        lifts[*stage as usize] = class_named(named, names);
    }
    lifts
}
