//! What holds after every event, whatever happens: the controller against a shadow that only counts.
//!
//! Each event is decoded from one random number, so that proptest shrinks a failure to the fewest
//! events, and a plain sweep covers long stories. The checks are in `shadow`.

mod random;
mod shadow;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use random::Random;
use shadow::{Seen, Shadow};

const SEEDS: u64 = 256;
const EVENTS: usize = 3_000;
/// Set to a seed to replay that one alone.
const SEED_VARIABLE: &str = "PLIMSOLL_SEED";

proptest! {
    // The failing input is printed; a file of old failures would only be read by who has it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_in_every_short_story(seed in any::<u64>(), events in vec(any::<u64>(), 1..300)) {
        let mut shadow = Shadow::new(seed);
        events.into_iter().for_each(|bits| shadow.live_through(bits));
        shadow.close();
    }
}

#[test]
fn invariants_hold_in_every_long_story() {
    let chosen = std::env::var(SEED_VARIABLE).ok();
    let seeds = match &chosen {
        Some(seed) => vec![seed.parse().expect("the seed is a number")],
        None => (0..SEEDS).collect(),
    };
    let mut seen = Seen::default();
    for seed in seeds {
        let _announce = Announce(seed);
        seen.include(&tell_story(seed));
    }
    if chosen.is_none() {
        assert_eq!(seen.missing(), Vec::<&str>::new(), "stories in which this never happens prove little");
    }
}

fn tell_story(seed: u64) -> Seen {
    let mut random = Random(seed);
    let mut shadow = Shadow::new(random.bits());
    for _ in 0..EVENTS {
        shadow.live_through(random.bits());
    }
    shadow.close()
}

/// Says how to replay a seed whose story ended in a panic.
struct Announce(u64);

impl Drop for Announce {
    #[expect(clippy::print_stderr, reason = "a failure without its seed cannot be replayed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("replay: {SEED_VARIABLE}={seed} cargo test -p plimsoll-core --test invariants long");
        }
    }
}
