//! Who may use a service.

use meltemi_policy::authorization::{Connection, Verdict};
use meltemi_proto::meltemi::config::v1::authorization_rule::{
    Alternative, Clause, Condition, condition::Property, condition::Subject,
};

use super::*;

fn condition(subject: Subject, values: &[&str]) -> Condition {
    Condition {
        subject: Some(subject),
        values: values.iter().map(|it| (*it).to_owned()).collect(),
        invert: false,
    }
}

fn property(property: Property, values: &[&str]) -> Condition {
    condition(Subject::Property(property.into()), values)
}

fn service() -> own::Service {
    let all = vec![
        property(Property::Principal, &["td/*"]),
        property(Property::Namespace, &["shop"]),
        property(Property::ServiceAccount, &["shop/front"]),
        property(Property::Address, &["10.0.0.0/8", "fd00::1"]),
        property(Property::Port, &["20880"]),
        condition(Subject::Attribute("method".to_owned()), &["get*"]),
    ];
    let any = vec![Alternative { all }];
    let rule = own::AuthorizationRule {
        clauses: vec![Clause { any }],
    };
    own::Service {
        name: "s".to_owned(),
        ports: vec![own::service::Port {
            number: 20880,
            protocol: "echo".to_owned(),
            route_config_name: "r".to_owned(),
            ..own::service::Port::default()
        }],
        authorization: Some(own::Authorization {
            policies: vec![own::AuthorizationPolicy {
                action: own::authorization_policy::Action::Deny.into(),
                rules: vec![rule],
                source: None,
            }],
        }),
        ..own::Service::default()
    }
}

#[test]
fn a_service_comes_with_its_policies() {
    let parsed = Service::try_from(service()).expect("valid");
    let from = |principal| Connection {
        principal: Some(principal),
        address: Some([10, 0, 0, 1].into()),
        port: parsed.port,
    };
    let judge = |principal| parsed.authorization.judge_connection(from(principal));
    assert_eq!(judge("spiffe://td/ns/shop/sa/front"), Verdict::Denied);
    assert_eq!(judge("spiffe://td/ns/shop/sa/back"), Verdict::Allowed);
    let open = own::Service {
        authorization: None,
        ..service()
    };
    let open = Service::try_from(open).expect("valid");
    assert!(open.authorization.is_empty());
}

#[test]
fn a_service_whose_policy_cannot_be_read_is_refused() {
    fn policy(s: &mut own::Service) -> &mut own::AuthorizationPolicy {
        &mut s.authorization.as_mut().unwrap().policies[0]
    }
    fn nth(s: &mut own::Service, n: usize) -> &mut Condition {
        &mut policy(s).rules[0].clauses[0].any[0].all[n]
    }
    refuses::<_, Service>(
        &service(),
        &[
            (
                |s| policy(s).action = 0,
                "authorization.policies[0].action: is missing or unknown",
            ),
            (
                |s| policy(s).action = 9,
                "authorization.policies[0].action: is missing or unknown",
            ),
            (
                |s| nth(s, 0).subject = None,
                "authorization.policies[0].rules[0].clauses[0].any[0].all[0].subject: is missing or unknown",
            ),
            (
                |s| nth(s, 0).subject = Some(Subject::Property(99)),
                "authorization.policies[0].rules[0].clauses[0].any[0].all[0].property: is unknown",
            ),
            (
                |s| nth(s, 1).values.clear(),
                "authorization.policies[0].rules[0].clauses[0].any[0].all[1].values: is empty",
            ),
            (
                |s| nth(s, 3).values[1] = "10.0.0.0/40".to_owned(),
                "authorization.policies[0].rules[0].clauses[0].any[0].all[3].values[1]: `10.0.0.0/40` is \
                 neither an IP address nor a block such as 10.0.0.0/8",
            ),
            (
                |s| nth(s, 4).values[0] = "70000".to_owned(),
                "authorization.policies[0].rules[0].clauses[0].any[0].all[4].values[0]: \"70000\" is no port",
            ),
            (
                |s| nth(s, 5).subject = Some(Subject::Attribute(String::new())),
                "authorization.policies[0].rules[0].clauses[0].any[0].all[5].attribute: is missing",
            ),
        ],
    );
}
