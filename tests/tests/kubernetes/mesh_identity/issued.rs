//! What istiod gives a peer of the proxy: asked for as an agent of Istio does it.

use std::path::Path;

use meltemi_credentials::encrypted;
use meltemi_proto::istio::v1::auth::IstioCertificateRequest;
use meltemi_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use meltemi_tests::certificates::Pair;
use rcgen::{CertificateParams, KeyPair};
use tonic::Request;

/// A certificate of the CA at this `HOST:PORT`, which shows one of these roots, for whom the token is of.
pub(crate) fn issued((authority, roots): (&str, &Path), token: &str) -> Pair {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let channel = encrypted(authority, roots.to_owned(), None).expect("it can be dialled");
        let key = KeyPair::generate().expect("a key");
        let csr = CertificateParams::default().serialize_request(&key);
        let csr = csr.expect("a request").pem().expect("in PEM");
        let mut request = Request::new(IstioCertificateRequest {
            csr,
            validity_duration: 3600,
            metadata: None,
        });
        let metadata = request.metadata_mut();
        let bearer = format!("Bearer {token}").parse().expect("a token");
        metadata.insert("authorization", bearer);
        metadata.insert("clusterid", "Kubernetes".parse().expect("a name"));
        let mut client = IstioCertificateServiceClient::new(channel);
        let answer = client.create_certificate(request).await;
        let mut chain = answer.expect("a certificate").into_inner().cert_chain;
        chain.pop();
        Pair::issued(chain.join("\n"), key.serialize_pem())
    })
}
