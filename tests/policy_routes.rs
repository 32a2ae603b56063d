//! Which class a request gets: by a policy's routes, and by those the binary ships.

use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use flate2::read::GzDecoder;
use http::Request;
use plimsoll::classify::head::Head;
use plimsoll::classify::path;
use plimsoll::classify::session::Stage;
use plimsoll::policy::compile::compile;
use plimsoll::policy::compiled::CompiledPolicy;
use plimsoll::policy::{check, storefront};
use plimsoll::yaml::source::Source;

/// The class a route gives to `METHOD target`, with header fields and an operation.
fn class_with<'p>(
    policy: &'p CompiledPolicy,
    line: &str,
    fields: &[(&str, &str)],
    operation: Option<&str>,
) -> Option<&'p str> {
    let (method, target) = line.split_once(' ').expect("a row is a method and a target");
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("rows are valid requests").into_parts();
    let head = Head::of(&parts);
    let route = policy.routes.find(&head, &path::key(head.path()), operation)?;
    Some(&policy.core.class(route.class).name)
}

fn class<'p>(policy: &'p CompiledPolicy, line: &str) -> Option<&'p str> {
    class_with(policy, line, &[], None)
}

fn routed(routes: &str) -> CompiledPolicy {
    let classes = "version: 1\nclasses: { checkout: {}, cart: {}, browse: {} }\nroutes:\n";
    compile(&Source::of("policy.yaml", &format!("{classes}{routes}")))
        .expect("the routes under test are valid")
}

#[test]
fn the_first_route_that_matches_wins_whatever_its_index() {
    let policy = routed(
        "  - { path: '/**/*.js', methods: [POST], class: checkout }\n\
         \x20 - { path: /a/b/c/d/e.js, class: cart }\n\
         \x20 - { path: '/a/**', class: browse }\n\
         \x20 - { path: /a/b, class: checkout }\n",
    );
    assert_eq!(class(&policy, "POST /a/b/c/d/e.js"), Some("checkout"));
    assert_eq!(class(&policy, "GET /a/b/c/d/e.js"), Some("cart"));
    assert_eq!(class(&policy, "GET /a/b"), Some("browse"));
    assert_eq!(class(&policy, "GET /A//./b/"), Some("browse"));
    assert_eq!(class(&policy, "GET /b"), None);
}

#[test]
fn every_condition_of_a_route_must_hold() {
    let policy = routed(
        "  - { methods: [GET], host: '*.shop.test', path: /x, headers: { x-app: 'ios*', x-beta: },\n\
         \x20     query: { step: 'pay*', id: }, class: checkout }\n",
    );
    let all = [("host", "www.SHOP.test:8080"), ("x-app", "iOS 17"), ("x-beta", "1")];
    let target = "GET /x?id=&step=payment";
    assert_eq!(class_with(&policy, target, &all, None), Some("checkout"));
    assert_eq!(class_with(&policy, "HEAD /x?id=&step=payment", &all, None), Some("checkout"));
    assert_eq!(class_with(&policy, "POST /x?id=&step=payment", &all, None), None);
    assert_eq!(class_with(&policy, "GET /y?id=&step=payment", &all, None), None);
    assert_eq!(class_with(&policy, "GET /x?id=&step=Payment", &all, None), None);
    assert_eq!(class_with(&policy, "GET /x?step=payment", &all, None), None);
    for absent in 0..all.len() {
        let rest: Vec<_> =
            all.iter().enumerate().filter(|(at, _)| *at != absent).map(|(_, field)| *field).collect();
        assert_eq!(class_with(&policy, target, &rest, None), None, "without {}", all[absent].0);
    }
}

#[test]
fn a_preflight_takes_the_class_of_the_request_it_announces() {
    let policy = routed(
        "  - { methods: [POST], path: /pay, headers: { x-token: 'secret*' }, class: checkout }\n\
         \x20 - { methods: [OPTIONS], path: /pay, class: browse }\n\
         \x20 - { methods: [POST], path: /graphql, graphql: [pay], class: cart }\n",
    );
    let announces = |method| [("origin", "https://a.test"), ("access-control-request-method", method)];
    let with_token = [&announces("POST")[..], &[("access-control-request-headers", "x-token")]].concat();
    assert_eq!(class_with(&policy, "OPTIONS /pay", &with_token, None), Some("checkout"));
    assert_eq!(class_with(&policy, "OPTIONS /pay", &announces("POST"), None), None);
    assert_eq!(class_with(&policy, "OPTIONS /pay", &[], None), Some("browse"));
    assert_eq!(class_with(&policy, "OPTIONS /graphql", &announces("POST"), None), Some("cart"));
    assert_eq!(class_with(&policy, "OPTIONS /graphql", &announces("GET"), None), None);
}

#[test]
fn an_operation_decides_and_is_asked_for_only_where_it_matters() {
    let policy = routed(
        "  - { path: /pinned, class: browse }\n\
         \x20 - { methods: [POST], graphql: ['checkout*', pay], class: checkout }\n",
    );
    let wants = |line: &str| {
        let (method, target) = line.split_once(' ').unwrap();
        let (parts, ()) = Request::builder().method(method).uri(target).body(()).unwrap().into_parts();
        policy.routes.wants_operation(&Head::of(&parts), &path::key(target))
    };
    assert_eq!(class_with(&policy, "POST /graphql", &[], Some("checkoutCreate")), Some("checkout"));
    assert_eq!(class_with(&policy, "POST /graphql", &[], Some("products")), None);
    assert_eq!(class_with(&policy, "POST /graphql", &[], None), None);
    assert!(wants("POST /graphql"));
    assert!(!wants("GET /graphql") && !wants("POST /pinned"));
}

#[test]
fn an_expression_decides_where_all_other_conditions_hold() {
    let policy = routed(
        "  - { path: /pay, when: 'request.query.step == \"3\" || \"vip\" in request.cookies', class: checkout }\n\
         \x20 - { path: '/p/**', when: 'session.stage == \"cart\"', class: cart }\n\
         \x20 - { when: 'request.method == \"PUT\"', class: browse }\n",
    );
    assert_eq!(class(&policy, "GET /pay?step=3"), Some("checkout"));
    assert_eq!(class_with(&policy, "GET /pay", &[("cookie", "vip=1")], None), Some("checkout"));
    assert_eq!(class(&policy, "GET /pay?step=2"), None);
    assert_eq!(class(&policy, "GET /other?step=3"), None);
    let at = |stage| {
        let (parts, ()) = Request::get("/p/1").body(()).unwrap().into_parts();
        let route = policy.routes.find_at(&Head::of(&parts), "/p/1", None, stage);
        route.map(|route| policy.core.class(route.class).name.clone())
    };
    assert_eq!((at(Stage::Cart).as_deref(), at(Stage::Checkout)), (Some("cart"), None));
    let announced = [("origin", "https://a.test"), ("access-control-request-method", "PUT")];
    assert_eq!(class_with(&policy, "OPTIONS /x", &announced, None), Some("browse"));
}

#[test]
fn a_route_may_ask_where_its_client_is() {
    let policy = routed(
        "  - { addresses: [10.0.0.0/8, 2001:db8::/32], path: '/**', class: checkout }\n\
         \x20 - { addresses: 192.0.2.7, class: cart }\n",
    );
    let from = |client: Option<&str>| {
        let (parts, ()) = Request::get("/x").body(()).unwrap().into_parts();
        let client: Option<IpAddr> = client.map(|text| text.parse().unwrap());
        let route = policy.routes.find(&Head::of(&parts).sent_by(client), "/x", None);
        route.map(|route| policy.core.class(route.class).name.clone())
    };
    assert_eq!(from(Some("10.255.0.1")).as_deref(), Some("checkout"));
    assert_eq!(from(Some("::ffff:10.1.2.3")).as_deref(), Some("checkout"));
    assert_eq!(from(Some("2001:db8:1::1")).as_deref(), Some("checkout"));
    assert_eq!(from(Some("192.0.2.7")).as_deref(), Some("cart"));
    assert_eq!((from(Some("192.0.2.8")), from(Some("11.0.0.1")), from(None)), (None, None, None));
}

#[test]
fn an_operation_is_asked_for_where_an_expression_may_want_it() {
    let policy = routed(
        "  - { path: /g, when: 'session.stage == \"cart\"', class: browse }\n\
         \x20 - { path: /g, when: 'session.stage == \"cart\"', graphql: [pay], class: checkout }\n",
    );
    let (parts, ()) = Request::post("/g").body(()).unwrap().into_parts();
    assert!(policy.routes.wants_operation(&Head::of(&parts), "/g"));
}

#[test]
fn a_route_tells_its_line_and_pool() {
    let policy = routed("  - { path: /a, class: cart, pool: payments }\n");
    let [route] = policy.routes.routes() else { panic!("one route") };
    assert_eq!((&*route.defined_at, route.pool.as_deref()), ("policy.yaml:4", Some("payments")));
}

#[test]
fn the_storefront_knows_well_known_shops() {
    let policy = storefront();
    for (line, expected) in [
        // The demo's shop.
        ("GET /", "browse"),
        ("GET /category/x", "browse"),
        ("GET /product/1", "browse"),
        ("GET /search?q=shoe", "search"),
        ("GET /cart", "cart"),
        ("POST /cart/add", "cart"),
        ("GET /checkout", "checkout"),
        ("POST /checkout", "checkout"),
        ("POST /collect", "analytics"),
        ("GET /account", "account"),
        // WooCommerce.
        ("POST /?wc-ajax=checkout", "checkout"),
        ("POST /shoes/?gclid=X&wc-ajax=update_order_review", "checkout"),
        ("POST /?wc-ajax=get_refreshed_fragments", "api"),
        ("POST /?wc-ajax=add_to_cart", "cart"),
        ("POST /?wc-api=WC_Gateway_Paypal", "checkout"),
        ("POST /checkout/order-pay/17/?key=X", "checkout"),
        ("GET /product/shoe/?add-to-cart=17", "cart"),
        ("POST /wp-json/wc/store/v1/checkout", "checkout"),
        ("POST /wp-json/wc/store/v1/cart/add-item", "cart"),
        ("GET /my-account/orders", "account"),
        ("GET /?s=shoe&post_type=product", "search"),
        ("GET /wp-content/plugins/woocommerce/assets/js/add-to-cart.min.js?ver=3", "static"),
        // Magento.
        ("GET /checkout/cart/", "cart"),
        ("POST /rest/default/V1/guest-carts/af/payment-information", "checkout"),
        ("POST /rest/V1/carts/mine/payment-information", "checkout"),
        ("POST /rest/default/V1/carts/mine/items", "cart"),
        ("POST /rest/V1/carts/mine/estimate-shipping-methods", "checkout"),
        ("GET /customer/section/load/?sections=cart", "api"),
        ("GET /customer/account/login", "account"),
        ("GET /catalogsearch/result/?q=shoe", "search"),
        // Shopify, Shopware, Medusa, Spree, BigCommerce.
        ("POST /cart/add.js", "cart"),
        ("GET /cart.js", "cart"),
        ("POST /checkouts/cn/af01", "checkout"),
        ("POST /checkout/line-item/add", "cart"),
        ("POST /store-api/checkout/order", "checkout"),
        ("POST /store-api/checkout/cart/line-item", "cart"),
        ("POST /store/carts/c1/complete", "checkout"),
        ("POST /store/carts/c1/line-items", "cart"),
        ("PATCH /api/v2/storefront/checkout/advance", "checkout"),
        ("POST /api/v2/storefront/cart/add_item", "cart"),
        ("POST /api/storefront/checkouts/c1/billing-address", "checkout"),
        // Payment callbacks and beacons.
        ("POST /paypal/ipn", "checkout"),
        ("POST /webhooks/stripe", "checkout"),
        ("POST /g/collect?v=2", "analytics"),
        ("POST /beacon", "analytics"),
    ] {
        assert_eq!(class(&policy, line), Some(expected), "{line}");
    }
    for unknown in ["GET /about-us", "POST /wp-login.php", "GET /feed/", "POST /logo.png", "GET /api/things"]
    {
        assert_eq!(class(&policy, unknown), None, "{unknown}");
    }
    assert_eq!(class_with(&policy, "POST /graphql", &[], Some("checkoutCreate")), Some("checkout"));
}

#[test]
fn the_storefront_keeps_its_promises() {
    let policy = storefront();
    let classes = policy.core.classes();
    let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["checkout", "cart", "account", "static", "api", "browse", "search", "analytics"]);
    let floors = |classes: &[plimsoll_core::policy::Class]| -> u32 {
        classes.iter().map(|class| class.floor.millionths()).sum()
    };
    assert!(floors(&classes[1..]) <= 200_000 && floors(&classes[2..]) <= 100_000);
    assert_eq!(classes[policy.model.fallback.index()].name, "browse");
}

#[test]
fn the_model_only_policy_has_the_classes_of_the_storefront_and_no_routes() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/model-only.yaml");
    let policy = check(&shipped).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(policy.core, storefront().core);
    assert!(policy.routes.routes().is_empty() && policy.model.decides_unrouted);
}

#[test]
fn the_reference_states_what_holds_where_nothing_is_written() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/reference.yaml");
    let stated = check(&shipped).unwrap_or_else(|errors| panic!("{errors}"));
    let silent = compile(&Source::of("policy.yaml", "version: 1\nclasses: { example: {} }")).unwrap();
    let rules = |mut policy: CompiledPolicy| {
        policy.source.clear();
        policy.digest.clear();
        policy.text = std::sync::Arc::new(Source::of("", ""));
        policy.warnings.0.clear();
        format!("{policy:?}")
    };
    assert_eq!(rules(stated), rules(silent));
}

#[test]
fn a_session_in_checkout_carries_its_requests_but_no_beacons() {
    let policy = storefront();
    let id = |name| policy.core.class_named(name).unwrap();
    assert_eq!(policy.carried(id("static"), Stage::Checkout), id("account"));
    assert_eq!(policy.carried(id("checkout"), Stage::Checkout), id("checkout"));
    assert_eq!(policy.carried(id("analytics"), Stage::Checkout), id("analytics"));
    assert_eq!(policy.carried(id("static"), Stage::Cart), id("static"));
}

#[test]
fn of_overlays_the_later_file_wins_and_its_routes_are_tried_first() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("00-base.yaml", plimsoll::policy::STOREFRONT);
    write(
        "10-mine.yaml",
        "mode: observe\nclasses: { cart: { rank: 1, patience: 3s } }\nroutes: [{ path: /cart, class: checkout }]\n",
    );
    write(".hidden.yaml", "not: a policy");
    write("notes.txt", "not a policy");
    let policy = check(directory.path()).unwrap_or_else(|errors| panic!("{errors}"));
    let cart = policy.core.class(policy.core.class_named("cart").unwrap());
    assert_eq!(policy.core.mode(), plimsoll_core::policy::Mode::Observe);
    assert_eq!((cart.patience.as_secs(), cart.floor.millionths()), (3, 100_000));
    assert_eq!(class(&policy, "GET /cart"), Some("checkout"));
    assert_eq!(class(&policy, "POST /cart/add"), Some("cart"));

    write("20-wrong.yaml", "\n\nclasses: { cart: { rank: 0 } }\n");
    let errors = check(directory.path()).unwrap_err().to_string();
    assert!(errors.contains("rank 0 belongs to") && errors.contains("20-wrong.yaml:3:26"), "{errors}");
}

#[test]
fn no_path_of_a_real_shop_upsets_the_normaliser_or_the_routes() {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/logs/woocommerce-store.log.gz");
    let Ok(file) = fs::File::open(&log) else {
        println!("skipped: no access log of a real shop at hand");
        return;
    };
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let (policy, mut routed, mut total) = (storefront(), 0, 0);
    for line in String::from_utf8_lossy(&bytes).lines() {
        let Some(request) = line.split('"').nth(1) else { continue };
        let mut words = request.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { continue };
        let key = path::key(target.split('?').next().unwrap()).into_owned();
        assert!(key.starts_with('/') && path::key(&key) == key, "{target}");
        let Ok(built) = Request::builder().method(method).uri(target).body(()) else { continue };
        total += 1;
        let (parts, ()) = built.into_parts();
        routed += usize::from(policy.routes.find(&Head::of(&parts), &key, None).is_some());
    }
    println!("{routed} of {total} requests take a route");
    assert!(total > 50_000 && routed > total / 4);
}
