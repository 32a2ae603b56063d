//! From a policy's files to a [`CompiledPolicy`]: names resolved, classes held against each other.
//!
//! Every check that concerns more than one key is here, and reports where the
//! later of the two stands. The core checks its own bounds once more and cannot
//! object to anything that passed.

use std::sync::Arc;

use plimsoll_core::policy::{Class, ClassId, ClassSet, Mode, Policy, Share};

use super::cases::{NO_SCHEDULE, PolicyTest};
use super::class_file::ClassEntry;
use super::compiled::CompiledPolicy;
use super::file::{self, ModelEntry, RollbackEntry};
use super::leeway_file::LeewayEntry;
use super::lint::{self, RoutePlace, Whole};
use super::route_file::RouteEntry;
use super::schedule::Schedule;
use super::schedule_file::ScheduleEntry;
use super::settings::{ClassSettings, ModelRules, RollbackRules};
use super::test_file::{LoadEntry, TestEntry};
use crate::classify::leeway::Leeway;
use crate::classify::routes::{Route, RouteTable};
use crate::classify::session::Stage;
use crate::yaml::diagnostic::{Diagnostic, Diagnostics, MISSING_KEY, Mistake, Mistakes, Severity};
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

/// What is wrong with the values of `source`, whatever else belongs to its policy: keys that another file may have, and
/// what the files say of each other, are left alone.
pub(super) fn mistakes_of_values(source: &Source) -> Vec<Diagnostic> {
    if source.files.is_empty() {
        return Vec::new();
    }
    let mistakes = Mistakes::new(source);
    if let Some(root) = document::read(source, &mistakes) {
        file::read(Field::root(&root, &mistakes));
    }
    let may_be_elsewhere = |one: &Diagnostic| one.rule == MISSING_KEY && one.key.is_empty();
    let found = mistakes.into_diagnostics().0.into_iter();
    found.filter(|one| one.severity == Severity::Error && !may_be_elsewhere(one)).collect()
}

/// The policy below `root`, unless a mistake is on record by the end.
fn policy(root: Field<'_>, source: &Source, mistakes: &Mistakes<'_>) -> Option<CompiledPolicy> {
    let file = file::read(root.clone())?;
    let mut classes = file.classes;
    check_classes(&classes);
    classes.sort_by_key(|entry| entry.class.rank);
    let names: Vec<&str> = classes.iter().map(|entry| entry.class.name.as_str()).collect();
    let model = model_rules(file.model, &names)?;
    let (routes, places): (Vec<Route>, Vec<RoutePlace<'_>>) =
        (0..).zip(file.routes).filter_map(|(place, entry)| route(entry, place, &model, &names)).unzip();
    let carry = carried(&file.carry, &names);
    let schedules: Vec<_> = file.schedules.iter().map(|entry| changed(entry, &classes, &names)).collect();
    let rollback = rollback_rules(file.rollback, &classes, &names);
    let schedule_names: Vec<&str> =
        file.schedules.iter().map(|entry| entry.name).chain([NO_SCHEDULE]).collect();
    let tests: Vec<PolicyTest> =
        file.tests.into_iter().filter_map(|entry| test(entry, &names, &schedule_names)).collect();
    if mistakes.has_errors() {
        return None;
    }
    let entries: Vec<&ScheduleEntry<'_>> = schedules.iter().map(|changed| changed.entry).collect();
    lint::warn(&Whole {
        classes: &classes,
        routes: &routes,
        places: &places,
        model: &model,
        carry: &carry,
        schedules: &entries,
        tests: &tests,
    });
    let (core, classes) = core_and_settings(&root, file.mode, classes)?;
    let schedules = schedules.into_iter().filter_map(|changed| schedule(changed, file.mode)).collect();
    Some(CompiledPolicy {
        core: core.clone(),
        base: core,
        schedules,
        scheduled: None,
        body_bytes_most: classes.iter().filter_map(|class| class.body_bytes_max).max(),
        classes,
        routes: RouteTable::new(routes),
        canary: file.canary,
        sessions: file.sessions,
        model,
        clients: file.clients,
        rollback,
        learning: file.learning,
        decision_header: file.decision_header,
        tests,
        text: Arc::new(source.clone()),
        digest: source.digest(),
        source: source.name.clone(),
        warnings: Diagnostics(Vec::new()),
        carry,
    })
}

/// What the core decides under, and what the shell knows of each class.
fn core_and_settings(
    root: &Field<'_>,
    mode: Mode,
    classes: Vec<ClassEntry<'_>>,
) -> Option<(Arc<Policy>, Vec<ClassSettings>)> {
    let observed = observed_of(&classes);
    let (core, settings) = classes.into_iter().map(|entry| (entry.class, entry.settings)).unzip();
    let refused = |error| root.report(Mistake::new(format!("the core refuses it: {error:?}")));
    let core = Policy::new(mode, core).map_err(refused).ok()?;
    Some((Arc::new(core.observing(observed)), settings))
}

/// A schedule, and the classes as they are then.
struct Changed<'e, 'n> {
    entry: &'e ScheduleEntry<'n>,
    classes: Vec<Class>,
    observed: ClassSet,
}

/// The classes as the schedule has them; what concerns several of them is checked as it is without it.
fn changed<'e, 'n>(
    entry: &'e ScheduleEntry<'n>,
    classes: &[ClassEntry<'n>],
    names: &[&str],
) -> Changed<'e, 'n> {
    if entry.name == NO_SCHEDULE {
        let mistake = Mistake::new("`none` is what tests call it where no schedule holds");
        entry.field.report(mistake.hint("call the schedule something else"));
    }
    let mut observed = observed_of(classes);
    let mut classes: Vec<Class> = classes.iter().map(|entry| entry.class.clone()).collect();
    for change in &entry.changes {
        // The others are looked at all the same: every mistake is told at once.
        let Some(id) = class_named(&change.class, names) else { continue };
        let class = &mut classes[id.index()];
        class.floor = change.floor.unwrap_or(class.floor);
        class.ceiling = change.ceiling.unwrap_or(class.ceiling);
        check_share(&change.class.field, class);
        observed = match change.is_observed {
            Some(true) => observed.with(id),
            Some(false) => observed.without(id),
            None => observed,
        };
    }
    let floors: u32 = classes.iter().map(|class| class.floor.millionths()).sum();
    if floors > Share::ALL.millionths() {
        let percent = floors.div_ceil(10_000);
        let mistake = Mistake::new(format!("in this schedule floors add up to {percent}%"));
        entry
            .field
            .report(mistake.hint("floors add up to 100% at most, those that it leaves as they are included"));
    }
    Changed { entry, classes, observed }
}

/// The schedule, unless a mistake is on record, which has kept its policy from being made.
fn schedule(changed: Changed<'_, '_>, mode: Mode) -> Option<Schedule> {
    let Changed { entry, classes, observed } = changed;
    let core = Policy::new(mode, classes).ok()?.observing(observed);
    let (name, hours, defined_at) = (entry.name.into(), entry.hours.clone()?, entry.field.place().into());
    Some(Schedule { name, hours, core: Arc::new(core), defined_at })
}

fn observed_of(classes: &[ClassEntry<'_>]) -> ClassSet {
    let observed = classes.iter().enumerate().filter(|(_, entry)| entry.is_observed);
    observed.filter_map(|(index, _)| ClassId::new(index)).collect()
}

/// The rules of a model, unless there is no class at all.
fn model_rules(entry: ModelEntry<'_>, names: &[&str]) -> Option<ModelRules> {
    let least = ClassId::new(names.len().checked_sub(1)?)?;
    let any = Leeway { best: ClassId::new(0)?, worst: least, confidence_min: 0.0 };
    let leeway = leeway(&entry.leeway, any, names);
    if let Some(worst) = entry.leeway.worst.as_ref().filter(|_| leeway.worst < leeway.best) {
        let best = names[leeway.best.index()];
        let mistake = Mistake::new(format!("`{}` is better than `{best}`, the `best_class`", worst.name));
        worst.field.report(mistake.hint(format!("write `{best}` or a class that is shed before it")));
    }
    Some(ModelRules {
        leeway,
        fallback: entry.fallback.and_then(|named| class_named(&named, names)).unwrap_or(least),
        bundle: entry.bundle,
        decides_unrouted: entry.decides_unrouted,
        decides_routed: entry.decides_routed,
        time_budget: entry.time_budget,
    })
}

/// The bounds that are written, and those of `others` where none are.
fn leeway(entry: &LeewayEntry<'_>, others: Leeway, names: &[&str]) -> Leeway {
    let named = |named: &Option<Named<'_>>| named.as_ref().and_then(|named| class_named(named, names));
    Leeway {
        best: named(&entry.best).unwrap_or(others.best),
        worst: named(&entry.worst).unwrap_or(others.worst),
        confidence_min: entry.confidence_min.unwrap_or(others.confidence_min),
    }
}

/// How far the model may move what a route of `class` takes. The class itself is always within: who is taken for
/// what the route says must be able to stay.
fn route_leeway(entry: &LeewayEntry<'_>, class: ClassId, others: Leeway, names: &[&str]) -> Leeway {
    let around = Leeway { best: others.best.min(class), worst: others.worst.max(class), ..others };
    let leeway = leeway(entry, around, names);
    let own = names[class.index()];
    let shut_out = |named: &Option<Named<'_>>, when: &str| {
        let Some(Named { field, name }) = named else { return };
        let mistake = Mistake::new(format!("`{name}` shuts out the route's own class `{own}`"));
        field.report(mistake.hint(format!("write `{own}` or a class that is shed {when} it")));
    };
    if leeway.best > class {
        shut_out(&entry.best, "after");
    }
    if leeway.worst < class {
        shut_out(&entry.worst, "before");
    }
    leeway
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
        check_share(&entry.field, &entry.class);
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

fn check_share(field: &Field<'_>, class: &Class) {
    let Class { floor, ceiling, .. } = *class;
    if ceiling == Share::NONE {
        let mistake = Mistake::new("a ceiling of 0% refuses the class altogether");
        field.report(mistake.hint("leave `ceiling` out, or write at least 1%"));
    } else if ceiling < floor {
        let mistake = Mistake::new("the ceiling is below the floor");
        field.report(mistake.hint("raise `ceiling` or lower `floor`"));
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

fn route<'n>(
    entry: RouteEntry<'n>,
    place: u32,
    rules: &ModelRules,
    names: &[&str],
) -> Option<(Route, RoutePlace<'n>)> {
    let Some(class) = entry.class.as_ref().and_then(|named| class_named(named, names)) else {
        // What is wrong with its bounds is told all the same.
        if let Some(model) = &entry.model {
            leeway(&model.entry, rules.leeway, names);
        }
        return None;
    };
    let RouteEntry { field, conditions, path_fields, pool, model, .. } = entry;
    let leeway = model.as_ref().map(|model| route_leeway(&model.entry, class, rules.leeway, names));
    let leeway = leeway.filter(|_| rules.decides_routed);
    let route = Route { conditions, class, leeway, pool, defined_at: field.place().into(), place };
    Some((route, RoutePlace { field, paths: path_fields, model: model.map(|model| model.field) }))
}

/// The test, unless its request is none; the names that it uses are looked at all the same.
fn test(entry: TestEntry<'_>, names: &[&str], schedules: &[&str]) -> Option<PolicyTest> {
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
    let class = entry.expect.class.as_ref().and_then(class_of);
    let schedule = entry.expect.schedule.and_then(|named| schedule_named(&named, schedules));
    Some(PolicyTest {
        defined_at: entry.field.place().into(),
        request: entry.request?,
        client: entry.client,
        operation: entry.operation,
        session: entry.session,
        at: entry.at,
        load,
        class,
        class_by: entry.expect.class_by,
        value: entry.expect.value,
        pool: entry.expect.pool,
        schedule,
        decision: entry.expect.decision,
    })
}

fn schedule_named(Named { field, name }: &Named<'_>, schedules: &[&str]) -> Option<String> {
    if !schedules.contains(name) {
        field.report(Mistake::unknown("schedule", name, schedules.iter().copied()));
    }
    Some((*name).to_owned())
}

fn carried(carry: &[(Stage, Named<'_>)], names: &[&str]) -> [Option<ClassId>; 4] {
    let mut lifts = [None; 4];
    for (stage, named) in carry {
        lifts[*stage as usize] = class_named(named, names);
    }
    lifts
}
