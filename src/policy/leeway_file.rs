//! How far the model may move a request, as it is written: for all that no route takes, or for one route.
//!
//! The same keys stand in both places, and what a route leaves out is as it is for the others. Names of classes
//! stay names; `compile` knows which exist, and whether the bounds leave room for anything.

use crate::yaml::field::{Field, Named, Section};

/// Bounds whose classes are not resolved yet.
#[derive(Default)]
pub(super) struct LeewayEntry<'n> {
    pub(super) best: Option<Named<'n>>,
    pub(super) worst: Option<Named<'n>>,
    pub(super) confidence_min: Option<f32>,
}

/// What `model:` says of a route.
pub(super) struct RouteLeeway<'n> {
    pub(super) field: Field<'n>,
    pub(super) entry: LeewayEntry<'n>,
}

/// Reads the bounds among the keys of `section`.
pub(super) fn read<'n>(section: &Section<'n>) -> LeewayEntry<'n> {
    LeewayEntry {
        best: section.get("best_class").and_then(Field::named),
        worst: section.get("worst_class").and_then(Field::named),
        confidence_min: section.get("min_confidence").and_then(|field| field.number(0.0..=1.0)),
    }
}

/// Reads `on`, `off` or bounds of the route's own.
pub(super) fn of_route(field: Field<'_>) -> Option<RouteLeeway<'_>> {
    if field.is_word("on") {
        return Some(RouteLeeway { field, entry: LeewayEntry::default() });
    }
    if field.is_word("off") {
        return None;
    }
    let section = field.section_or("`on`, `off`")?;
    let entry = read(&section);
    section.close();
    Some(RouteLeeway { field, entry })
}
