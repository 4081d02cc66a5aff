//! How connections to endpoints are encrypted, and whom they believe.

use super::{explained, query};
use crate::fixture::Fixture;

#[test]
fn what_a_cluster_is_dialled_with_is_told() {
    for (tls, told) in [
        (
            "mode: SIMPLE",
            "TLS SIMPLE to greeter.shop: the certificate is for greeter.shop, by an authority of the \
             proxy's system",
        ),
        (
            "mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /ca, sni: a.b, \
             subjectAltNames: [c.d, 'spiffe://e/f']",
            "TLS MUTUAL to a.b, shows /c: the certificate is for c.d or spiffe://e/f, by an \
             authority of /ca",
        ),
        (
            "mode: SIMPLE, insecureSkipVerify: true",
            "TLS SIMPLE to greeter.shop: whoever answers is believed",
        ),
    ] {
        let fixture = Fixture::valid();
        let tls = format!("    tls: {{{tls}}}\n    outlierDetection");
        fixture.edit("rule.yaml", "    outlierDetection", &tls);
        let explanation = explained(&fixture, &query("greeter.shop", &[]), "");
        let text = explanation.to_string();
        assert!(text.contains(told), "{told}: {text}");
        let json = serde_json::to_string(&explanation).unwrap();
        assert!(json.contains("\"tls\":\"TLS"), "{json}");
    }
}
