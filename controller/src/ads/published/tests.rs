use meltemi_proto::envoy::config::listener::v3::Listener;
use prost::Name as _;

use super::*;

fn listeners(names: &[&str]) -> Arc<Resources> {
    let mut resources = Resources::new();
    for &name in names {
        let listener = Listener {
            name: name.to_owned(),
            ..Listener::default()
        };
        resources.insert(name, &listener);
    }
    Arc::new(resources)
}

fn published(all: &[&str], scopes: &[(&str, &[&str])]) -> Published {
    let scopes = scopes.iter();
    let scopes = scopes.map(|(gateway, names)| (gateway.parse().unwrap(), listeners(names)));
    Published {
        all: listeners(all),
        scopes: scopes.collect(),
        ..Published::default()
    }
}

fn node(gateways: Option<&[&str]>) -> Node {
    let parsed = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    Node {
        gateways: gateways.map(parsed),
        ..Node::default()
    }
}

fn seen(view: &View) -> String {
    let type_url = Listener::type_url();
    let names = view.resources().of_type(&type_url);
    names.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_node_sees_what_it_claims() {
    let published = published(&["a", "b", "c"], &[("n/a", &["a"]), ("n/b", &["b"])]);
    for (claim, expected) in [
        (None, "a b c"),
        (Some(&["n/a"][..]), "a"),
        (Some(&["n/b", "n/a"]), "a b"),
        (Some(&["n/b", "n/unknown"]), "b"),
        (Some(&["n/unknown"]), ""),
        (Some(&[]), ""),
    ] {
        let mut view = View::default();
        view.update(&published, &node(claim));
        assert_eq!(seen(&view), expected, "{claim:?}");
    }
}

#[test]
fn only_what_changes_in_its_own_scope_changes_what_it_sees() {
    let node = node(Some(&["n/a"]));
    let mut view = View::default();
    let first = published(&["a"], &[("n/b", &["b"])]);
    // The Gateway comes later.
    assert!(!view.update(&first, &node));
    let mut second = published(&["a", "b"], &[("n/a", &["a"])]);
    assert!(view.update(&second, &node));
    assert!(!view.update(&second, &node));
    let scope = "n/a".parse().unwrap();
    assert!(std::ptr::eq(
        view.resources(),
        &**second.scope(&scope).unwrap()
    ));
    // Something else is published, and of its scope the very same.
    second.all = listeners(&["other"]);
    second
        .scopes
        .insert("n/b".parse().unwrap(), listeners(&["b"]));
    assert!(!view.update(&second, &node));
    second.scopes.remove(&scope);
    assert!(view.update(&second, &node));
    assert_eq!(seen(&view), "");
}
