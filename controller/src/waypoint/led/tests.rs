use super::super::parameters::Parameters;
use super::super::term::Problems;
use super::super::world::Seen;
use super::*;
use crate::manifest::Kind as Of;
use crate::standing::DEFAULT;
use crate::status::News;

/// A cluster in which each wish comes true, and what its proxies say.
struct Lab {
    leads: Leads,
    gateway: Option<Value>,
    news: News,
    problems: Problems,
}

fn gateway() -> ObjectRef {
    ObjectRef::new(Of::KubernetesGateway, "shop", "mesh")
}

fn service(name: &str, ports: &[u16]) -> LedService {
    LedService {
        service: ObjectRef::new(Of::Service, "shop", name),
        host: format!("{name}.shop.svc.cluster.local"),
        ports: ports.iter().copied().collect(),
        taken: vec![],
    }
}

impl Lab {
    fn new(answer: Answer) -> Self {
        let mut news = News::default();
        let led = LedNews {
            via: Some(Via {
                service: ObjectRef::new(Of::Service, "shop", "mesh"),
                host: "mesh.shop.svc.cluster.local".to_owned(),
                port: 15089,
            }),
            is_ready: true,
            serves: true,
            services: vec![(service("orders", &[20880, 20881]), answer)],
        };
        news.led.insert(gateway(), led);
        Self {
            leads: Leads::new(),
            gateway: Some(json!({"metadata": {"name": "mesh", "namespace": "shop", "uid": "u"}})),
            news,
            problems: Problems::new(),
        }
    }

    fn led(&mut self) -> &mut LedNews {
        self.news.led.get_mut(&gateway()).unwrap()
    }

    fn wishes(&self) -> Vec<Wish> {
        let gateway = self.gateway.clone().into_iter();
        let gateways = gateway.map(|it| Arc::new(serde_json::from_value(it).unwrap()));
        let seen = Seen {
            gateways: Some(gateways.collect()),
            leads: Some(self.leads.clone()),
            ..Seen::default()
        };
        let known = Known {
            seen: &seen,
            news: Some(&self.news),
            parameters: &Parameters::default(),
            problems: &self.problems,
            now: "now",
        };
        plan(DEFAULT, &known)
    }

    /// What is done in one step; what it comes to is known then.
    fn step(&mut self) -> Vec<String> {
        let mut done = vec![];
        for wish in self.wishes() {
            let Target {
                what,
                namespace,
                name,
                ..
            } = &wish.target;
            let What::Lead(lead) = what else {
                continue;
            };
            let key = (*lead, namespace.clone(), name.clone());
            match wish.action {
                Action::Apply(body) => {
                    let object = Arc::new(serde_json::from_value(body).unwrap());
                    let before = self.leads.insert(key, Arc::clone(&object));
                    if before.as_ref() != Some(&object) {
                        done.push(format!("{lead:?} {namespace}/{name}"));
                    }
                }
                Action::Delete => {
                    self.leads.remove(&key).unwrap();
                    done.push(format!("no {lead:?} {namespace}/{name}"));
                }
                Action::Withdraw(_) => panic!("nothing is withdrawn here"),
            }
        }
        done
    }

    fn says(&self) -> String {
        let wishes = self.wishes();
        let status = wishes.iter().find(|it| it.target.what == What::LedTo);
        let Some(Action::Apply(body)) = status.map(|it| &it.action) else {
            return String::new();
        };
        let condition = &body["status"]["conditions"][0];
        assert_eq!(condition["type"], "meltemi.io/SidecarsLed");
        let text = |field: &str| condition[field].as_str().unwrap().to_owned();
        format!("{}: {}", text("reason"), text("message"))
    }
}

const RULE: &str = "DestinationRule shop/mesh-meltemi";
const ROUTE: &str = "VirtualService shop/orders-meltemi";
const NO_RULE: &str = "no DestinationRule shop/mesh-meltemi";
const NO_ROUTE: &str = "no VirtualService shop/orders-meltemi";

fn none() -> Vec<String> {
    vec![]
}

#[test]
fn how_comes_before_where_to() {
    let mut lab = Lab::new(Answer::Everywhere);
    assert_eq!(lab.step(), [RULE]);
    assert!(lab.says().starts_with("Pending"));
    assert_eq!(lab.step(), [ROUTE]);
    assert_eq!(lab.step(), none());
    assert_eq!(
        lab.says(),
        "Led: sidecars come here for Service shop/orders"
    );
    let written: Vec<_> = lab.leads.values().map(|it| &**it).collect();
    insta::assert_snapshot!(serde_saphyr::to_string(&written).unwrap());
}

#[test]
fn nothing_leads_to_who_is_not_ready_for_it() {
    for answer in [
        Answer::NotYet,
        Answer::Missing,
        Answer::NoProxies,
        Answer::Nowhere,
    ] {
        let mut lab = Lab::new(answer.clone());
        assert_eq!(lab.step(), [RULE]);
        assert_eq!(lab.step(), none(), "{answer:?}");
        assert!(lab.says().contains("are being asked"), "{}", lab.says());
        // Whoever led there before leads there still.
        let mut led = Lab::new(Answer::Everywhere);
        led.step();
        led.step();
        led.led().services = vec![(service("orders", &[20880]), answer.clone())];
        assert_eq!(led.step(), none(), "{answer:?}");
        assert_eq!(led.leads.len(), 2);
    }
    let mut unready = Lab::new(Answer::Everywhere);
    unready.led().is_ready = false;
    assert_eq!(unready.step(), [RULE]);
    assert_eq!(unready.step(), none());
    assert!(
        unready.says().contains("no proxy is ready"),
        "{}",
        unready.says()
    );
}

#[test]
fn where_to_goes_first_and_how_when_nothing_is_served_any_more() {
    let mut lab = Lab::new(Answer::Everywhere);
    lab.step();
    lab.step();
    lab.led().services = vec![];
    assert_eq!(lab.step(), [NO_ROUTE]);
    assert_eq!(lab.step(), none(), "it is still served");
    assert!(lab.says().starts_with("NotUsed"));
    lab.led().serves = false;
    assert_eq!(lab.step(), [NO_RULE]);
    // So with a Gateway that was deleted, while its proxies drain.
    let mut lab = Lab::new(Answer::Everywhere);
    lab.step();
    lab.step();
    lab.gateway = None;
    assert_eq!(lab.step(), [NO_ROUTE]);
    assert_eq!(lab.step(), none());
    lab.news = News::default();
    assert_eq!(lab.step(), [NO_RULE]);
}

#[test]
fn of_one_that_was_taken_out_nothing_is_told_again() {
    let mut lab = Lab::new(Answer::Everywhere);
    lab.step();
    lab.step();
    let gateway = lab.gateway.as_mut().unwrap();
    gateway["metadata"]["annotations"] = json!({DETACH: "2026-01-01T00:00:00Z"});
    assert_eq!(lab.step(), [NO_ROUTE]);
    assert!(lab.says().starts_with("Detached"));
    // Somebody else takes the rest away.
    lab.leads.clear();
    assert_eq!(lab.step(), none());
}

#[test]
fn what_another_controller_has_written_is_left_alone() {
    let mut lab = Lab::new(Answer::Everywhere);
    lab.step();
    lab.step();
    lab.news = News::default();
    let labelled = lab.leads.values_mut().map(Arc::make_mut);
    for object in labelled {
        let labels = object.metadata.labels.as_mut().unwrap();
        labels.insert(REVISION.to_owned(), "canary".to_owned());
    }
    assert_eq!(lab.step(), none());
}

#[test]
fn what_is_in_the_way_is_said() {
    let mut lab = Lab::new(Answer::Everywhere);
    let other = ObjectRef::new(Of::VirtualService, "shop", "own");
    lab.led().services[0].0.taken = vec![(20882, other)];
    lab.step();
    assert_eq!(lab.step(), [ROUTE], "other ports are led");
    assert_eq!(
        lab.says(),
        "Conflict: port 20882 of Service shop/orders is led by VirtualService shop/own, and both are left alone"
    );
    lab.led().services[0].0.taken = vec![];
    let route = Target::of(What::Lead(Lead::VirtualService), ("shop", "orders-meltemi"));
    lab.problems.insert(route.clone(), None);
    assert!(lab.says().contains("is there already"), "{}", lab.says());
    lab.problems.insert(route, Some("no such field".to_owned()));
    assert!(lab.says().contains("no such field"), "{}", lab.says());
    lab.led().via = None;
    assert!(lab.says().starts_with("NoService"), "{}", lab.says());
}
