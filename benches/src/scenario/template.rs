//! What is asked for: kinds of requests, and the paths they stand for.

use super::headers;
use super::origin::Origin;
use crate::units::{DURATION, METHOD, POSITIVE};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use plimsoll::yaml::diagnostic::Mistake;
use plimsoll::yaml::field::Field;
use plimsoll::yaml::units::Kind;
use std::fmt;
use std::time::Duration;

/// How a path is written.
const PATH: Kind<PathPattern> = Kind { pattern: "^/", read: PathPattern::parse };
/// The longest body: what plimsoll takes unless it is told otherwise.
const BYTES_MAX: usize = 1 << 30;
/// Words that thresholds have for something else.
const NO_CLASSES: [&str; 3] = ["all", "shed", "sessions"];
/// What browsers say they are.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) plimsoll-bench";
/// What bots say they are.
const BOT: &str = "Mozilla/5.0 (compatible; plimsoll-bench-bot/1.0; +http://example.com/bot)";

/// A kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// What it is.
    pub(crate) name: String,
    /// The class under which its outcome is counted.
    pub(crate) class: String,
    /// The request method.
    pub(crate) method: Method,
    /// One of these is asked for. `{500}` stands for a number from 1 to 500.
    pub(crate) paths: Vec<PathPattern>,
    /// The request body, if it has one.
    pub(crate) body: String,
    /// What it says besides: all headers that do not depend on the target or the shopper.
    pub(crate) headers: HeaderMap,
    /// What it costs the origin, in units.
    pub(crate) cost: f64,
    /// How often it is drawn, relative to the others; never, if it only comes with a page or in a funnel.
    pub(crate) weight: f64,
    /// Overrides the scenario's.
    pub(crate) slo: Option<Duration>,
    /// Overrides the scenario's.
    pub(crate) patience: Option<Duration>,
    /// Who sends it.
    pub(crate) shopper: ShopperKind,
    /// What a browser asks for once it has the answer: places in the mix.
    pub(crate) loads: Vec<usize>,
    /// What its answer in time is worth to the shop, in simulation.
    worth: Option<f64>,
    /// How long its client takes to send it; in simulation, once it is let in.
    pub(crate) upload: Option<Duration>,
    /// How long its body is at least, over sockets.
    pub(crate) upload_bytes: Option<usize>,
    /// How long its answer takes from the first byte to the last.
    pub(crate) download: Option<Duration>,
    /// How long that answer is, over sockets.
    pub(crate) download_bytes: Option<usize>,
    /// The dependency its worker calls before it can answer.
    pub(crate) needs: Option<String>,
}

impl Template {
    /// What its answer in time is worth to the shop: its cost, unless the scenario says more.
    pub(crate) fn worth(&self) -> f64 {
        self.worth.unwrap_or(self.cost)
    }

    fn read(field: &Field<'_>, origin: Option<&Origin>) -> Option<Template> {
        let template = field.section()?;
        let text = |key, example| template.require(key, example).and_then(|field| field.text());
        let duration = |key| template.get(key).and_then(|field| field.read_as(&DURATION));
        let number = |key| template.get(key).and_then(|field| field.number(POSITIVE));
        let name = text("name", "`name: product`");
        let class = template.require("class", "`class: browse`").and_then(|field| field.parsed(class));
        let method = template.get("method").and_then(|field| field.read_as(&METHOD));
        let paths = template.require("paths", "`paths: [\"/product/{500}\"]`").map(|field| paths(&field));
        let body = template.get("body").and_then(|field| field.text()).unwrap_or_default();
        let headers = template.get("headers").map(|field| headers::read(&field)).unwrap_or_default();
        let cost = number("cost");
        let weight = template.require("weight", "`weight: 10`");
        let weight = weight.and_then(|field| field.number(0.0..=*POSITIVE.end()));
        let shopper = template.get("shopper").and_then(|field| field.choice(&ShopperKind::WORDS));
        let shopper = shopper.unwrap_or_default();
        let (slo, patience) = (duration("slo"), duration("patience"));
        let (upload, download, worth) = (duration("upload"), duration("download"), number("worth"));
        let bytes = |key| template.get(key).and_then(|field| field.number(1..=BYTES_MAX));
        let (upload_bytes, download_bytes) = (bytes("upload_bytes"), bytes("download_bytes"));
        let needs = template.get("needs").and_then(|field| field.parsed(|name| dependency(name, origin)));
        // Read again when all names are known: see `read_mix`.
        template.get("loads");
        template.close();
        Some(Template {
            name: name?.to_owned(),
            class: class?,
            method: method.unwrap_or(Method::GET),
            paths: paths?,
            body: body.to_owned(),
            headers: headers::with_usual(headers, shopper.agent(), body),
            cost: cost.unwrap_or(1.0),
            weight: weight?,
            slo,
            patience,
            shopper,
            loads: Vec::new(),
            worth,
            upload,
            upload_bytes,
            download,
            download_bytes,
            needs,
        })
    }
}

/// The requests of a scenario; empty if one of them cannot be read, so that nothing is missed in vain.
pub(super) fn read_mix(field: &Field<'_>, origin: Option<&Origin>) -> Vec<Template> {
    let items = field.list();
    if items.is_empty() {
        field.report(Mistake::new("the list is empty").hint("a mix has at least one request"));
    }
    let read: Vec<Option<Template>> = items.iter().map(|item| Template::read(item, origin)).collect();
    let mut mix: Vec<Template> = read.into_iter().collect::<Option<Vec<Template>>>().unwrap_or_default();
    let names: Vec<String> = mix.iter().map(|template| template.name.clone()).collect();
    for (index, item) in items.iter().enumerate() {
        let loads = item.section().and_then(|section| section.get("loads"));
        let loads = loads.map(|field| read_loads(&field, &names)).unwrap_or_default();
        if let Some(template) = mix.get_mut(index) {
            template.loads = loads;
        }
    }
    if !mix.is_empty() && mix.iter().all(|template| template.weight == 0.0) {
        field.report(Mistake::new("no request is ever drawn").hint("give one a `weight` above zero"));
    }
    mix
}

/// What comes with a page, and nothing with that: an asset loads no assets.
fn read_loads(field: &Field<'_>, names: &[String]) -> Vec<usize> {
    let place = |name: &str| {
        let found = names.iter().position(|other| other == name);
        found.ok_or_else(|| Mistake::unknown("request of the mix", name, names.iter().map(String::as_str)))
    };
    let read = field.list_or_one().into_iter().map(|item| match names {
        // Then the mix has mistakes of its own.
        [] => item.text().and(None),
        _ => item.parsed(place),
    });
    read.flatten().collect()
}

fn class(name: &str) -> Result<String, Mistake> {
    // In reports, thresholds and the selectors of other tools it stands between signs.
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    if NO_CLASSES.contains(&name) || name.is_empty() || !name.chars().all(is_word) {
        let hint = "one word of letters, digits, `-` and `_`, and none of `all`, `shed` and `sessions`, which \
                    thresholds use";
        return Err(Mistake::new(format!("`{name}` cannot be a class")).hint(hint));
    }
    Ok(name.to_owned())
}

fn dependency(name: &str, origin: Option<&Origin>) -> Result<String, Mistake> {
    let known = origin.map(|origin| &origin.dependencies);
    match known.filter(|known| !known.contains_key(name)) {
        Some(known) => Err(Mistake::unknown("dependency", name, known.keys().map(String::as_str))),
        None => Ok(name.to_owned()),
    }
}

fn paths(field: &Field<'_>) -> Vec<PathPattern> {
    let items = field.list();
    if items.is_empty() {
        field.report(Mistake::new("the list is empty").hint("it needs at least one path"));
    }
    items.iter().filter_map(|item| item.read_as(&PATH)).collect()
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ShopperKind {
    /// Any visitor.
    #[default]
    Anyone,
    /// One of those who buy.
    Buyer,
    /// One session that sends all of these.
    Abuser,
    /// A crawler: it says so, keeps no cookies, and each of its requests stands alone.
    Bot,
}

impl ShopperKind {
    const WORDS: [(&'static str, ShopperKind); 4] = [
        ("anyone", ShopperKind::Anyone),
        ("buyer", ShopperKind::Buyer),
        ("abuser", ShopperKind::Abuser),
        ("bot", ShopperKind::Bot),
    ];

    /// What such a shopper's browser says it is.
    pub(super) fn agent(self) -> &'static str {
        match self {
            ShopperKind::Anyone | ShopperKind::Buyer | ShopperKind::Abuser => BROWSER,
            ShopperKind::Bot => BOT,
        }
    }
}

/// A path with at most one `{n}` in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PathPattern {
    prefix: String,
    variants: Option<u32>,
    suffix: String,
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variants {
            Some(variants) => write!(f, "{}{{{variants}}}{}", self.prefix, self.suffix),
            None => f.write_str(&self.prefix),
        }
    }
}

impl PathPattern {
    /// How many paths it stands for.
    pub(crate) fn variants(&self) -> u32 {
        self.variants.unwrap_or(1)
    }

    /// The path with `number` in its place.
    pub(crate) fn fill(&self, number: u32) -> String {
        match self.variants {
            Some(_) => format!("{}{number}{}", self.prefix, self.suffix),
            None => self.prefix.clone(),
        }
    }

    fn parse(text: &str) -> Result<PathPattern, Mistake> {
        let pattern = PathPattern::split(text);
        let valid =
            |pattern: &PathPattern| text.starts_with('/') && pattern.fill(1).parse::<PathAndQuery>().is_ok();
        let mistake = || Mistake::new(format!("`{text}` is not a path")).hint("write it like /product/{500}");
        pattern.filter(valid).ok_or_else(mistake)
    }

    fn split(text: &str) -> Option<PathPattern> {
        let Some((prefix, rest)) = text.split_once('{') else {
            return Some(PathPattern { prefix: text.into(), variants: None, suffix: String::new() });
        };
        let (count, suffix) = rest.split_once('}')?;
        let count = count.parse().ok().filter(|count| *count > 0)?;
        Some(PathPattern { prefix: prefix.into(), variants: Some(count), suffix: suffix.into() })
    }
}
