//! Who is put to the test: everybody who is installed, or of these whom the user names.
//!
//! A name on the command line is short and always the same; a row tells the number that a
//! contestant was given as well, which may only be found by trying. HAProxy's best
//! `maxconn` is looked for where somebody needs it, for that takes two minutes.

use super::CompareArgs;
use super::sweep::Sweep;
use crate::contestant::{Contestant, Peer};
use crate::peers::{Places, Program};
use crate::scenario::Scenario;
use crate::stage::ProxyArgs;
use crate::terminal;
use clap::ValueEnum;
use std::path::PathBuf;

/// What a contestant is called on the command line. This is also the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    /// This project
    Plimsoll,
    /// HAProxy with its best maxconn
    Haproxy,
    /// HAProxy with a maxconn that is guessed wrong
    HaproxyGuess,
    /// Envoy with adaptive concurrency
    EnvoyAdaptive,
    /// Envoy with admission control
    EnvoyAdmission,
    /// nginx with limit_conn
    Nginx,
    /// Pingora, and nothing else
    BarePingora,
    /// The shop alone
    NoProxy,
}

/// Who is put to the test, and how HAProxy's best `maxconn` was found, if it had to be.
pub(super) struct Field {
    pub(super) contestants: Vec<Contestant>,
    pub(super) sweep: Option<Sweep>,
}

impl Name {
    /// Whose binary it needs, of other people's.
    fn program(self) -> Option<Program> {
        match self {
            Name::Plimsoll | Name::NoProxy => None,
            Name::Haproxy | Name::HaproxyGuess => Some(Program::Haproxy),
            Name::EnvoyAdaptive | Name::EnvoyAdmission => Some(Program::Envoy),
            Name::Nginx => Some(Program::Nginx),
            Name::BarePingora => Some(Program::BarePingora),
        }
    }

    /// Whether it is told how much the shop can carry.
    fn is_told_the_best(self) -> bool {
        matches!(self, Name::Haproxy | Name::Nginx)
    }
}

/// All who are asked for and installed; who is not installed is named.
pub(super) async fn field(args: &CompareArgs, scenario: &Scenario) -> anyhow::Result<Field> {
    let mut names = asked_for(&args.only);
    let own = names.contains(&Name::Plimsoll).then(|| args.proxy.find(&args.places)).transpose()?;
    let own = own.map(|own| ProxyArgs { policy: args.policy.clone(), ..own });
    let installed = installed(&names, &args.places);
    let path = |program: Program| {
        let found = installed.iter().find(|(known, _)| *known == program);
        found.map(|(_, path)| path.clone())
    };
    names.retain(|name| name.program().is_none_or(|program| path(program).is_some()));
    anyhow::ensure!(!names.is_empty(), "nobody of `--only` is installed: see `make peers`");
    let is_best_needed = args.maxconn.is_none() && names.iter().any(|name| name.is_told_the_best());
    let sweep = match Program::Haproxy.find(&args.places) {
        Some(path) if is_best_needed => Some(Sweep::of(scenario, &path).await?),
        _ => None,
    };
    // nginx alone needs one, too: a request for each worker, and a quarter more on the way.
    let usual = || (scenario.origin.workers * 5).div_ceil(4) as u32;
    let best = args.maxconn.or(sweep.as_ref().map(Sweep::best)).unwrap_or_else(usual);
    let contestant = |name: &Name| {
        let peer = match name {
            Name::Plimsoll => return own.clone().map(Contestant::Plimsoll),
            Name::NoProxy => return Some(Contestant::Direct),
            Name::Haproxy => Peer::haproxy(path(Program::Haproxy)?, best),
            Name::HaproxyGuess => Peer::haproxy(path(Program::Haproxy)?, args.guess),
            Name::EnvoyAdaptive => Peer::envoy_adaptive(path(Program::Envoy)?),
            Name::EnvoyAdmission => Peer::envoy_admission(path(Program::Envoy)?),
            Name::Nginx => Peer::nginx(path(Program::Nginx)?, best),
            Name::BarePingora => Peer::bare_pingora(path(Program::BarePingora)?),
        };
        Some(Contestant::Peer(peer))
    };
    Ok(Field { contestants: names.iter().filter_map(contestant).collect(), sweep })
}

/// Everybody if nobody is named; each once, in the order of rows.
fn asked_for(only: &[Name]) -> Vec<Name> {
    let everybody = Name::value_variants().iter().copied();
    everybody.filter(|name| only.is_empty() || only.contains(name)).collect()
}

/// The binaries that these need, each once; what is missing is named.
fn installed(names: &[Name], places: &Places) -> Vec<(Program, PathBuf)> {
    let mut programs: Vec<Program> = names.iter().filter_map(|name| name.program()).collect();
    // Who share one stand together.
    programs.dedup();
    let mut installed = Vec::new();
    for program in programs {
        match program.find(places) {
            Some(path) => installed.push((program, path)),
            None => terminal::line(&program.missing()),
        }
    }
    installed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_comes_unless_some_are_named_and_then_each_once_in_the_order_of_rows() {
        assert_eq!(asked_for(&[]), Name::value_variants());
        let named = [Name::NoProxy, Name::HaproxyGuess, Name::Plimsoll, Name::NoProxy];
        assert_eq!(asked_for(&named), [Name::Plimsoll, Name::HaproxyGuess, Name::NoProxy]);
    }

    #[test]
    fn best_maxconn_is_looked_for_where_somebody_is_told_it() {
        let told: Vec<Name> = asked_for(&[]).into_iter().filter(|name| name.is_told_the_best()).collect();
        assert_eq!(told, [Name::Haproxy, Name::Nginx]);
    }
}
