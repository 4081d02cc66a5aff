use std::net::SocketAddr;

use meltemi_core::config::{Proxy, Snapshot};
use meltemi_core::xds::{self, ControlPlane};
use meltemi_policy::Mismatches;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;

use super::super::simulation::listener;
use super::super::{Published, Resources, Server};
use super::*;

fn read(versions: &[(Kind, u64)]) -> Read {
    let mut read = Read::default();
    for (kind, version) in versions {
        read.changed(*kind, *version);
    }
    read
}

fn reaching(versions: &[(Kind, u64)]) -> Progress {
    let progress = Progress::default();
    progress.is(&read(versions));
    progress
}

fn told(progress: &Progress) -> Versions {
    Versions::read(&progress.told(&mut Versions::default()))
}

#[test]
fn what_is_told_is_read_again_and_what_others_say_is_nothing() {
    let versions = [
        (Kind::Pod, 7),
        (Kind::Gateway, 8),
        (Kind::KubernetesGateway, 9),
    ];
    let text = reaching(&versions).told(&mut Versions::default());
    let expected = "Gateway.networking.istio.io=8,Gateway.gateway.networking.k8s.io=9,Pod=7";
    assert_eq!(&*text, expected);
    assert_eq!(Versions::read(&text), Versions(versions.into()));
    assert_eq!(
        Versions::read("Pod=7,Later.example=9"),
        Versions([(Kind::Pod, 7)].into())
    );
    for foreign in [
        "",
        "istiod",
        r#"{"Component":"istiod"}"#,
        "Pod=7,Node=x",
        "Pod=-1",
        "Pod=7,",
    ] {
        assert!(Versions::read(foreign).is_empty(), "{foreign}");
    }
    // Of files there is nothing to say.
    assert_eq!(&*Progress::default().told(&mut Versions::default()), "");
}

#[test]
fn whoever_was_served_more_is_told_nothing_yet() {
    let here = reaching(&[(Kind::Pod, 7), (Kind::Node, 3)]);
    let rows: [(&[(Kind, u64)], bool); 6] = [
        (&[], false),
        (&[(Kind::Pod, 7), (Kind::Node, 2)], false),
        (&[(Kind::Pod, 8)], true),
        (&[(Kind::Pod, 1), (Kind::Node, 4)], true),
        // Nobody reads these here.
        (&[(Kind::Secret, 9)], false),
        (&[(Kind::Pod, u64::MAX)], true),
    ];
    for (served, is_behind) in rows {
        let served = Versions(served.iter().copied().collect());
        assert_eq!(here.behind(&served).is_some(), is_behind, "{served}");
    }
    assert!(Progress::default().behind(&told(&here)).is_none());
}

#[tokio::test]
async fn it_is_told_once_as_much_was_read() {
    let here = reaching(&[(Kind::Pod, 7)]);
    let mut ahead = here
        .behind(&told(&reaching(&[(Kind::Pod, 9)])))
        .expect("it lags");
    assert_eq!(here.waiting(), 1);
    for version in [8, 9] {
        let early = timeout(Duration::from_millis(20), ahead.is_met()).await;
        assert!(early.is_err(), "it is met before {version}");
        here.is(&read(&[(Kind::Pod, version)]));
    }
    ahead.is_met().await.expect("as much was read");
    drop(ahead);
    assert_eq!(here.waiting(), 0);
}

/// A store that was restored has lower versions, and a list does not tell that of what is gone.
#[tokio::test]
async fn what_is_read_anew_counts_whatever_its_version_is() {
    let here = reaching(&[(Kind::Pod, 7), (Kind::Node, 3)]);
    let mut wanted = here.wanted();
    let served = told(&reaching(&[(Kind::Pod, 900), (Kind::Node, 3)]));
    let mut ahead = here.behind(&served).expect("it lags");
    let ((), met) = tokio::join!(
        async {
            let asked = wanted.wait_for(|it| it.contains_key(&Kind::Pod)).await;
            let asked: Vec<_> = asked.expect("it is asked").keys().copied().collect();
            assert_eq!(asked, [Kind::Pod]);
            let mut anew = read(&[(Kind::Node, 3)]);
            anew.listed(Kind::Pod, 5, Instant::now());
            here.is(&anew);
        },
        ahead.is_met()
    );
    met.expect("it was read anew");
    // Others may still lag behind what the client was told first.
    let mut before = served.clone();
    assert_eq!(Versions::read(&here.told(&mut before)), served);
    here.is(&read(&[(Kind::Pod, 901), (Kind::Node, 3)]));
    assert_eq!(Versions::read(&here.told(&mut before)), told(&here));
    assert!(before.is_empty());
}

#[tokio::test]
async fn a_client_need_not_wait_for_ever() {
    let here = reaching(&[(Kind::Pod, 7)]);
    let mut ahead = here
        .behind(&told(&reaching(&[(Kind::Pod, 9)])))
        .expect("it lags");
    ahead.since = ahead.since.checked_sub(PATIENCE).expect("a time");
    let lags = ahead.is_met().await.expect_err("nothing is read");
    assert!(lags.to_string().ends_with("before: Pod=9"), "{lags}");
}

/// Serves so many listeners, until it is dropped.
struct Replica {
    resources: watch::Sender<Option<Arc<Published>>>,
    _stop: oneshot::Sender<()>,
}

fn published(listeners: usize) -> Arc<Published> {
    let mut resources = Resources::new();
    for number in 0..listeners {
        let listener = listener(number, 0);
        resources.insert(listener.name.clone(), &listener);
    }
    Arc::new(resources.into())
}

impl Replica {
    fn start(at: SocketAddr, listeners: usize, progress: &Progress) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(at).expect("a free port");
        let incoming = TcpListenerStream::new(socket.listen(16).expect("it listens"));
        let (resources, served) = watch::channel(Some(published(listeners)));
        let (rejections, _) = mpsc::channel(1);
        let server = Server::new(served, rejections).having_read(progress.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(incoming, async {
            let _ = stopped.await;
        }));
        Self {
            resources,
            _stop: stop,
        }
    }
}

async fn until(is_so: impl Fn() -> bool) {
    let reached = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), reached)
        .await
        .expect("it comes true");
}

async fn has(snapshots: &mut watch::Receiver<Arc<Snapshot>>, listeners: usize) {
    let has_all = snapshots.wait_for(|snapshot| snapshot.listeners.len() == listeners);
    let found = timeout(Duration::from_secs(60), has_all).await;
    found.expect("it comes").expect("the client runs");
}

#[tokio::test]
async fn a_proxy_is_not_rolled_back_by_a_replica_that_lags() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = free.local_addr().expect("an address");
    drop(free);
    let progress = reaching(&[(Kind::Pod, 9)]);
    let first = Replica::start(at, 2, &progress);
    let (publish, mut snapshots) = watch::channel(Arc::default());
    let stats = Arc::new(xds::Stats::default());
    let control_plane = ControlPlane::plaintext(&at.to_string()).expect("an address");
    let node = xds::node("test", &Proxy::default());
    let (_mismatches, told) = watch::channel(Mismatches::new());
    let client = xds::run(control_plane, node, (publish, told), stats.clone());
    let client = tokio::spawn(client);
    has(&mut snapshots, 2).await;
    drop(first);
    until(|| !stats.is_connected()).await;

    // It has not heard of the second listener.
    let lagging = reaching(&[(Kind::Pod, 7)]);
    let second = Replica::start(at, 1, &lagging);
    until(|| lagging.waiting() == 1).await;
    // Nor does it say anything when something else changes, or before all that it has read is published.
    second.resources.send_replace(Some(published(0)));
    lagging.is(&read(&[(Kind::Pod, 8)]));
    second.resources.send_replace(Some(published(3)));
    until(|| stats.is_connected()).await;
    assert!(!snapshots.has_changed().expect("the client runs"));
    lagging.is(&read(&[(Kind::Pod, 9)]));
    has(&mut snapshots, 3).await;
    assert_eq!(lagging.waiting(), 0);
    client.abort();
}
