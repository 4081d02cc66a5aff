//! A cluster with nodes in two zones, beside a real istiod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_tests::dubbo::{Generation, Peers};
use meltemi_tests::kubernetes::{
    ApiServer, Captured, Controllers, Helm, Istiod, Pods, Via, Ztunnels,
};
use meltemi_tests::until;
use serde_json::Value;

use super::objects;

/// Of `node-1`, where the clients are, and so on.
const ZONES: [&str; 3] = ["eu-a", "eu-a", "eu-b"];

pub(super) struct Lab {
    // What runs ends before what it runs on does.
    pub(super) pods: Pods,
    _istiod: Istiod,
    _controllers: Controllers,
    pub(super) ztunnels: Arc<Ztunnels>,
    pub(super) helm: Helm,
    pub(super) cluster: Arc<ApiServer>,
    _peers: Peers,
}

impl Lab {
    /// None where something of it is not installed or not permitted, which is said.
    pub(super) fn start() -> Option<Self> {
        if !Pods::are_permitted() {
            return None;
        }
        let peers = Peers::find()?;
        let cluster = Arc::new(ApiServer::start()?);
        let programs = cluster.programs();
        if !Controllers::are_installed(programs) || !Istiod::is_installed(programs) {
            return None;
        }
        cluster.install_crds(&programs.istio_crds());
        programs
            .gateway_api_crds()
            .iter()
            .for_each(|it| cluster.install_crds(it));
        cluster.apply(objects::NAMESPACES);
        let ambient = [("PILOT_ENABLE_AMBIENT", "true")];
        let istiod = Istiod::start(&Istiod::program(programs), &cluster.kubeconfig(), &ambient);
        let ztunnels = Arc::<Ztunnels>::default();
        ztunnels.listen_to(istiod.address());
        let images = [
            ("greeter", Generation::V2_7_23, "meltemi.peer.Provider"),
            ("caller-2", Generation::V2_7_23, "meltemi.peer.Consumer"),
            ("caller-3", Generation::V3_3_6, "meltemi.peer.Consumer"),
        ];
        let images = images.map(|(name, of, main)| (name.to_owned(), peers.image(of, main)));
        let [_, helm] = Helm::versions_on(&cluster);
        Some(Self {
            _controllers: Controllers::start(&cluster),
            pods: Pods::start(&cluster, &ZONES, BTreeMap::from(images), &ztunnels),
            _istiod: istiod,
            ztunnels,
            helm,
            cluster,
            _peers: peers,
        })
    }

    /// What kubectl prints.
    pub(super) fn kubectl(&self, arguments: &str) -> String {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let answer = self.cluster.kubectl(&arguments);
        answer.expect_success(&arguments.join(" "));
        answer.stdout()
    }

    /// Waits until a Deployment is what it should be, with that many replicas.
    pub(super) fn is_rolled_out(&self, namespace: &str, name: &str, replicas: u64) {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        until(&format!("{namespace}/{name} is rolled out"), || {
            self.pods.run_well();
            let deployment = self.cluster.get(&path)?;
            let status = &deployment["status"];
            let is_seen = status["observedGeneration"] == deployment["metadata"]["generation"];
            let mut counts = [
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
            ]
            .iter();
            (is_seen && counts.all(|it| status[it].as_u64().unwrap_or_default() == replicas))
                .then_some(())
        });
        // Those before have ended, too.
        until(&format!("{namespace}/{name} has its pods alone"), || {
            let pods = self.pods.named(namespace, &format!("{name}-"));
            (u64::try_from(pods.len()) == Ok(replicas)).then_some(())
        });
    }

    /// A condition of the waypoint's Gateway.
    pub(super) fn is_programmed(&self) {
        let path = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/l7";
        until("the waypoint is programmed", || {
            let gateway = self.cluster.get(path)?;
            let conditions = gateway["status"]["conditions"].as_array()?;
            let is_true = |it: &&Value| it["type"] == "Programmed" && it["status"] == "True";
            conditions.iter().find(is_true).map(|_| ())
        });
    }

    /// The rule is in force as it was written last.
    pub(super) fn rule_is_in_force(&self) {
        let path = "/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/shop/metarouters/greeter";
        until("the rule is in force", || {
            let router = self.cluster.get(path)?;
            let conditions = router["status"]["parents"][0]["conditions"].as_array()?;
            let is_true = |it: &&Value| {
                it["type"] == "Programmed"
                    && it["status"] == "True"
                    && it["observedGeneration"] == router["metadata"]["generation"]
            };
            conditions.iter().find(is_true).map(|_| ())
        });
    }

    /// Whether istiod has told ztunnels to lead the service to its waypoint.
    pub(super) fn is_bound(&self, is_bound: bool) {
        until(&format!("istiod binds the service: {is_bound}"), || {
            let told = self
                .ztunnels
                .told()?
                .get("shop/greeter.shop.svc.cluster.local")?;
            (told.service?.waypoint.is_some() == is_bound).then_some(())
        });
    }

    /// To the byte.
    pub(super) fn told_of_service(&self) -> BTreeMap<String, Vec<u8>> {
        until("istiod tells of the service", || {
            let told = self.ztunnels.told()?.raw("shop/greeter.shop");
            (!told.is_empty()).then_some(told)
        })
    }

    /// The pods of a name.
    pub(super) fn everywhere(&self, beginning: &str) -> BTreeSet<String> {
        let [near, _, far] = ZONES.map(|zone| self.in_zone(beginning, zone));
        near.into_iter().chain(far).collect()
    }

    /// The pods of a name that are in a zone.
    pub(super) fn in_zone(&self, beginning: &str, zone: &str) -> BTreeSet<String> {
        let nodes = (1..).zip(ZONES).filter(|(_, it)| *it == zone);
        let nodes: Vec<_> = nodes.map(|(number, _)| format!("node-{number}")).collect();
        let pods = self.pods.named("shop", beginning);
        let is_there = |pod: &&Value| nodes.iter().any(|it| pod["spec"]["nodeName"] == **it);
        let names = pods.iter().filter(is_there);
        names
            .filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned()))
            .collect()
    }

    /// The way that a client's newest connection to the service has taken.
    pub(super) fn last_way(&self, client: &str) -> Option<Via> {
        let ways = self.ways(client);
        ways.into_iter().filter_map(|it| it.via.ok()).next_back()
    }

    /// All that a client has opened to the service.
    pub(super) fn ways(&self, client: &str) -> Vec<Captured> {
        let captured = self.ztunnels.captured().into_iter();
        captured
            .filter(|it| it.client == client && it.to.port() == 20880)
            .collect()
    }
}
