//! What windows of a few answers say.

use super::*;

const SEATS: u32 = 8;

/// All seats are out, so many of them for requests without a first byte.
fn set_out(measurement: &mut Measurement, unanswered: u32) {
    measurement.set_out(SEATS, true, Time::ZERO);
    measurement.set_unanswered(ClassId::new(0).unwrap(), unanswered, Time::ZERO);
}

/// Answers of two classes that take so many seconds, where the first is known to take a tenth of one.
fn ratio(answers: &[(usize, f64)]) -> f64 {
    let mut known = Baseline::remembered(Duration::from_millis(100));
    let unknown = Baseline::default();
    let mut measurement = Measurement::default();
    set_out(&mut measurement, SEATS);
    for &(class, seconds) in answers {
        known.add(seconds);
        measurement.add(class, seconds, if class == 0 { &known } else { &unknown }, 0.1);
    }
    measurement.result(Time::from_millis(100)).ratio
}

#[test]
fn class_without_a_baseline_has_no_vote() {
    assert!((ratio(&[(0, 0.3), (1, 0.4), (1, 0.4), (1, 0.4)]) - 3.0).abs() < 1e-9);
}

/// Of eight seats two are held by downloads, and three answers took so many seconds instead of a tenth of one.
fn with_downloads(seconds: f64) -> (Measurement, Baseline) {
    let baseline = Baseline::remembered(Duration::from_millis(100));
    let mut measurement = Measurement::default();
    set_out(&mut measurement, 6);
    (0..3).for_each(|_| measurement.add(0, seconds, &baseline, 0.1));
    (measurement, baseline)
}

#[test]
fn throughput_counts_answers_and_the_seats_that_wait_for_them() {
    let (mut measurement, baseline) = with_downloads(0.1);
    measurement.add_unfinished(0, 0.3, &baseline);
    measurement.result(Time::from_millis(100));
    let throughput = measurement.throughput(Time::from_millis(100));
    assert!((throughput.seats - 6.0).abs() < 1e-9, "{throughput:?}");
    let baselines = [baseline; CLASSES_MAX];
    assert!((throughput.done(&baselines) - 3.0).abs() < 1e-9, "thirty a second of a tenth of a second each");
}

#[test]
fn who_has_a_first_byte_does_not_wait() {
    // Answers take twice as long as they should.
    let (mut measurement, _) = with_downloads(0.2);
    let seen = measurement.result(Time::from_millis(100));
    assert!((seen.work - 5.0).abs() < 1e-9 && (seen.waiting() - 3.0).abs() < 1e-9, "{seen:?}");
}

/// The classes that are slow by themselves where one takes 20 ms when all is well, another 60 ms, and both
/// take what `answers` says.
fn slow_alone(answers: [f64; 2]) -> ClassSet {
    let baselines = [20, 60].map(|millis| Baseline::remembered(Duration::from_millis(millis)));
    let mut measurement = Measurement::default();
    set_out(&mut measurement, SEATS);
    for (class, (seconds, baseline)) in answers.iter().zip(&baselines).enumerate() {
        (0..40 + class).for_each(|_| measurement.add(class, *seconds, baseline, 0.1));
    }
    measurement.result(Time::from_millis(1_000)).slow_alone
}

#[test]
fn quick_class_that_waits_as_long_as_the_others_is_not_slow_by_itself() {
    // Each waits for half a second: 26 times what is healthy for one, and nine times for the other.
    assert_eq!(slow_alone([0.52, 0.56]), ClassSet::EMPTY);
    // Each takes ten times as long.
    assert_eq!(slow_alone([0.2, 0.6]), ClassSet::EMPTY);
    let slow = ClassId::new(0).into_iter().collect();
    assert_eq!(slow_alone([2.0, 0.56]), slow);
    assert_eq!(slow_alone([0.2, 0.06]), slow);
}

#[test]
fn client_who_leaves_before_a_class_is_known_says_nothing_of_its_spread() {
    let mut known = Baseline::remembered(Duration::from_millis(100));
    let mut measurement = Measurement::default();
    set_out(&mut measurement, SEATS);
    for _ in 0..40 {
        known.add(0.1);
        measurement.add(0, 0.1, &known, 0.1);
    }
    measurement.add_unfinished(1, 0.3, &Baseline::default());
    assert_eq!(measurement.maturity(Wanted::of(0.12), Time::from_millis(300)), Maturity::Full);
}

#[test]
fn pool_of_which_nothing_is_known_is_well() {
    assert_eq!(ratio(&[(1, 0.3), (1, 0.5)]), 1.0);
}

#[test]
fn what_is_missing_of_a_class_are_those_who_wait_still() {
    let (first, second) = (ClassId::new(0).unwrap(), ClassId::new(1).unwrap());
    let baseline = Baseline::remembered(Duration::from_millis(100));
    let mut measurement = Measurement::default();
    measurement.set_unanswered(first, 4, Time::ZERO);
    // Let in half way through the window: only its quickest has been answered.
    measurement.set_unanswered(second, 8, Time::from_millis(50));
    measurement.add(0, 0.05, &baseline, 0.1);
    measurement.add(0, 0.15, &baseline, 0.1);
    measurement.add(1, 0.04, &baseline, 0.1);
    let missing = |class| measurement.missing_of(class, Time::from_millis(100));
    assert!((missing(0) - 0.4 / 0.2).abs() < 1e-9, "{}", missing(0));
    assert!((missing(1) - 0.4 / 0.04).abs() < 1e-9, "{}", missing(1));
    assert_eq!(missing(2), 1.0, "nothing is known of it");
    assert!((measurement.missing(Time::from_millis(100)) - 0.8 / 0.24).abs() < 1e-9);
}
