//! What can be wrong with `tls` of a DestinationRule, and with the Secrets that it names.

use rcgen::{CertificateParams, CertificateRevocationListParams, KeyIdMethod, KeyPair};

use super::super::{Report, run};
use crate::fixture::{Fixture, settings};

/// A certificate that is its own authority, its key, and another key.
struct Pems {
    certificate: String,
    key: String,
    other: String,
}

impl Pems {
    fn new() -> Self {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
            other: other.serialize_pem(),
        }
    }

    /// `NAME: FIELD=WHAT …; …` as Secrets.
    fn secrets(&self, text: &str) -> String {
        let objects = text.split("; ").filter(|text| !text.is_empty()).map(|text| {
            let (name, fields) = text.split_once(": ").unwrap();
            let fields = fields.split(' ').map(|field| {
                let (field, what) = field.split_once('=').unwrap();
                let value = match what {
                    "certificate" => &self.certificate,
                    "key" => &self.key,
                    "other" => &self.other,
                    text => text,
                };
                format!("  {field}: |\n    {}\n", value.trim().replace('\n', "\n    "))
            });
            let fields: String = fields.collect();
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n{fields}")
        });
        objects.collect::<Vec<_>>().join("---\n")
    }

    fn checked(&self, tls: &str, secrets: &str) -> Report {
        let fixture = Fixture::valid();
        let tls = format!("    tls: {{{tls}}}\n    outlierDetection");
        fixture.edit("rule.yaml", "    outlierDetection", &tls);
        if !secrets.is_empty() {
            fixture.write("secret.yaml", &self.secrets(secrets));
        }
        run(&fixture.paths(), settings())
    }
}

const FILES: &str = "mode: MUTUAL, clientCertificate: /c, privateKey: /k";

#[test]
fn what_istio_knows_is_taken() {
    let pems = Pems::new();
    for (tls, secrets) in [
        ("mode: SIMPLE", ""),
        (
            "mode: SIMPLE, caCertificates: /ca, caCrl: /crl, sni: b.example",
            "",
        ),
        (
            "mode: SIMPLE, subjectAltNames: [b.example, 'spiffe://a/b', 10.0.0.1]",
            "",
        ),
        ("mode: SIMPLE, insecureSkipVerify: true", ""),
        (
            "mode: SIMPLE, clientCertificate: '', credentialName: ''",
            "",
        ),
        (FILES, ""),
        ("mode: SIMPLE, credentialName: x", "x: ca.crt=certificate"),
        ("mode: SIMPLE, credentialName: x", "x: cacert=certificate"),
        (
            "mode: SIMPLE, credentialName: x",
            "x-cacert: ca.crt=certificate",
        ),
        (
            "mode: SIMPLE, credentialName: x",
            "x: ca.crt=bad; x-cacert: cacert=certificate",
        ),
        (
            "mode: MUTUAL, credentialName: x",
            "x: tls.crt=certificate tls.key=key ca.crt=certificate",
        ),
        (
            "mode: MUTUAL, credentialName: x",
            "x: cert=certificate key=key; x-cacert: ca.crt=certificate",
        ),
        (
            "mode: MUTUAL, credentialName: x, insecureSkipVerify: true",
            "x: cert=certificate key=key",
        ),
        ("mode: DISABLE", ""),
        (
            "mode: ISTIO_MUTUAL, subjectAltNames: ['spiffe://td/ns/a/sa/b'], sni: b.example",
            "",
        ),
    ] {
        let report = pems.checked(tls, secrets);
        assert!(report.diagnostics.is_empty(), "{tls} {secrets}: {report}");
    }
}

/// As in [`FILES`], by a Secret.
const MUTUAL: &str = "mode: MUTUAL, credentialName: x";
const SIMPLE: &str = "mode: SIMPLE, credentialName: x";

/// `tls`, Secrets, and parts of the message and of the remedy.
type Row = (&'static str, &'static str, &'static str, &'static str);

const ROWS: [Row; 23] = [
    (
        "mode: ISTIO_MUTUAL",
        "",
        "nothing says whose certificates the servers",
        "a `serviceAccount`",
    ),
    (
        "mode: ISTIO_MUTUAL, credentialName: x",
        "x: tls.crt=certificate tls.key=key",
        "`tls.credentialName` stands beside `ISTIO_MUTUAL`",
        "set `mode: MUTUAL`",
    ),
    (
        "mode: ISTIO_MUTUAL, insecureSkipVerify: true",
        "",
        "`insecureSkipVerify` stands beside `ISTIO_MUTUAL`",
        "remove it",
    ),
    (
        "credentialName: x",
        "",
        "`tls` without a `mode`",
        "set `mode: SIMPLE`",
    ),
    (
        "mode: MUTUAL",
        "",
        "`tls.clientCertificate` is missing",
        "or a Secret as `credentialName`",
    ),
    (
        "mode: MUTUAL, clientCertificate: /c",
        "",
        "`tls.privateKey` is missing",
        "files of the proxy",
    ),
    (
        "mode: SIMPLE, privateKey: /k",
        "",
        "`tls.privateKey` is never shown",
        "set `mode: MUTUAL`",
    ),
    (
        "mode: SIMPLE, credentialName: x, caCrl: /c",
        "",
        "`tls.caCrl` stands beside",
        "one of the two",
    ),
    (
        "mode: SIMPLE, insecureSkipVerify: true, caCertificates: /c",
        "",
        "verifies nothing",
        "one of",
    ),
    (
        "mode: SIMPLE, insecureSkipVerify: true, credentialName: x",
        "",
        "`tls.credentialName` has no",
        "one of",
    ),
    (
        "mode: SIMPLE, sni: 10.0.0.1",
        "",
        "`tls.sni` is no DNS name",
        "it is the host then",
    ),
    (
        "mode: SIMPLE, subjectAltNames: ['*.b']",
        "",
        "`tls.subjectAltNames` has no",
        "as certificates have them",
    ),
    (
        MUTUAL,
        "",
        "there is no Secret default/x",
        "with the field `key` or `tls.key`",
    ),
    (
        MUTUAL,
        "y: a=b",
        "there is no Secret default/x",
        "namespace default",
    ),
    (
        SIMPLE,
        "",
        "there is no Secret default/x",
        "with the field `cacert` or `ca.crt`",
    ),
    (
        MUTUAL,
        "x: tls.crt=certificate",
        "has no certificate with its key",
        "add `tls.crt` and `tls.key`",
    ),
    (
        MUTUAL,
        "x: tls.crt=bad tls.key=key",
        "`tls.crt` of Secret default/x cannot be used",
        "in PEM",
    ),
    (
        MUTUAL,
        "x: cert=certificate key=bad",
        "`key` of Secret default/x cannot be used",
        "not encrypted",
    ),
    (
        MUTUAL,
        "x: cert=certificate key=other",
        "is not that of the certificate",
        "that it was issued for",
    ),
    (
        MUTUAL,
        "x: cert=certificate key=key",
        "has no CA certificates",
        "add `ca.crt` or `cacert`",
    ),
    (
        SIMPLE,
        "x: ca.crt=key",
        "`ca.crt` of Secret default/x cannot be used",
        "of the authorities",
    ),
    (
        SIMPLE,
        "x: ca.crt=certificate ca.crl=bad",
        "`ca.crl` of Secret",
        "a revocation list",
    ),
    (
        SIMPLE,
        "x-cacert: ca.crt=bad; x: ca.crt=certificate",
        "Secret default/x-cacert",
        "in PEM",
    ),
];

#[test]
fn what_cannot_be_given_is_said_with_a_remedy() {
    let pems = Pems::new();
    for (tls, secrets, message, remedy) in ROWS {
        let report = pems.checked(tls, secrets);
        assert_eq!(report.errors(), 1, "{tls} {secrets}: {report}");
        let text = report.to_string();
        assert!(text.contains(message), "{message}: {report}");
        assert!(text.contains(remedy), "{remedy}: {report}");
        assert!(
            text.contains("--> ") && text.contains("rule.yaml:7:"),
            "{report}"
        );
        let json = serde_json::to_string(&report).unwrap();
        for line in pems.key.lines().chain(pems.other.lines()) {
            assert!(!text.contains(line) && !json.contains(line), "{report}");
        }
    }
}

#[test]
fn a_list_of_what_was_revoked_is_taken() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2090, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&rcgen::Issuer::new(params, key)).unwrap();
    let pems = Pems {
        certificate,
        key: list.pem().unwrap(),
        other: String::new(),
    };
    let secrets = "x: ca.crt=certificate ca.crl=key";
    let report = pems.checked("mode: SIMPLE, credentialName: x", secrets);
    assert!(report.diagnostics.is_empty(), "{report}");
}
