//! Which features a score hangs on: each is left out alone, and the head is asked again.
//!
//! That is true of this request and this model, and claims no more: features that stand in for each other each
//! seem to matter little, and a head is asked of requests that do not exist. Only what holds is left out, some
//! sixty features of a request, and the few that move the score most are told.
//!
//! Words are hashed, so their features have numbers for names; the parts of the request without which such a
//! feature would not hold are named beside it.

use http::Uri;
use http::uri::PathAndQuery;
use serde::Serialize;

use crate::classify::features::{
    LocalTime, REQUEST_LEN, RequestFeatures, SESSION_LEN, request_names, session_names, write_session,
};
use crate::classify::head::Head;
use crate::classify::session::SessionView;
use crate::model::Scorer;

/// As many as are read at a glance.
const TOLD_MAX: usize = 5;
/// What moves a score by less than is printed of it is not told. Of a request about which the head is certain that
/// is every feature: many say the same.
const DIFFERENCE_MIN: f32 = 0.001;
/// The features of hashed words.
const HASHED: &str = "token.";

/// A feature, and what the score would be without it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Influence {
    /// Its name, as `plimsoll features` has it; of a hashed word with the parts of the request that it comes from.
    pub feature: String,
    /// The score without it.
    pub without: f32,
}

/// A request as the class head sees it.
pub(super) struct Asked<'r> {
    pub(super) head: &'r Head<'r>,
    pub(super) key: &'r str,
    pub(super) operation: Option<&'r str>,
}

impl Asked<'_> {
    pub(super) fn features(&self) -> RequestFeatures {
        RequestFeatures::of(self.head, self.key, self.operation)
    }
}

/// What moves the class head's first choice most.
pub(super) fn on_class(model: &Scorer, asked: &Asked<'_>) -> Vec<Influence> {
    let features = asked.features();
    let mut vector = [0.0; REQUEST_LEN];
    features.write(&mut vector);
    let Some(guess) = model.try_class(&vector).map(|scores| scores.guess()) else { return Vec::new() };
    let without = |index: usize| {
        let mut without = vector;
        without[index] = 0.0;
        Some((index, model.try_class(&without)?.0[guess.class as usize]))
    };
    let held = (0..REQUEST_LEN).filter(|index| features.holds(*index));
    let moved = most_moved(guess.confidence, held.filter_map(without).collect());
    let (names, sources) = (request_names(), Sources::of(asked));
    moved
        .into_iter()
        .map(|(index, without)| Influence { feature: sources.name(&names, index), without })
        .collect()
}

/// What moves the value of such a session most.
pub(super) fn on_value(model: &Scorer, session: &SessionView, time: LocalTime) -> Vec<Influence> {
    let mut vector = [0.0; SESSION_LEN];
    write_session(session, time, &mut vector);
    let Some(value) = model.try_value(&vector) else { return Vec::new() };
    let names = session_names();
    // An hour is a point on a circle: half of it is none.
    let mut groups: Vec<&str> = names.iter().map(|name| group(name)).collect();
    groups.dedup();
    let without = |name: &str| {
        let mut without = vector;
        let members = without.iter_mut().zip(&names).filter(|(_, member)| group(member) == name);
        members.for_each(|(feature, _)| *feature = 0.0);
        (without != vector).then(|| model.try_value(&without)).flatten()
    };
    let tried = groups.iter().enumerate().filter_map(|(place, name)| Some((place, without(name)?)));
    let moved = most_moved(value, tried.collect());
    moved
        .into_iter()
        .map(|(place, without)| Influence { feature: groups[place].to_owned(), without })
        .collect()
}

/// The name of a feature that says something by itself.
fn group(name: &str) -> &str {
    name.strip_suffix(".sin").or_else(|| name.strip_suffix(".cos")).unwrap_or(name)
}

/// Those without which a score is farthest from `score`, the farthest first.
fn most_moved(score: f32, mut tried: Vec<(usize, f32)>) -> Vec<(usize, f32)> {
    let moved = |without: f32| (score - without).abs();
    tried.retain(|(_, without)| moved(*without) >= DIFFERENCE_MIN);
    tried.sort_by(|one, other| moved(other.1).total_cmp(&moved(one.1)));
    tried.truncate(TOLD_MAX);
    tried
}

/// What the request would be without each of its parts.
struct Sources(Vec<(String, RequestFeatures)>);

impl Sources {
    fn of(asked: &Asked<'_>) -> Sources {
        let Asked { head, key, operation } = asked;
        let mut without = Vec::new();
        for (part, rest) in each_left_out(key, '/') {
            without.push((part, RequestFeatures::of(head, &format!("/{rest}"), *operation)));
        }
        for (part, rest) in each_left_out(head.query(), '&') {
            let Some(uri) = with_query(head.path(), &rest) else { continue };
            without.push((
                format!("?{part}"),
                RequestFeatures::of(&Head { uri: &uri, ..**head }, key, *operation),
            ));
        }
        if let Some(operation) = operation {
            without.push(((*operation).to_owned(), RequestFeatures::of(head, key, None)));
        }
        Sources(without)
    }

    fn name(&self, names: &[String], index: usize) -> String {
        let name = names[index].clone();
        let is_from = |(_, without): &&(String, RequestFeatures)| !without.holds(index);
        let parts: Vec<&str> = self.0.iter().filter(is_from).map(|(part, _)| part.as_str()).collect();
        if name.starts_with(HASHED) && !parts.is_empty() {
            format!("{name} ({})", parts.join(", "))
        } else {
            name
        }
    }
}

/// Each part of `text`, and the others.
fn each_left_out(text: &str, separator: char) -> Vec<(String, String)> {
    let parts: Vec<&str> = text.split(separator).filter(|part| !part.is_empty()).collect();
    let others = |left_out: usize| {
        let kept = parts.iter().enumerate().filter(|(place, _)| *place != left_out).map(|(_, part)| *part);
        kept.collect::<Vec<_>>().join(&separator.to_string())
    };
    parts.iter().enumerate().map(|(place, part)| ((*part).to_owned(), others(place))).collect()
}

fn with_query(path: &str, query: &str) -> Option<Uri> {
    PathAndQuery::try_from(format!("{path}?{query}")).ok().map(Uri::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<T>(target: &str, then: impl FnOnce(&Asked<'_>) -> T) -> T {
        let (parts, ()) = http::Request::post(target).body(()).unwrap().into_parts();
        let head = Head::of(&parts);
        then(&Asked { head: &head, key: parts.uri.path(), operation: None })
    }

    #[test]
    fn what_is_told_is_what_the_head_says_without_it() {
        let model = Scorer::embedded().unwrap();
        let told = asked("/foo/add", |asked| on_class(&model, asked));
        assert!(!told.is_empty() && told.len() <= TOLD_MAX, "{told:?}");
        let (names, mut vector) = (request_names(), [0.0; REQUEST_LEN]);
        asked("/foo/add", |asked| asked.features().write(&mut vector));
        let whole = model.try_class(&vector).unwrap().guess();
        let mut farthest = f32::INFINITY;
        for Influence { feature, without } in &told {
            let name = feature.split(' ').next().unwrap();
            let mut one = vector;
            one[names.iter().position(|known| known == name).unwrap()] = 0.0;
            assert_eq!(model.try_class(&one).unwrap().0[whole.class as usize], *without, "{feature}");
            let moved = (whole.confidence - without).abs();
            assert!(moved <= farthest && moved >= DIFFERENCE_MIN, "{told:?}");
            farthest = moved;
        }
    }

    #[test]
    fn a_hashed_word_is_named_by_the_parts_it_comes_from() {
        let names = request_names();
        let (sources, features) = asked("/xyzzy/7?plugh=1", |asked| (Sources::of(asked), asked.features()));
        let held = (0..REQUEST_LEN).filter(|index| features.holds(*index));
        let told: Vec<String> = held.map(|index| sources.name(&names, index)).collect();
        let tells = |part: &str| told.iter().any(|name| name.starts_with(HASHED) && name.ends_with(part));
        assert!(tells("(xyzzy)") && tells("(?plugh=1)"), "{told:?}");
        assert!(told.iter().any(|name| name == "method.post"), "{told:?}");
    }

    #[test]
    fn an_hour_is_left_out_as_a_whole() {
        let model = Scorer::embedded().unwrap();
        let told = on_value(&model, &SessionView::default(), LocalTime { hour: 3, weekday: 2 });
        assert!(told.len() <= TOLD_MAX && told.iter().all(|one| !one.feature.ends_with(".sin")), "{told:?}");
        assert!(told.iter().all(|one| (0.0..=1.0).contains(&one.without)), "{told:?}");
        assert!(!told.is_empty());
    }

    #[test]
    fn only_what_moves_a_score_is_told_and_the_most_first() {
        let tried = vec![(0, 0.5), (1, 0.9), (2, 0.5009), (3, 0.1), (4, 0.6), (5, 0.45), (6, 0.55), (7, 0.2)];
        let told: Vec<usize> = most_moved(0.5, tried).into_iter().map(|(index, _)| index).collect();
        assert_eq!(told.len(), TOLD_MAX);
        assert_eq!(told[2], 7);
        assert!(!told.contains(&0) && !told.contains(&2));
    }
}
