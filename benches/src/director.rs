//! Lets happen to the shop what a scenario says, over the origin's control port.
//!
//! Before the run the origin becomes the shop that the scenario describes; as each
//! phase begins, its workers, its pace and its faults become the phase's. So what is
//! simulated can be played over sockets from the same file.

use crate::client::{Answer, Client, ClientError};
use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::origin::Stats;
use crate::origin::settings::Settings;
use crate::scenario::Scenario;
use crate::scenario::phase::Phase;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use std::net::SocketAddr;
use std::time::Duration;

/// How long an origin has to do as it is told. Its control port answers at once while the shop is overloaded.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// One who can change the shop.
#[derive(Debug)]
pub(crate) struct Director {
    address: SocketAddr,
}

/// Why the shop is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectorError {
    #[error(
        "this scenario changes the shop ({keys}): use `load` and give it the control port of the origin, \
         `--origin-control 127.0.0.1:3001`"
    )]
    NoControl { keys: String },
    #[error("this scenario slows down or breaks one endpoint, which can only be simulated")]
    Endpoint,
    #[error("the origin's control port does not answer")]
    Client(#[from] ClientError),
    #[error("the origin's control port at {address} says nothing for {TOLD_WITHIN:?}: it hangs")]
    Silent { address: SocketAddr },
    #[error("the origin at {address} does not become like the scenario: {answer}")]
    Refused { address: SocketAddr, answer: String },
    #[error("the origin's statistics make no sense")]
    Stats(#[from] serde_json::Error),
}

impl Director {
    /// The director of `scenario`, if the user names the control port of an origin.
    pub(crate) fn of(
        scenario: &Scenario,
        control: Option<SocketAddr>,
    ) -> Result<Option<Director>, DirectorError> {
        let places = scenario.phases.iter().flat_map(|phase| phase.slow.keys().chain(phase.failing.keys()));
        if places.into_iter().any(|place| place.starts_with("endpoint ")) {
            return Err(DirectorError::Endpoint);
        }
        let keys = changes(scenario);
        match control {
            None if !keys.is_empty() => Err(DirectorError::NoControl { keys: keys.join(", ") }),
            control => Ok(control.map(|address| Director { address })),
        }
    }

    /// Makes the origin the shop of the scenario.
    pub(crate) async fn prepare(&self, scenario: &Scenario) -> Result<(), DirectorError> {
        let first = scenario.phases.first();
        self.set(&first.map_or(Settings::of(scenario), |phase| Settings::of(scenario).in_phase(phase))).await
    }

    /// Lets happen what phases say, each at its beginning.
    pub(crate) async fn direct(&self, scenario: &Scenario, clock: Clock) -> Result<(), DirectorError> {
        let shop = Settings::of(scenario);
        for (phase, span) in scenario.phases.iter().zip(scenario.spans()).skip(1) {
            tokio::time::sleep_until(clock.instant(span.start)).await;
            self.set(&shop.in_phase(phase)).await?;
        }
        Ok(())
    }

    /// What the origin has done so far.
    pub(crate) async fn stats(&self) -> Result<Stats, DirectorError> {
        let client = Client::new(self.address);
        let answer = self.told(client.get("/stats")).await?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// A shop that hangs may not make a run wait, nor stay as it was without a word.
    async fn told(
        &self,
        answer: impl Future<Output = Result<Answer, ClientError>>,
    ) -> Result<Answer, DirectorError> {
        let answer = tokio::time::timeout(TOLD_WITHIN, answer).await;
        Ok(answer.map_err(|_| DirectorError::Silent { address: self.address })??)
    }

    async fn set(&self, settings: &Settings) -> Result<(), DirectorError> {
        let address = self.address;
        let body = serde_json::to_vec(settings)?;
        let request = Request::put("/settings")
            .header(header::HOST, address.to_string())
            .body(Delivery::whole(Bytes::from(body)))
            .expect("the path is one of ours");
        let client = Client::new(address);
        let answer = self.told(client.exchange(request)).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            _ => {
                let answer = String::from_utf8_lossy(&answer.body).trim_end().to_owned();
                Err(DirectorError::Refused { address, answer })
            }
        }
    }
}

/// The keys in use that a running shop must follow.
fn changes(scenario: &Scenario) -> Vec<&'static str> {
    let phase = |used: fn(&Phase) -> bool| scenario.phases.iter().any(used);
    let keys = [
        ("origin.dependencies", !scenario.origin.dependencies.is_empty()),
        ("phases[].workers", phase(|phase| phase.workers.0 != 1.0)),
        ("phases[].slow", phase(|phase| !phase.slow.is_empty())),
        ("phases[].failing", phase(|phase| !phase.failing.is_empty())),
        ("phases[].faults", phase(|phase| !phase.faults.is_empty())),
    ];
    keys.into_iter().filter(|(_, used)| *used).map(|(key, _)| key).collect()
}
