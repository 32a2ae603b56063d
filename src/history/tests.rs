//! What is kept, what is held, and what the disk gives back.

use std::fs;

use super::*;
use crate::model::Scorer;
use crate::policy::compile::compile;
use crate::policy::compiled::CompiledPolicy;
use crate::yaml::source::Source;

fn generation(number: u64, class: &str) -> Generation {
    let source = Source::of("policy.yaml", &format!("version: 1\nclasses: {{ {class}: {{}} }}\n"));
    Generation::new(number, compile(&source).unwrap(), None)
}

fn record(history: &mut History, class: &str, cause: Cause, restores: Option<u64>) {
    let generation = generation(history.next_number(), class);
    let wall = Duration::from_secs(1_000);
    history.record(&Applied { generation: &generation, bundle: None, cause, restores, wall }).unwrap();
}

fn contents(class: &str) -> Contents {
    generation(0, class).contents()
}

#[test]
fn the_last_ten_are_kept_and_one_more_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(Some(directory.path())).unwrap();
    let count = |part: &str| fs::read_dir(directory.path().join("generations").join(part)).unwrap().count();
    for number in 1..=GENERATIONS_MAX {
        record(&mut history, &format!("class-{number}"), Cause::Reload, None);
    }
    assert_eq!((history.entries().count(), count("policies")), (GENERATIONS_MAX, GENERATIONS_MAX));
    record(&mut history, "one-more", Cause::Reload, None);
    assert_eq!((history.entries().count(), count("policies")), (GENERATIONS_MAX, GENERATIONS_MAX));
    assert!(matches!(history.restore(1), Err(HistoryError::Unknown { number: 1, .. })));
}

#[test]
fn a_pinned_generation_is_one_of_the_last_ten_until_another_is_pinned() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(Some(directory.path())).unwrap();
    let kept = |history: &History| history.entries().map(|entry| entry.number).collect::<Vec<_>>();
    record(&mut history, "trusted", Cause::Reload, None);
    history.pin(1);
    for number in 2..=15 {
        record(&mut history, &format!("class-{number}"), Cause::Reload, None);
    }
    assert_eq!(kept(&history), [1_u64, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    let found = History::open(Some(directory.path())).unwrap();
    assert_eq!(found.restore(1).unwrap().contents(), contents("trusted"), "on disk, too");
    history.pin(15);
    record(&mut history, "one-more", Cause::Reload, None);
    assert_eq!(kept(&history), (7..=16_u64).collect::<Vec<_>>());
}

#[test]
fn going_back_twice_goes_back_two_generations() {
    let mut history = History::default();
    assert_eq!(history.previous(), None);
    for class in ["one", "two", "three"] {
        record(&mut history, class, Cause::Reload, None);
    }
    assert_eq!(history.previous(), Some(2));
    record(&mut history, "two", Cause::Rollback, Some(2));
    assert_eq!(history.previous(), Some(1), "not the one just left");
    record(&mut history, "one", Cause::Rollback, Some(1));
    assert_eq!(history.previous(), None);
}

#[test]
fn going_back_again_and_again_never_leads_to_what_was_left() {
    let mut history = History::default();
    for class in ["one", "two", "left"] {
        record(&mut history, class, Cause::Reload, None);
    }
    record(&mut history, "two", Cause::Rollback, Some(2));
    record(&mut history, "another", Cause::Reload, None);
    assert_eq!(history.previous(), Some(4));
    record(&mut history, "two", Cause::Rollback, Some(4));
    assert_eq!(history.previous(), Some(1), "not 3, from which 4 went back");
    record(&mut history, "one", Cause::Rollback, Some(1));
    assert_eq!(history.previous(), None);
}

#[test]
fn what_was_left_is_held_until_a_file_is_applied() {
    let mut history = History::default();
    for class in ["one", "two"] {
        record(&mut history, class, Cause::Reload, None);
    }
    record(&mut history, "one", Cause::AutomaticRollback, Some(1));
    assert!(history.is_held(&contents("two")) && !history.is_held(&contents("one")));
    record(&mut history, "one", Cause::Mode, None);
    assert!(history.is_held(&contents("two")), "a word on the mode is no file");
    record(&mut history, "three", Cause::Reload, None);
    assert!(!history.is_held(&contents("two")));
}

#[test]
fn another_process_finds_the_same_history() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(Some(directory.path())).unwrap();
    for class in ["one", "two"] {
        record(&mut history, class, Cause::Reload, None);
    }
    record(&mut history, "one", Cause::Rollback, Some(1));
    let found = History::open(Some(directory.path())).unwrap();
    assert!(found.entries().eq(history.entries()));
    assert!(found.is_held(&contents("two")));
    let restored = found.restore(2).unwrap();
    assert_eq!(restored.contents(), contents("two"));
    assert_eq!(restored.policy.core.classes()[0].name, "two");
}

#[test]
fn a_bundle_is_kept_as_it_was_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/storefront");
    let policy = generation(1, "one").policy;
    let model = Scorer::load(&bundle).unwrap();
    let seal = model.seal().to_owned();
    let generation = Generation::new(1, CompiledPolicy::clone(&policy), Some(model));
    let applied = Applied {
        generation: &generation,
        bundle: Some(&bundle),
        cause: Cause::Start,
        restores: None,
        wall: Duration::ZERO,
    };
    History::open(Some(directory.path())).unwrap().record(&applied).unwrap();
    let kept = directory.path().join("generations/bundles").join(&seal);
    assert_eq!(fs::read(kept.join("model.onnx")).unwrap(), fs::read(bundle.join("model.onnx")).unwrap());
    let restored = History::open(Some(directory.path())).unwrap().restore(1).unwrap();
    assert_eq!(restored.model.unwrap().seal(), seal);
}

#[test]
fn a_policy_that_was_changed_on_disk_is_not_brought_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(Some(directory.path())).unwrap();
    record(&mut history, "one", Cause::Start, None);
    let kept = directory.path().join(format!("generations/policies/{}.json", contents("one").policy));
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, text.replace("one", "two")).unwrap();
    let found = History::open(Some(directory.path())).unwrap();
    assert!(matches!(found.restore(1), Err(HistoryError::Damaged { .. })));
    fs::write(directory.path().join("generations/index.json"), "{").unwrap();
    assert!(matches!(History::open(Some(directory.path())), Err(HistoryError::Damaged { .. })));
}
