//! A difference of policies in words, for whoever reviews it: counts, examples, and a table of fates.
//!
//! Tools read JSON; nothing here is theirs to depend on.

use std::path::Path;

use super::{ClassChange, ClassFates, Difference, Example, Judged, Scheduled};

impl Difference {
    /// The difference that the log at `log` shows.
    pub(super) fn text(&self, log: &Path) -> String {
        let left_out = match self.bad_lines {
            0 => String::new(),
            count => format!(" ({count} more lines are no requests)"),
        };
        let total: usize = self.class_changes.iter().map(|change| change.count).sum();
        let mut text = format!("{} requests of {}{left_out}\n\n", self.requests, log.display());
        text.push_str(&format!("{total} change their class ({})\n", percent(total, self.requests)));
        for ClassChange { from, to, count, examples } in &self.class_changes {
            text.push_str(&format!("{count:>9}  {from} -> {to}\n"));
            for Example { method, target, was, is } in examples {
                text.push_str(&format!("             {method} {target}   {} -> {}\n", was.by, is.by));
            }
        }
        text.push('\n');
        for Scheduled { schedule, was, is } in &self.schedules {
            let told =
                |count: &Option<usize>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
            let (was, is) = (told(was), told(is));
            text.push_str(&format!(
                "schedule {schedule}: {was} -> {is} of the requests came while it held\n"
            ));
        }
        text.push_str(&self.fates());
        text
    }

    fn fates(&self) -> String {
        let mut text = format!("at {}x of what the shop can carry\n", self.load);
        text.push_str(&format!(
            "  {:<16}{:>10}{:>9}{:>14}{:>9}\n",
            "class", "requests", "served", "-> requests", "served"
        ));
        for ClassFates { class, was, is } in &self.classes {
            text.push_str(&format!(
                "  {class:<16}{:>10}{:>9}{:>14}{:>9}\n",
                was.requests,
                percent(was.served, was.requests),
                is.requests,
                percent(is.served, is.requests),
            ));
        }
        let (lost, won) = (&self.served_no_more, &self.served_now);
        text.push_str(&format!(
            "  {} that were served would not be, {} that were not would be\n",
            lost.count, won.count
        ));
        for Example { method, target, was, is } in lost.examples.iter().chain(&won.examples) {
            let (was, is) = (was.outcome(), is.outcome());
            text.push_str(&format!("             {method} {target}   {was} -> {is}\n"));
        }
        text
    }
}

impl Judged {
    fn outcome(&self) -> String {
        format!("{} {}", self.class, self.fate)
    }
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".into();
    }
    format!("{:.1}%", part as f64 * 100.0 / whole as f64)
}
