//! Mistakes for code scanning: SARIF 2.1.0 (OASIS), which GitHub and GitLab show beside the line.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Checked;
use crate::yaml::diagnostic::Diagnostic;

/// One run of this tool over all that was checked.
pub(super) fn report(checked: &[Checked]) -> Value {
    let found: Vec<&Diagnostic> = checked.iter().flat_map(|file| &file.found).collect();
    let rules: BTreeMap<&str, &str> = found.iter().map(|one| (one.rule.name, one.rule.means)).collect();
    let rule = |(name, means): (&&str, &&str)| json!({ "id": name, "shortDescription": { "text": means } });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "plimsoll",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.iter().map(rule).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": found.into_iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(one: &Diagnostic) -> Value {
    let hint = one.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let key = if one.key.is_empty() { String::new() } else { format!("{}: ", one.key) };
    let mut location = json!({ "artifactLocation": { "uri": one.file.replace('\\', "/") } });
    if let Some((line, column)) = one.position {
        location["region"] = json!({ "startLine": line, "startColumn": column });
    }
    json!({
        "ruleId": one.rule.name,
        "level": one.severity.name(),
        "message": { "text": format!("{key}{}{hint}", one.message) },
        "locations": [{ "physicalLocation": location }],
    })
}
