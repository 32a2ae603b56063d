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

const EVENTS: usize = 3_000;
/// How many seeds a sweep has, if this says nothing else.
const SEEDS: u64 = 256;
const SEEDS_VARIABLE: &str = "PLIMSOLL_SEEDS";
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
    if let Some(seed) = number_in(SEED_VARIABLE) {
        tell_story(seed);
        return;
    }
    let seeds = number_in(SEEDS_VARIABLE).unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let seen = std::thread::scope(|scope| {
        let sweep = |first| scope.spawn(move || sweep((first..seeds).step_by(threads as usize)));
        let sweeps: Vec<_> = (0..threads).map(sweep).collect();
        sweeps.into_iter().fold(Seen::default(), |mut seen, sweep| {
            seen.include(&sweep.join().expect("a story broke an invariant: its seed is above"));
            seen
        })
    });
    assert_eq!(seen.missing(), Vec::<&str>::new(), "stories in which this never happens prove little");
}

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number")))
}

fn sweep(seeds: impl Iterator<Item = u64>) -> Seen {
    let mut seen = Seen::default();
    seeds.for_each(|seed| seen.include(&tell_story(seed)));
    seen
}

fn tell_story(seed: u64) -> Seen {
    let _announce = Announce(seed);
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
