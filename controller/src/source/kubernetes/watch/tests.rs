//! Lists that break off, from an API server that says what it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::source::kubernetes::Contacts;

/// A client whose lists are answered in turn; watches, and when there are no more answers, with silence.
fn client(answers: impl IntoIterator<Item = (u16, String)>) -> Client {
    let answers: VecDeque<_> = answers.into_iter().collect();
    let answers = Arc::new(Mutex::new(answers));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let query = request.uri().query().unwrap_or_default();
        let is_list = !query.contains("watch=true");
        let next = || answers.lock().expect("nobody panics").pop_front();
        let answer = is_list.then(next).flatten();
        async move {
            let Some((status, body)) = answer else {
                return std::future::pending().await;
            };
            let answer = http::Response::builder().status(status);
            let answer = answer.body(Body::from(body.into_bytes()));
            Ok::<_, kube::Error>(answer.expect("an answer"))
        }
    });
    Client::new(service, "default")
}

/// A page of a list, of Services of these names.
fn page(names: &[&str], next: &str) -> (u16, String) {
    let items: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "metadata": {"name": name, "namespace": "shop", "resourceVersion": "7"},
                "spec": {"ports": [{"port": 80}]},
            })
        })
        .collect();
    let metadata = json!({"resourceVersion": "9", "continue": next});
    let page =
        json!({"kind": "ServiceList", "apiVersion": "v1", "metadata": metadata, "items": items});
    (200, page.to_string())
}

fn refusal(code: u16, reason: &str) -> (u16, String) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": reason,
    });
    (code, status.to_string())
}

/// The first that is heard, and how long ago anything was.
async fn heard(answers: Vec<(u16, String)>) -> (Change, Duration) {
    let (changes, mut heard) = mpsc::channel(16);
    let (settings, contacts) = (Settings::new(vec![]), Contacts::default());
    let client = client(answers);
    let watch = Watch::new(Kind::Service, &client, (&settings, &contacts), changes);
    let (_wanting, wanted) = watch::channel(BTreeMap::new());
    let watch = tokio::spawn(watch.run(wanted));
    let change = heard.recv().await.expect("something is heard");
    let ages = contacts.ages();
    let [(Kind::Service, age)] = ages.as_slice() else {
        panic!("{ages:?}");
    };
    watch.abort();
    (change, *age)
}

#[tokio::test]
async fn a_list_counts_when_it_was_read_to_its_end() {
    let (_, broken) = page(&["b"], "");
    let broken = broken[..broken.len() / 2].to_owned();
    let answers = vec![
        page(&["a"], "next"),
        refusal(500, "InternalError"),
        page(&["a"], "next"),
        (200, broken),
        page(&["a"], "next"),
        refusal(410, "Expired"),
        page(&["a"], "next"),
        page(&["b"], ""),
    ];
    let (change, age) = heard(answers).await;
    let Change::Listed(Kind::Service, listed, _) = change else {
        panic!("{change:?}");
    };
    let names: Vec<_> = listed.iter().filter_map(|it| it.id.as_ref()).collect();
    assert_eq!(
        names.iter().map(|id| &*id.name).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(age < Duration::from_secs(1), "{age:?}");
}

#[tokio::test]
async fn a_kind_that_is_not_known_is_not_an_empty_one() {
    let (change, _) = heard(vec![refusal(404, "NotFound")]).await;
    assert!(
        matches!(change, Change::Unknown(Kind::Service)),
        "{change:?}"
    );
}

#[tokio::test]
async fn what_was_listed_says_how_far_it_goes_and_is_read_anew_when_that_is_wanted() {
    let (changes, mut heard) = mpsc::channel(16);
    let (settings, contacts) = (Settings::new(vec![]), Contacts::default());
    let client = client([page(&["a"], ""), page(&[], "")]);
    let watch = Watch::new(Kind::Service, &client, (&settings, &contacts), changes);
    let (wanting, wanted) = watch::channel(BTreeMap::new());
    let watch = tokio::spawn(watch.run(wanted));
    let mut last = None;
    for (objects, version) in [(1, 7), (0, 0)] {
        let before = Instant::now();
        wanting.send_replace(BTreeMap::from([(Kind::Service, before)]));
        let change = heard.recv().await.expect("something is heard");
        let Change::Listed(Kind::Service, listed, _) = change else {
            panic!("{change:?}");
        };
        assert_eq!(listed.len(), objects);
        let change = heard.recv().await.expect("something is heard");
        let Change::Read(Kind::Service, Reached::List { highest, began }) = change else {
            panic!("{change:?}");
        };
        assert_eq!(highest, version);
        assert!(last.is_none_or(|last| began > last));
        last = Some(began);
    }
    // Others may want another kind.
    wanting.send_replace(BTreeMap::from([(Kind::Pod, Instant::now())]));
    tokio::task::yield_now().await;
    assert!(heard.try_recv().is_err());
    watch.abort();
}
