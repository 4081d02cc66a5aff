//! Settings, what they make of the protocol, and what is wrong with others.

use meltemi_codec::kit::{Corpus, check, rules};
use meltemi_codec::{AttributeKey, Opening, Protocol, Sharing};
use meltemi_thrift::{SETTINGS, Thrift};

use crate::{
    legs::{attribute, configured, limits, request, whole},
    messages::speech,
};

#[test]
fn sharing_is_what_settings_say() {
    for (settings, sharing) in [
        (&[][..], Sharing::PerClient),
        (&[("sharing", "exclusive-per-client")], Sharing::PerClient),
        (&[("sharing", "pipeline")], Sharing::Pipeline { depth: 1 }),
        (
            &[("depth", "4"), ("sharing", "pipeline")],
            Sharing::Pipeline { depth: 4 },
        ),
        (&[("correlation", "order")], Sharing::PerClient),
        (&[("correlation", "id")], Sharing::Multiplex),
        (
            &[("correlation", "id"), ("sharing", "exclusive-per-client")],
            Sharing::PerClient,
        ),
    ] {
        let traits = configured(settings).traits();
        assert_eq!(traits.sharing, sharing, "{settings:?}");
    }
}

#[test]
fn a_fixed_service_is_that_of_calls_that_name_none() {
    let protocol = configured(&[("service", "shop")]);
    for (name, service) in [("a", "shop"), ("Svc:a", "Svc")] {
        let bytes = speech("framed", "binary").call(name, 1);
        let mut client = protocol.downstream(limits());
        let asked = request(&mut *client, &bytes);
        let found = attribute(&*client, whole(&bytes, &asked.memo), "service");
        assert_eq!(found.as_deref(), Some(service));
    }
}

#[test]
fn a_health_check_calls_the_method_in_every_dialect() {
    for transport in ["auto", "framed", "buffered", "header", "ttheader"] {
        for encoding in ["auto", "binary", "lax", "compact", "json"] {
            if matches!((transport, encoding), ("buffered" | "ttheader", "json")) {
                continue;
            }
            let dialect = [("transport", transport), ("protocol", encoding)];
            let settings = [dialect[0], dialect[1], ("check", "Svc:ping")];
            let protocol = configured(&settings);
            check(
                rules::health_checks_are_understood,
                &*protocol,
                &Corpus::new(),
            );
            let mut out = Vec::new();
            let mut server = protocol.upstream(limits(), &Opening::default());
            assert!(server.health_check(7, &mut out));
            let mut client = protocol.downstream(limits());
            let asked = request(&mut *client, &out);
            let method = attribute(&*client, whole(&out, &asked.memo), "method");
            assert_eq!(method.as_deref(), Some("ping"), "{dialect:?}");
            let silent = configured(&dialect);
            let mut server = silent.upstream(limits(), &Opening::default());
            assert!(!server.health_check(7, &mut out), "{dialect:?}");
        }
    }
}

#[test]
fn a_refused_setting_is_named_with_what_would_be_right() {
    for (settings, name, right) in [
        (&[("transport", "udp")][..], "transport", "framed"),
        (&[("protocol", "xml")], "protocol", "compact"),
        (&[("protocol", "")], "protocol", "compact"),
        (&[("oneway", "a,,b")], "oneway", "notify,Log:write"),
        (&[("oneway", "")], "oneway", "notify,Log:write"),
        (&[("sharing", "multiplex")], "sharing", "pipeline"),
        (
            &[("sharing", "pipeline"), ("depth", "0")],
            "depth",
            "1 to 65535",
        ),
        (&[("depth", "4")], "depth", "pipeline"),
        (&[("service", "")], "service", "not empty"),
        (&[("check", "")], "check", "not empty"),
        (&[("correlation", "seq")], "correlation", "order, id"),
        (
            &[("correlation", "id"), ("sharing", "pipeline")],
            "sharing",
            "exclusive-per-client",
        ),
        (
            &[("timeout", "4")],
            "timeout",
            "transport, protocol, oneway",
        ),
        (
            &[("transport", "buffered"), ("protocol", "json")],
            "protocol",
            "framed",
        ),
        (
            &[("protocol", "json"), ("transport", "ttheader")],
            "protocol",
            "compact",
        ),
    ] {
        let Err(refused) = Thrift::default().configure(settings) else {
            panic!("{settings:?} are taken");
        };
        assert_eq!(&*refused.name, name);
        assert!(refused.reason.contains(right), "{}", refused.reason);
    }
}

#[test]
fn every_setting_of_the_list_is_known() {
    for setting in SETTINGS {
        let refused = Thrift::default().configure(&[(setting.name, "?,,?")]);
        if let Err(refused) = refused {
            assert!(!refused.reason.contains("no such"), "{}", setting.name);
        }
    }
}

#[test]
fn attributes_are_open_and_the_service_is_named() {
    let thrift = Thrift::default();
    assert!(thrift.open_attributes());
    assert_eq!(thrift.service_attribute(), Some("service"));
    let other = AttributeKey::Other("tenant".into());
    assert_eq!(AttributeKey::resolve(thrift.attributes(), "tenant"), other);
}
