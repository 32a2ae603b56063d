//! The mistakes that a route can hold.

use super::{check_rows, good_but, mistakes, row};

#[test]
fn mistakes_in_a_route_are_found() {
    let route = |keys: &str| good_but(&format!("routes:\n  - {{ {keys} }}"));
    check_rows([
        row(route("path: /a, class: chekout"), (6, 24), "routes[0].class", "unknown class", "`checkout`"),
        row(route("path: /a"), (6, 5), "routes[0]", "`class` is missing", "class: checkout"),
        row(route("path: a, class: browse"), (6, 13), "routes[0].path", "not a path", "starts with `/`"),
        row(route("path: /?a=b, class: browse"), (6, 13), "routes[0].path", "not a path", "query"),
        row(route("path: /a**, class: browse"), (6, 13), "routes[0].path", "not a path", "whole segments"),
        row(route("methods: [post], class: browse"), (6, 17), "routes[0].methods[0]", "not a method", "POST"),
        row(route("methods: [], class: browse"), (6, 7), "routes[0].methods", "nothing", "leave the key out"),
        row(route("method: GET, class: browse"), (6, 7), "routes[0].method", "unknown key", "`methods`"),
        row(
            route("when: request.pth == '/', class: browse"),
            (6, 13),
            "routes[0].when",
            "`pth` is unknown; there are method, path",
            "for example",
        ),
        row(
            route("when: 1 + 1, class: browse"),
            (6, 13),
            "routes[0].when",
            "neither true nor false",
            "session",
        ),
        row(
            route("addresses: 10.1.2.3/8, class: browse"),
            (6, 18),
            "routes[0].addresses",
            "not a network",
            "write 10.0.0.0/8",
        ),
        row(
            route("addresses: [shop.test], class: browse"),
            (6, 19),
            "routes[0].addresses[0]",
            "not a network",
            "2001:db8::/32",
        ),
        row(
            route("addresses: ['::ffff:10.0.0.0/104'], class: browse"),
            (6, 19),
            "routes[0].addresses[0]",
            "not a network",
            "the IPv4 network",
        ),
        row(
            route("host: 'http://shop.test', class: browse"),
            (6, 13),
            "routes[0].host",
            "not a host",
            "like shop.test",
        ),
        row(
            route("host: 'shop.test:8080', class: browse"),
            (6, 13),
            "routes[0].host",
            "not a host",
            "write shop.test: routes see no ports",
        ),
        row(
            route("when: session.stage == 'crat', class: browse"),
            (6, 13),
            "routes[0].when",
            "`crat` is unknown; there are none, browsing, cart, checkout",
            "for example",
        ),
        row(route("query: a, class: browse"), (6, 14), "routes[0].query", "expected a mapping", "key: value"),
    ]);
}

#[test]
fn mistakes_in_what_a_route_says_of_the_model_are_found() {
    check_rows([
        row(
            good_but("routes: [{ path: /, class: browse, model: maybe }]"),
            (5, 43),
            "routes[0].model",
            "expected `on`, `off` or a mapping, found `maybe`",
            "key: value",
        ),
        row(
            good_but("routes: [{ path: /, class: browse, model: { best_class: chekout } }]"),
            (5, 57),
            "routes[0].model.best_class",
            "unknown class `chekout`",
            "`checkout`",
        ),
        row(
            good_but("routes: [{ path: /, class: checkout, model: { best_class: browse } }]"),
            (5, 59),
            "routes[0].model.best_class",
            "`browse` shuts out the route's own class `checkout`",
            "a class that is shed after it",
        ),
        row(
            good_but("routes: [{ path: /, class: browse, model: { worst_class: checkout } }]"),
            (5, 58),
            "routes[0].model.worst_class",
            "`checkout` shuts out the route's own class `browse`",
            "a class that is shed before it",
        ),
    ]);
}

#[test]
fn an_ipv6_address_is_a_host() {
    assert!(mistakes(&good_but("routes: [{ host: '[2001:db8::7]', class: browse }]")).is_empty());
}
