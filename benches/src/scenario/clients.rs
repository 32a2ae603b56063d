//! How clients behave beyond sending one request: visits, bursts, retries, funnels.

use super::template::Template;
use crate::units::{DURATION, FRACTION, POSITIVE, Positive, TIMES, Times};
use plimsoll::yaml::diagnostic::Mistake;
use plimsoll::yaml::field::Field;
use std::time::Duration;

/// The people behind the requests. Their number follows from the load: one who
/// sends a request every `pause` accounts for `1 / pause` requests per second.
#[derive(Clone, Debug)]
pub(crate) struct Shoppers {
    /// Requests in one visit; then somebody new takes the place.
    pub(crate) visit: u32,
    /// The mean time between two requests of one shopper.
    pub(crate) pause: Duration,
    /// The share of shoppers who send the requests marked `shopper: buyer`.
    pub(crate) buyers: f64,
}

impl Default for Shoppers {
    /// Twenty requests, three seconds apart: a visit of a minute. An assumption:
    /// no target depends on it.
    fn default() -> Shoppers {
        Shoppers { visit: 20, pause: Duration::from_secs(3), buyers: 0.25 }
    }
}

impl Shoppers {
    pub(super) fn read(field: &Field<'_>) -> Option<Shoppers> {
        let shoppers = field.section()?;
        let usual = Shoppers::default();
        let visit = shoppers.get("visit").and_then(|field| field.number(1..=1_000_000_u32));
        let pause = shoppers.get("pause").and_then(|field| field.read_as(&DURATION));
        let buyers = shoppers.get("buyers").and_then(|field| field.read_as(&FRACTION));
        shoppers.close();
        Some(Shoppers {
            visit: visit.unwrap_or(usual.visit),
            pause: pause.unwrap_or(usual.pause),
            buyers: buyers.unwrap_or(usual.buyers),
        })
    }
}

/// Load that comes in bursts: a process that is switched on and off, for exponential times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bursts {
    /// How long a burst lasts in the mean.
    pub(crate) on: Duration,
    /// How long it is calm between two, in the mean.
    pub(crate) off: Duration,
    /// The load in a burst, as a multiple of the mean. What is left comes in between.
    pub(crate) peak: Times,
}

impl Bursts {
    /// The load between two bursts, as a multiple of the mean.
    pub(crate) fn trough(&self) -> f64 {
        let (on, off) = (self.on.as_secs_f64(), self.off.as_secs_f64());
        ((on + off - self.peak.0 * on) / off).max(0.0)
    }

    pub(super) fn read(field: &Field<'_>) -> Option<Bursts> {
        let bursts = field.section()?;
        let on = bursts.require("on", "`on: 2s`").and_then(|field| field.read_as(&DURATION));
        let off = bursts.require("off", "`off: 8s`").and_then(|field| field.read_as(&DURATION));
        let peak = bursts.require("peak", "`peak: 3x`").and_then(|field| field.read_as(&TIMES));
        bursts.close();
        let bursts = Bursts { on: on?, off: off?, peak: peak? };
        if bursts.exceed_the_mean() {
            let mistake = Mistake::new("the bursts alone are more than the load");
            field.report(mistake.hint("`peak` x `on` is at most `on` + `off`"));
        }
        Some(bursts)
    }

    fn exceed_the_mean(&self) -> bool {
        self.peak.0 * self.on.as_secs_f64() > (self.on + self.off).as_secs_f64()
    }
}

/// What a client does that was refused, failed or lost patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    /// How often a request is sent again.
    pub(crate) attempts: u32,
    /// The pause before the first retry; it doubles with each.
    pub(crate) backoff: Duration,
    /// How the pause is drawn.
    pub(crate) jitter: Jitter,
}

impl Retries {
    pub(super) fn read(field: &Field<'_>) -> Option<Retries> {
        let retries = field.section()?;
        let attempts = retries.require("attempts", "`attempts: 3`");
        let attempts = attempts.and_then(|field| field.number(1..=100_u32));
        let backoff = retries.require("backoff", "`backoff: 500ms`");
        let backoff = backoff.and_then(|field| field.read_as(&DURATION));
        let jitters = [("none", Jitter::None), ("full", Jitter::Full)];
        let jitter = retries.get("jitter").and_then(|field| field.choice(&jitters));
        retries.close();
        Some(Retries { attempts: attempts?, backoff: backoff?, jitter: jitter.unwrap_or_default() })
    }
}

/// How the pause before a retry is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Jitter {
    /// As it is: those refused together return together.
    #[default]
    None,
    /// Uniform from nothing to twice the pause.
    Full,
}

/// Shoppers who go from step to step, and give up where they are not served.
#[derive(Clone, Debug)]
pub(crate) struct Funnel {
    /// For people.
    pub(crate) name: String,
    /// Sessions that begin per second while the load is 1x; in proportion to it at every moment.
    pub(crate) begin: Positive,
    /// The mean time a shopper thinks between an answer and the next step.
    pub(crate) think: Duration,
    /// What is asked for at each step: one of these, by their places in the mix.
    pub(crate) steps: Vec<Vec<usize>>,
}

impl Funnel {
    pub(super) fn read(field: &Field<'_>, mix: &[Template]) -> Option<Funnel> {
        let funnel = field.section()?;
        let name = funnel.require("name", "`name: buyer`").and_then(|field| field.text());
        let begin = funnel.require("begin", "`begin: 8`").and_then(|field| field.number(POSITIVE));
        let think = funnel.require("think", "`think: 2s`").and_then(|field| field.read_as(&DURATION));
        let steps = funnel.require("steps", "`steps: [browse, cart, checkout]`");
        let steps = steps.map(|field| read_steps(&field, mix));
        funnel.close();
        let name = name.unwrap_or_default().to_owned();
        Some(Funnel { name, begin: Positive(begin?), think: think?, steps: steps? })
    }
}

fn read_steps(field: &Field<'_>, mix: &[Template]) -> Vec<Vec<usize>> {
    let items = field.list();
    if items.is_empty() {
        field.report(Mistake::new("the list is empty").hint("a funnel has at least one step"));
    }
    items.iter().filter_map(|item| item.parsed(|name| step(name, mix))).collect()
}

/// The requests of that name, or of that class.
fn step(name: &str, mix: &[Template]) -> Result<Vec<usize>, Mistake> {
    let all = |is_meant: fn(&Template, &str) -> bool| {
        let all = mix.iter().enumerate().filter(|(_, template)| is_meant(template, name));
        all.map(|(index, _)| index).collect::<Vec<usize>>()
    };
    let named = all(|template, name| template.name == name);
    let found = if named.is_empty() { all(|template, name| template.class == name) } else { named };
    if found.is_empty() && !mix.is_empty() {
        let known = mix.iter().flat_map(|template| [template.class.as_str(), template.name.as_str()]);
        return Err(Mistake::unknown("class or request of the mix", name, known));
    }
    Ok(found)
}
