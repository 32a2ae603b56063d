//! What an origin is like: capacity, costs, dependencies and faults, all changeable while it runs.
//!
//! One value, which is JSON over the control port. A change is a merge patch (RFC 7386):
//! what it names is set, `null` takes back a route or a dependency, the rest stays.

use super::pages::Route;
use crate::scenario::Scenario;
use crate::scenario::fault::{Fault, Kind};
use crate::scenario::phase::Phase;
use crate::service_time::Distribution;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What an origin is like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// How many requests are worked on at once.
    pub(crate) workers: usize,
    /// How long a page of cost 1 takes.
    pub(crate) service: Service,
    /// By how much each waiting request prolongs the service of others.
    pub(crate) thrash: f64,
    /// What pages cost that differ from their usual cost.
    #[serde(default)]
    pub(crate) routes: BTreeMap<Route, Page>,
    /// What workers call and wait for.
    #[serde(default)]
    pub(crate) dependencies: BTreeMap<String, Dependency>,
    /// What happens instead of a good answer.
    #[serde(default)]
    pub(crate) faults: Vec<Fault>,
}

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// In the mean.
    pub(crate) mean_ms: f64,
    /// How it spreads around the mean.
    #[serde(default, serialize_with = "write", deserialize_with = "read")]
    pub(crate) distribution: Distribution,
    /// By how much it takes longer at present.
    #[serde(default = "as_usual")]
    pub(crate) slow: f64,
}

/// What a page costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Page {
    /// In units; a page is 1.
    pub(crate) cost: Option<f64>,
    /// How its service times spread around their mean, if not as all.
    #[serde(serialize_with = "write_some", deserialize_with = "read_some")]
    pub(crate) distribution: Option<Distribution>,
    /// The dependency its worker calls.
    pub(crate) needs: Option<String>,
    /// How long its answer is at least, in bytes.
    pub(crate) bytes: Option<usize>,
}

/// A service that workers call and wait for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dependency {
    /// How many calls it answers at once.
    pub(crate) slots: usize,
    /// How long a call takes.
    pub(crate) service: Service,
    /// The share of calls that fail.
    #[serde(default)]
    pub(crate) failing: f64,
}

/// Why settings cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("not settings of an origin: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("`{key}` is out of range: {expected}")]
    OutOfRange { key: String, expected: &'static str },
    #[error("`routes.{route}.needs` names `{needs}`, which is no dependency")]
    NoDependency { route: &'static str, needs: String },
}

impl Settings {
    /// The settings in a text.
    pub(crate) fn parse(json: &[u8]) -> Result<Settings, SettingsError> {
        let settings: Settings = serde_json::from_slice(json)?;
        settings.check()?;
        Ok(settings)
    }

    /// These settings with a merge patch laid over them.
    pub(crate) fn patched(&self, patch: &[u8]) -> Result<Settings, SettingsError> {
        let mut whole = serde_json::to_value(self)?;
        merge(&mut whole, serde_json::from_slice(patch)?);
        let settings: Settings = serde_json::from_value(whole)?;
        settings.check()?;
        Ok(settings)
    }

    /// Whether an origin can be like this.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if !(1..=1_000_000).contains(&self.workers) {
            return Err(out_of_range("workers", "from 1 to 1000000"));
        }
        self.service.check("service")?;
        share("thrash", self.thrash)?;
        for (route, page) in &self.routes {
            page.check(route.name())?;
            if let Some(needs) = page.needs.as_ref().filter(|needs| !self.dependencies.contains_key(*needs)) {
                return Err(SettingsError::NoDependency { route: route.name(), needs: needs.clone() });
            }
        }
        for (name, dependency) in &self.dependencies {
            dependency.check(name)?;
        }
        self.faults.iter().try_for_each(|fault| share("faults[].share", fault.share))
    }

    /// The shop that a scenario describes, before anything happens to it.
    pub(crate) fn of(scenario: &Scenario) -> Settings {
        let origin = &scenario.origin;
        let mut routes: BTreeMap<Route, Page> = BTreeMap::new();
        for template in &scenario.mix {
            let path = template.paths[0].fill(1);
            let page = routes.entry(Route::of(&template.method, &path)).or_default();
            page.cost = Some(template.cost);
            page.needs = template.needs.clone().or(page.needs.take());
            page.bytes = template.download_bytes.or(page.bytes);
        }
        let dependencies = origin.dependencies.iter().map(|(name, dependency)| {
            let service = Service::of(&dependency.service);
            (name.clone(), Dependency { slots: dependency.slots, service, failing: 0.0 })
        });
        Settings {
            workers: origin.workers,
            service: Service::of(&origin.service),
            thrash: origin.thrash,
            routes,
            dependencies: dependencies.collect(),
            faults: Vec::new(),
        }
    }

    /// What becomes of the shop in `phase`.
    pub(crate) fn in_phase(&self, phase: &Phase) -> Settings {
        let mut settings = self.clone();
        settings.workers = ((self.workers as f64 * phase.workers.0).round() as usize).max(1);
        settings.service.slow = phase.slow.get("origin").map_or(1.0, |times| times.0);
        settings.faults.clone_from(&phase.faults);
        if let Some(share) = phase.failing.get("origin") {
            settings.faults.push(Fault {
                fault: Kind::Error,
                share: share.0,
                routes: Vec::new(),
                delay_ms: 0,
            });
        }
        for (name, dependency) in &mut settings.dependencies {
            dependency.service.slow = phase.slow.get(name).map_or(1.0, |times| times.0);
            dependency.failing = phase.failing.get(name).map_or(0.0, |share| share.0);
        }
        settings
    }
}

impl Service {
    /// The mean.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.mean_ms / 1_000.0)
    }

    fn of(service: &crate::scenario::origin::Service) -> Service {
        let mean_ms = service.mean.as_secs_f64() * 1_000.0;
        Service { mean_ms, distribution: service.distribution(), slow: 1.0 }
    }

    fn check(&self, key: &str) -> Result<(), SettingsError> {
        if !(0.001..=3_600_000.0).contains(&self.mean_ms) {
            return Err(out_of_range(&format!("{key}.mean_ms"), "above zero, at most an hour"));
        }
        positive(&format!("{key}.slow"), self.slow)
    }
}

impl Page {
    fn check(&self, route: &str) -> Result<(), SettingsError> {
        self.cost.map_or(Ok(()), |cost| positive(&format!("routes.{route}.cost"), cost))
    }
}

impl Dependency {
    fn check(&self, name: &str) -> Result<(), SettingsError> {
        let key = format!("dependencies.{name}");
        if self.slots == 0 {
            return Err(out_of_range(&format!("{key}.slots"), "at least 1"));
        }
        self.service.check(&format!("{key}.service"))?;
        share(&format!("{key}.failing"), self.failing)
    }
}

fn positive(key: &str, value: f64) -> Result<(), SettingsError> {
    if value > 0.0 && value <= 1e6 { Ok(()) } else { Err(out_of_range(key, "above zero, at most a million")) }
}

fn share(key: &str, value: f64) -> Result<(), SettingsError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(out_of_range(key, "from 0 to 1")) }
}

fn out_of_range(key: &str, expected: &'static str) -> SettingsError {
    SettingsError::OutOfRange { key: key.into(), expected }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn as_usual() -> f64 {
    1.0
}

fn write<S: Serializer>(distribution: &Distribution, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(distribution)
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Distribution, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn write_some<S: Serializer>(distribution: &Option<Distribution>, serializer: S) -> Result<S::Ok, S::Error> {
    match distribution {
        Some(distribution) => write(distribution, serializer),
        None => serializer.serialize_none(),
    }
}

fn read_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Distribution>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Settings {
        let service = Service { mean_ms: 40.0, distribution: Distribution::default(), slow: 1.0 };
        Settings {
            workers: 16,
            service,
            thrash: 0.0,
            routes: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    #[test]
    fn patch_changes_what_it_names_and_nothing_else() {
        let patch =
            br#"{"workers": 8, "service": {"slow": 2}, "faults": [{"fault": "reset", "share": 0.1}]}"#;
        let patched = shop().patched(patch).unwrap();
        assert_eq!((patched.workers, patched.service.slow, patched.service.mean_ms), (8, 2.0, 40.0));
        assert_eq!((patched.faults[0].fault, patched.faults[0].share), (Kind::Reset, 0.1));
        let patch = br#"{"dependencies": {"payment": {"slots": 2, "service": {"mean_ms": 60}}},
                         "routes": {"order": {"needs": "payment", "distribution": "exponential"}}}"#;
        let patched = patched.patched(patch).unwrap();
        assert_eq!(patched.routes[&Route::Order].distribution, Some(Distribution::Exponential));
        assert_eq!(patched.patched(br#"{"routes": {"order": null}}"#).unwrap().routes, BTreeMap::new());
    }

    #[test]
    fn what_no_origin_can_be_is_refused_with_its_key() {
        for (patch, key) in [
            (r#"{"workers": 0}"#, "workers"),
            (r#"{"service": {"mean_ms": 0}}"#, "service.mean_ms"),
            (r#"{"service": {"slow": -1}}"#, "service.slow"),
            (r#"{"thrash": 2}"#, "thrash"),
            (r#"{"faults": [{"fault": "reset", "share": 7}]}"#, "faults[].share"),
            (r#"{"faults": [{"fault": "melt"}]}"#, "melt"),
            (r#"{"routes": {"order": {"needs": "payment"}}}"#, "payment"),
            (r#"{"worker": 3}"#, "worker"),
            ("[]", "not settings"),
            ("{", "not settings"),
        ] {
            let error = shop().patched(patch.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(key), "{patch}: {error}");
        }
    }
}
