//! The weights of a route's destinations are exact: of any hundred requests in a row each gets its percent,
//! one by one as well as in a pipeline.

use meltemi_tests::Meltemi;
use meltemi_tests::redis::{Scripted, Wire, manifests, pipeline};

/// Of the three destinations.
const WEIGHTS: [usize; 3] = [61, 30, 9];
const REQUESTS: usize = 700;

/// Who answers each of them.
fn answers(wire: &mut Wire, depth: usize) -> Vec<usize> {
    let mut answers = vec![];
    while answers.len() < REQUESTS {
        let commands = vec!["GET k"; depth.min(REQUESTS - answers.len())];
        wire.send(&pipeline(&commands));
        let replies = commands.iter().map(|_| wire.reply());
        answers.extend(replies.map(|reply| match reply.as_str() {
            "+0" => 0,
            "+1" => 1,
            "+2" => 2,
            other => panic!("{other}"),
        }));
    }
    answers
}

#[test]
fn any_hundred_requests_in_a_row_are_shared_exactly() {
    let nodes = Scripted::start(3, |asked| Some(format!("+{}\r\n", asked.node).into_bytes()));
    let manifests = manifests(&[]);
    manifests.write("service.yaml", &service(&nodes));
    manifests.write("rule.yaml", RULE);
    manifests.write("routes.yaml", &routes());
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    for depth in [1, 7, REQUESTS] {
        let mut wire = Wire::connect(meltemi.address("default/edge/redis"));
        for hundred in answers(&mut wire, depth).windows(100) {
            let of = |node| hundred.iter().filter(|it| **it == node).count();
            assert_eq!([of(0), of(1), of(2)], WEIGHTS, "{depth} in flight");
        }
    }
}

fn service(nodes: &Scripted) -> String {
    let endpoint = |node: usize| {
        let address = nodes.address(node);
        let (ip, port) = (address.ip(), address.port());
        format!("  - {{address: {ip}, ports: {{tcp-redis: {port}}}, labels: {{node: n{node}}}}}\n")
    };
    let endpoints: String = (0..3).map(endpoint).collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: cache}}\nspec:\n  \
         hosts: [cache.demo]\n  ports: [{{number: 6379, name: tcp-redis}}]\n  resolution: STATIC\n  \
         endpoints:\n{endpoints}"
    )
}

const RULE: &str = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cache}
spec:
  host: cache.demo
  subsets:
  - {name: n0, labels: {node: n0}}
  - {name: n1, labels: {node: n1}}
  - {name: n2, labels: {node: n2}}
";

fn routes() -> String {
    let destination = |(node, weight): (usize, &usize)| {
        format!("    - {{destination: {{host: cache.demo, subset: n{node}}}, weight: {weight}}}\n")
    };
    let destinations: String = WEIGHTS.iter().enumerate().map(destination).collect();
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: cache}}\nspec:\n  \
         hosts: [cache.demo]\n  gateways: [edge]\n  routes:\n  - name: all\n    route:\n{destinations}"
    )
}
