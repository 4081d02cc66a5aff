use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::google::rpc::Status;
use prost::{Message, Name};

use super::*;

/// A stream on which every response is recorded and none is answered by itself.
#[derive(Default)]
struct Story {
    stream: SotwStream,
    resources: Resources,
}

impl Story {
    fn cluster(&mut self, name: &str, seconds: i64) {
        let connect_timeout = Some(meltemi_proto::Duration { seconds, nanos: 0 });
        let cluster = Cluster {
            name: name.to_owned(),
            connect_timeout,
            ..Cluster::default()
        };
        self.resources.insert(name, &cluster);
        let cluster_name = name.to_owned();
        let endpoints = ClusterLoadAssignment {
            cluster_name,
            ..ClusterLoadAssignment::default()
        };
        self.resources.insert(name, &endpoints);
    }

    fn request<M: Name>(&mut self, nonce: &str, names: &[&str], error: &str) -> Vec<Rejection> {
        self.stream.request(proto::DiscoveryRequest {
            type_url: M::type_url(),
            response_nonce: nonce.to_owned(),
            resource_names: names.iter().map(|&name| name.to_owned()).collect(),
            error_detail: (!error.is_empty()).then(|| Status {
                message: error.to_owned(),
                ..Status::default()
            }),
            ..proto::DiscoveryRequest::default()
        })
    }

    /// Nonce and connect timeouts by name, of the clusters' responses.
    fn clusters(&mut self) -> Vec<(String, Vec<(String, i64)>)> {
        let responses = self.stream.respond(&self.resources).into_iter();
        responses
            .filter(|response| response.type_url == Cluster::type_url())
            .map(|response| {
                let clusters = response.resources.into_iter().map(|any| {
                    let cluster = Cluster::decode(any.value).unwrap();
                    (cluster.name, cluster.connect_timeout.unwrap().seconds)
                });
                (response.nonce, clusters.collect())
            })
            .collect()
    }

    fn only_response(&mut self) -> proto::DiscoveryResponse {
        let [response] = self.stream.respond(&self.resources).try_into().unwrap();
        response
    }
}

fn clusters(nonce: &str, clusters: &[(&str, i64)]) -> (String, Vec<(String, i64)>) {
    let clusters = clusters
        .iter()
        .map(|&(name, seconds)| (name.to_owned(), seconds));
    (nonce.to_owned(), clusters.collect())
}

#[test]
fn every_response_holds_all_and_newer_state_overwrites_what_waits() {
    let mut story = Story::default();
    story.cluster("a", 1);
    story.request::<Cluster>("", &[], "");
    assert_eq!(story.clusters(), [clusters("1", &[("a", 1)])]);
    story.cluster("b", 1);
    story.cluster("b", 2);
    assert_eq!(story.clusters(), []);
    story.request::<Cluster>("1", &[], "");
    let [(nonce, all)] = story.clusters().try_into().unwrap();
    assert_eq!(all, clusters("", &[("a", 1), ("b", 2)]).1);
    story.request::<Cluster>(&nonce, &[], "");
    assert_eq!(story.clusters(), []);
}

#[test]
fn a_request_that_crossed_a_response_changes_nothing() {
    let mut story = Story::default();
    story.cluster("a", 1);
    story.cluster("b", 1);
    story.request::<ClusterLoadAssignment>("", &["a"], "");
    let first = story.only_response();
    story.request::<ClusterLoadAssignment>(&first.nonce, &["a", "b"], "");
    let second = story.only_response();
    assert_eq!(second.resources.len(), 2);
    story.request::<ClusterLoadAssignment>(&first.nonce, &["a"], "late");
    assert_eq!(story.stream.respond(&story.resources), []);
    story.request::<ClusterLoadAssignment>(&second.nonce, &["a", "b"], "");
    assert_eq!(story.stream.respond(&story.resources), []);
}

#[test]
fn an_empty_set_is_an_answer() {
    let mut story = Story::default();
    story.request::<Cluster>("", &[], "");
    assert_eq!(story.clusters(), [clusters("1", &[])]);
}

#[test]
fn the_last_good_version_stands_in_for_a_refused_one() {
    let mut story = Story::default();
    story.cluster("a", 1);
    story.cluster("b", 1);
    story.request::<Cluster>("", &[], "");
    let [(nonce, _)] = story.clusters().try_into().unwrap();
    story.request::<Cluster>(&nonce, &[], "");

    story.cluster("a", 2);
    story.cluster("b", 2);
    let [(nonce, all)] = story.clusters().try_into().unwrap();
    assert_eq!(all, clusters("", &[("a", 2), ("b", 2)]).1);
    let rejections = story.request::<Cluster>(&nonce, &[], "no: a");
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].name, "a");

    let [(nonce, all)] = story.clusters().try_into().unwrap();
    assert_eq!(all, clusters("", &[("a", 1), ("b", 2)]).1);
    story.request::<Cluster>(&nonce, &[], "");
    assert_eq!(story.clusters(), []);
    story.cluster("a", 3);
    let [(_, all)] = story.clusters().try_into().unwrap();
    assert_eq!(all, clusters("", &[("a", 3), ("b", 2)]).1);
}

#[test]
fn endpoints_follow_an_updated_cluster() {
    let mut story = Story::default();
    story.cluster("a", 1);
    story.request::<Cluster>("", &[], "");
    story.request::<ClusterLoadAssignment>("", &["a"], "");
    let first = story.stream.respond(&story.resources);
    for response in &first {
        let names: &[&str] = match response.type_url == Cluster::type_url() {
            true => &[],
            false => &["a"],
        };
        match names.is_empty() {
            true => story.request::<Cluster>(&response.nonce, names, ""),
            false => story.request::<ClusterLoadAssignment>(&response.nonce, names, ""),
        };
    }
    assert_eq!(story.stream.respond(&story.resources), []);
    story.cluster("a", 2);
    let types: Vec<_> = story
        .stream
        .respond(&story.resources)
        .into_iter()
        .map(|response| response.type_url)
        .collect();
    assert_eq!(
        types,
        [Cluster::type_url(), ClusterLoadAssignment::type_url()]
    );
}
