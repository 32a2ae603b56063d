//! Mistakes for scripts. The keys are fixed: tools depend on them.

use serde_json::{Value, json};

use super::{Checked, count};
use crate::yaml::diagnostic::{Diagnostic, Severity};

/// What was checked, and everything that was found.
pub(super) fn report(checked: &[Checked]) -> Value {
    let total = |severity| checked.iter().map(|file| count(file, severity)).sum::<usize>();
    json!({
        "files": checked.iter().map(file).collect::<Vec<_>>(),
        "diagnostics": checked.iter().flat_map(|file| &file.found).map(diagnostic).collect::<Vec<_>>(),
        "errors": total(Severity::Error),
        "warnings": total(Severity::Warning),
    })
}

fn file(file: &Checked) -> Value {
    json!({
        "file": file.name,
        "ok": file.policy.is_some(),
        "classes": file.policy.as_ref().map(|policy| policy.classes.len()),
        "routes": file.policy.as_ref().map(|policy| policy.routes.routes().len()),
        "corpus": file.coverage,
    })
}

fn diagnostic(one: &Diagnostic) -> Value {
    json!({
        "file": one.file,
        "line": one.position.map(|(line, _)| line),
        "column": one.position.map(|(_, column)| column),
        "severity": one.severity.name(),
        "rule": one.rule.name,
        "key": one.key,
        "message": one.message,
        "hint": one.hint,
    })
}
