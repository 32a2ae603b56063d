//! Which edits are taken back and which are not.

use plimsoll_core::policy::Mode;

use super::*;
use crate::config::Config;
use crate::history::GENERATIONS_MAX;
use crate::serving::Applying;

/// A process without sockets, whose requests are counted by hand.
struct Watched {
    serving: Arc<Serving>,
    vigil: Vigil,
    files: tempfile::TempDir,
}

impl Watched {
    /// One that has served well for a while.
    fn by(more: &str) -> Watched {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("policy.yaml");
        std::fs::write(&path, policy(more)).unwrap();
        let serving = Serving::start(Config { policy: Some(path), ..Config::default() }).unwrap();
        let vigil = Vigil::begin(&serving);
        let mut watched = Watched { serving, vigil, files };
        assert_eq!(watched.slices(SLICES, Slice { kept: 20, missed: 0 }), None);
        watched
    }

    fn edit(&self, more: &str) {
        std::fs::write(self.files.path().join("policy.yaml"), policy(more)).unwrap();
        self.serving.reload(Applying::Changed).unwrap();
    }

    fn apply(&mut self, more: &str) {
        self.edit(more);
        // The slice in which it came.
        assert_eq!(self.slices(1, Slice { kept: 0, missed: 20 }), None);
    }

    fn keeps(&self, number: u64) -> bool {
        self.serving.generations().iter().any(|entry| entry.number == number)
    }

    /// The class that is found worse within so many slices like this one.
    fn slices(&mut self, count: usize, slice: Slice) -> Option<String> {
        (0..count).find_map(|_| {
            count_in(&self.serving.running(), slice);
            Some(self.vigil.look(&self.serving)?.0)
        })
    }
}

fn policy(more: &str) -> String {
    format!("version: 1\nclasses: {{ shop: {{ floor: 10% }} }}\n{more}\n")
}

fn count_in(running: &Running, slice: Slice) {
    (0..slice.kept).for_each(|_| running.meters[0].count_slo(true));
    (0..slice.missed).for_each(|_| running.meters[0].count_slo(false));
}

const BAD: Slice = Slice { kept: 0, missed: 20 };

#[test]
fn an_edit_upon_a_bad_one_does_not_make_it_good() {
    let mut watched = Watched::by("");
    watched.apply("# bad");
    // Too few to tell; taken for what was before, they would excuse all that follows.
    assert_eq!(watched.slices(3, BAD), None);
    watched.apply("# still bad");
    assert_eq!(watched.slices(SLICES, BAD).as_deref(), Some("shop"));
    let (number, before) = (watched.vigil.scene.generation.number, watched.vigil.trusted.number);
    assert_eq!((number, before), (3, 1));
    assert_eq!(watched.serving.roll_back_from(2, before).unwrap(), None, "another is in force");
    assert_eq!(watched.serving.roll_back_from(number, before).unwrap(), Some(4));
    let first = watched.serving.generations()[0].contents.clone();
    assert_eq!(watched.serving.running().generation.contents(), first, "not the first edit");
}

#[test]
fn what_is_gone_back_to_is_kept_however_many_edits_come_before() {
    let mut watched = Watched::by("");
    let first = watched.serving.running().generation.contents();
    watched.apply("# bad");
    // Some are seen by a look of their own, and more than are kept come between two looks.
    watched.apply("# as bad");
    (0..GENERATIONS_MAX).for_each(|number| watched.edit(&format!("# edit {number}")));
    assert_eq!(watched.slices(1, BAD), None, "the slice in which they came");
    assert_eq!(watched.slices(SLICES, BAD).as_deref(), Some("shop"));
    let (number, before) = (watched.vigil.scene.generation.number, watched.vigil.trusted.number);
    assert_eq!(before, 1);
    let rolled_back = watched.serving.roll_back_from(number, before).unwrap();
    assert_eq!(rolled_back, Some(number + 1));
    assert_eq!(watched.serving.running().generation.contents(), first);
}

#[test]
fn what_was_gone_back_to_within_a_window_is_not_kept_after_it() {
    let mut watched = Watched::by("");
    // From a trusted generation on, more edits than are kept between two looks.
    (0..GENERATIONS_MAX).for_each(|number| watched.edit(&format!("# edit {number}")));
    assert!(watched.keeps(1));
    assert_eq!(watched.slices(1 + SLICES, Slice { kept: 20, missed: 0 }), None);
    assert_eq!(watched.vigil.looks_left, 0);
    watched.edit("# another");
    assert!(!watched.keeps(1));
    assert_eq!(watched.vigil.pinned, watched.vigil.scene.generation.number);
}

#[test]
fn an_edit_that_is_taken_back_is_trusted_again() {
    let mut watched = Watched::by("");
    watched.apply("# bad");
    watched.apply("");
    assert_eq!((watched.vigil.looks_left, watched.slices(SLICES, BAD)), (0, None));
    watched.apply("# another");
    assert_eq!(watched.vigil.trusted.number, 3);
}

#[test]
fn after_its_window_an_edit_is_what_the_next_one_is_held_against() {
    let mut watched = Watched::by("");
    watched.apply("# good");
    assert_eq!(watched.slices(SLICES, Slice { kept: 20, missed: 0 }), None);
    assert_eq!(watched.vigil.looks_left, 0);
    watched.apply("# bad");
    assert_eq!(watched.vigil.trusted.number, 2);
    assert!(watched.slices(SLICES, BAD).is_some());
}

#[test]
fn a_word_by_hand_ends_the_window() {
    let mut watched = Watched::by("");
    watched.apply("# bad");
    assert_eq!(watched.slices(1, BAD), None);
    watched.serving.set_mode(Mode::Observe);
    assert_eq!(watched.slices(2 * SLICES, BAD), None);
    assert_eq!((watched.serving.running().generation.number, watched.vigil.looks_left), (3, 0));
}

#[test]
fn where_it_is_off_nothing_is_taken_back() {
    let mut watched = Watched::by("rollback: off");
    watched.apply("rollback: off # bad");
    assert_eq!(watched.slices(2 * SLICES, BAD), None);
    assert_eq!(watched.serving.running().generation.number, 2);
}

#[test]
fn a_canarys_harm_is_not_that_of_the_generation_in_force() {
    let mut watched = Watched::by("");
    watched.apply("# good");
    watched.apply("canary: 50% # bad");
    for _ in 0..SLICES / 3 {
        let canary = watched.serving.running().canary.clone().unwrap();
        count_in(&canary.running, BAD);
        assert_eq!(watched.slices(1, Slice { kept: 20, missed: 0 }), None);
    }
    // What the others miss is its own.
    assert!(watched.vigil.looks_left > 5);
    assert!(watched.slices(SLICES, BAD).is_some());
}
