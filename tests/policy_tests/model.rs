//! What a policy lets the model decide, and within which bounds.

use std::fs;

use super::{plimsoll, text};

#[test]
fn a_model_gives_no_better_class_than_it_may_and_none_that_it_is_unsure_of() {
    let directory = tempfile::tempdir().unwrap();
    let explain = |rules: &str, target: &str| {
        let text = format!(
            "version: 1\nclasses: {{ checkout: {{}}, cart: {{}}, browse: {{}} }}\nmodel: {{ {rules} }}\n"
        );
        fs::write(directory.path().join("shop.yaml"), text).unwrap();
        let arguments = ["explain", "--policy", "shop.yaml", "--json", "POST", target];
        let output = plimsoll(directory.path(), &arguments);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (told["class"].as_str().unwrap().to_owned(), told["class_by"].as_str().unwrap().to_owned())
    };
    let told = |class: &str, by: &str| (class.to_owned(), by.to_owned());
    assert_eq!(explain("", "/checkout/pay"), told("checkout", "model"));
    assert_eq!(explain("best_class: cart", "/checkout/pay"), told("cart", "model"));
    assert_eq!(explain("min_confidence: 1", "/xyzzy/1").1, "fallback");
}

#[test]
fn a_route_may_leave_what_it_takes_to_the_model_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    // The model takes what is added to something for a cart, and is not sure of a word that it never saw.
    let explain = |class: &str, rules: &str, target: &str, flags: &[&str]| {
        let policy = format!(
            "version: 1\nclasses: {{ checkout: {{}}, cart: {{}}, browse: {{}} }}\n\
             routes: [{{ path: /**, class: {class}{rules} }}]\n"
        );
        fs::write(directory.path().join("shop.yaml"), policy).unwrap();
        let arguments = [&["explain", "--policy", "shop.yaml", "POST", target][..], flags].concat();
        text(&plimsoll(directory.path(), &arguments).stdout)
    };
    let told = |class: &str, rules: &str, target: &str| {
        let told = explain(class, rules, target, &["--json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["route"], "shop.yaml:3", "{told}");
        assert_eq!(told["model_may"].is_null(), rules.is_empty(), "{told}");
        format!("{} by {}", told["class"].as_str().unwrap(), told["class_by"].as_str().unwrap())
    };
    assert_eq!(told("browse", "", "/foo/add"), "browse by route");
    assert_eq!(told("browse", ", model: on", "/foo/add"), "cart by model");
    assert_eq!(told("checkout", ", model: on", "/foo/add"), "cart by model");
    assert_eq!(told("browse", ", model: { best_class: browse }", "/foo/add"), "browse by model");
    assert_eq!(told("checkout", ", model: { worst_class: checkout }", "/foo/add"), "checkout by model");
    assert_eq!(told("checkout", ", model: { min_confidence: 1 }", "/xyzzy/1"), "checkout by route");
    let bounds = explain("checkout", ", model: { worst_class: cart, min_confidence: 0.5 }", "/foo/add", &[]);
    assert!(bounds.contains("bounds    the model may give checkout to cart, from 50% sure on\n"), "{bounds}");
}

#[test]
fn what_a_route_leaves_to_the_model_is_its_own_where_models_decide_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let policy_test = |may_decide: &str| {
        let policy = format!(
            "version: 1\nclasses: {{ checkout: {{}}, cart: {{}}, browse: {{}} }}\n\
             model: {{ may_decide: {may_decide} }}\n\
             routes: [{{ path: /foo/**, class: browse, model: on }}]\n\
             tests: [{{ request: POST /foo/add, expect: {{ class: cart, class_by: model }} }}]\n"
        );
        fs::write(directory.path().join("shop.yaml"), policy).unwrap();
        plimsoll(directory.path(), &["policy", "test", "shop.yaml"])
    };
    assert!(policy_test("[routed]").status.success());
    let output = policy_test("[unrouted]");
    let told = text(&output.stderr);
    assert!(told.contains("expected class `cart`, got `browse` (by route, shop.yaml:4)"), "{output:?}");
}
